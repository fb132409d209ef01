"""``bogp study``: look at studies, go on with one, and write one to a file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bogp.cli import options
from bogp.cli.check import Storage, check_study
from bogp.cli.common import interruptible, print_json, print_table, progress_bar, say
from bogp.cli.found import print_found, summary
from bogp.errors import StudyError
from bogp.settings.search import Execution, SearchSettings

if TYPE_CHECKING:
    from bogp.study.reading import ArmRecord, StorageRecord, StudyRecord
    from bogp.study.records import Attempt
    from bogp.tables import Cell

COUNTS = ("ended", "stopped", "failed", "running")

study = typer.Typer(no_args_is_help=True, help="List, show, resume, check and export studies.")

Name = Annotated[
    str | None,
    typer.Option("--name", help="The study, where the storage holds several."),
]


@study.command("list")
def list_(storage: Storage, as_json: options.Json = False) -> None:
    """List the studies of a storage: what each looks for and how far it is.

    A search may be writing to it meanwhile. What is damaged is left out and named, with status 2.

    Example: bogp study list study.db
    """
    found = _read(storage)
    if as_json:
        print_json(
            {
                "address": found.address,
                "studies": [_line(one) for one in found.studies],
                "others": list(found.others),
            }
        )
        found.require_sound()
        return
    from bogp.tables import Column, Table, decimals

    best = Column("best", decimals(4))
    heads = ("study", "key", "engine", "goal", *COUNTS)
    columns: list[str | Column] = [*heads, best, "epochs", "changed"]
    notes = ["Trials of the search; those of random search at equal cost are beside them."]
    if found.others:
        notes.append(f"Not of this bogp, and left alone: {', '.join(found.others)}.")
    rows = [_row(_line(one)) for one in found.studies]
    print_table(Table(f"Studies in {found.address}", columns, rows, notes))
    found.require_sound()


@study.command()
def show(
    storage: Storage,
    name: Name = None,
    best: Annotated[int, typer.Option(min=0, help="Print this many of the best trials.")] = 10,
    as_json: options.Json = False,
) -> None:
    """Show a study: its settings, its best trials, its batches, what failed and what is running.

    A trial's value is that of one training on the data that selects, so the best of many looks
    better than it is. A trial that is damaged is left out and named, with status 2.

    Example: bogp study show study.db
    """
    from bogp.study.exporting import study_fields

    stored = _read(storage)
    found = stored.study(name)
    if as_json:
        print_json(study_fields(found))
    else:
        _print_study(found, best)
    stored.require_sound(found.name)


def _print_study(found: StudyRecord, best: int) -> None:
    from bogp.tables import Table

    settings = [[key, _short(value)] for key, value in found.settings.items()]
    print_table(Table(f"Study {found.name}, key {found.key}", ["setting", "value"], settings))
    for arm_name, arm in found.arms.items():
        _print_arm(arm_name, arm, best)
    attempts = [attempt for arm in found.arms.values() for attempt in arm.attempts]
    rows = [_unfinished(one) for one in attempts if one.state in {"failed", "running"}]
    if rows:
        heads = ["attempts that failed or run", "arm", "attempt", "state", "why, or whose"]
        print_table(Table("", heads, rows))
    if found.lease is not None:
        say(f"held by {found.lease}")


@study.command()
@options.from_settings
def resume(
    study: Storage,
    execution: Execution,
    name: Name = None,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Go on with a search where it stopped, with the settings that it was started with.

    It ends as an unbroken search would have, and prints what that prints. A study of `bogp screen`
    goes on with its own command.

    Example: bogp study resume study.db
    """
    found = _sound(study, name)
    arguments = _command(found, study)
    kept = f"the finished trials are in {study}, and the same command goes on from there"
    with interruptible(kept):
        from bogp.pipeline import search

        with progress_bar("trainings", quiet) as progress:
            result = search(
                **arguments,
                study=study,
                name=found.name,
                workers=execution.workers,
                retries=execution.retries,
                progress=progress,
            )
    if as_json:
        print_json(summary(result))
        return
    print_found(result)
    say(f"`bogp study show {study}` shows them")


@study.command()
def export(
    storage: Storage,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="A .json, .jsonl or .csv file to write.")
    ],
    name: Name = None,
    as_json: options.Json = False,
) -> None:
    """Write every attempt at a trial, with its point, parameters, values and record, to a file.

    .json holds the whole study; .jsonl an object a line and .csv a row for each attempt, failed
    ones too. The file is written whole or not at all.

    Example: bogp study export study.db --out study.csv
    """
    from bogp.files import write_atomic
    from bogp.study.exporting import export_text

    with interruptible("nothing was written"):
        found = _sound(storage, name)
        write_atomic(out, export_text(found, out.suffix))
    count = sum(len(arm.attempts) for arm in found.arms.values())
    if as_json:
        print_json({"study": found.name, "out": str(out), "attempts": count})
        return
    say(f"{count} attempts of study {found.name} written to {out}")


study.command("check")(check_study)


def _read(storage: str) -> StorageRecord:
    from bogp.study.reading import read_storage

    return read_storage(storage)


def _sound(storage: str, name: str | None) -> StudyRecord:
    """Return a study of which nothing is damaged."""
    stored = _read(storage)
    found = stored.study(name)
    stored.require_sound(found.name)
    return found


def _line(found: StudyRecord) -> dict[str, Any]:
    """Return what the list says of a study, as a JSON object."""
    first, settings = found.arms["search"], found.settings
    whole = first.whole()
    return {
        "study": found.name,
        "key": found.key,
        "engine": settings.get("engine", settings.get("kind")),
        "goal": _goal(found),
        **first.counts(),
        "random": found.arms["random"].counts() if "random" in found.arms else None,
        "best": whole[0].value if whole else None,
        "epochs": sum(arm.epochs() for arm in found.arms.values()),
        "changed": found.changed,
    }


def _row(line: dict[str, Any]) -> list[Cell]:
    """Return a line of the list as it is printed, ``search + random`` where there are both."""
    random, changed = line["random"], line["changed"]
    shown = {state: line[state] for state in COUNTS}
    if random is not None:
        shown = {state: f"{count} + {random[state]}" for state, count in shown.items()}
    if changed is not None:
        changed = changed[:16].replace("T", " ")
    line = line | shown | {"changed": changed}
    return [line[name] for name in line if name != "random"]


def _goal(found: StudyRecord) -> str:
    """Return what a study maximises, in a few words."""
    settings = found.settings
    if len(found.objectives) == 2:
        return " and ".join(found.objectives)
    if settings.get("alpha") is not None:
        return f"accuracy + {settings['alpha']:g} s"
    if settings.get("sparsity") is not None:
        return f"s = {settings['sparsity']:g}"
    return found.objectives[0]


def _print_arm(name: str, arm: ArmRecord, best: int) -> None:
    from bogp.sparsity import EFFECTIVE, EFFECTIVE_NOTE, effective_sparsity
    from bogp.tables import Column, Table, decimals

    leaders = arm.whole()[:best]
    rows: list[list[Cell]] = [
        [
            trial.number + 1,
            trial.value,
            trial.second,
            effective_sparsity([trial.record]),
            f"{trial.batch + 1}.{trial.position + 1}",
            ", ".join(f"{key} {_short(value)}" for key, value in trial.parameters.items()),
        ]
        for trial in leaders
    ]
    values = [Column(head, decimals(4)) for head in ("value", "second", EFFECTIVE)]
    counts = arm.counts()
    notes = [
        f"{len(arm.batches)} batches, {arm.asked} trials asked; {counts['ended']} ended, "
        f"{counts['stopped']} stopped early, {counts['failed']} attempts failed, "
        f"{counts['running']} running; {arm.epochs()} epochs.",
        EFFECTIVE_NOTE,
    ]
    columns: list[str | Column] = ["trial", *values, "batch", "parameters"]
    table = Table(f"Best trials of arm {name}", columns, rows, notes)
    if all(trial.second is None for trial in leaders):
        table = table.select(*(head for head in table.headings if head != "second"))
    print_table(table)


def _unfinished(attempt: Attempt) -> list[Cell]:
    why, lease = attempt.reason, attempt.lease
    if attempt.state == "running":
        passed = lease is not None and lease.expired(time.time())
        why = None if lease is None else f"{lease}{' (passed)' if passed else ''}"
    return [f"trial {attempt.number + 1}", attempt.arm, attempt.attempt, attempt.state, why]


def _command(found: StudyRecord, storage: str) -> dict[str, Any]:
    """Return the arguments of the search that a study keeps.

    Raises:
        StudyError: it keeps none, or its data was an object.
    """
    command = found.notes.get("command")
    if command is None:
        raise StudyError(
            f"study {found.name!r} in {storage!r} keeps no command: run the command that made it "
            "again, with the same study"
        )
    if "made_by" in command:
        made_by = command["made_by"]
        raise StudyError(
            f"study {found.name!r} is of {made_by}: run {made_by}, or call "
            f"{made_by.replace(' ', '.')}, with the same settings and this study, and it goes on"
        )
    for part in ("database", "data"):
        if not isinstance(command.get(part), str):
            raise StudyError(
                f"study {found.name!r} was given its {part} as an object, not by name: call "
                "bogp.search again with it and the same study"
            )
    return {
        "database": command["database"],
        "data": command["data"],
        "settings": SearchSettings(**command["settings"]),
    }


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."

"""``bogp study``: look at studies, go on with one, and write one to a file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bogp.cli import options
from bogp.cli.common import console, interruptible, print_json, print_table, progress_bar
from bogp.cli.found import print_found, summary
from bogp.errors import SettingError, StudyError

if TYPE_CHECKING:
    from bogp.study.reading import ArmRecord, StorageRecord, StudyRecord
    from bogp.study.records import Attempt

study = typer.Typer(no_args_is_help=True, help="List, show, resume and export studies.")

Storage = Annotated[
    str,
    typer.Argument(
        metavar="STORAGE", help="File of the study, or the address of an Optuna storage."
    ),
]
Name = Annotated[
    str | None,
    typer.Option("--name", help="The study, where the storage holds several."),
]


@study.command("list")
def list_(storage: Storage, as_json: options.Json = False) -> None:
    """List the studies of a storage: what each looks for and how far it is.

    A search may be writing to it meanwhile.

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
        return
    from bogp.report import Table

    columns = ["study", "key", "engine", "goal", "ended", "stopped", "failed", "running"]
    rows = [[str(value) for value in _cells(_line(one))] for one in found.studies]
    notes = ["Trials of the search; those of random search at equal cost are beside them."]
    if found.others:
        notes.append(f"Not of this bogp, and left alone: {', '.join(found.others)}.")
    heads = [*columns, "best", "epochs", "changed"]
    print_table(Table(f"Studies in {found.address}", heads, rows, notes))


@study.command()
def show(
    storage: Storage,
    name: Name = None,
    best: Annotated[int, typer.Option(min=0, help="Print this many of the best trials.")] = 10,
    as_json: options.Json = False,
) -> None:
    """Show a study: its settings, its best trials, its batches, what failed and what is running.

    A trial's value is that of one training on the data that selects, so the best of many looks
    better than it is.

    Example: bogp study show study.db
    """
    from bogp.study.exporting import study_fields

    found = _read(storage).study(name)
    if as_json:
        print_json(study_fields(found))
        return
    from bogp.report import Table

    settings = [[key, _short(value)] for key, value in found.settings.items()]
    print_table(Table(f"Study {found.name}, key {found.key}", ["setting", "value"], settings))
    for arm_name, arm in found.arms.items():
        _print_arm(arm_name, arm, best)
    troubled = [
        trial
        for arm in found.arms.values()
        for trial in arm.attempts
        if trial.state in {"failed", "running"}
    ]
    if troubled:
        rows = [_trouble(trial) for trial in troubled]
        heads = ["attempts that failed or run", "arm", "attempt", "state", "why, or whose"]
        print_table(Table("", heads, rows))
    if found.lease is not None:
        console.print(f"held by {found.lease}", markup=False, soft_wrap=True)


@study.command()
def resume(
    storage: Storage,
    name: Name = None,
    workers: Annotated[
        int, typer.Option("--workers", "-w", min=1, help="Processes; results do not depend on it.")
    ] = 1,
    retries: Annotated[
        int,
        typer.Option(min=0, help="How often a trial is tried again after a kill or a lost worker."),
    ] = 2,
    quiet: options.Quiet = False,
    as_json: options.Json = False,
) -> None:
    """Go on with a search where it stopped, with the settings that it was started with.

    It ends as an unbroken search would have, and prints what that prints. A study of `bogp screen`
    goes on with its own command.

    Example: bogp study resume study.db
    """
    found = _read(storage).study(name)
    arguments = _command(found, storage)
    kept = f"the finished trials are in {storage}, and the same command goes on from there"
    with interruptible(kept):
        from bogp.pipeline.search import search

        with progress_bar("trainings", quiet) as progress:
            result = search(
                **arguments,
                study=storage,
                name=found.name,
                workers=workers,
                retries=retries,
                progress=progress,
            )
    if as_json:
        print_json(summary(result))
        return
    print_found(result)
    console.print(f"`bogp study show {storage}` shows them", markup=False, soft_wrap=True)


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
        found = _read(storage).study(name)
        write_atomic(out, export_text(found, out.suffix))
    count = sum(len(arm.attempts) for arm in found.arms.values())
    if as_json:
        print_json({"study": found.name, "out": str(out), "attempts": count})
        return
    console.print(
        f"{count} attempts of study {found.name} written to {out}", markup=False, soft_wrap=True
    )


def _read(storage: str) -> StorageRecord:
    from bogp.study.reading import read_storage

    return read_storage(storage)


def _line(found: StudyRecord) -> dict[str, Any]:
    """Return what the list says of a study, as a JSON object."""
    first = found.arms["search"]
    best = first.best()
    settings = found.settings
    return {
        "study": found.name,
        "key": found.key,
        "engine": settings.get("engine", settings.get("kind")),
        "goal": _goal(found),
        **first.counts(),
        "random": found.arms["random"].counts() if "random" in found.arms else None,
        "best": None if best is None else best.value,
        "epochs": sum(arm.epochs() for arm in found.arms.values()),
        "changed": found.changed,
    }


def _cells(line: dict[str, Any]) -> list[str]:
    """Return a line of the list as it is printed, ``search + random`` where there are both."""
    other = line["random"]
    counts = [
        f"{line[state]}" if other is None else f"{line[state]} + {other[state]}"
        for state in ("ended", "stopped", "failed", "running")
    ]
    changed = "" if line["changed"] is None else line["changed"][:16].replace("T", " ")
    facts = [line["study"], line["key"], line["engine"] or "", line["goal"]]
    return [*facts, *counts, _number(line["best"]), str(line["epochs"]), changed]


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
    from bogp.report import Table

    whole = [trial for trial in arm.done() if trial.state == "ended"]
    leaders = sorted(whole, key=lambda trial: (-(trial.value or 0.0), trial.number))[:best]
    rows = [
        [
            str(trial.number + 1),
            _number(trial.value),
            *([] if trial.second is None else [_number(trial.second)]),
            f"{trial.batch + 1}.{trial.position + 1}",
            ", ".join(f"{key} {_short(value)}" for key, value in trial.parameters.items()),
        ]
        for trial in leaders
    ]
    two = any(trial.second is not None for trial in leaders)
    heads = ["trial", "value", *(["second"] if two else []), "batch", "parameters"]
    counts = arm.counts()
    notes = [
        f"{len(arm.batches)} batches, {arm.asked} trials asked; {counts['ended']} ended, "
        f"{counts['stopped']} stopped early, {counts['failed']} attempts failed, "
        f"{counts['running']} running; {arm.epochs()} epochs."
    ]
    print_table(Table(f"Best trials of arm {name}", heads, rows, notes))


def _trouble(trial: Attempt) -> list[str]:
    lease = trial.lease
    held = "" if lease is None else f"{lease}{' (passed)' if lease.expired(time.time()) else ''}"
    why = trial.reason or "" if trial.state == "failed" else held
    return [f"trial {trial.number + 1}", trial.arm, str(trial.attempt), trial.state, why]


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
    if command.get("prunes"):
        raise StudyError(
            f"study {found.name!r} is of a pruned model: run bogp prune, or call bogp.prune, with "
            "the same settings and this study, and it goes on"
        )
    for part in ("database", "data"):
        if not isinstance(command.get(part), str):
            raise StudyError(
                f"study {found.name!r} was given its {part} as an object, not by name: call "
                "bogp.search again with it and the same study"
            )
    settings: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in command.get("settings", {}).items()
    }
    if isinstance(settings.get("recipe"), dict):
        from bogp.training import Recipe

        settings["recipe"] = Recipe(**settings["recipe"])
    taken = {"study", "name", "progress", "workers", "retries"} & {*command, *settings}
    if taken:
        raise SettingError(f"the command of study {found.name!r} names its own {taken.pop()}")
    return {key: value for key, value in command.items() if key != "settings"} | settings


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"

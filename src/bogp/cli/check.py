"""``bogp database check`` and ``bogp study check``: whether a file holds what was written to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from bogp.cli import options
from bogp.cli.common import interruptible, print_json, progress_bar, say
from bogp.cli.exchange import DatabasePath
from bogp.errors import BogpError, DatabaseError, StudyError

Storage = Annotated[
    str,
    typer.Argument(
        metavar="STORAGE", help="File of the study, or the address of an Optuna storage."
    ),
]


def check_database(
    path: DatabasePath, quiet: options.Quiet = False, as_json: options.Json = False
) -> None:
    """Read all of a database, compare it with its checksums, and say whether it is sound.

    Other commands compare what they read as they read it; this one reads everything. Exit status 2
    if something is not what was written.

    Example: bogp database check graphs.db
    """
    with (
        interruptible("nothing was written"),
        progress_bar(f"checking {path.name}", quiet) as progress,
    ):
        from bogp.database.check import check_database as check

        found = check(path, progress)
    what = f"{found.blocks} blocks with {found.graphs} of {found.expected} graphs"
    fields = {"blocks": found.blocks, "graphs": found.graphs, "expected": found.expected}
    _tell(str(path), what, fields, found.damage, as_json, DatabaseError)


def check_study(storage: Storage, as_json: options.Json = False) -> None:
    """Read all studies of a storage, compare them with their checksums, and say what is sound.

    Exit status 2 if something is not what was written.

    Example: bogp study check study.db
    """
    from bogp.study.reading import read_storage

    with interruptible("nothing was written"):
        found = read_storage(storage)
    arms = [arm for study in found.studies for arm in study.arms.values()]
    fields = {
        "studies": len(found.studies),
        "batches": sum(len(arm.batches) for arm in arms),
        "attempts": sum(len(arm.attempts) for arm in arms),
    }
    what = "{studies} studies with {batches} batches and {attempts} attempts".format(**fields)
    _tell(found.address, what, fields, found.damage(), as_json, StudyError)


def _tell(
    address: str,
    what: str,
    fields: dict[str, Any],
    damage: Sequence[str],
    as_json: bool,
    error: type[BogpError],
) -> None:
    if as_json:
        print_json({"address": address, **fields, "damage": list(damage)})
    else:
        say(f"{address}: {what} are {'there and ' if damage else ''}sound", *damage)
    if damage:
        raise error(f"{address!r} is damaged in {len(damage)} places: restore a copy of it")

"""The rows of masks that move while they train: which records each is made of, and its leads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bogp.analysis import Interval, mean_interval
from bogp.replication.dynamics import (
    DENSE,
    EQUAL_ARITHMETIC,
    KINDS,
    LONGER,
    WITHIN,
    support_of,
    treatments,
)
from bogp.replication.records import Row, mean, pick
from bogp.replication.setup import Entry, Run
from bogp.sparsify import NARROWER

VALIDATION, TEST = "accuracy", "reported"
"""The numbers of a result by which rows are chosen, and by which they are compared."""

DENSITIES = (0.12, 0.25, 0.4, 0.5)


def row(name: str, **fields: Any) -> Row:
    """Return the row of a name, whose number is the test accuracy."""
    return Row(name, "training", TEST, {"name": name, **fields})


DENSE_ROW = row(DENSE, sparsity=None)
GRADUAL = row("gradual")


def rows_of(entry: Entry) -> list[Row]:
    """Return the rows of a network that no graph bounds, the dense one first."""
    names = (NARROWER, EQUAL_ARITHMETIC, *treatments(entry.recipe.epochs))
    return [DENSE_ROW, *map(row, names)]


def support_rows(entry: Entry, densities: Sequence[float] = DENSITIES) -> list[Row]:
    """Return the rows of gradual magnitude pruning inside each kind of graph."""
    return [support_row(entry, kind, d) for kind in KINDS for d in densities]


def support_row(entry: Entry, kind: str, density: float) -> Row:
    """Return the row of gradual magnitude pruning inside one kind of graph."""
    support = support_of(entry, kind, density)
    return replace(
        row(WITHIN, support=support), label=label_of({"name": WITHIN, "support": support})
    )


def label_of(fields: Mapping[str, Any]) -> str:
    """Return what the row of a record is called."""
    support = fields["support"]
    return (
        f"gradual inside {support['kind']} ({support['density']:g})" if support else fields["name"]
    )


def training_of(entry: Entry, *, longer: bool = False, shuffled: bool = False) -> dict[str, Any]:
    """Return the fields that all rows of one table have in common."""
    epochs = entry.recipe.epochs * (LONGER if longer else 1)
    return {"model": entry.model, "epochs": epochs, "shuffled": shuffled}


def part(run: Run, **where: Any) -> Run:
    """Return the run with those records alone whose fields are as wanted."""
    found = {
        key: record
        for key, record in run.records.items()
        if all(record["fields"].get(name) == value for name, value in where.items())
    }
    return replace(run, records=found)


def results(run: Run, wanted: Row, name: str, **where: Any) -> list[Any]:
    """Return one number of the results of a row, by seed."""
    found = pick(run.records, wanted.kind, **{**where, **wanted.fields})
    return [record["result"].get(name) for record in found]


def there(run: Run, rows: Iterable[Row], **where: Any) -> list[Row]:
    """Return those of some rows that have records."""
    return [each for each in rows if each.values(run.records, **where)]


def chosen(run: Run, rows: Iterable[Row], **where: Any) -> Row | None:
    """Return the row of the highest mean validation accuracy; None where none has records."""
    found = there(run, rows, **where)
    score = {each.label: mean(results(run, each, VALIDATION, **where)) for each in found}
    return max(found, key=lambda each: score[each.label], default=None)


def gains(run: Run, first: Row, second: Row, **where: Any) -> list[float]:
    """Return what each seed gains by one row over another in test accuracy; empty without both."""
    both = [each.values(run.records, **where) for each in (first, second)]
    if len(both[0]) != len(both[1]):
        return []
    return [ours - theirs for ours, theirs in zip(*both, strict=True)]


def lead_over(run: Run, first: Row, second: Row, **where: Any) -> Interval | None:
    """Return the lead of a row over another in test accuracy, paired by seed, if there are both."""
    found = gains(run, first, second, **where)
    return mean_interval(found) if found else None

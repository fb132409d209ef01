"""A search beside other methods: their accuracies, what the search leads by, and the verdict.

One seed is one start of a network in every method, so that leads are paired by seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from bogp.analysis import Interval, mean_interval, paired_interval
from bogp.replication.claims import NEGLIGIBLE, sign
from bogp.replication.jobs import Records
from bogp.replication.records import Row, mean, pick
from bogp.report import Column, Holds, Table, Verdict, decimals, interval_figure
from bogp.sparsity import EFFECTIVE_NOTE

HIGH = 0.9
"""From this sparsity on a search is to be the best method."""

DENSE = Row("dense (s = 0)", "methods", "reported", {"name": "dense", "sparsity": None})


def method_rows(labels: Mapping[str, str]) -> dict[str, Row]:
    """Return the rows of methods, by name, from their labels."""
    return {
        name: Row(label, "methods", "reported", {"name": name}) for name, label in labels.items()
    }


def accuracy_table(
    title: str,
    dense: Row,
    rows: Iterable[Row],
    records: Records,
    sparsities: Sequence[float],
    notes: Sequence[str],
    **where: Any,
) -> Table:
    """Return the mean accuracies of methods: the dense row, a row a method, a column a sparsity."""
    unpruned = mean_interval(dense.values(records, **where))
    cells: list[list[Any]] = [[dense.label, unpruned, *[None] * (len(sparsities) - 1)]]
    for row in rows:
        numbers = [row.values(records, sparsity=s, **where) for s in sparsities]
        cells.append([row.label, *(mean_interval(each) if each else None for each in numbers)])
    columns = [Column(f"s = {sparsity:g}", plus_minus) for sparsity in sparsities]
    return Table(title, ["method", *columns], cells, notes)


def effective_tables(
    title: str, rows: Iterable[Row], records: Records, sparsities: Sequence[float], **where: Any
) -> list[Table]:
    """Return the mean effective sparsities of methods as a table; none where no record has them."""
    cells = []
    for row in rows:
        found = [pick(records, row.kind, **where, **row.fields, sparsity=s) for s in sparsities]
        values = [
            [v for one in each for v in one["result"].get("effective_sparsity", ())]
            for each in found
        ]
        cells.append([row.label, *(mean(v) if v and None not in v else None for v in values)])
    if all(cell is None for row in cells for cell in row[1:]):
        return []
    columns = [Column(f"s = {sparsity:g}", decimals(4)) for sparsity in sparsities]
    return [Table(f"{title}: effective sparsity", ["method", *columns], cells, [EFFECTIVE_NOTE])]


def plus_minus(interval: Interval) -> str:
    """Return a mean accuracy and the half-width of its interval.

    >>> plus_minus(Interval(0.95, 0.9487, 0.9513, 5))
    '0.9500 ± 0.0013'
    """
    if interval.low is None:
        return f"{interval.estimate:.4f}"
    return f"{interval.estimate:.4f} ± {interval.estimate - interval.low:.4f}"


@dataclass(frozen=True)
class Lead:
    """What a search leads by, in accuracy, over the method of the highest mean, paired by seed."""

    rival: Row
    interval: Interval


def lead(search: Row, rivals: Iterable[Row], records: Records, **where: Any) -> Lead:
    """Return the lead over the best of the rivals among the records whose fields are as wanted."""
    values = [(row, row.values(records, **where)) for row in rivals]
    rival, others = max(values, key=lambda pair: mean(pair[1]))
    return Lead(rival, paired_interval(search.values(records, **where), others))


def lead_figure(leads: Mapping[str, Lead], title: str, note: str) -> Figure:
    """Return the leads as a figure, from what each is at to the lead."""
    rows = [
        (f"{place}, over {each.rival.label}", points(each.interval))
        for place, each in leads.items()
    ]
    xlabel = "percentage points of test accuracy"
    return interval_figure(rows, title=title, note=note, xlabel=xlabel, zero=True)


def points(interval: Interval) -> Interval:
    """Return an interval of accuracy in percentage points.

    >>> points(Interval(0.5, None, None, 1))
    Interval(estimate=50.0, low=None, high=None, count=1, level=0.95)
    """
    low, high = (None if x is None else 100 * x for x in (interval.low, interval.high))
    return Interval(100 * interval.estimate, low, high, interval.count, interval.level)


def long_rows(
    rows: Mapping[str, Row], records: Records, sparsities: Sequence[float | None], **where: Any
) -> list[list[Any]]:
    """Return a row of values for each method, sparsity and seed, with its accuracy."""
    return [
        [name, sparsity, seed, value]
        for name, row in rows.items()
        for sparsity in sparsities
        for seed, value in enumerate(row.values(records, sparsity=sparsity, **where))
    ]


def judge(leads: Mapping[float, Lead], reading: str) -> list[Verdict]:
    """Return the verdicts on a search: never significantly below, and above at high sparsity.

    Args:
        leads: its lead at each sparsity.
        reading: what was pruned, for the claims.
    """
    high = {sparsity: each for sparsity, each in leads.items() if sparsity >= HIGH}
    return [_never_below(leads, reading), *([_above(high, reading)] if high else [])]


_RULE = "95 % t interval of the paired difference against 0, one sparsity at a time."


def _never_below(found: Mapping[float, Lead], reading: str) -> Verdict:
    """Judge: where no interval lies below 0 it holds, which is no proof of equality."""
    intervals = [each.interval for each in found.values()]
    below = sum(sign(i, negligible=0.0) == "does not hold" for i in intervals)
    lows = [100 * i.low for i in intervals if i.low is not None]
    holds: Holds = "holds" if len(lows) == len(found) else "inconclusive"
    reach = (
        f" The widest of the intervals reaches down to {min(lows):.2f} pp."
        if lows
        else " One seed has no interval."
    )
    worst, where = _least(found)
    return Verdict(
        f"The search is never significantly below the best other method ({reading})",
        "does not hold" if below else holds,
        f"below at {below} of {len(found)} sparsities; worst at {where}",
        _text(worst),
        f"{_RULE}{reach} Were they all equal, one would lie below by chance with a probability of "
        f"up to {100 * (1 - 0.975 ** len(found)):.0f} %.",
    )


def _above(high: Mapping[float, Lead], reading: str) -> Verdict:
    """Judge: every interval above 0 holds; one below what counts as a gain, and it does not."""
    intervals = [each.interval for each in high.values()]
    above = sum(sign(i) == "holds" for i in intervals)
    none = any(i.high is not None and i.high < NEGLIGIBLE for i in intervals)
    whole: Holds = "holds" if above == len(high) else "inconclusive"
    least, where = _least(high)
    return Verdict(
        f"The search is significantly above it at s >= {HIGH:g} ({reading})",
        "does not hold" if none else whole,
        f"above at {above} of {len(high)}; least at {where}",
        _text(least),
        f"{_RULE} Does not hold where a lead is below {100 * NEGLIGIBLE:g} pp for certain, "
        "inconclusive where an interval includes 0 otherwise.",
    )


def _least(found: Mapping[float, Lead]) -> tuple[Interval, str]:
    """Return the least of some leads, and where and over what it is."""
    sparsity = min(found, key=lambda s: found[s].interval.estimate)
    return found[sparsity].interval, f"s = {sparsity:g} against {found[sparsity].rival.label}"


def _text(interval: Interval) -> str:
    lead = points(interval)
    if lead.low is None:
        return f"{lead.estimate:+.2f} pp (n={lead.count})"
    return f"{lead.estimate:+.2f} [{lead.low:.2f}, {lead.high:.2f}] (n={lead.count}) pp"

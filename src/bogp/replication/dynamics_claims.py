"""What masks that move are to show, each claim put to the test.

A claim that one row is above another *by so many points or more* holds where the mean lead is as
large and its interval lies above 0. It does not hold where the interval lies below so many points,
and is inconclusive otherwise. Both the mean and the interval stand beside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bogp.analysis import Interval, mean_interval, paired_interval
from bogp.replication.claims import NEGLIGIBLE, sign
from bogp.replication.comparison import points
from bogp.replication.dynamics import BLOCKS, CHANNELS, equal_widths
from bogp.replication.dynamics_rows import (
    DENSE_ROW,
    GRADUAL,
    chosen,
    gains,
    lead_over,
    row,
    support_rows,
    there,
    training_of,
)
from bogp.replication.setup import Run
from bogp.replication.tables import in_points
from bogp.report import Holds, Verdict
from bogp.sparsify import NARROWER

CLOSE = 0.0025
"""A quarter of a point: what learned blocks may give up to unstructured masks."""

RULE = (
    "A row is above another by x points or more where the mean lead is x or more and its 95 % "
    "interval lies above 0; not where the interval lies below x; what is neither is inconclusive. "
    "Leads are on the test set, paired by seed. Where the best of several rows is meant, the "
    "validation split chooses it, by the mean over the seeds."
)


def by_or_more(interval: Interval, needed: float) -> Holds:
    """Return whether a lead is so large or more.

    >>> by_or_more(Interval(0.012, 0.008, 0.016, 5), 0.01)
    'holds'
    >>> by_or_more(Interval(0.008, 0.004, 0.012, 5), 0.01)
    'inconclusive'
    >>> by_or_more(Interval(0.005, 0.002, 0.008, 5), 0.01)
    'does not hold'
    """
    if interval.low is None or interval.high is None:
        return "inconclusive"
    if interval.estimate >= needed and interval.low > 0.0:
        return "holds"
    return "does not hold" if interval.high < needed else "inconclusive"


def _verdict(claim: str, holds: Holds, interval: Interval, detail: str) -> Verdict:
    mean = points(interval).estimate
    return Verdict(claim, holds, f"mean lead {mean:+.2f} pp", in_points(interval), detail)


def _where(run: Run, sparsity: float, **training: bool) -> dict[str, Any]:
    return {**training_of(run.setup.entries[0], **training), "sparsity": sparsity}


def blocks(run: Run) -> list[Verdict]:
    """Judge the learned blocks, of the width that the validation data choose."""
    found = []
    for sparsity in (0.9, 0.95):
        where = _where(run, sparsity)
        tried = there(run, map(row, BLOCKS), **where)
        best = chosen(run, tried, **where)
        if best is None:
            continue
        detail = f"{best.label}, the best of {len(tried)} rows of blocks on the validation split."
        interval = lead_over(run, best, GRADUAL, **where)
        if interval is not None:
            found.append(
                _verdict(
                    f"Learned blocks are within {100 * CLOSE:g} points of unstructured gradual "
                    f"pruning at s = {sparsity:g}",
                    sign(interval, -CLOSE, -CLOSE),
                    interval,
                    f"{detail} Holds where the interval lies above −{100 * CLOSE:g}, does not "
                    "where it lies below.",
                )
            )
        rivals = (("SNIP", 0.01), (NARROWER, 0.015)) if sparsity == 0.95 else ()
        for name, needed in rivals:
            interval = lead_over(run, best, row(name), **where)
            if interval is not None:
                who = "the narrower network" if name == NARROWER else name
                claim = f"Learned blocks are above {who} by {100 * needed:.1f} points"
                held = by_or_more(interval, needed)
                found.append(_verdict(f"{claim} at s = {sparsity:g}", held, interval, detail))
    return found


def channels(run: Run) -> list[Verdict]:
    """Judge gradual channels beside the narrower network of the same widths."""
    entry, leads = run.setup.entries[0], dict[str, Interval]()
    for sparsity in equal_widths(entry, run.inputs):
        lead = lead_over(run, row(CHANNELS), row(NARROWER), **_where(run, sparsity))
        if lead is not None:
            leads[f"{1 - sparsity:.2f}"] = lead
    found = [
        _verdict(
            "Gradual channels are above the narrower network of the same widths by 0.5 points at "
            f"{share} of the weights",
            by_or_more(lead, 0.005),
            lead,
            "The narrower network is trained from its own beginning, for as many epochs.",
        )
        for share, lead in leads.items()
        if share in ("0.10", "0.15")
    ]
    if leads:
        worst = min(leads, key=lambda share: leads[share].estimate)
        below = any(lead.high is not None and lead.high < 0.0 for lead in leads.values())
        means: Holds = "holds" if leads[worst].estimate >= 0.0 else "inconclusive"
        found.append(
            _verdict(
                "Gradual channels are never below the narrower network of the same widths",
                "does not hold" if below else means,
                leads[worst],
                f"The least lead, at {worst} of the weights, of shares {', '.join(leads)}. Holds "
                "where no mean is below 0, does not where an interval is.",
            )
        )
    return found


def supports(run: Run) -> list[Verdict]:
    """Judge the support that the validation data choose, at each sparsity."""
    entry, found = run.setup.entries[0], list[Verdict]()
    for sparsity in (0.9, 0.95, 0.98):
        where = _where(run, sparsity)
        tried = there(run, support_rows(entry), **where)
        best = chosen(run, tried, **where)
        lead = None if best is None else lead_over(run, best, GRADUAL, **where)
        if best is not None and lead is not None:
            found.append(
                _verdict(
                    "Gradual pruning inside the best graph is above it without a graph by 0.3 "
                    f"points at s = {sparsity:g}",
                    by_or_more(lead, 0.003),
                    lead,
                    f"{best.label}, the best of {len(tried)} supports on the validation split.",
                )
            )
    for longer in (False, True):
        where = _where(run, 0.9, longer=longer)
        best = chosen(run, support_rows(entry), **where)
        lead = None if best is None else lead_over(run, best, DENSE_ROW, **where)
        if best is not None and lead is not None:
            found.append(
                _verdict(
                    "A tenth of the weights, inside the best graph, is above the dense network "
                    f"after {where['epochs']} epochs",
                    sign(lead),
                    lead,
                    f"{best.label}. Holds where the interval lies above 0, does not where it shows "
                    f"a gain below {100 * NEGLIGIBLE:g} points.",
                )
            )
    return found


def pixels(run: Run) -> list[Verdict]:
    """Judge whether the gain of the best support is gone where pixels are shuffled."""
    entry, found = run.setup.entries[0], list[Verdict]()
    for sparsity in (0.9, 0.95):
        ordered, shuffled = (_where(run, sparsity, shuffled=each) for each in (False, True))
        both = there(run, there(run, support_rows(entry), **shuffled), **ordered)
        best = chosen(run, both, **ordered)
        if best is None:
            continue
        left, before = (gains(run, best, GRADUAL, **each) for each in (shuffled, ordered))
        if not left or len(left) != len(before):
            continue
        lost = in_points(paired_interval(before, left))
        claim = "The gain of the best graph vanishes where pixels are shuffled"
        detail = (
            f"{best.label}, chosen with the pixels in order of the {len(both)} supports that were "
            f"trained both ways; shuffling takes {lost} of its lead. Holds where the interval of "
            f"the lead on shuffled pixels lies below {100 * NEGLIGIBLE:g} points, does not where "
            "it lies above 0."
        )
        lead = mean_interval(left)
        found.append(_verdict(f"{claim}, at s = {sparsity:g}", _gone(lead), lead, detail))
    return found


def _gone(lead: Interval) -> Holds:
    """Return whether a lead is gone, which is where its claim would not hold.

    >>> _gone(Interval(-0.003, -0.005, -0.001, 5)), _gone(Interval(0.002, 0.001, 0.003, 5))
    ('holds', 'does not hold')
    """
    opposite: dict[Holds, Holds] = {"holds": "does not hold", "does not hold": "holds"}
    return opposite.get(sign(lead), "inconclusive")


CLAIMS: Sequence[Callable[[Run], list[Verdict]]] = (blocks, channels, supports, pixels)


def verdicts(run: Run) -> list[Verdict]:
    """Return the verdict on every claim that the records can speak to."""
    return [verdict for claim in CLAIMS for verdict in claim(run)]

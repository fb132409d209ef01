"""The verdict on a claim: whether it holds, and by which number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from bogp.errors import UnknownNameError
from bogp.tables import Column, Table

Holds = Literal["holds", "does not hold", "inconclusive"]

SIGNS: dict[str, str] = {"holds": "✓", "does not hold": "✗", "inconclusive": "?"}
"""A sign beside each word, so that a verdict does not rest on its colour."""


@dataclass(frozen=True)
class Verdict:
    """What the data say about one claim.

    Attributes:
        claim: the claim, as its author made it.
        holds: "holds", "does not hold" or "inconclusive".
        statistic: the number that decides, with its name ("F = 3.1, p = 0.002").
        interval: the interval of the effect, as text ("0.8 pp [0.2, 1.4]").
        detail: one or two sentences that say how it was measured and what would change it.

    Raises:
        UnknownNameError: ``holds`` is another word.
    """

    claim: str
    holds: Holds
    statistic: str
    interval: str
    detail: str

    def __post_init__(self) -> None:
        if self.holds not in get_args(Holds):
            raise UnknownNameError("verdict", self.holds, get_args(Holds))


def verdict_table(verdicts: Sequence[Verdict], title: str = "Verdicts") -> Table:
    """Return the verdicts as a table, in which a page shows each verdict as a coloured badge.

    >>> verdict = Verdict("cosine beats L1", "inconclusive", "p = 0.3", "[-1, 2]", "")
    >>> verdict_table([verdict]).rows[0][:2]
    ('cosine beats L1', '? inconclusive')
    """
    columns = [
        Column("claim", wrap=True, css=lambda _: "claim"),
        Column("verdict", css=_badge),
        Column("statistic", wrap=True),
        Column("interval", wrap=True),
        Column("detail", wrap=True),
    ]
    rows = [
        (v.claim, f"{SIGNS[v.holds]} {v.holds}", v.statistic, v.interval, v.detail)
        for v in verdicts
    ]
    return Table(title, columns, rows)


def _badge(cell: str) -> str:
    """Return the CSS classes of a verdict's cell."""
    _, words = cell.split(" ", 1)
    return f"badge {words.replace(' ', '-')}"

"""The verdict on a claim: whether it holds, and by which number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal, get_args

from bogp.errors import UnknownNameError
from bogp.report.tables import Table

Holds = Literal["holds", "does not hold", "inconclusive"]

SIGNS: dict[str, str] = {"holds": "✓", "does not hold": "✗", "inconclusive": "?"}
"""A sign beside each word, so that a verdict does not rest on its colour."""


@dataclass(frozen=True)
class Verdict:
    """What the data say about one claim.

    Attributes:
        claim: the claim, as its author made it.
        holds: "holds", "does not hold" or "inconclusive".
        statistic: the number it rests on, with its name ("F = 3.1, p = 0.002").
        interval: the interval of the effect, as text ("0.8 pp [0.2, 1.4]").
        detail: one or two sentences: how it was measured, and what would change it.

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
    """Return the verdicts as a :class:`~bogp.report.tables.Table`, for the screen and for CSV.

    >>> verdict = Verdict("cosine beats L1", "inconclusive", "p = 0.3", "[-1, 2]", "")
    >>> verdict_table([verdict]).rows[0][:2]
    ('cosine beats L1', '? inconclusive')
    """
    return Table(
        title,
        ("claim", "verdict", "statistic", "interval", "detail"),
        [
            (v.claim, f"{SIGNS[v.holds]} {v.holds}", v.statistic, v.interval, v.detail)
            for v in verdicts
        ],
    )


def verdicts_to_html(verdicts: Sequence[Verdict], title: str = "Verdicts") -> str:
    """Return the verdicts as an escaped HTML table whose badges are words with a sign."""
    rows = "".join(
        f'<tr><th scope="row">{escape(v.claim)}</th>'
        f'<td><span class="badge {v.holds.replace(" ", "-")}">'
        f'<span aria-hidden="true">{SIGNS[v.holds]}</span> {v.holds}</span></td>'
        f"<td>{escape(v.statistic)}</td><td>{escape(v.interval)}</td>"
        f"<td>{escape(v.detail)}</td></tr>\n"
        for v in verdicts
    )
    heads = "".join(
        f'<th scope="col">{name}</th>'
        for name in ("claim", "verdict", "statistic", "interval", "detail")
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(title)}">'
        f'<table class="verdicts"><caption>{escape(title)}</caption>\n'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{rows}</tbody></table></div>\n"
    )

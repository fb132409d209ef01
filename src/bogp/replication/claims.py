"""The paper's claims, each put to the test: the statistic, its interval, and a word.

A claim *holds* where its interval lies wholly on the claim's side, *does not hold* where it lies
on the other or shows that any effect is below what the claim needs, and is *inconclusive*
otherwise. Each function says its own rule.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from bogp.analysis import (
    Interval,
    PairedTest,
    correlation_matrix,
    monotonicity,
    paired_interval,
    paired_test,
    partial_rank_correlation,
    rank_correlation,
    strongest_pairs,
    uncorrelated_subset,
)
from bogp.graphs import CANDIDATES, PAPER_FIVE
from bogp.replication.plan import METHOD_NAMES, metric_sparsities
from bogp.replication.records import mean, pick
from bogp.replication.setup import READINGS, Run
from bogp.replication.tables import (
    FIGURE_PROPERTIES,
    candidate_vectors,
    five_node_points,
    in_points,
    table1_values,
    tradeoff_points,
    variances,
)
from bogp.report import Holds, Verdict, format_interval

MARGIN = 0.005
"""Half a percentage point: methods closer than this are called on par."""

NEGLIGIBLE = 0.001
"""A tenth of a percentage point, below the standard error of 10,000 test images at 98 %."""

EXPLAINED = 0.8
"""The share that a monotonic curve is to reach of what any function of the property explains."""

CORRELATED = 0.7
"""An |r| from which two properties are called correlated (Dormann et al. 2013)."""

BASELINE_GROUPS = {
    "the best baseline": METHOD_NAMES,
    "the best baseline that trains as long as it (one round)": ("glob1", "unif1"),
}
"""What BoGP is compared with; five rounds train five times as long as its winner."""


def sign(interval: Interval, needed: float = 0.0, negligible: float = NEGLIGIBLE) -> Holds:
    """Return whether an effect is above what is needed, below what counts as one, or neither."""
    if interval.low is not None and interval.low > needed:
        return "holds"
    if interval.high is not None and interval.high < negligible:
        return "does not hold"
    return "inconclusive"


def accuracy_varies(run: Run) -> list[Verdict]:
    """Return verdicts that hold where the interval of the ICC is above one half."""
    return [
        Verdict(
            f"Accuracy varies highly at fixed sparsity as the graph varies ({name})",
            sign(parts.icc, 0.5, 0.5),
            f"SD between graphs {100 * parts.between_sd:.2f} pp, between seeds "
            f"{100 * parts.within_sd:.2f} pp; p = {parts.p_value:.2g}",
            f"ICC {format_interval(parts.icc, digits=2)}",
            "Holds if the graph explains more than half of the variance of a run (ICC above "
            f"0.5); {parts.groups} graphs × {parts.values // parts.groups} seeds.",
        )
        for name, parts in variances(run).items()
        if parts.icc is not None
    ]


def beats_random(run: Run) -> list[Verdict]:
    """Return verdicts that hold where the winners on fresh seeds are above random ones."""
    verdicts = []
    for layers in run.setup.readings:
        fresh = _engine_pairs(run, layers, " fresh")
        if len(fresh[0]) < 2:
            continue
        test, best = paired_test(*fresh), paired_test(*_engine_pairs(run, layers, ""))
        verdicts.append(
            Verdict(
                f"Optimisation beats random masks at equal trials ({READINGS[layers]})",
                sign(test.difference),
                f"winners on fresh seeds {_gain(test)}; best of {run.setup.trials} {_gain(best)}",
                in_points(test.difference),
                f"Paired over {test.difference.count} (sparsity, seed) cells, "
                f"{run.setup.trials} trials each; sign-flip test.",
            )
        )
    return verdicts


def _gain(test: PairedTest) -> str:
    return f"{100 * test.difference.estimate:+.2f} pp, p = {test.p_value:.2g}"


def _engine_pairs(run: Run, layers: str, suffix: str) -> tuple[list[float], list[float]]:
    """Return the accuracies of the paper's engine and of random masks in all cells of both."""
    ours: list[float] = []
    theirs: list[float] = []
    for sparsity in run.setup.sparsities:
        cells = [
            table1_values(run, f"{name}{suffix}", layers, sparsity) for name in ("bogp", "random")
        ]
        if len(cells[0]) == len(cells[1]):
            ours, theirs = ours + cells[0], theirs + cells[1]
    return ours, theirs


def monotonic(run: Run) -> list[Verdict]:
    """Return verdicts that hold where rho is not zero and a monotonic curve explains most.

    "Most" is 80 % of what any function of the property could explain of the graph means.
    """
    points = five_node_points(run)
    if not points:
        return []
    means = points["accuracy"].mean(axis=1)
    verdicts = []
    for name in FIGURE_PROPERTIES.values():
        rank = rank_correlation(points[name], means, seed=0)
        shape = monotonicity(points[name], means)
        partial = partial_rank_correlation(points[name], means, points["edges"])
        if rank.interval is None or not shape.ceiling_r2 or shape.isotonic_r2 is None:
            continue
        share = shape.isotonic_r2 / shape.ceiling_r2
        holds: Holds = "inconclusive"
        if rank.interval.excludes(0.0) and share >= EXPLAINED:
            holds = "holds"
        elif share < EXPLAINED:
            holds = "does not hold"
        alone = "–" if partial.interval is None else format_interval(partial.interval, digits=2)
        verdicts.append(
            Verdict(
                f"Accuracy is a monotonic function of {name.replace('_', ' ')}",
                holds,
                f"ρ = {rank.interval.estimate:+.2f}, p = {rank.p_value:.2g}; monotonic share "
                f"{share:.0%} of what the property explains (R² {shape.ceiling_r2:.2f})",
                f"ρ {format_interval(rank.interval, digits=2)}",
                f"Means over {points['accuracy'].shape[1]} seeds of the {len(means)} connected "
                f"5-node graphs. With the number of edges held fixed, ρ is {alone}.",
            )
        )
    return verdicts


def cosine_beats(run: Run) -> list[Verdict]:
    """Return verdicts that hold where cosine beats the other metric on fresh seeds."""
    verdicts = []
    sparsities = metric_sparsities(run.setup)
    shared = {"engine": "paper", "layers": "hidden"}
    values = {
        metric: [
            mean(record["result"]["finals"])
            for sparsity in sparsities
            for record in pick(run.records, "search", metric=metric, sparsity=sparsity, **shared)
        ]
        for metric in ("cosine", "l1", "l2")
    }
    for metric in ("l1", "l2"):
        if not len(values["cosine"]) == len(values[metric]) > 1:
            continue
        test = paired_test(values["cosine"], values[metric])
        verdicts.append(
            Verdict(
                f"Fetching by cosine beats {metric.upper()}",
                sign(test.difference),
                f"winners on fresh seeds {_gain(test)}",
                in_points(test.difference),
                f"Paired over {test.difference.count} (sparsity, seed) cells at s = "
                f"{' and '.join(f'{s:g}' for s in sparsities)}, raw property vectors, hidden "
                "layer only.",
            )
        )
    return verdicts


def against_baselines(run: Run) -> list[Verdict]:
    """Return two kinds: on par, within half a point of the best baseline; best, above it."""
    verdicts = []
    for layers in run.setup.readings:
        for group, names in BASELINE_GROUPS.items():
            cells = {}
            for sparsity in run.setup.sparsities:
                ours = table1_values(run, "bogp fresh", layers, sparsity)
                others = {name: table1_values(run, name, layers, sparsity) for name in names}
                best = max(others, key=lambda name: mean(others[name]) if others[name] else 0.0)
                if len(ours) == len(others[best]) > 1:
                    cells[sparsity] = (best, paired_interval(ours, others[best]))
            if cells:
                verdicts.append(_on_par(cells, layers, group))
            if names == METHOD_NAMES:
                verdicts += [_best_at(*cells[s], s, layers) for s in (0.15, 0.75) if s in cells]
    return verdicts


def _on_par(cells: Mapping[float, tuple[str, Interval]], layers: str, group: str) -> Verdict:
    words = [sign(interval, -MARGIN, -MARGIN) for _, interval in cells.values()]
    inside = words.count("holds")
    holds: Holds = "inconclusive"
    if inside == len(cells):
        holds = "holds"
    elif "does not hold" in words:
        holds = "does not hold"
    worst = min(cells, key=lambda s: cells[s][1].estimate)
    name, interval = cells[worst]
    return Verdict(
        f"BoGP is on par with {group} at every sparsity ({READINGS[layers]})",
        holds,
        f"within {100 * MARGIN:g} pp or better at {inside} of {len(cells)} sparsities; "
        f"worst at s = {worst:g} against {name}",
        f"there {in_points(interval)}",
        f"Holds if the interval of the difference lies above −{100 * MARGIN:g} pp everywhere, does "
        "not hold if it lies below somewhere. BoGP's winner on a fresh seed, paired by seed.",
    )


def _best_at(rival: str, interval: Interval, sparsity: float, layers: str) -> Verdict:
    return Verdict(
        f"BoGP is the best method at s = {sparsity:g} ({READINGS[layers]})",
        sign(interval),
        f"against {rival} {100 * interval.estimate:+.2f} pp",
        in_points(interval),
        "The winner on a fresh seed against the best baseline, paired by seed.",
    )


def alpha_tradeoff(run: Run) -> list[Verdict]:
    """Return a verdict that holds where sparsity rises and accuracy falls with alpha."""
    if len(tradeoff_points(run)) < 3:
        return []
    records = [r for alpha in run.setup.alphas for r in pick(run.records, "search", alpha=alpha)]
    alphas = [record["fields"]["alpha"] for record in records]
    finals = [mean(record["result"]["finals"]) for record in records]
    reached = [record["result"]["sparsity"] for record in records]
    up = rank_correlation(alphas, reached, seed=0).interval
    down = rank_correlation(alphas, finals, seed=0).interval
    return [
        Verdict(
            "A larger α trades accuracy for sparsity (table 2)",
            _traded(up, down),
            f"ρ(α, sparsity) = {_rho(up)}, ρ(α, accuracy) = {_rho(down)}",
            " and ".join("–" if i is None else format_interval(i, digits=2) for i in (up, down)),
            f"{len(records)} searches. Accuracies run from {min(finals):.3f} to "
            f"{max(finals):.3f}; the paper's from 0.25 to 0.90 (see table 2).",
        )
    ]


def _traded(up: Interval | None, down: Interval | None) -> Holds:
    if up is None or down is None:
        return "inconclusive"
    signs = (sign(up), sign(down))
    if signs == ("holds", "does not hold"):
        return "holds"
    if signs[0] == "does not hold" or signs[1] == "holds":
        return "does not hold"
    return "inconclusive"


def _rho(interval: Interval | None) -> str:
    return "undefined (all alike)" if interval is None else f"{interval.estimate:+.2f}"


def five_uncorrelated(run: Run) -> list[Verdict]:
    """Return verdicts that hold where all five vary and every |r| is below 0.7."""
    high = max(run.setup.sparsities)
    return [
        _uncorrelated(run, "over all sparsities", None),
        _uncorrelated(run, f"at s = {high:g}", high),
    ]


def _uncorrelated(run: Run, where: str, sparsity: float | None) -> Verdict:
    vectors = candidate_vectors(run, sparsity)
    matrix = correlation_matrix(vectors)
    best = uncorrelated_subset(matrix, CANDIDATES, CORRELATED)
    pairs = strongest_pairs(matrix, CANDIDATES, PAPER_FIVE)
    constant = [name for name in PAPER_FIVE if name in best.constant]
    apart = not pairs or abs(pairs[0].correlation) < CORRELATED
    statistic = "no pair varies"
    if pairs:
        worst = pairs[0]
        statistic = f"{worst.first} and {worst.second} r = {worst.correlation:+.3f}"
    if constant:
        statistic = f"constant: {', '.join(constant)}; {statistic}"
    return Verdict(
        f"The five chosen properties are the uncorrelated ones ({where})",
        "holds" if apart and not constant else "does not hold",
        statistic,
        f"{len(vectors)} graphs: standard error of r at most {1 / math.sqrt(len(vectors) - 1):.2g}",
        f"Largest sets with every |r| below {CORRELATED}: "
        + "; ".join(", ".join(names) for names in best.largest[:3])
        + ". A constant property has no correlation and tells a search nothing.",
    )


CLAIMS: tuple[Callable[[Run], list[Verdict]], ...] = (
    accuracy_varies,
    beats_random,
    monotonic,
    cosine_beats,
    against_baselines,
    alpha_tradeoff,
    five_uncorrelated,
)
"""The claims of the paper in its order: each gives the verdicts that the records can speak to."""


def verdicts(run: Run) -> list[Verdict]:
    """Return the verdict on every claim that the records can speak to."""
    return [verdict for claim in CLAIMS for verdict in claim(run)]

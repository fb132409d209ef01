"""What a search found, as tables: for the screen, and for its report."""

from __future__ import annotations

import math
from typing import Any

from bogp.analysis import Interval, mean_interval
from bogp.pipeline import Point, SearchResult
from bogp.report import Table, format_interval, plural

PAPER_ALPHAS = (0.1, 0.15, 0.25, 0.5, 0.75, 0.9)
"""The columns of the paper's table 2."""

_LEADERS = 10
"""Candidates in the table of the best."""

_KEPT = ("layers_kept", "total_kept")


def found_tables(result: SearchResult) -> list[Table]:
    """Return the tables of a search's result."""
    if result.settings.get("pareto"):
        return [front_table(result), alpha_table(result)]
    if result.evidence is not None:
        return [winner_table(result), comparison_table(result)]
    return [plain_table(result)]


def winner_name(result: SearchResult) -> str:
    """Return what the winner is, in words."""
    if "index" in result.best.point:
        return str(Point.from_record(result.best.point))
    made = "made from " if "made" in result.best.record else ""
    return f"{made}graph {result.best.record['graph']}"


def data_sets(result: SearchResult) -> tuple[str, str, list[str]]:
    """Return what selected and what reports, and what to say of protocol paper."""
    if result.settings["protocol"] == "paper":
        note = "Protocol paper: one set of images selected the winner and reports it."
        return "test set", "test set", [note]
    return "validation split", "test set", []


def objective(result: SearchResult) -> str:
    """Return what the search maximised, in words."""
    alpha = result.settings["alpha"]
    return "accuracy" if alpha is None else f"accuracy + {alpha:g} · sparsity"


def cost_note(result: SearchResult) -> str:
    """Return the sentence of all training spent, in epochs."""
    spent = ", ".join(f"{name} {epochs:,}" for name, epochs in result.epochs.items())
    total = sum(result.epochs.values())
    return f"Training spent, in epochs of one network: {spent}; {total:,} in all."


def winner_table(result: SearchResult) -> Table:
    """Return the winner and what it is worth, from the selected value to the sealed test."""
    evidence = result.evidence
    assert evidence is not None
    chosen_on, reported_on, notes = data_sets(result)
    mean, deviation = evidence.posterior
    goal = "" if result.settings["alpha"] is None else f" ({objective(result)})"
    rows: list[list[Any]] = [
        ["winner", winner_name(result)],
        ["its sparsity", f"{result.best.record['sparsity']:.4f}"],
        [f"best trial, {chosen_on}{goal}", f"{_selected(evidence.selected)}"],
        [f"posterior{goal}", f"{mean:.4f} ± {deviation:.4f} (SD)"],
    ]
    for winner in (evidence.shrunken, evidence.conditional):
        if winner is not None:
            name = f"corrected ({winner.method})"
            rows.append([name, _bounds(winner.corrected)])
    for name, interval in (
        (f"{chosen_on}, fresh seeds", evidence.fresh),
        (f"{reported_on}, fresh seeds", evidence.sealed),
    ):
        if interval is not None:
            rows.append([name, format_interval(interval, digits=4)])
    if evidence.components is not None:
        rows += [[name, text] for name, text in _variance_rows(result)]
    if evidence.runner_up is not None:
        notes = [*notes, f"Winner and second best: {evidence.runner_up}."]
    notes += [
        "Corrected: estimates of the winner's true value that allow for its having been chosen, "
        "with 95 % intervals. ICC: the share of a single trial's variance that is the candidate's "
        "and not the seed's."
    ]
    title = f"Engine pool, {plural(len(result.trials), 'trial')}"
    return Table(title, ["", "result"], rows, [*notes, cost_note(result)])


def _selected(value: float) -> str:
    if math.isnan(value):
        return "– (no trial of it ended whole)"
    return f"{value:.4f} (chosen: optimistic)"


def _bounds(interval: Interval) -> str:
    """Return a corrected estimate: its count is of candidates, not of seeds, and is left out."""
    return format_interval(interval, digits=4).partition(" (n=")[0]


def _variance_rows(result: SearchResult) -> list[tuple[str, str]]:
    evidence = result.evidence
    assert evidence is not None
    assert evidence.components is not None
    parts = evidence.components
    icc = "–"
    if parts.icc is not None:
        icc = f"{parts.icc.estimate:.2f}"
        if parts.icc.low is not None and parts.icc.high is not None:
            icc += f" [{parts.icc.low:.2f}, {parts.icc.high:.2f}]"
    return [
        ("SD between candidates", f"{100 * parts.between_sd:.2f} pp"),
        ("SD between seeds", f"{100 * parts.within_sd:.2f} pp"),
        ("ICC of a trial", icc),
    ]


def noise_table(result: SearchResult) -> Table | None:
    """Return the variance between candidates and between seeds, if any has a second seed."""
    evidence = result.evidence
    if evidence is None or evidence.components is None:
        return None
    parts = evidence.components
    seeds = parts.seeds_needed()
    rows: list[list[Any]] = [
        ["SD between candidates", _percent(parts.between_interval)],
        ["SD between seeds of one candidate", _percent(parts.within_interval)],
        ["ICC of a trial: the share that is between candidates", _variance_rows(result)[2][1]],
        [
            "p of the hypothesis that all candidates are alike",
            "–" if parts.p_value is None else f"{parts.p_value:.2g}",
        ],
        [
            "seeds a candidate that rank them with reliability 0.8",
            "none: candidates do not differ" if seeds is None else str(seeds),
        ],
    ]
    notes = [] if evidence.runner_up is None else [f"Winner and second best: {evidence.runner_up}."]
    notes += [
        f"{parts.values} trials that ended whole, of {parts.candidates} candidates, "
        f"{parts.replicated} of them on several seeds ({parts.method}; intervals of 95 %). "
        "Trials that were stopped early are the poorer ones and are not counted, so that all "
        "candidates of the pool differ more than these."
    ]
    return Table("Candidates against seeds", ["", "result"], rows, notes)


def _percent(interval: Interval) -> str:
    text = f"{100 * interval.estimate:.2f} pp"
    if interval.low is None or interval.high is None:
        return text
    return f"{text} [{100 * interval.low:.2f}, {100 * interval.high:.2f}]"


def comparison_table(result: SearchResult) -> Table:
    """Return random search's winner and the controls beside the winner."""
    evidence = result.evidence
    assert evidence is not None
    _, reported_on, _ = data_sets(result)
    rows: list[list[Any]] = [
        [
            entry.name,
            format_interval(entry.accuracy, digits=4),
            format_interval(entry.lead, scale=100, digits=2),
        ]
        for entry in evidence.comparisons
    ]
    rows += [[name, "does not apply", ""] for name in evidence.left_out]
    notes = [
        f"On the {reported_on}, fresh seeds; the lead is the winner's, paired by seed, in points. "
        "Nothing was chosen by these numbers.",
        *(f"{name} does not apply: {why}." for name, why in evidence.left_out.items()),
    ]
    columns = ["beside the winner", "accuracy", "lead of the winner"]
    return Table("Random search at equal cost, and controls", columns, rows, notes)


def front_table(result: SearchResult, arm: str = "search") -> Table:
    """Return the front of a trade-off, that of random search with arm ``"random"``."""
    chosen_on, reported_on, notes = data_sets(result)
    front = result.front if arm == "search" else result.random_front
    rows = [
        [
            f"{entry.point.sparsity:g}",
            str(entry.point),
            f"{entry.posterior[0]:.4f} ± {entry.posterior[1]:.4f}",
            "–" if entry.fresh is None else format_interval(entry.fresh, digits=4),
            "–" if entry.sealed is None else format_interval(entry.sealed, digits=4),
        ]
        for entry in front
    ]
    if arm == "search":
        volumes = ", ".join(f"{name} {each[-1]:.4f}" for name, each in result.hypervolumes.items())
        notes = [*notes, f"Hypervolume of the front at the end: {volumes}.", cost_note(result)]
    columns = [
        "sparsity",
        "candidate",
        "posterior ± SD",
        f"{chosen_on}, fresh seeds",
        f"{reported_on}, fresh seeds",
    ]
    trials = result.trials if arm == "search" else result.random_trials
    name = "Trade-off" if arm == "search" else "Trade-off of random search"
    return Table(f"{name}, {plural(len(trials), 'trial')}", columns, rows, notes)


def alpha_table(result: SearchResult) -> Table:
    """Return what the front gives for each alpha of the paper's table 2."""
    rows: list[list[Any]] = []
    for alpha in PAPER_ALPHAS:
        entry = result.at(alpha)
        accuracy = entry.sealed.estimate if entry.sealed else entry.posterior[0]
        value = entry.posterior[0] + alpha * entry.point.sparsity
        rows.append([f"{alpha:g}", f"{entry.point.sparsity:g}", accuracy, value])
    _, reported_on, _ = data_sets(result)
    notes = [
        "Accuracy + alpha · sparsity (the paper's f2) maximised over the front above by posterior "
        f"mean; the accuracy is that on the {reported_on}, where there are fresh seeds."
    ]
    columns = ["alpha", "sparsity", "accuracy", "f2 (posterior)"]
    return Table("The same front by alpha", columns, rows, notes, 4)


def leader_table(result: SearchResult) -> Table:
    """Return the candidates with the highest mean over their trials that ended whole."""
    values: dict[int, list[float]] = {}
    points: dict[int, Point] = {}
    for trial in result.trials:
        if not trial.stopped:
            values.setdefault(trial.point["index"], []).append(trial.value)
            points[trial.point["index"]] = Point.from_record(trial.point)
    order = sorted(values, key=lambda index: (-len(values[index]), -max(values[index])))
    order = sorted(order, key=lambda index: -sum(values[index]) / len(values[index]))
    rows: list[list[Any]] = [
        [str(points[index]), mean_interval(values[index]).estimate, len(values[index])]
        for index in order[:_LEADERS]
    ]
    notes = [
        "Mean value over the trials that ended whole. The posterior mean decides the winner, which "
        "counts how often a candidate was trained: one lucky trial does not win."
    ]
    return Table("The best candidates", ["candidate", "mean", "trials"], rows, notes, 4)


def change_table(result: SearchResult) -> Table | None:
    """Return what each control did to the winner's mask, on average over seeds."""
    evidence = result.evidence
    if evidence is None:
        return None
    changes: dict[str, list[Any]] = {}
    for run in evidence.runs:
        if run.change is not None:
            changes.setdefault(run.name, []).append(run.change)
    if not changes:
        return None
    rows: list[list[Any]] = []
    for name, each in changes.items():
        problems = sorted({str(change["problem"]) for change in each if change["problem"]})
        layers, total = (all(change[key] for change in each) for key in _KEPT)
        rows.append(
            [
                name,
                f"{100 * sum(change['moved'] for change in each) / len(each):.0f} %",
                f"{100 * sum(change['weights_changed'] for change in each) / len(each):.0f} %",
                "in each layer" if layers else "in all" if total else "no",
                "; ".join(problems) or "yes",
            ]
        )
    columns = ["control", "weights moved", "initial weights new", "as many kept", "as intended"]
    notes = [
        "Weights moved: the share of the winner's kept weights that the control does not keep."
    ]
    return Table("What each control changed", columns, rows, notes)


def plain_table(result: SearchResult) -> Table:
    """Return the result of the engines paper and random."""
    best = result.best
    chosen_on, _, notes = data_sets(result)
    rows = [
        ["winner", f"trial {best.number + 1}, {winner_name(result)}"],
        ["sparsity of the pruned layers", f"{best.record['sparsity']:.4f}"],
        [f"its accuracy on the {chosen_on}", f"{best.record['accuracy']:.4f} (best of all)"],
    ]
    if result.settings["alpha"] is not None:
        rows.append(["accuracy + alpha * sparsity", f"{best.value:.4f}"])
    if result.finals:
        interval = mean_interval([run.accuracy for run in result.finals])
        rows.append(["test accuracy on fresh seeds", format_interval(interval, digits=4)])
    rows.append(["training time of the trials", f"{result.seconds:.1f} s"])
    title = f"Engine {result.settings['engine']}, {plural(len(result.trials), 'trial')}"
    return Table(title, ["", "result"], rows, notes)

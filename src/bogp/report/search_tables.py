"""What a search found, as tables: for the screen, and for its report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bogp.analysis import Interval, mean_interval
from bogp.pipeline import Comparison, Evidence, Point, SearchResult
from bogp.report.accuracy_figures import PAPER_TABLE2
from bogp.report.style import plural
from bogp.sparsity import EFFECTIVE, EFFECTIVE_NOTE, effective_sparsity
from bogp.tables import DASH, EPOCHS, Cell, Column, Table, format_interval, scaled

_LEADERS = 10
"""Candidates in the table of the best."""


def found_tables(result: SearchResult) -> list[Table]:
    """Return the tables of a search's result, for the screen."""
    if result.settings.get("pareto"):
        return [front_table(result), alpha_table(result)]
    if result.evidence is not None:
        return [winner_table(result), comparison_table(result)]
    return [trial_table(result)]


def winner_name(result: SearchResult) -> str:
    """Return what the winner is, in words."""
    if "index" in result.best.point:
        return str(Point.from_record(result.best.point))
    made = "made from " if "made" in result.best.record else ""
    return f"{made}graph {result.best.record['graph']}"


def evidence_of(result: SearchResult) -> Evidence:
    """Return the evidence of a search that has one."""
    assert result.evidence is not None
    return result.evidence


def data_sets(result: SearchResult) -> tuple[str, str]:
    """Return which data chose the winner and which report it, in words."""
    if result.settings["protocol"] == "paper":
        return "test set", "test set"
    return "validation split", "test set"


def objective(result: SearchResult) -> str:
    """Return what the search maximised, in words."""
    alpha = result.settings["alpha"]
    return "accuracy" if alpha is None else f"accuracy + {alpha:g} · sparsity"


def winner_table(result: SearchResult) -> Table:
    """Return the winner and what it is worth, from the selected value to the sealed test."""
    evidence, (chosen_on, reported_on) = evidence_of(result), data_sets(result)
    mean, deviation = evidence.posterior
    goal = "" if result.settings["alpha"] is None else f" ({objective(result)})"
    selected = f"{evidence.selected:.4f} (chosen: optimistic)"
    rows: list[list[Cell]] = [
        ["winner", winner_name(result)],
        ["its sparsity", f"{result.best.record['sparsity']:.4f}"],
        ["its effective sparsity", _effective(result)],
        [
            f"best trial, {chosen_on}{goal}",
            "– (no trial of it ended whole)" if math.isnan(evidence.selected) else selected,
        ],
        [f"posterior{goal}", f"{mean:.4f} ± {deviation:.4f} (SD)"],
    ]
    for winner in (evidence.shrunken, evidence.conditional):
        if winner is not None:
            # Its count is of candidates and would read as one of seeds.
            text = format_interval(winner.corrected, digits=4, count=False)
            rows.append([f"corrected ({winner.method})", text])
    if evidence.fresh is not None:
        rows.append([f"{chosen_on}, fresh seeds", format_interval(evidence.fresh, digits=4)])
    if evidence.sealed is not None:
        rows.append([f"{reported_on}, fresh seeds", format_interval(evidence.sealed, digits=4)])
    if evidence.components is not None:
        rows += [
            ["SD between candidates", f"{100 * evidence.components.between_sd:.2f} pp"],
            ["SD between seeds", f"{100 * evidence.components.within_sd:.2f} pp"],
            ["ICC of a trial", _icc(evidence)],
        ]
    notes = [
        EFFECTIVE_NOTE,
        *_protocol_notes(result),
        *_runner_up_notes(evidence),
        "Corrected: estimates of the winner's true value that allow for its having been chosen, "
        "with 95 % intervals. ICC: the share of a single trial's variance that is the candidate's "
        "and not the seed's.",
        _cost_note(result),
    ]
    return Table(f"Engine pool, {plural(len(result.trials), 'trial')}", _FACTS, rows, notes)


def _epochs(records: Iterable[Mapping[str, Any]]) -> int | None:
    """Return the epochs of the longest of a candidate's trials, None where there is none."""
    return max((int(record["epochs"]) for record in records), default=None)


def _effective(result: SearchResult) -> str:
    """Return the effective sparsity of the best trial's mask."""
    value = effective_sparsity([result.best.record])
    return DASH if value is None else f"{value:.4f}"


_FACTS = ("", "result")
"""The headings of a table of names and values."""


def _protocol_notes(result: SearchResult) -> list[str]:
    """Return what to say where one set of images did both."""
    if result.settings["protocol"] != "paper":
        return []
    return ["Protocol paper: one set of images selected the winner and reports it."]


def _runner_up_notes(evidence: Evidence) -> list[str]:
    """Return how many seeds would tell the winner from the second best."""
    if evidence.runner_up is None:
        return []
    return [f"Winner and second best: {evidence.runner_up}."]


def _cost_note(result: SearchResult) -> str:
    """Return how much training was spent, in epochs."""
    spent = ", ".join(f"{name} {epochs:,}" for name, epochs in result.epochs.items())
    total = sum(result.epochs.values())
    return f"Training spent, in epochs of one network: {spent}; {total:,} in all."


def _icc(evidence: Evidence) -> str:
    """Return the share of a trial's variance that is between candidates."""
    parts = evidence.components
    if parts is None or parts.icc is None:
        return "–"
    return format_interval(parts.icc, digits=2, count=False)


def noise_table(result: SearchResult) -> Table | None:
    """Return the variance between candidates and between seeds, if any has a second seed."""
    if result.evidence is None or result.evidence.components is None:
        return None
    parts = result.evidence.components
    seeds = parts.seeds_needed()
    rows: list[list[Cell]] = [
        ["SD between candidates", _points(parts.between_interval)],
        ["SD between seeds of one candidate", _points(parts.within_interval)],
        ["ICC of a trial: the share that is between candidates", _icc(result.evidence)],
        [
            "p of the hypothesis that all candidates are alike",
            None if parts.p_value is None else f"{parts.p_value:.2g}",
        ],
        [
            "seeds of each candidate that rank them with reliability 0.8",
            "none: candidates do not differ" if seeds is None else str(seeds),
        ],
    ]
    notes = [
        *_runner_up_notes(result.evidence),
        f"{parts.values} trials that ended whole, of {parts.groups} candidates, "
        f"{parts.replicated} of them on several seeds ({parts.method}; intervals of 95 %). "
        "Trials that were stopped early are the poorer ones and are not counted, so that all "
        "candidates of the pool differ more than these.",
    ]
    return Table("Candidates against seeds", _FACTS, rows, notes)


def _points(interval: Interval) -> str:
    """Return an interval in percentage points."""
    estimate, _, bounds = format_interval(interval, 100, 2, count=False).partition(" ")
    return f"{estimate} pp {bounds}".rstrip()


def comparison_table(result: SearchResult) -> Table:
    """Return random search's winner and the controls beside the winner."""
    evidence = evidence_of(result)
    note = (
        f"On the {data_sets(result)[1]}, fresh seeds; the lead is the winner's, paired by seed, in "
        "points. Nothing was chosen by these numbers."
    )
    title = "Random search at equal cost, and controls"
    return table_beside(title, "winner", evidence.comparisons, evidence.left_out, note)


def table_beside(
    title: str,
    what: str,
    compared: Sequence[Comparison],
    left_out: Mapping[str, str],
    note: str,
) -> Table:
    """Return what was trained beside the ``what`` on the same seeds, and what does not apply."""
    rows: list[list[Cell]] = [
        [entry.name, entry.accuracy, entry.lead, entry.epochs] for entry in compared
    ]
    rows += [[name, "does not apply", "", None] for name in left_out]
    columns: list[str | Column] = [
        f"beside the {what}",
        Column("accuracy", align="left"),
        Column(f"lead of the {what}", scaled(100, 2), "left"),
        EPOCHS,
    ]
    why = [f"{name} does not apply: {reason}." for name, reason in left_out.items()]
    return Table(title, columns, rows, [note, *why], digits=4)


def front_table(result: SearchResult, arm: str = "search") -> Table:
    """Return the front of a trade-off, that of random search with arm ``"random"``."""
    chosen_on, reported_on = data_sets(result)
    if arm == "search":
        title, front, trials = "Trade-off", result.front, result.trials
        volumes = ", ".join(f"{name} {each[-1]:.4f}" for name, each in result.hypervolumes.items())
        more = [f"Hypervolume of the front at the end: {volumes}.", _cost_note(result)]
    else:
        title, front, trials = (
            "Trade-off of random search",
            result.random_front,
            result.random_trials,
        )
        more = []
    records: dict[Point, list[Mapping[str, Any]]] = {}
    for trial in trials:
        records.setdefault(Point.from_record(trial.point), []).append(trial.record)
    rows: list[list[Cell]] = [
        [
            f"{entry.point.sparsity:g}",
            effective_sparsity(records.get(entry.point, ())),
            _epochs(records.get(entry.point, ())),
            str(entry.point),
            f"{entry.posterior[0]:.4f} ± {entry.posterior[1]:.4f}",
            entry.fresh,
            entry.sealed,
        ]
        for entry in front
    ]
    columns: list[str | Column] = [
        "sparsity",
        EFFECTIVE,
        EPOCHS,
        "candidate",
        "posterior ± SD",
        Column(f"{chosen_on}, fresh seeds", align="left"),
        Column(f"{reported_on}, fresh seeds", align="left"),
    ]
    title = f"{title}, {plural(len(trials), 'trial')}"
    notes = [EFFECTIVE_NOTE, *_protocol_notes(result), *more]
    return Table(title, columns, rows, notes, digits=4)


def alpha_table(result: SearchResult) -> Table:
    """Return what the front gives for each alpha of the paper's table 2."""
    rows: list[list[Cell]] = []
    for alpha, _, _ in PAPER_TABLE2:
        entry = result.at(alpha)
        accuracy = entry.sealed.estimate if entry.sealed else entry.posterior[0]
        value = entry.posterior[0] + alpha * entry.point.sparsity
        rows.append([f"{alpha:g}", f"{entry.point.sparsity:g}", accuracy, value])
    notes = [
        "Accuracy + alpha · sparsity (the paper's f2) maximised over the front above by posterior "
        f"mean; the accuracy is that on the {data_sets(result)[1]}, where there are fresh seeds."
    ]
    columns = ["alpha", "sparsity", "accuracy", "f2 (posterior)"]
    return Table("The same front by alpha", columns, rows, notes, digits=4)


def leader_table(result: SearchResult) -> Table:
    """Return the candidates with the highest mean over their trials that ended whole."""
    values: dict[int, list[float]] = {}
    points: dict[int, Point] = {}
    records: dict[int, list[Mapping[str, Any]]] = {}
    for trial in result.trials:
        if not trial.stopped:
            records.setdefault(trial.point["index"], []).append(trial.record)
            values.setdefault(trial.point["index"], []).append(trial.value)
            points[trial.point["index"]] = Point.from_record(trial.point)
    order = sorted(values, key=lambda index: (-len(values[index]), -max(values[index])))
    order = sorted(order, key=lambda index: -sum(values[index]) / len(values[index]))
    rows: list[list[Cell]] = [
        [
            str(points[index]),
            mean_interval(values[index]).estimate,
            len(values[index]),
            effective_sparsity(records[index]),
            _epochs(records[index]),
        ]
        for index in order[:_LEADERS]
    ]
    notes = [
        "Mean value over the trials that ended whole. The posterior mean decides the winner, which "
        "counts how often a candidate was trained: one lucky trial does not win.",
        EFFECTIVE_NOTE,
    ]
    columns: list[str | Column] = ["candidate", "mean", "trials", EFFECTIVE, EPOCHS]
    return Table("The best candidates", columns, rows, notes, digits=4)


def change_table(result: SearchResult) -> Table | None:
    """Return what each control did to the winner's mask, on average over seeds."""
    changes: dict[str, list[Any]] = {}
    for run in () if result.evidence is None else result.evidence.runs:
        if run.change is not None:
            changes.setdefault(run.name, []).append(run.change)
    if not changes:
        return None
    rows: list[list[Cell]] = []
    for name, each in changes.items():
        problems = sorted({str(change["problem"]) for change in each if change["problem"]})
        if all(change["layers_kept"] for change in each):
            as_many = "in each layer"
        else:
            as_many = "in all" if all(change["total_kept"] for change in each) else "no"
        shares = (
            f"{100 * sum(change[share] for change in each) / len(each):.0f} %"
            for share in ("moved", "weights_changed")
        )
        rows.append([name, *shares, as_many, "; ".join(problems) or "yes"])
    columns = ["control", "weights moved", "initial weights new", "as many kept", "as intended"]
    notes = [
        "Weights moved: the share of the winner's kept weights that the control does not keep."
    ]
    return Table("What each control changed", columns, rows, notes)


def trial_table(result: SearchResult) -> Table:
    """Return the result of the engines paper and random: their best trial."""
    best = result.best
    rows: list[list[Cell]] = [
        ["winner", f"trial {best.number + 1}, {winner_name(result)}"],
        ["sparsity of the pruned layers", f"{best.record['sparsity']:.4f}"],
        ["their effective sparsity", _effective(result)],
        [
            f"its accuracy on the {data_sets(result)[0]}",
            f"{best.record['accuracy']:.4f} (best of all)",
        ],
    ]
    if result.settings["alpha"] is not None:
        rows.append(["accuracy + alpha * sparsity", f"{best.value:.4f}"])
    if result.finals:
        interval = mean_interval([run.accuracy for run in result.finals])
        rows.append(["test accuracy on fresh seeds", format_interval(interval, digits=4)])
    rows.append(["training time of the trials", f"{result.seconds:.1f} s"])
    title = f"Engine {result.settings['engine']}, {plural(len(result.trials), 'trial')}"
    return Table(title, _FACTS, rows, [EFFECTIVE_NOTE, *_protocol_notes(result)])


def cost_table(result: SearchResult) -> Table:
    """Return the training spent, by what it was spent on."""
    total = sum(result.epochs.values())
    rows: list[list[Cell]] = [
        [name, f"{epochs:,}", f"{100 * epochs / max(1, total):.0f} %"]
        for name, epochs in (*result.epochs.items(), ("in all", total))
    ]
    trials = (*result.trials, *result.random_trials)
    notes = [
        f"One epoch of one network each. {plural(sum(t.stopped for t in trials), 'trial')} of "
        f"{len(trials)} were stopped early, and only the epochs that they ran are counted."
    ]
    return Table("Epochs of training", ["on", "epochs", "share"], rows, notes)

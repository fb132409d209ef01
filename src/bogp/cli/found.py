"""What a search found, as tables and as JSON."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bogp.cli.common import console, print_table

if TYPE_CHECKING:
    from bogp.masks import Mask
    from bogp.pipeline import FrontPoint, SearchResult
    from bogp.report import Table

PAPER_ALPHAS = (0.1, 0.15, 0.25, 0.5, 0.75, 0.9)
"""The columns of the paper's table 2."""


def save_masks(result: SearchResult, place: Path) -> list[Path]:
    """Write the winner's mask, or those of a front into a folder; return the files."""
    if result.front:
        written = []
        for entry in result.front:
            path = place / f"mask-{entry.point.sparsity:g}.safetensors"
            _save(result, entry.mask, str(entry.point), path)
            written.append(path)
        return written
    _save(result, result.mask, winner_name(result), place)
    return [place]


def _save(result: SearchResult, mask: Mask | None, name: str, path: Path) -> None:
    from bogp.masks import save_mask

    assert mask is not None
    about = {"key": result.key, "model": str(result.settings["model"]), "candidate": name}
    save_mask(mask, path, about)


def winner_name(result: SearchResult) -> str:
    """Return what the winner is, in words."""
    if "index" in result.best.point:
        from bogp.pipeline import Point

        return str(Point.from_record(result.best.point))
    return f"graph {result.best.record['graph']}"


def summary(result: SearchResult) -> dict[str, Any]:
    """Return a search's result as a JSON object."""
    found: dict[str, Any] = {
        "key": result.key,
        "settings": dict(result.settings),
        "best": {"trial": result.best.number, **_trial(result.best)},
        "finals": [dataclasses.asdict(run) for run in result.finals],
        "trials": [_trial(trial) for trial in result.trials],
    }
    if result.settings.get("engine") == "pool":
        evidence = result.evidence
        found |= {
            "random_trials": [_trial(trial) for trial in result.random_trials],
            "evidence": None if evidence is None else dataclasses.asdict(evidence),
            "front": [_front_point(entry) for entry in result.front],
            "random_front": [_front_point(entry) for entry in result.random_front],
            "hypervolumes": {arm: list(each) for arm, each in result.hypervolumes.items()},
            "epochs": dict(result.epochs),
        }
    return found


def _trial(trial: Any) -> dict[str, Any]:
    own = {"number": trial.number, "value": trial.value, "stopped": trial.stopped}
    return own | {"point": dict(trial.point)} | dict(trial.record)


def _front_point(entry: FrontPoint) -> dict[str, Any]:
    return {
        "point": entry.point.record(),
        "posterior": list(entry.posterior),
        "fresh": None if entry.fresh is None else dataclasses.asdict(entry.fresh),
        "sealed": None if entry.sealed is None else dataclasses.asdict(entry.sealed),
        "mask": None if entry.mask is None else entry.mask.fingerprint,
    }


def print_found(result: SearchResult, saved: list[Path]) -> None:
    """Print a search's result as tables."""
    for table in found_tables(result):
        print_table(table)
    for path in saved:
        console.print(f"mask written to {path}", markup=False, soft_wrap=True)


def found_tables(result: SearchResult) -> list[Table]:
    """Return the tables of a search's result."""
    if result.front:
        return [_front_table(result), _alpha_table(result)]
    if result.evidence is not None:
        return [_winner_table(result), _comparison_table(result)]
    return [_plain_table(result)]


def _sets(result: SearchResult) -> tuple[str, str, list[str]]:
    """Return what selected and what reports, and what to say of protocol paper."""
    if result.settings["protocol"] == "paper":
        note = "Protocol paper: one set of images selected the winner and reports it."
        return "test set", "test set", [note]
    return "validation split", "test set", []


def _cost(result: SearchResult) -> str:
    spent = ", ".join(f"{name} {epochs:,}" for name, epochs in result.epochs.items())
    return f"Training spent, in epochs: {spent}."


def _winner_table(result: SearchResult) -> Table:
    from bogp.report import Table, format_interval

    evidence = result.evidence
    assert evidence is not None
    chosen_on, reported_on, notes = _sets(result)
    mean, deviation = evidence.posterior
    rows: list[list[Any]] = [
        ["winner", winner_name(result)],
        ["sparsity of the pruned layers", f"{result.best.record['sparsity']:.4f}"],
        [f"its best trial on the {chosen_on}", f"{evidence.selected:.4f} (chosen: optimistic)"],
        ["posterior of its true value", f"{mean:.4f} ± {deviation:.4f} (SD)"],
    ]
    for winner in (evidence.shrunken, evidence.conditional):
        if winner is not None:
            name = f"corrected for having been chosen ({winner.method})"
            rows.append([name, format_interval(winner.corrected, digits=4)])
    for name, interval in (
        (f"{chosen_on}, fresh seeds", evidence.fresh),
        (f"{reported_on}, fresh seeds", evidence.sealed),
    ):
        if interval is not None:
            rows.append([name, format_interval(interval, digits=4)])
    parts = evidence.components
    if parts is not None:
        icc = "–" if parts.icc is None else format_interval(parts.icc, digits=2)
        rows += [
            ["SD between candidates", f"{100 * parts.between_sd:.2f} pp"],
            ["SD between seeds", f"{100 * parts.within_sd:.2f} pp"],
            ["share of a trial's variance that is the candidate's (ICC)", icc],
        ]
    if evidence.runner_up is not None:
        rows.append(["winner and second best", evidence.runner_up])
    notes = [*notes, _cost(result)]
    title = f"Engine pool, {len(result.trials)} trials"
    return Table(title, ["", "result"], rows, notes)


def _comparison_table(result: SearchResult) -> Table:
    from bogp.report import Table, format_interval

    evidence = result.evidence
    assert evidence is not None
    _, reported_on, _ = _sets(result)
    rows: list[list[Any]] = [
        [
            entry.name,
            format_interval(entry.accuracy, digits=4),
            format_interval(entry.lead, scale=100, digits=2),
        ]
        for entry in evidence.comparisons
    ]
    rows += [[name, "does not apply", why] for name, why in evidence.left_out.items()]
    notes = [
        f"On the {reported_on}, fresh seeds; the lead is the winner's, paired by seed, in points. "
        "Nothing was chosen by these numbers."
    ]
    columns = ["beside the winner", "accuracy", "lead of the winner"]
    return Table("Random search at equal cost, and controls", columns, rows, notes)


def _front_table(result: SearchResult) -> Table:
    from bogp.report import Table, format_interval

    chosen_on, reported_on, notes = _sets(result)
    rows = [
        [
            f"{entry.point.sparsity:g}",
            str(entry.point),
            f"{entry.posterior[0]:.4f} ± {entry.posterior[1]:.4f}",
            "–" if entry.fresh is None else format_interval(entry.fresh, digits=4),
            "–" if entry.sealed is None else format_interval(entry.sealed, digits=4),
        ]
        for entry in result.front
    ]
    volumes = ", ".join(f"{arm} {each[-1]:.4f}" for arm, each in result.hypervolumes.items())
    notes = [*notes, f"Hypervolume of the front at the end: {volumes}.", _cost(result)]
    columns = [
        "sparsity",
        "candidate",
        "posterior ± SD",
        f"{chosen_on}, fresh seeds",
        f"{reported_on}, fresh seeds",
    ]
    return Table(f"Trade-off, {len(result.trials)} trials", columns, rows, notes)


def _alpha_table(result: SearchResult) -> Table:
    from bogp.report import Table

    rows: list[list[Any]] = []
    for alpha in PAPER_ALPHAS:
        entry = result.at(alpha)
        accuracy = entry.sealed.estimate if entry.sealed else entry.posterior[0]
        rows.append([f"{alpha:g}", f"{entry.point.sparsity:g}", accuracy])
    notes = ["Accuracy + alpha · sparsity (the paper's f2) maximised over the front above."]
    return Table("The same front by alpha", ["alpha", "sparsity", "accuracy"], rows, notes, 4)


def _plain_table(result: SearchResult) -> Table:
    from bogp.analysis import mean_interval
    from bogp.report import Table, format_interval

    best = result.best
    chosen_on, _, notes = _sets(result)
    rows = [
        ["winner", f"trial {best.number + 1}, graph {best.record['graph']}"],
        ["sparsity of the pruned layers", f"{best.record['sparsity']:.4f}"],
        [f"its accuracy on the {chosen_on}", f"{best.record['accuracy']:.4f} (best of all)"],
    ]
    if result.settings["alpha"] is not None:
        rows.append(["accuracy + alpha * sparsity", f"{best.value:.4f}"])
    if result.finals:
        interval = mean_interval([run.accuracy for run in result.finals])
        rows.append(["test accuracy on fresh seeds", format_interval(interval, digits=4)])
    rows.append(["training time of the trials", f"{result.seconds:.1f} s"])
    title = f"Engine {result.settings['engine']}, {len(result.trials)} trials"
    return Table(title, ["", "result"], rows, notes)

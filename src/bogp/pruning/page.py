"""A pruned model as tables and as one page."""

from __future__ import annotations

import os
import platform
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

from bogp.analysis import Interval
from bogp.controls import CONTROLS
from bogp.criteria import criterion
from bogp.data import Dataset
from bogp.keys import content_key
from bogp.masks import collapsed
from bogp.pipeline.own_model import PrunedNetwork
from bogp.report import (
    Section,
    Table,
    format_interval,
    graph_and_mask,
    picture,
    plural,
    write_report,
)
from bogp.report.evidence import interval_figure
from bogp.studies import search_sections
from bogp.training import Structure


def how(found: PrunedNetwork) -> str:
    """Return in words how a mask was chosen."""
    if found.search is not None:
        return str(found.point)
    method = found.method
    rounds = "" if method.rounds == 1 else f", {method.rounds} rounds, {method.schedule}"
    extra = "".join(f", {name}" for name in ("pretrain", "rewind") if getattr(method, name))
    return f"{criterion(method.criterion).name} {method.scope}{rounds}{extra}"


def pruned_tables(
    found: PrunedNetwork, dataset: Dataset, shape: Structure, given: float | None
) -> list[Table]:
    """Return the result, the layers, and what stood beside, as tables."""
    return [result_table(found, dataset, shape, given), layer_table(found), beside_table(found)]


def result_table(
    found: PrunedNetwork, dataset: Dataset, shape: Structure, given: float | None
) -> Table:
    """Return what was pruned and what it is worth."""
    mask = found.mask
    effective = shape.effective_sparsity
    rows: list[list[Any]] = [
        ["how", how(found)],
        ["weights kept", f"{mask.kept:,} of {mask.total:,} in {plural(len(mask), 'layer')}"],
        ["sparsity of these layers", f"{mask.sparsity:.4f}"],
        *([["on a path only", f"{effective:.4f}"]] if effective is not None else []),
        ["parameters of the network", f"{shape.compression:.2f} × fewer"],
        [
            "multiply-adds, linear and conv",
            f"{shape.speed_up:.2f} × fewer, were only kept weights computed",
        ],
        ["test accuracy, pruned", format_interval(found.pruned, digits=4)],
        ["test accuracy, dense, trained alike", format_interval(found.dense, digits=4)],
        ["pruned − dense, points", format_interval(found.lead, scale=100, digits=2)],
        ["validation accuracy, pruned", format_interval(found.fresh, digits=4)],
    ]
    if given is not None:
        rows.append(["test accuracy as it was given", f"{given:.4f}"])
    total = sum(found.epochs.values())
    notes = [
        f"{plural(found.pruned.count, 'fresh seed')}, 95 % intervals; the test set "
        f"({len(dataset.test_targets):,} examples) chose nothing. The model that is returned is "
        "that of the first fresh seed.",
        f"Training spent: {total:,} epochs of one network ("
        + ", ".join(f"{name} {epochs:,}" for name, epochs in found.epochs.items())
        + ").",
    ]
    if empty := collapsed(mask):
        notes.append(
            f"No weight is kept of {', '.join(empty)}: a network without a way around such a layer "
            "passes nothing on."
        )
    return Table(f"Pruned for {dataset.name}", ["", "result"], rows, notes)


def layer_table(found: PrunedNetwork) -> Table:
    """Return the layers and what is kept of each."""
    rows: list[list[Any]] = [
        [
            name,
            " × ".join(str(size) for size in layer.shape),
            f"{int(layer.sum()):,}",
            f"{float(layer.double().mean()):.4f}",
        ]
        for name, layer in found.mask.items()
    ]
    return Table("Layers", ["layer", "shape", "kept", "density"], rows)


def beside_table(found: PrunedNetwork) -> Table:
    """Return what was trained beside the pruned network on the same seeds."""
    beside = [("dense", found.dense, found.lead)]
    beside += [(entry.name, entry.accuracy, entry.lead) for entry in found.comparisons]
    rows: list[list[Any]] = [
        [
            name,
            format_interval(accuracy, digits=4),
            format_interval(lead, scale=100, digits=2),
        ]
        for name, accuracy, lead in beside
    ]
    rows += [[name, "does not apply", ""] for name in found.left_out]
    notes = [
        "Test accuracy on the same fresh seeds; the lead is the pruned network's, paired by seed, "
        "in points.",
        *(f"{name} does not apply: {why}." for name, why in found.left_out.items()),
    ]
    columns = ["beside the pruned network", "accuracy", "lead of the pruned"]
    return Table("Beside it", columns, rows, notes)


def write_prune_report(
    path: str | os.PathLike[str],
    found: PrunedNetwork,
    dataset: Dataset,
    shape: Structure,
    given: float | None,
) -> Path:
    """Write a pruned model's evidence as one HTML file that opens offline.

    Raises:
        OutputError: the file cannot be written.
    """
    sections = [_first(found, dataset, shape, given), _beside(found), _layers(found)]
    if found.search is not None:
        # What stood beside the winner is above already, the dense network among it.
        first, *others = search_sections(found.search, None)
        sections.append(replace(first, heading="What the search made of it"))
        sections += [each for each in others if not each.heading.startswith("Random search")]
    settings = dict(found.fields)
    provenance = {
        "key": content_key(found.fields),
        "dataset": settings.pop("dataset"),
        **({"database": settings.pop("database")} if "database" in settings else {}),
        "settings": settings,
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in ("bogp", "torch", "botorch", "numpy")},
        },
    }
    title = f"bogp: {_model(found)} pruned to s = {found.mask.sparsity:.3g}"
    return write_report(path, title, sections, provenance)


def _model(found: PrunedNetwork) -> str:
    model = found.fields["model"]
    return str(model["name"]) if isinstance(model, dict) else str(model)


def _first(
    found: PrunedNetwork, dataset: Dataset, shape: Structure, given: float | None
) -> Section:
    text = (
        f"`{how(found)}` keeps {found.mask.kept:,} of {found.mask.total:,} weights. "
        f"{_verdict(found.lead)}"
    )
    rows = [("pruned", found.pruned), ("dense, trained alike", found.dense)]
    rows += [(entry.name, entry.accuracy) for entry in found.comparisons]
    figure = interval_figure(
        rows, title="Test accuracy", xlabel="accuracy", digits=4,
        note=f"{plural(found.pruned.count, 'fresh seed')}, 95 % intervals",
    )  # fmt: skip
    caption = "The pruned network, the dense one, and what else was trained on the same seeds."
    table = result_table(found, dataset, shape, given)
    return Section("The pruned model", text, [table], [picture(figure, caption)])


def _verdict(lead: Interval) -> str:
    points = 100 * lead.estimate
    if lead.low is None or lead.high is None:
        return (
            f"It is {abs(points):.2f} points {'above' if points >= 0 else 'below'} the dense "
            "network on the one fresh seed, which is no interval: train more seeds to know."
        )
    if lead.low <= 0.0 <= lead.high:
        return (
            f"{plural(lead.count, 'fresh seed')} do not tell it from the dense network: "
            f"{points:+.2f} points [{100 * lead.low:.2f}, {100 * lead.high:.2f}]."
        )
    word = "above" if points > 0 else "below"
    return (
        f"It is {abs(points):.2f} points {word} the dense network "
        f"[{100 * lead.low:.2f}, {100 * lead.high:.2f}], {plural(lead.count, 'fresh seed')}."
    )


def _beside(found: PrunedNetwork) -> Section:
    applied = [entry.name for entry in found.comparisons if entry.name in CONTROLS]
    words = "\n".join(f"- {name}: {CONTROLS[name].help}" for name in applied)
    text = f"Each control takes one thing from the pruned network:\n\n{words}" if words else ""
    return Section("Beside it", text, [beside_table(found)])


def _layers(found: PrunedNetwork) -> Section:
    figures = []
    if found.links is not None:
        name, layer = next(
            (name, layer) for name, layer in found.mask.items() if name in found.bound
        )
        place = (layer if layer.dim() == 2 else layer.flatten(2).any(2)).cpu().numpy()
        figure = graph_and_mask(found.links, place, f"{how(found)}; mask of {name}")
        caption = (
            "Left, the relational graph that bounds the mask: what joins groups of channels. "
            f"Right, the mask of {name} inside it: dark weights are kept."
        )
        figures = [picture(figure, caption)]
    return Section("Layers", "", [layer_table(found)], figures)

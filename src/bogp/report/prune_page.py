"""A pruned model as tables and as one page."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from torch import nn

from bogp.analysis import Interval
from bogp.data import Dataset
from bogp.keys import content_key
from bogp.masks import collapsed
from bogp.pipeline import Comparison
from bogp.pipeline.evidence import WINNER, epochs_a_seed
from bogp.pipeline.finals import DENSE
from bogp.pipeline.own_model import PrunedNetwork
from bogp.report.graph_figures import graph_and_mask
from bogp.report.interval_figure import interval_figure
from bogp.report.page import Section, versions, write_report
from bogp.report.pictures import Picture
from bogp.report.search_page import controls_text, search_sections
from bogp.report.search_tables import table_beside
from bogp.report.style import plural
from bogp.report.wiring_section import nodes_of, wiring_sections
from bogp.sparsify import method_words
from bogp.sparsity import EFFECTIVE_NOTE
from bogp.tables import DASH, Cell, Table, format_interval
from bogp.training import Structure


def how(found: PrunedNetwork) -> str:
    """Return in words how a mask was chosen."""
    if found.search is not None:
        return str(found.point)
    inside = f", inside {found.inside}" if found.inside else ""
    return method_words(found.method) + inside


def pruned_tables(
    found: PrunedNetwork, dataset: Dataset, shape: Structure, given: float | None
) -> list[Table]:
    """Return the result, the layers, and what stood beside, as tables."""
    return [result_table(found, dataset, shape, given), layer_table(found), beside_table(found)]


def result_table(
    found: PrunedNetwork, dataset: Dataset, shape: Structure, given: float | None
) -> Table:
    """Return what was pruned and what it is worth."""
    mask, effective = found.mask, shape.effective_sparsity
    rows: list[list[Cell]] = [
        ["how", how(found)],
        ["weights kept", f"{mask.kept:,} of {mask.total:,} in {plural(len(mask), 'layer')}"],
        ["sparsity of these layers", f"{mask.sparsity:.4f}"],
        ["their effective sparsity", DASH if effective is None else f"{effective:.4f}"],
        ["parameters of the network", f"{shape.compression:.2f} × fewer"],
        [
            "multiply-adds, linear and conv",
            f"{shape.speed_up:.2f} × fewer, were only kept weights computed",
        ],
        ["test accuracy, pruned", format_interval(found.pruned, digits=4)],
        ["test accuracy, dense, trained alike", format_interval(found.dense, digits=4)],
        ["pruned − dense, points", format_interval(found.lead, scale=100, digits=2)],
        ["validation accuracy, pruned", format_interval(found.fresh, digits=4)],
        ["epochs a seed, pruned and dense", _epochs(found)],
        ["test accuracy as it was given", None if given is None else f"{given:.4f}"],
    ]
    spent = ", ".join(f"{name} {epochs:,}" for name, epochs in found.epochs.items())
    notes = [
        f"{plural(found.pruned.count, 'fresh seed')}, 95 % intervals; the test set "
        f"({len(dataset.test_targets):,} examples) chose nothing. The model that is returned is "
        "that of the first fresh seed.",
        EFFECTIVE_NOTE,
        f"Training spent: {sum(found.epochs.values()):,} epochs of one network ({spent}).",
    ]
    if empty := collapsed(mask):
        notes.append(
            f"No weight is kept of {', '.join(empty)}: a network without a way around such a layer "
            "passes nothing on."
        )
    known = [row for row in rows if row[1] is not None]
    return Table(f"Pruned for {dataset.name}", ["", "result"], known, notes)


def _epochs(found: PrunedNetwork) -> str:
    """Return how long the pruned and the dense network were trained on one seed."""
    return " and ".join(f"{epochs_a_seed(found.runs, name):,}" for name in (WINNER, DENSE))


def layer_table(found: PrunedNetwork) -> Table:
    """Return the layers and what is kept of each."""
    rows = [
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
    note = (
        "Test accuracy on the same fresh seeds; the lead is the pruned network's, paired by seed, "
        "in points."
    )
    if found.narrower:
        each = "; ".join(f"{name}: {one}" for name, one in found.narrower.items())
        note += f" A narrower network is dense, and trained like the dense one: {each}."
    dense = Comparison(DENSE, found.dense, found.lead, epochs_a_seed(found.runs, DENSE))
    compared = [dense, *found.comparisons]
    return table_beside("Beside it", "pruned network", compared, found.left_out, note)


def write_prune_report(
    path: str | os.PathLike[str],
    found: PrunedNetwork,
    dataset: Dataset,
    shape: Structure,
    given: float | None,
    model: nn.Module,
) -> Path:
    """Write a pruned model's evidence as one HTML file that opens offline.

    Args:
        path: the file.
        found: all that was measured.
        dataset: what trained, selected and reported.
        shape: what the mask makes of the network.
        given: test accuracy of the model as it was given, if it was.
        model: the pruned network.

    Raises:
        OutputError: the file cannot be written.
    """
    words = controls_text(entry.name for entry in found.comparisons)
    text = f"Each control takes one thing from the pruned network:\n\n{words}" if words else ""
    sections = [
        _result_section(found, dataset, shape, given),
        Section("Beside it", text, [beside_table(found)]),
        Section("Layers", "", [layer_table(found)], _graph_pictures(found)),
        *wiring_sections(found, model),
    ]
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
        "versions": versions("botorch"),
    }
    model = found.fields["model"]
    name = model["name"] if isinstance(model, dict) else model
    title = f"bogp: {name} pruned to s = {found.mask.sparsity:.3g}"
    return write_report(path, title, sections, provenance)


def _result_section(
    found: PrunedNetwork, dataset: Dataset, shape: Structure, given: float | None
) -> Section:
    """Return what was pruned, beside all that was trained on the same seeds."""
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
    return Section("The pruned model", text, [table], [Picture(figure, caption)])


def _verdict(lead: Interval) -> str:
    """Return a sentence that says how the pruned network does beside the dense one."""
    points, seeds = 100 * lead.estimate, plural(lead.count, "fresh seed")
    word = "above" if points >= 0 else "below"
    if lead.low is None or lead.high is None:
        return (
            f"It is {abs(points):.2f} points {word} the dense network on the one fresh seed, which "
            "is no interval: train more seeds to know."
        )
    bounds = f"[{100 * lead.low:.2f}, {100 * lead.high:.2f}]"
    if not lead.excludes(0.0):
        return f"{seeds} do not tell it from the dense network: {points:+.2f} points {bounds}."
    return f"It is {abs(points):.2f} points {word} the dense network {bounds}, {seeds}."


def _graph_pictures(found: PrunedNetwork) -> list[Picture]:
    """Return the graphs that bound the mask beside the first layer, where there are several.

    Of one graph the section on the wiring has a picture for each layer.
    """
    if found.links is None or nodes_of(found) is not None:
        return []
    name = next(name for name in found.mask if name in found.bound)
    title = f"{how(found)}; mask of {name}"
    figure = graph_and_mask(found.links, found.mask[name].cpu().numpy(), title)
    caption = (
        "Left, the relational graph that bounds the mask: what joins groups of channels. "
        f"Right, the mask of {name} inside it: dark weights are kept."
    )
    return [Picture(figure, caption)]

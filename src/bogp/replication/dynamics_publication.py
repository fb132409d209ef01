"""The publication of masks that move while they train: sections, figures, verdicts."""

from __future__ import annotations

from matplotlib.figure import Figure

from bogp.analysis import mean_interval
from bogp.replication.dynamics import ALIKE, CHANNELS, KINDS
from bogp.replication.dynamics_claims import RULE, verdicts
from bogp.replication.dynamics_rows import (
    DENSE_ROW,
    DENSITIES,
    GRADUAL,
    lead_over,
    part,
    results,
    row,
    support_row,
    there,
    training_of,
)
from bogp.replication.dynamics_tables import (
    best_support_table,
    long_table,
    longer_table,
    network_table,
    shuffled_table,
    support_table,
    widths_table,
)
from bogp.replication.one_training import AXES
from bogp.replication.publish import Publication
from bogp.replication.records import mean
from bogp.replication.setup import Entry, Run
from bogp.report import Picture, PlacedGraph, Section, accuracy_by_sparsity, graph_plane, plural
from bogp.sparsify import NARROWER


def dynamics_publication(run: Run) -> Publication:
    """Return what is published of the comparison."""
    entry, *zoo = run.setup.entries
    seeds = plural(run.setup.seeds, "seed")
    caption = (
        f"Test accuracy by sparsity, {entry.label}: mean and 95 % interval over {seeds}. The dense "
        "network, which belongs to no sparsity, is drawn across."
    )
    plane = (
        "Clustering coefficient against average shortest path length of the graphs that bound "
        "gradual pruning, means over the seeds; the colour is the mean gain in test accuracy over "
        "gradual pruning without a graph."
    )
    sections = [
        Section(
            entry.label,
            "",
            [network_table(run, entry)],
            [Picture(accuracy_figure(run, entry), caption, "accuracy")],
        ),
        Section(
            "Inside relational graphs",
            "",
            [best_support_table(run, entry), support_table(run, entry)],
            [Picture(plane_figure(run, entry), plane, "supports")],
        ),
        Section("Shuffled pixels", "", [shuffled_table(run, entry)]),
        Section("Longer training", "", [longer_table(run, entry)]),
        Section("Channels at equal widths", "", [widths_table(run, entry)]),
        *(Section(each.label, "", [network_table(run, each)]) for each in zoo),
    ]
    return Publication(
        "Masks that move while they train",
        f"{seeds}, equal training in every row of a table, protocol holdout, so that the test set "
        "chose nothing",
        sections,
        {"dynamics": long_table(run)},
        verdicts(run),
        "Verdicts",
        RULE,
    )


def accuracy_figure(run: Run, entry: Entry) -> Figure:
    """Return test accuracy by sparsity of the rows that say most, with the dense one across."""
    where = training_of(entry)
    names = ["gradual", f"gradual blocks 8{ALIKE}", CHANNELS, NARROWER, "SNIP", "RigL"]
    shown = [support_row(entry, "ring", 0.25), *map(row, names)]
    dense = mean_interval(DENSE_ROW.values(run.records, **where))
    series = {"dense (s = 0)": [(s, dense) for s in run.setup.sparsities]}
    for each in there(run, shown, **where):
        series[each.label] = [
            (s, mean_interval(values))
            for s in run.setup.sparsities
            if (values := each.values(run.records, sparsity=s, **where))
        ]
    title = f"{entry.label}, {plural(entry.recipe.epochs, 'epoch')} for every row"
    return accuracy_by_sparsity(series, title=title, ylabel="test accuracy")


def plane_figure(run: Run, entry: Entry) -> Figure:
    """Return clustering against path length of the supports, coloured by their leads."""
    panels = {}
    for sparsity in run.setup.sparsities:
        here = part(run, sparsity=sparsity, **training_of(entry))
        found = []
        for kind in KINDS:
            for density in DENSITIES:
                each = support_row(entry, kind, density)
                lead = lead_over(here, each, GRADUAL)
                if lead is None:
                    continue
                drawn = results(here, each, "properties")
                clustering, length = (mean([one[name] for one in drawn]) for name in AXES)
                found.append(PlacedGraph(kind, density, length, clustering, 100 * lead.estimate))
        if found:
            panels[f"s = {sparsity:g}"] = found
    return graph_plane(
        panels,
        xlabel="average shortest path length",
        ylabel="clustering coefficient",
        gain="points of test accuracy over no graph",
        title="Gradual pruning inside graphs: what each gains over no graph",
    )

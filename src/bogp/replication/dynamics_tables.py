"""What is shown of masks that move while they train."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from bogp.analysis import mean_interval
from bogp.replication.comparison import plus_minus
from bogp.replication.dynamics import (
    CHANNELS,
    EXAMPLES,
    equal_widths,
    longer_supports,
)
from bogp.replication.dynamics_rows import (
    DENSE_ROW,
    GRADUAL,
    TEST,
    VALIDATION,
    chosen,
    label_of,
    lead_over,
    part,
    results,
    row,
    rows_of,
    support_row,
    support_rows,
    there,
    training_of,
)
from bogp.replication.records import Row, mean
from bogp.replication.setup import Entry, Run
from bogp.report import (
    Column,
    Table,
    plural,
    scaled,
)
from bogp.sparsify import NARROWER
from bogp.sparsity import EFFECTIVE_NOTE

LEAD = scaled(100, 2)
"""Leads are shown in percentage points."""


def sparsity_text(run: Run, wanted: Row, **where: Any) -> str | None:
    """Return the mean nominal sparsity of a row and, after a stroke, the mean effective one."""
    nominal, effective = (
        results(run, wanted, name, **where) for name in ("sparsity", "effective_sparsity")
    )
    if not nominal:
        return None
    return f"{mean(nominal):.3f} / {'–' if None in effective else f'{mean(effective):.3f}'}"


def accuracy_table(
    run: Run, title: str, rows: Iterable[Row], notes: Sequence[str], **where: Any
) -> Table:
    """Return the test accuracies of rows: for each sparsity a column, and one of what was kept."""
    sparsities = run.setup.sparsities
    whole = part(run, **where)
    at = [part(whole, sparsity=sparsity) for sparsity in sparsities]
    cells: list[list[Any]] = []
    for each in rows:
        # The dense row belongs to no sparsity, and stands in the first column.
        found = [whole] if each == DENSE_ROW else at
        values = [each.values(one.records) for one in found]
        if not any(values):
            continue
        pairs = [
            (mean_interval(some) if some else None, sparsity_text(one, each))
            for some, one in zip(values, found, strict=True)
        ]
        pairs += [(None, None)] * (len(sparsities) - len(pairs))
        cells.append([each.label, where["epochs"], *(cell for pair in pairs for cell in pair)])
    columns: list[str | Column] = ["row", "epochs"]
    for sparsity in sparsities:
        heading = f"s = {sparsity:g}"
        columns += [Column(heading, plus_minus), f"{heading}: nominal / effective"]
    basis = (
        f"Test accuracy ± half-width of the 95 % t interval over {plural(run.setup.seeds, 'seed')}."
    )
    return Table(title, columns, cells, [basis, *notes, EFFECTIVE_NOTE])


def recipe_note(entry: Entry) -> str:
    """Return the sentence on what a network is trained on, and how."""
    recipe = entry.recipe
    some = f"the first {EXAMPLES:,} training images, standardised" if entry.data == "mnist" else ""
    return (
        f"{entry.data}{f' ({some})' if some else ''}, batches of {recipe.batch_size}, "
        f"{recipe.optimizer} at {recipe.learning_rate:g} ({recipe.schedule.replace('_', '-')})."
    )


def network_table(run: Run, entry: Entry) -> Table:
    """Return all rows of one network, those inside graphs last where they are few."""
    notes = [
        recipe_note(entry) + " Every row has the same number of epochs: methods of several "
        "trainings divide them. Masks move every 20 steps, RigL's too, whose own 100 would leave "
        "it with few moves. Blocks and channels keep the nearest number of weights that whole ones "
        "give; a narrower network is the nearest one to as many weights. The dense row belongs to "
        "no sparsity.",
        *emptied(run, entry),
    ]
    rows = rows_of(entry)
    if entry is not run.setup.entries[0]:
        rows += support_rows(entry)
    return accuracy_table(run, f"{entry.label} on {entry.data}", rows, notes, **training_of(entry))


def emptied(run: Run, entry: Entry) -> list[str]:
    """Return a sentence on the layers that methods emptied, if any did."""
    count: dict[str, int] = {}
    for record in part(run, **training_of(entry)).records.values():
        if record["result"].get("collapsed"):
            where = f"{label_of(record['fields'])} at s = {record['fields']['sparsity']:g}"
            count[where] = count.get(where, 0) + 1
    cells = ", ".join(f"{where} ({plural(number, 'seed')})" for where, number in count.items())
    return [f"A layer without a kept weight: {cells}."] if count else []


def support_table(run: Run, entry: Entry) -> Table:
    """Return gradual magnitude pruning inside every graph, and without one."""
    nodes = support_row(entry, "ring", 0.25).fields["support"]["nodes"]
    note = (
        f"Unstructured gradual magnitude pruning; the mask of a graph of {nodes} nodes bounds "
        "where weights may be kept, in both hidden layers. The density of that mask is in "
        "brackets. A graph is drawn for each seed."
    )
    rows = [GRADUAL, *support_rows(entry)]
    return accuracy_table(run, "Inside relational graphs", rows, [note], **training_of(entry))


def best_support_table(run: Run, entry: Entry) -> Table:
    """Return, for each sparsity, what the support that the validation data choose leads by."""
    rows: list[list[Any]] = []
    for longer in (False, True):
        where = training_of(entry, longer=longer)
        whole = part(run, **where)
        for sparsity in run.setup.sparsities:
            here = {"sparsity": sparsity}
            tried = there(whole, support_rows(entry), **here)
            best = chosen(whole, tried, **here)
            if best is None:
                continue
            leads = [lead_over(whole, best, other, **here) for other in (GRADUAL, DENSE_ROW)]
            size = sparsity_text(whole, best, **here)
            accuracy = mean_interval(best.values(whole.records, **here))
            rows.append(
                [f"{sparsity:g}", where["epochs"], best.label, len(tried), size, accuracy, *leads]
            )
    columns: list[str | Column] = [
        "s",
        "epochs",
        "chosen",
        "out of",
        "nominal / effective",
        Column("test accuracy", plus_minus),
        Column("lead over gradual without a graph", LEAD),
        Column("lead over the dense network", LEAD),
    ]
    notes = [
        "The support with the highest mean accuracy over the seeds on the validation split is "
        "chosen; its leads are on the test set, in percentage points, paired by seed, so that "
        "being the best of several does not flatter them. 95 % t interval."
    ]
    return Table("The best support", columns, rows, notes)


def shuffled_table(run: Run, entry: Entry) -> Table:
    """Return the leads of supports over no graph, with pixels in order and shuffled."""
    rows: list[list[Any]] = []
    for sparsity in run.setup.sparsities:
        ordered, shuffled = (
            part(run, sparsity=sparsity, **training_of(entry, shuffled=each))
            for each in (False, True)
        )
        for each in there(shuffled, support_rows(entry)):
            leads = [lead_over(one, each, GRADUAL) for one in (ordered, shuffled)]
            size, plain = sparsity_text(shuffled, each), GRADUAL.values(shuffled.records)
            rows.append(
                [
                    *(each.label, f"{sparsity:g}", entry.recipe.epochs, size),
                    *(*leads, mean_interval(plain)),
                ]
            )
    columns: list[str | Column] = [
        "row",
        "s",
        "epochs",
        "nominal / effective",
        Column("lead over no graph, pixels in order", LEAD),
        Column("lead over no graph, pixels shuffled", LEAD),
        Column("no graph, pixels shuffled", plus_minus),
    ]
    notes = [
        "The same supports where one permutation a seed shuffles the pixels of all images, beside "
        "gradual magnitude pruning without a graph on the same shuffled pixels: percentage points "
        "of test accuracy, paired by seed, 95 % t interval. Sparsities are those on shuffled "
        "pixels."
    ]
    return Table("Shuffled pixels", columns, rows, notes)


def longer_table(run: Run, entry: Entry) -> Table:
    """Return the rows of the longer training."""
    where = training_of(entry, longer=True)
    rows = [DENSE_ROW, GRADUAL, *(support_row(entry, *each) for each in longer_supports())]
    title = f"{plural(where['epochs'], 'epoch')} for everybody"
    return accuracy_table(run, title, rows, [recipe_note(entry)], **where)


def widths_table(run: Run, entry: Entry) -> Table:
    """Return gradual channels beside the dense networks of the widths that they end with."""
    rows: list[list[Any]] = []
    for sparsity, network in equal_widths(entry, run.inputs).items():
        where = {**training_of(entry), "sparsity": sparsity}
        both = row(CHANNELS), row(NARROWER)
        values = [each.values(run.records, **where) for each in both]
        if not all(values):
            continue
        rows.append(
            [
                network.rsplit(",", 1)[1],
                f"{1 - sparsity:.3f}",
                where["epochs"],
                sparsity_text(run, both[0], **where),
                *map(mean_interval, values),
                lead_over(run, *both, **where),
            ]
        )
    columns: list[str | Column] = [
        "widths of both hidden layers",
        "share of the weights",
        "epochs",
        "nominal / effective",
        Column(CHANNELS, plus_minus),
        Column("narrower from the start", plus_minus),
        Column("lead", LEAD),
    ]
    notes = [
        "Gradual channels end as a dense network of these widths; beside them the same network "
        "trained from its own beginning for as many epochs. Test accuracy ± half-width of the 95 % "
        "t interval; leads in percentage points, paired by seed. All layers count."
    ]
    return Table("Channels, and the narrower network of the same widths", columns, rows, notes)


def long_table(run: Run) -> Table:
    """Return every network as a row of values."""
    rows: list[list[Any]] = []
    for record in run.records.values():
        fields, result = record["fields"], record["result"]
        support = fields["support"] or {}
        names = ("epochs", "sparsity", "effective_sparsity", "weights", VALIDATION, TEST)
        rows.append(
            [
                *(fields[name] for name in ("model", "name", "network")),
                *(support.get(name) for name in ("kind", "density")),
                *(fields[name] for name in ("shuffled", "sparsity", "seed")),
                *(result[name] for name in names),
            ]
        )
    columns = [
        *("model", "row", "network trained", "support", "density"),
        *("pixels shuffled", "sparsity asked for", "seed"),
        *("epochs", "sparsity", "effective sparsity", "weights"),
        *("validation accuracy", "test accuracy"),
    ]
    return Table("Masks that move", columns, rows)

"""What is shown of masks that move while they train."""

from __future__ import annotations

from typing import Any

from bogp.replication.publish import Publication
from bogp.replication.setup import Run
from bogp.report import Section, Table, plural


def dynamics_publication(run: Run) -> Publication:
    """Return what is published of the comparison."""
    return Publication(
        "Masks that move while they train",
        f"{plural(run.setup.seeds, 'seed')}, equal training in every row, test set sealed",
        [Section("Every network", "", [])],
        {"dynamics": long_table(run)},
    )


def long_table(run: Run) -> Table:
    """Return every network as a row of values."""
    rows: list[list[Any]] = []
    for record in run.records.values():
        fields, result = record["fields"], record["result"]
        support = fields["support"] or {}
        rows.append(
            [
                fields["model"],
                fields["name"],
                fields["network"],
                support.get("kind"),
                support.get("density"),
                fields["shuffled"],
                result["epochs"],
                fields["sparsity"],
                fields["seed"],
                *(result[name] for name in ("sparsity", "effective_sparsity", "accuracy")),
                result["reported"],
            ]
        )
    columns = [
        "model",
        "row",
        "network trained",
        "support",
        "density",
        "pixels shuffled",
        "epochs",
        "column",
        "seed",
        "sparsity",
        "effective sparsity",
        "validation accuracy",
        "test accuracy",
    ]
    return Table("Masks that move", columns, rows)

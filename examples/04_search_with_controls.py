"""Search a database of graphs for a mask, and weigh the evidence for the winner.

Builds a database of relational graphs at three densities, searches graph × support density ×
criterion on digits, and prints how the winner's mask is made, what it is worth on fresh seeds and a
sealed test set, and its lead over random search's winner and over controls that take one thing away
each. The study is kept in a file: run it again and it trains nothing.

    python examples/04_search_with_controls.py [--quick] [--out FOLDER]
"""

import argparse
from pathlib import Path

import bogp
from bogp.report import format_interval


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="seconds: a check, not a result")
    parser.add_argument("--out", type=Path, default=Path())
    options = parser.parse_args()
    with bogp.GraphDatabase.build(
        options.out / "graphs.db",
        nodes=32,
        shape=(32, 64),
        sparsities=(0.5, 0.75, 0.9),
        graphs=30 if options.quick else 200,
        names=("clustering", "average_shortest_path_length", "degree_deviation"),
    ) as database:
        result = bogp.search(
            database,
            "digits",
            bogp.SearchSettings(
                model="mlp:32",
                layers="hidden",
                sparsity=0.9,
                recipe=bogp.Recipe(
                    learning_rate=0.003, batch_size=64, epochs=3 if options.quick else 9
                ),
                criteria=("random", "snip") if options.quick else ("random", "magnitude", "snip"),
                trials=8 if options.quick else 48,
                batch=4 if options.quick else 12,
                final_seeds=2 if options.quick else 5,
            ),
            study=options.out / "study.db",
        )
    point, evidence = result.best.point, result.evidence
    assert evidence is not None
    where = "no graph" if point["graph"] is None else f"graph {point['graph']}"
    print(f"winner: {where}, s = {point['support']:g}, {point['criterion']} inside")
    print(f"its best trial            {evidence.selected:.3f} (chosen: optimistic)")
    if evidence.shrunken is not None:
        print(f"corrected for the choice  {format_interval(evidence.shrunken.corrected)}")
    if evidence.sealed is not None:
        print(f"test set, fresh seeds     {format_interval(evidence.sealed)}")
    print("lead of the winner, points")
    for entry in evidence.comparisons:
        print(f"  {entry.name:25} {format_interval(entry.lead, scale=100, digits=1)}")
    print("training spent, epochs:", ", ".join(f"{name} {n}" for name, n in result.epochs.items()))


if __name__ == "__main__":
    main()

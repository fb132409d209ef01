"""Ask whether properties of a graph go with accuracy, the number of edges held fixed.

Graphs of one sparsity are trained alike, several times with other seeds, and Spearman's rank
correlation of each property with the mean accuracy is printed with its 95 % interval; beside it how
much of the variance of a run is the graph's (ICC), which bounds what any property can explain, and
the same correlation with the strongest property held fixed.

    python examples/06_property_study.py [--quick] [--sparsity 0.9] [--graphs 100] [--repeats 3]
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np

import bogp
from bogp.analysis import (
    RankCorrelation,
    partial_rank_correlation,
    rank_correlation,
    variance_components,
)
from bogp.report import format_interval

NAMES = ("clustering", "average_shortest_path_length", "degree_deviation", "spectral_gap")


def shown(correlation: RankCorrelation) -> str:
    """Return rho and its interval as text."""
    if correlation.interval is None:
        return "undefined: it is constant"
    return format_interval(correlation.interval, digits=2)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="seconds: a check, not a result")
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--graphs", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    graphs, repeats = (24, 2) if options.quick else (options.graphs, options.repeats)
    recipe = bogp.Recipe(learning_rate=0.003, batch_size=64, epochs=3 if options.quick else 9)
    with (
        tempfile.TemporaryDirectory() as folder,
        bogp.GraphDatabase.build(
            Path(folder) / "graphs.db",
            nodes=32,
            shape=(32, 64),
            sparsities=options.sparsity,
            graphs=graphs,
            names=NAMES,
        ) as database,
    ):
        ids, vectors = database.vectors(NAMES, sparsity=options.sparsity)
        runs = np.empty((graphs, repeats))
        for repeat in range(repeats):
            screening = bogp.screen(
                database,
                "digits",
                bogp.ScreenSettings(
                    sparsity=options.sparsity,
                    layers="hidden",
                    graphs=None,
                    model="mlp:32",
                    recipe=recipe,
                    seed=repeat,
                ),
            )
            accuracy = {trial.point["graph"]: trial.value for trial in screening.trials}
            runs[:, repeat] = [accuracy[int(graph)] for graph in ids]

    parts = variance_components(runs)
    print(f"{graphs} graphs of s = {options.sparsity:g}, {repeats} runs each on digits")
    print(f"accuracy from {runs.mean(1).min():.3f} to {runs.mean(1).max():.3f}")
    print(f"ICC of a run {format_interval(parts.icc, digits=2)}")
    means = runs.mean(axis=1)
    found = {
        name: rank_correlation(column, means, seed=0)
        for name, column in zip(NAMES, vectors.T, strict=True)
    }
    strongest = max(NAMES, key=lambda name: abs(found[name].rho or 0.0))
    print(f"{'property':30} {'rho':28} with {strongest} held fixed")
    for name, column in zip(NAMES, vectors.T, strict=True):
        line = f"{name:30} {shown(found[name]):28}"
        if name != strongest:
            control = vectors[:, NAMES.index(strongest)]
            line += f" {shown(partial_rank_correlation(column, means, control=control))}"
        print(line.rstrip())


if __name__ == "__main__":
    main()

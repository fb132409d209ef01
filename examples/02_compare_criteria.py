"""Compare criteria under equal conditions: same data, recipe, seeds and number of weights.

Each criterion prunes the same networks before training, in one pruning round; seed k has the same
initial weights and the same mini-batches for all of them. Prints the accuracy of each, 95 %
interval over the seeds, and its lead over random pruning, paired by seed. Magnitude, SNIP, GraSP
and SynFlow rank all layers together; random draws the same share from each.

    python examples/02_compare_criteria.py [--quick] [--data digits] [--sparsity 0.9] [--seeds 10]
"""

import argparse

import bogp
from bogp.analysis import mean_interval, paired_interval
from bogp.report import format_interval

METHODS = {
    "random": bogp.Method("random", "uniform"),
    "ERK-random": bogp.Method("random", "erk"),
    "magnitude": bogp.Method("magnitude", "global"),
    "SNIP": bogp.Method("snip", "global"),
    "GraSP": bogp.Method("grasp", "global"),
    "SynFlow": bogp.Method("synflow", "global"),
}


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="seconds: a check, not a result")
    parser.add_argument("--data", default="digits", help="digits, mnist, a folder or a file")
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--seeds", type=int, default=10)
    options = parser.parse_args()
    seeds = range(3 if options.quick else options.seeds)
    recipe = bogp.Recipe(learning_rate=0.003, batch_size=64, epochs=3 if options.quick else 15)
    data = bogp.load_dataset(options.data)
    parts = bogp.split(data, "holdout", seed=0)

    def accuracies(method: bogp.Method) -> list[float]:
        """Return the accuracy on the data that selects, a network a seed."""
        return [
            bogp.prune_and_train(
                lambda: bogp.mlp([data.features, 64, 32, data.classes]),
                parts,
                recipe,
                layers="all",
                sparsity=options.sparsity,
                method=method,
                mask_seed=seed,
                seed=seed,
            ).selected.accuracy
            for seed in seeds
        ]

    found = {name: accuracies(method) for name, method in METHODS.items()}
    print(f"{options.data}, s = {options.sparsity:g}, {len(seeds)} seeds")
    print(f"{'criterion':12} {'accuracy':28} lead over random, points")
    for name, values in sorted(found.items(), key=lambda item: -sum(item[1])):
        lead = paired_interval(values, found["random"])
        beside = "" if name == "random" else format_interval(lead, scale=100, digits=1)
        print(f"{name:12} {format_interval(mean_interval(values)):28} {beside}".rstrip())


if __name__ == "__main__":
    main()

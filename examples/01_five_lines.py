"""Prune a network of your own in five lines.

A perceptron is trained and pruned to a tenth of its weights on scikit-learn's digits. bogp searches
over relational graphs and criteria, trains the winner on fresh seeds beside the dense network,
random search's winner and controls, and opens the test set once. Prints what the pruned network
keeps, how it does beside the dense one, and writes report.html and pruned.safetensors.

    python examples/01_five_lines.py [--quick] [--out FOLDER]
"""

import argparse
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset

import bogp
from bogp.report import format_interval


def digits() -> tuple[TensorDataset, TensorDataset]:
    """Return what trains and what is put by, as torch Datasets like your own."""
    images, labels = load_digits(return_X_y=True)
    inputs = torch.tensor(images / 16, dtype=torch.float32)
    targets = torch.tensor(labels)
    return TensorDataset(inputs[:1200], targets[:1200]), TensorDataset(
        inputs[1200:], targets[1200:]
    )


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="seconds: a check, not a result")
    parser.add_argument("--out", type=Path, default=Path())
    options = parser.parse_args()
    train_set, val_set = digits()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    size = {"trials": 3, "final_seeds": 2, "controls": False} if options.quick else {"trials": 24}
    recipe = bogp.Recipe(learning_rate=0.003, batch_size=64, epochs=4 if options.quick else 20)

    # The five lines.
    result = bogp.prune(model, train=train_set, val=val_set, sparsity=0.9, recipe=recipe, **size)
    pruned = result.model  # a plain nn.Module, trained, pruned weights exactly zero
    report = result.report(options.out / "report.html")
    saved = result.save(options.out / "pruned.safetensors")

    kept = sum(
        int(weight.count_nonzero())
        for name, weight in pruned.named_parameters()
        if name in result.mask
    )
    print(
        f"kept      {kept:,} of {result.mask.total:,} weights, sparsity {result.mask.sparsity:.4f}"
    )
    print(f"pruned    {format_interval(result.pruned)} on the test set")
    print(f"dense     {format_interval(result.dense)}, trained alike")
    print(f"lead      {format_interval(result.lead, scale=100, digits=1)} points")
    print(f"written   {report} and {saved}")


if __name__ == "__main__":
    main()

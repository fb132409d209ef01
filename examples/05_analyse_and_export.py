"""Prune a network, look at its wiring, and export it in formats that others load.

A convolutional network is pruned by SNIP on digits. Prints, for each layer, density, dead units and
the Ramanujan gap of its bipartite graph; then for each export (ONNX, a compacted dense model, CSR)
the size of its file, how far its logits are from the torch model's, and a sentence with its latency
beside the dense model's. Writes the files and export.json.

    python examples/05_analyse_and_export.py [--quick] [--out FOLDER]
"""

import argparse
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset

import bogp
from bogp.export import export_model


def make_model() -> nn.Module:
    """Return a network for images (N, 1, 8, 8)."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(32 * 16, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="seconds: a check, not a result")
    parser.add_argument("--out", type=Path, default=Path("exported"))
    options = parser.parse_args()
    images, labels = load_digits(return_X_y=True)
    inputs = torch.tensor(images / 16, dtype=torch.float32).view(-1, 1, 8, 8)
    result = bogp.prune(
        make_model,
        train=TensorDataset(inputs, torch.tensor(labels)),
        sparsity=0.95,
        method="snip",
        recipe=bogp.Recipe(learning_rate=0.003, batch_size=64, epochs=3 if options.quick else 20),
        final_seeds=2,
        controls=False,
    )
    example = inputs[:1]
    found = bogp.analyze(result.mask, model=result.model, example=example)
    print(f"{'layer':10} {'density':>8} {'dead in':>8} {'dead out':>8} {'Ramanujan gap':>14}")
    for layer in found.layers:
        gap = "–" if layer.spectrum is None else f"{layer.spectrum.ramanujan_gap:.2f}"
        dead = f"{layer.dead_inputs:8} {layer.dead_outputs:8}"
        print(f"{layer.name:10} {layer.density:8.3f} {dead} {gap:>14}")
    print(f"sparsity {found.sparsity:.4f}, effective {found.effective_sparsity:.4f}")

    repeats = 6 if options.quick else 30
    export = export_model(result.model, result.mask, example, options.out, repeats=repeats)
    print(f"dense: {export.dense_size:,} bytes")
    for each in export.formats:
        size = "no file" if each.size is None else f"{each.size:,} bytes"
        difference = "" if each.difference is None else f", logits within {each.difference:.0e}"
        print(f"{each.name}: {size}{difference}")
    for sentence in export.sentences:
        print("-", sentence)


if __name__ == "__main__":
    main()

"""Prune an nn.Module of your own on a torch Dataset of your own.

The network has a convolution, a residual block with a depthwise convolution, and a linear head; the
data are drawn: images of 12 × 12 pixels with a horizontal, vertical or diagonal stripe in noise.
The first layer and the head are left alone, and SNIP prunes before training. Prints the layers with
their densities, and accuracy beside the dense network; then loads the saved file into a new network
and checks that it gives the same logits.

    python examples/03_own_model_and_data.py [--quick] [--out FOLDER]
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import bogp
from bogp.report import format_interval


class Stripes(Dataset[tuple[Tensor, int]]):
    """Noisy images (1, 12, 12) of a stripe; the class is its direction."""

    def __init__(self, count: int, seed: int) -> None:
        draw = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(0, 3, (count,), generator=draw)
        self.images = torch.randn(count, 1, 12, 12, generator=draw)
        places = torch.randint(2, 10, (count,), generator=draw)
        for image, label, place in zip(self.images, self.labels, places, strict=True):
            if label == 0:
                image[0, place] += 1.5
            elif label == 1:
                image[0, :, place] += 1.5
            else:
                image[0] += 1.5 * torch.eye(12)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], int(self.labels[index])


class Block(nn.Module):
    """A depthwise and a pointwise convolution with a way around them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.pointwise = nn.Conv2d(channels, channels, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return (N, channels, height, width)."""
        return inputs + self.pointwise(torch.relu(self.depthwise(inputs)))


class Net(nn.Module):
    """Images (N, 1, 12, 12) → logits (N, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 3, padding=1)
        self.block = Block(16)
        self.wide = nn.Conv2d(16, 32, 3, stride=2, padding=1)
        self.head = nn.Linear(32, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the logits."""
        hidden = self.block(torch.relu(self.stem(inputs)))
        return self.head(torch.relu(self.wide(hidden)).amax(dim=(2, 3)))


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="seconds: a check, not a result")
    parser.add_argument("--out", type=Path, default=Path())
    options = parser.parse_args()
    count = 300 if options.quick else 3000
    result = bogp.prune(
        Net,  # called for each seed, so that seeds differ in their initial weights
        train=Stripes(count, seed=0),
        val=Stripes(count // 3, seed=1),
        test=Stripes(count // 3, seed=2),
        sparsity=0.8,
        method="snip",
        skip_first=True,
        skip_last=True,
        recipe=bogp.Recipe(learning_rate=0.003, batch_size=64, epochs=2 if options.quick else 10),
        final_seeds=2 if options.quick else 5,
        controls=False,
    )
    for name, layer in result.mask.items():
        print(f"{name:24} {tuple(layer.shape)!s:16} density {layer.double().mean():.3f}")
    print(f"sparsity {result.mask.sparsity:.4f}")
    print("pruned  ", format_interval(result.pruned))
    print("dense   ", format_interval(result.dense))

    saved = result.save(options.out / "stripes.safetensors")
    loaded, mask = bogp.load_model(Net(), saved)
    images = torch.stack([Stripes(8, seed=3)[index][0] for index in range(8)])
    with torch.no_grad():
        difference = (loaded.eval()(images) - result.model(images)).abs().max().item()
    print(f"loaded from {saved}: mask {'the same' if mask == result.mask else 'another'}, ", end="")
    print(f"logits differ by {difference:g}")


if __name__ == "__main__":
    main()

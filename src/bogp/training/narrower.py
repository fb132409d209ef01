"""The narrower network: a dense one with as many weights as a pruned one, its widths all shrunk.

It is what an engineer would train instead of pruning, so it stands beside the dense network
wherever that is a baseline.
"""

from __future__ import annotations

import bisect
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import torch
from torch import Tensor

from bogp.errors import SettingError
from bogp.masks import choose_layers
from bogp.training.models import MODELS, ModelSpec, model_factory, read_spec
from bogp.training.randomness import initialise
from bogp.training.structure import multiply_adds as count_multiply_adds


@dataclass(frozen=True)
class Narrower:
    """A narrower network, and what it has.

    Attributes:
        spec: its name, from which :func:`bogp.training.model_factory` makes it.
        weights: weights of its layers that are pruned in the network that it stands beside.
        multiply_adds: of all its layers, for one example.
    """

    spec: str
    weights: int
    multiply_adds: int

    def __str__(self) -> str:
        return f"{self.spec}, {self.weights:,} weights, {self.multiply_adds:,} multiply-adds"


def narrower(
    spec: str,
    inputs: Tensor,
    classes: int,
    *,
    layers: str | Sequence[str] = "all",
    weights: int | None = None,
    multiply_adds: float | None = None,
) -> Narrower:
    """Return ``spec`` with all its widths shrunk by one factor, as near as can be to a target.

    The widths are those of an mlp's hidden layers, the maps and units of ``lenet-5``, and the
    ``width`` of a resnet, a vit or a gpt; each is the nearest whole number, and at least 1. Heads
    of attention stay as many where they divide the width; elsewhere they are the most below that
    do. Of two networks equally near to the target the smaller one is returned, and none is wider
    than ``spec`` itself. Nothing is drawn: counts are of networks without memory (``"meta"``).

    Args:
        spec: a name of :func:`bogp.training.model_factory`, no function of your own.
        inputs: (N, *shape), of which only the shape and the type count.
        classes: number of classes; the vocabulary of ``"gpt"``.
        layers: the layers whose weights count, as in :func:`bogp.choose_layers`; biases, norms,
            embeddings and the weights of other layers do not.
        weights: how many weights these layers are to have: those that a mask keeps.
        multiply_adds: how many multiply-adds the whole network is to need for one example, in
            place of ``weights``: those of a masked network, see :class:`bogp.training.Structure`.

    Raises:
        SettingError: a function of your own, whose channels bogp does not know how to shrink; or
            not just one of ``weights`` and ``multiply_adds`` is given.
        MaskError: there are no such layers.

    >>> narrower("mlp:300,100", torch.zeros(1, 784), 10, weights=26_620)
    Narrower(spec='mlp:33,11', weights=26345, multiply_adds=26345)
    """
    target = weights if multiply_adds is None else multiply_adds
    if target is None or None not in (weights, multiply_adds):
        raise SettingError(
            f"a narrower network for {weights} weights and {multiply_adds} multiply-adds: give one "
            "of the two"
        )
    found = read_spec(spec)
    if found is None:
        raise SettingError(no_narrower(spec))
    widths = _widths(found)

    @cache
    def counted(index: int) -> Narrower:
        return _counted(_spec(found, widths, shares[index]), inputs, classes, layers)

    def has(index: int) -> float:
        one = counted(index)
        return one.weights if weights is not None else one.multiply_adds

    shares = _shares(widths)
    enough = bisect.bisect_left(range(len(shares)), target, key=has)
    beside = [index for index in (enough - 1, enough) if 0 <= index < len(shares)]
    return counted(min(beside, key=lambda index: abs(has(index) - target)))


def no_narrower(model: str) -> str:
    """Return the sentence that says why a model of the user's own has no narrower network."""
    return (
        f"bogp can shrink the widths of its own models alone ({', '.join(MODELS)}), and {model!r} "
        "is none of them: make a narrower one yourself and train it dense beside"
    )


def _widths(found: ModelSpec) -> tuple[int, ...]:
    """Return the widths that a name has, written or by default."""
    if not found.family.widths:
        return tuple(map(int, re.findall(r"\d+", found.variant)))
    return tuple({**found.family.widths, **found.options}[name] for name in found.family.widths)


def _shares(widths: Sequence[int]) -> list[Fraction]:
    """Return the least share of each distinct choice of widths, ascending, from all 1 to whole.

    A width h becomes k at the share (2k - 1) / 2h, where k is the nearest whole number to h times
    the share.
    """
    steps = {Fraction(2 * k - 1, 2 * width) for width in widths for k in range(2, width + 1)}
    return [Fraction(0), *sorted(steps)]


def _spec(found: ModelSpec, widths: Sequence[int], share: Fraction) -> str:
    """Return the name of a model with its widths times ``share``."""
    shrunk = [max(1, math.floor(share * width + Fraction(1, 2))) for width in widths]
    if not found.family.widths:
        return f"mlp:{','.join(map(str, shrunk))}"
    options = {**found.options, **dict(zip(found.family.widths, shrunk, strict=True))}
    if found.family.heads is not None:
        heads = options.get("heads", found.family.heads)
        divides = next(k for k in range(heads, 0, -1) if options["width"] % k == 0)
        if divides != heads:
            options["heads"] = divides
    return f"{found.name}:{','.join(f'{name}={value}' for name, value in options.items())}"


def _counted(spec: str, inputs: Tensor, classes: int, layers: str | Sequence[str]) -> Narrower:
    """Return a network of bogp's with its counts."""
    with torch.device("meta"):
        model = initialise(model_factory(spec, inputs.shape[1:], classes), 0)
        needed, _ = count_multiply_adds(model, {}, torch.empty_like(inputs[:1], device="meta"))
    sizes = (model.get_parameter(name).numel() for name in choose_layers(model, layers))
    return Narrower(spec, sum(sizes), round(needed))

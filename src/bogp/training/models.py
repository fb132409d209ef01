"""The networks that bogp prunes."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence

from torch import nn

from bogp.errors import SettingError
from bogp.graphs import RelationalGraph, graph_to_mask
from bogp.masks import Mask

ModelFactory = Callable[[], nn.Module]


def mlp(sizes: Sequence[int]) -> nn.Module:
    """Return a multilayer perceptron with ReLU between its linear layers and logits at its end.

    Args:
        sizes: features of the input, of each hidden layer, and the number of classes; images
            are flattened first.

    >>> [tuple(p.shape) for p in mlp([784, 128, 10]).parameters() if p.dim() == 2]
    [(128, 784), (10, 128)]
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise SettingError(f"an mlp of sizes {list(sizes)} cannot be: give two or more, all >= 1")
    layers: list[nn.Module] = [nn.Flatten()]
    for fan_in, fan_out in itertools.pairwise(sizes):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def model_factory(spec: str, features: int, classes: int) -> ModelFactory:
    """Return a function that makes the model ``spec`` for a dataset.

    Args:
        spec: ``"mlp:128"`` is features-128-classes, the paper's network; ``"mlp:128,128,128"``
            has three hidden layers.
        features: numbers in one input.
        classes: number of classes.

    Raises:
        SettingError: the text is not of that form.
    """
    match = re.fullmatch(r"mlp:(\d+(?:,\d+)*)", spec)
    if match is None:
        raise SettingError(f"model {spec!r} is not of the form 'mlp:128' or 'mlp:128,128,128'")
    sizes = [features, *(int(width) for width in match[1].split(",")), classes]
    mlp(sizes)  # A width of zero is refused here, before any work is done.
    return lambda: mlp(sizes)


def relational_network(
    graph: RelationalGraph, rounds: int, width: int, features: int, classes: int
) -> tuple[nn.Module, Mask]:
    """Return the network of a relational graph and a number of message-exchange rounds.

    One round is one hidden layer: its weight is kept where the graph joins the nodes that own
    the two channels, and the same graph serves every round (the paper's §2.2; You et al. 2020,
    §2.3, arXiv 2007.06559). Weights are the message functions, the sum over a row and ReLU the
    aggregation. A dense linear readout turns the last hidden layer into logits.

    Args:
        graph: n nodes, n at most ``min(features, width)``.
        rounds: hidden layers, 1 or more.
        width: channels of each hidden layer, shared among the nodes.
        features: channels of the input.
        classes: logits.

    Raises:
        SettingError: fewer than one round.
        GraphError: the graph has more nodes than a layer has channels.
    """
    if rounds < 1:
        raise SettingError(f"{rounds} message-exchange rounds is too few: give 1 or more")
    model = mlp([features, *[width] * rounds, classes])
    weights = [(name, p.shape) for name, p in model.named_parameters() if p.dim() == 2][:-1]
    mask = Mask({name: graph_to_mask(graph, shape[0], shape[1]) for name, shape in weights})
    return model, mask

"""The networks that bogp prunes, by name."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from bogp.errors import SettingError
from bogp.graphs import RelationalGraph, graph_to_mask
from bogp.masks import Mask
from bogp.training.loop import initialise
from bogp.training.own_model import own_model
from bogp.training.zoo import gpt, lenet_5, lenet_300_100, mlp, resnet, vit

ModelFactory = Callable[[], nn.Module]

_FORMS = (
    "'mlp:128' or 'mlp:128,128,128' (hidden units), 'lenet-300-100', 'lenet-5', 'resnet-8', "
    "'resnet-20', 'vit', 'gpt', or 'package.module:function' for one of your own"
)


def model_factory(spec: str, features: int | Sequence[int], classes: int) -> ModelFactory:
    """Return a function that makes the model ``spec`` for a dataset.

    Args:
        spec: ``"mlp:128"`` is features-128-classes, the paper's network, and ``"mlp:128,128,128"``
            has three hidden layers; ``"lenet-300-100"``, ``"lenet-5"``, ``"resnet-8"`` (any 6n +
            2), ``"vit"`` and ``"gpt"`` are those of :mod:`bogp.training.zoo`, the last four with
            sizes of choice (``"vit:width=48,depth=3"``); ``"package.module:function"`` is what a
            function of the user's returns, called without arguments.
        features: shape of one input, or how many numbers it holds, which is enough for perceptrons
            (and for ``"gpt"``, as the length).
        classes: number of classes; the vocabulary of ``"gpt"``.

    Raises:
        SettingError: the text is of none of these forms, the model cannot take the shape, or the
            function cannot be had, fails, or returns no new nn.Module.

    >>> model_factory("resnet-8:width=4", (8, 8), 10)().fc.in_features
    16
    """
    if match := re.fullmatch(r"mlp:(\d+(?:,\d+)*)", spec):
        sizes = [_number(features), *(int(width) for width in match[1].split(",")), classes]
        return _checked(lambda: mlp(sizes))
    if spec == "lenet-300-100":
        return _checked(lambda: lenet_300_100(_number(features), classes))
    match = re.fullmatch(r"(lenet-5|resnet-\d+|vit|gpt)(?::(.*))?", spec)
    if match is None:
        if is_own(spec):
            return own_model(spec)
        raise SettingError(f"model {spec!r} is unknown: give {_FORMS}")
    name, written = match[1], match[2]
    shape = _shape(name, features)
    sized = _options(spec, _OPTIONS[name.split("-")[0]], written)
    if name == "lenet-5":
        return _checked(lambda: lenet_5(shape, classes))
    if name == "vit":
        return _checked(lambda: vit(shape, classes, **sized))
    if name == "gpt":
        return _checked(lambda: gpt(classes, shape[0], **sized))
    depth = int(name.removeprefix("resnet-"))
    return _checked(lambda: resnet(depth, shape, classes, **sized))


def is_own(spec: str) -> bool:
    """Return whether ``spec`` names a function of the user's."""
    zoo = re.match(r"(mlp|lenet-5|resnet-\d+|vit|gpt):", spec)
    return zoo is None and bool(re.fullmatch(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*", spec))


def _checked(factory: ModelFactory) -> ModelFactory:
    """Return ``factory``, after one call: what is wrong is told before any work is done."""
    initialise(factory, 0)
    return factory


def _number(features: int | Sequence[int]) -> int:
    return features if isinstance(features, int) else math.prod(features)


def _shape(name: str, features: int | Sequence[int]) -> tuple[int, ...]:
    """Return the shape of one input of the model ``name``.

    Raises:
        SettingError: a number for a network of images, or images for one of tokens.
    """
    shape = (features,) if isinstance(features, int) else tuple(features)
    if name == "gpt":
        if len(shape) != 1:
            raise SettingError(
                f"model 'gpt' reads sequences of tokens and cannot take inputs of shape {shape}: "
                "give data of shape (length,)"
            )
    elif len(shape) not in (2, 3):
        given = f"{features} numbers" if isinstance(features, int) else f"inputs of shape {shape}"
        raise SettingError(
            f"model {name!r} needs the shape of an image and was given {given}: give data of shape "
            "(height, width) or (channels, height, width), or use an mlp"
        )
    return shape


_SIZES = ("width", "depth", "heads", "ratio", "attention")
_OPTIONS: Mapping[str, tuple[str, ...]] = {
    "lenet": (),
    "resnet": ("width",),
    "vit": ("patch", "pool", *_SIZES),
    "gpt": _SIZES,
}
"""What may follow a model's name as ``:name=value,name=value``."""


def _options(spec: str, names: Sequence[str], written: str | None) -> dict[str, Any]:
    """Return the options ``written`` after a colon, whole numbers or words, by their names."""
    found: dict[str, Any] = {}
    for part in [] if written is None else written.split(","):
        name, _, value = part.partition("=")
        if name not in names or not value or name in found:
            choice = f"choose from {', '.join(names)}, each once, as in 'width=32'"
            raise SettingError(
                f"model {spec!r} has no option {part!r}: {choice if names else 'leave it out'}"
            )
        found[name] = int(value) if value.isdecimal() else value
    for name, value in found.items():
        if isinstance(value, str) != (name in ("attention", "pool")):
            raise SettingError(f"model {spec!r}: {name} cannot be {value!r}")
    return found


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

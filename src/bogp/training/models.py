"""The networks that bogp prunes, by name: to add a family is a function and a line of the table."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import nn

from bogp.errors import SettingError
from bogp.graphs import RelationalGraph, graph_to_mask
from bogp.masks import Mask
from bogp.training.randomness import ModelFactory, initialise, seeded
from bogp.training.zoo import gpt, lenet_5, lenet_300_100, mlp, resnet, vit
from bogp.user_functions import import_function, is_function_path


@dataclass(frozen=True)
class ModelFamily:
    """The models whose names have one form.

    Attributes:
        form: the name of one of them, as an example.
        help: what they are, in a line.
        pattern: the regular expression of their names; its group, if any, is the variant.
        make: makes one from (variant, shape of one input, classes, **options).
        options: what may follow a name as ``:name=value,name=value``.
        widths: the options that are widths, all of which a narrower network shrinks
            (:func:`bogp.training.narrower`), with what each is by default; empty of perceptrons,
            whose variant lists the widths of their hidden layers.
        heads: heads of attention by default, which divide the width; None without attention.
    """

    form: str
    help: str
    pattern: str
    make: Callable[..., nn.Module]
    options: tuple[str, ...] = ()
    widths: Mapping[str, int] = field(default_factory=dict)
    heads: int | None = None


def _gpt(_: str, shape: Sequence[int], classes: int, **options: Any) -> nn.Module:
    if len(shape) != 1:
        raise SettingError(
            f"gpt reads sequences of tokens and cannot take inputs of shape {tuple(shape)}: "
            "give data of shape (length,)"
        )
    return gpt(classes, shape[0], **options)


_LENET_5 = {"conv1": 6, "conv2": 16, "fc1": 120, "fc2": 84}
_SIZES = ("width", "depth", "heads", "ratio", "attention")

_FAMILIES = (
    ModelFamily(
        "mlp:128",
        "multilayer perceptrons: mlp:300,100 has two hidden layers, of 300 and 100 units",
        r"mlp:(\d+(?:,\d+)*)",
        lambda widths, shape, classes: mlp(
            [math.prod(shape), *map(int, widths.split(",")), classes]
        ),
    ),
    ModelFamily(
        "lenet-300-100",
        "the perceptron of LeCun et al. 1998",
        "lenet-(300-100)",
        lambda _, shape, classes: lenet_300_100(math.prod(shape), classes),
    ),
    ModelFamily(
        "lenet-5",
        "the convolutional network of LeCun et al. 1998, for images",
        "lenet-5",
        lambda _, shape, classes, **options: lenet_5(shape, classes, **options),
        tuple(_LENET_5),
        _LENET_5,
    ),
    ModelFamily(
        "resnet-8",
        "residual networks of 6n + 2 layers (He et al. 2016), for images: resnet-20, say",
        r"resnet-(\d+)",
        lambda depth, shape, classes, **options: resnet(int(depth), shape, classes, **options),
        ("width",),
        {"width": 16},
    ),
    ModelFamily(
        "vit",
        "a small vision transformer (Dosovitskiy et al. 2021), for images",
        "vit",
        lambda _, shape, classes, **options: vit(shape, classes, **options),
        ("patch", "pool", *_SIZES),
        {"width": 32},
        4,
    ),
    ModelFamily(
        "gpt",
        "a small causal language model (Radford et al. 2019), for token numbers",
        "gpt",
        _gpt,
        _SIZES,
        {"width": 32},
        4,
    ),
)

MODELS = {family.form: family for family in _FAMILIES}
"""The families of models, by the name of one of each."""


def model_factory(spec: str, features: int | Sequence[int], classes: int) -> ModelFactory:
    """Return a function that makes the model ``spec`` for a dataset.

    Args:
        spec: ``"mlp:128"`` is features-128-classes, the paper's network, and ``"mlp:128,128,128"``
            has three hidden layers; ``"lenet-300-100"``, ``"lenet-5"``, ``"resnet-8"`` (any 6n +
            2), ``"vit"`` and ``"gpt"`` are those of :mod:`bogp.training.zoo`, the last three with
            sizes of choice (``"vit:width=48,depth=3"``); ``"package.module:function"`` is what a
            function of your own returns, called without arguments.
        features: shape of one input, or how many numbers it holds, which is enough for perceptrons
            (and for ``"gpt"``, as the length).
        classes: number of classes; the vocabulary of ``"gpt"``.

    Raises:
        SettingError: the text is of none of these forms, the model cannot take the shape, or the
            function cannot be had, fails, or returns no new nn.Module.

    >>> model_factory("resnet-8:width=4", (8, 8), 10)().fc.in_features
    16
    """
    if not isinstance(spec, str):
        raise SettingError(
            f"model {spec!r} is none: give {', '.join(map(repr, MODELS))}, or "
            "'package.module:function'"
        )
    found = read_spec(spec)
    if found is not None:
        shape = (features,) if isinstance(features, int) else tuple(features)
        factory = partial(found.family.make, found.variant, shape, classes, **found.options)
        initialise(factory, 0)  # what is wrong with it is told before any work is done
        return factory
    if is_user_function(spec):
        return _user_model(spec)
    raise SettingError(
        f"model {spec!r} is unknown: give {', '.join(map(repr, MODELS))}, or "
        "'package.module:function' for one of your own"
    )


@dataclass(frozen=True)
class ModelSpec:
    """The name of a model, taken apart.

    Attributes:
        name: all of it but the options.
        family: of :data:`MODELS`.
        variant: what its pattern's group matched, ``"300,100"`` of ``"mlp:300,100"``.
        options: those that are written, by their names.
    """

    name: str
    family: ModelFamily
    variant: str
    options: Mapping[str, Any]


def read_spec(spec: str) -> ModelSpec | None:
    """Return the parts of the name ``spec`` of a model; None where it is of no family of bogp's.

    Raises:
        SettingError: an option that the family does not have.

    >>> read_spec("resnet-20:width=8").variant, read_spec("mine.models:small")
    ('20', None)
    """
    for family in MODELS.values():
        match = re.fullmatch(rf"{family.pattern}(?::(.*))?", spec)
        if match is not None:
            *variant, written = match.groups()
            name = spec if written is None else spec.removesuffix(f":{written}")
            options = _options(spec, family.options, written)
            return ModelSpec(name, family, "".join(variant), options)
    return None


def is_user_function(spec: str) -> bool:
    """Return whether the model ``spec`` is a function of the user's, and no family of bogp's."""
    own = {form.partition(":")[0] for form in MODELS}
    return is_function_path(spec) and spec.partition(":")[0] not in own


def _user_model(source: str) -> ModelFactory:
    """Return the function ``"package.module:function"``, after two calls to see that it works.

    Raises:
        SettingError: the import, the function or a call fails, or it returns something else than
            an nn.Module, or the same one twice.
    """
    # What a module draws while it is imported must not move the global random state either.
    with seeded(0):
        function = import_function(source, "model", "an nn.Module", SettingError)

    def make() -> nn.Module:
        model = function()
        if not isinstance(model, nn.Module):
            raise SettingError(
                f"{source!r} returned a {type(model).__name__}: it must return an nn.Module"
            )
        return model

    with seeded(0):
        first, second = make(), make()
    if any(p is q for p, q in zip(first.parameters(), second.parameters(), strict=False)):
        raise SettingError(
            f"{source!r} returned the same model twice, so that no seed could change its initial "
            "weights: make a new one in each call"
        )
    return make


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

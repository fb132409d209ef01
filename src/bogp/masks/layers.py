"""Which weights of a network are to be pruned."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from torch import nn

from bogp.errors import LayerCollapseWarning as LayerCollapseWarning
from bogp.errors import MaskError, UnknownNameError
from bogp.masks.described import KINDS as KINDS
from bogp.masks.described import PrunableLayer as PrunableLayer
from bogp.masks.described import described_layers as described_layers
from bogp.masks.described import prunable_layers as prunable_layers


def choose_layers(
    model: nn.Module,
    layers: str | Sequence[str] = "all",
    *,
    types: str | Sequence[str] | None = None,
    include: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    skip_first: bool = False,
    skip_last: bool = False,
) -> tuple[str, ...]:
    """Return the names of the weights to prune, in the order of the model's parameters.

    Args:
        model: any network.
        layers: ``"all"``, ``"hidden"`` (all but the last) or exact parameter names, as in
            :func:`prunable`; what follows chooses among these.
        types: kinds to keep, of ``KINDS``.
        include: shell patterns; a layer is kept if its parameter's or its module's name matches
            one. ``*`` matches dots too: ``"blocks.*"`` is everything below ``blocks``.
        exclude: shell patterns of layers to leave out.
        skip_first: leave out the model's first prunable layer.
        skip_last: leave out its last one.

    Raises:
        MaskError: nothing is left to prune, or a pattern matches no layer.
        UnknownNameError: no such kind.

    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 2))
    >>> choose_layers(model, types="linear", skip_last=True)
    ('2.weight',)
    """
    everything = prunable_layers(model)
    names = set(prunable(model, layers))
    if types is not None:
        kinds = _listed(types)
        for kind in kinds:
            if kind not in KINDS:
                raise UnknownNameError("kind of layer", kind, KINDS)
        names &= {layer.name for layer in everything if layer.kind in kinds}
    if include is not None:
        names &= _matching(everything, _listed(include), "include")
    if exclude is not None:
        names -= _matching(everything, _listed(exclude), "exclude")
    if skip_first:
        names -= {everything[0].name}
    if skip_last:
        names -= {everything[-1].name}
    if not names:
        raise MaskError(
            "no layer is left to prune: the model's are "
            f"{_spelled(layer.name for layer in everything)}; leave fewer of them out"
        )
    return tuple(layer.name for layer in everything if layer.name in names)


def prunable(model: nn.Module, layers: str | Sequence[str] = "hidden") -> tuple[str, ...]:
    """Return the names of the weights to prune, biases never among them.

    ``layers="all"`` takes every layer of :func:`prunable_layers`; ``"hidden"`` takes those that
    feed a hidden layer: all but the last (the paper's §6.3: masks "prune the hidden layer"). Names
    of parameters are returned in the order of the model's.

    Raises:
        MaskError: the model has no such weight, or ``layers`` is neither word nor names of weights
            that can be pruned.
    """
    names = tuple(layer.name for layer in prunable_layers(model))
    if not isinstance(layers, str):
        return _exact(model, names, layers)
    if layers not in ("hidden", "all"):
        raise MaskError(f"layers {layers!r} is unknown: choose 'hidden' or 'all'")
    if not names:
        raise MaskError(f"the model has no weights to prune: {_why_nothing(model)}")
    chosen = names if layers == "all" else names[:-1]
    if not chosen:
        raise MaskError(
            f"the model has no hidden weights to prune ({names[0]!r} is its only layer): "
            "choose layers 'all'"
        )
    return chosen


def _exact(model: nn.Module, names: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Return ``wanted`` in the order of ``names``, or raise MaskError where one is not there."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for name in wanted:
        if name in names:
            continue
        if name not in parameters:
            raise MaskError(f"the model has no parameter {name!r}: it has {_spelled(names)}")
        first = next(n for n, p in model.named_parameters() if p is parameters[name])
        if first in names:
            raise MaskError(f"{name!r} is the same weight as {first!r}: name that one")
        if not parameters[name].requires_grad:
            raise MaskError(
                f"{name!r} is frozen (requires_grad is False): leave it out or call "
                "requires_grad_(True) on it"
            )
        raise MaskError(
            f"{name!r} is not the weight of a layer that bogp prunes: choose from {_spelled(names)}"
        )
    if not wanted:
        raise MaskError(f"no layer is named to be pruned: choose from {_spelled(names)}")
    return tuple(name for name in names if name in set(wanted))


def _matching(layers: Sequence[PrunableLayer], patterns: Sequence[str], what: str) -> set[str]:
    """Return the names of the layers that match any of ``patterns``."""
    found: set[str] = set()
    for pattern in patterns:
        names = {
            layer.name
            for layer in layers
            if fnmatchcase(layer.name, pattern) or fnmatchcase(layer.module, pattern)
        }
        if not names:
            raise MaskError(
                f"{what} pattern {pattern!r} matches no layer: the model has "
                f"{_spelled(layer.name for layer in layers)}"
            )
        found |= names
    return found


def _why_nothing(model: nn.Module) -> str:
    """Say what a model without prunable weights has instead."""
    if frozen := described_layers(model):
        return (
            f"all of its layers are frozen ({frozen[0].name!r}, ...): call requires_grad_(True) "
            "on those to prune"
        )
    types = {
        type(module).__name__: None
        for module in model.modules()
        if next(module.parameters(recurse=False), None) is not None
    }
    has = f"its parameters are of {', '.join(types)}" if types else "it has no parameters"
    return f"{has}; bogp prunes Linear, Conv1d, Conv2d, Conv3d and MultiheadAttention"


def _listed(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)


def _spelled(names: Iterable[str]) -> str:
    """Return names with commas between, the middle of a long list left out."""
    quoted = [repr(name) for name in names]
    return ", ".join(quoted if len(quoted) <= 8 else [*quoted[:4], "...", *quoted[-3:]]) or "none"

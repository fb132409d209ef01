"""The weights of a network that are to be pruned, and what must hold before they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

import torch
from torch import nn

from bogp.errors import MaskError, SparsityError, UnknownNameError
from bogp.masks.layers import KINDS, PrunableLayer, prunable_layers
from bogp.masks.select import SCOPES
from bogp.sparsity import kept_count


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
        layers: ``"all"`` takes every layer of :func:`prunable_layers`; ``"hidden"`` takes those
            that feed a hidden layer, which are all but the last (the paper's §6.3: masks "prune the
            hidden layer"); a sequence names parameters. The other arguments choose among these.
        types: kinds to keep, of ``KINDS``.
        include: shell patterns; a layer is kept if its parameter's or its module's name matches
            one. ``*`` matches dots too: ``"blocks.*"`` is everything below ``blocks``.
        exclude: shell patterns of layers to leave out.
        skip_first: whether to leave out the model's first prunable layer.
        skip_last: whether to leave out its last one.

    Raises:
        MaskError: nothing is left to prune, ``layers`` is neither such a word nor names of weights
            that can be pruned, or a pattern matches no layer.
        UnknownNameError: no such kind.

    >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 2))
    >>> choose_layers(model, types="linear", skip_last=True)
    ('2.weight',)
    """
    everything = prunable_layers(model)
    names = _by_word(model, everything, layers)
    if types is not None:
        kinds = _listed(types)
        for kind in kinds:
            if kind not in KINDS:
                raise UnknownNameError("kind of layer", kind, KINDS)
        names &= {layer.name for layer in everything if layer.kind in kinds}
    spellings = {layer.name: (layer.name, layer.module) for layer in everything}
    owner = f"layer: the model has {_spelled(spellings)}"
    if include is not None:
        names &= matching(spellings, include, "include pattern", owner)
    if exclude is not None:
        names -= matching(spellings, exclude, "exclude pattern", owner)
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


def matching(
    spellings: Mapping[str, Sequence[str]], patterns: str | Sequence[str], what: str, owner: str
) -> set[str]:
    """Return the names of which a spelling matches one of the shell ``patterns``.

    Raises:
        MaskError: a pattern matches none; the sentence begins with ``what`` and ends in ``owner``.

    >>> matching({"0.weight": ("0.weight", "0")}, "0", "pattern", "weight: there is one")
    {'0.weight'}
    """
    found: set[str] = set()
    for pattern in _listed(patterns):
        names = {
            name
            for name, spelled in spellings.items()
            if any(fnmatchcase(spelling, pattern) for spelling in spelled)
        }
        if not names:
            raise MaskError(f"{what} {pattern!r} matches no {owner}")
        found |= names
    return found


def check_weights(model: nn.Module, names: Sequence[str]) -> None:
    """Raise :class:`MaskError` if a weight of the parameters ``names`` is NaN or infinite.

    >>> layer = nn.Linear(2, 1)
    >>> layer.weight.data[0, 1] = torch.nan
    >>> check_weights(layer, ["weight"])
    Traceback (most recent call last):
    bogp.errors.MaskError: 1 of the 2 weights of 'weight' is NaN or infinite: give a model that ...
    """
    for name in names:
        weight = model.get_parameter(name).detach()
        wrong = weight.numel() - int(torch.isfinite(weight).sum())
        if wrong:
            raise MaskError(
                f"{wrong} of the {weight.numel()} weights of {name!r} "
                f"{'is' if wrong == 1 else 'are'} NaN or infinite: give a model that has not "
                "diverged, or initialise this layer anew"
            )


def check_room(
    model: nn.Module, names: Sequence[str], sparsity: float, scope: str = "global"
) -> None:
    """Raise :class:`SparsityError` if ``sparsity`` must leave a layer without a weight.

    With the scope ``"global"`` it must where fewer weights are kept than there are layers. The
    other scopes' counts follow from the shapes, and there it must where a layer's count is 0.

    Raises:
        SparsityError: a layer would be empty, or ``sparsity`` is not in [0, 1).
        UnknownNameError: no such scope.

    >>> model = nn.Sequential(nn.Linear(100, 10), nn.Linear(10, 2))
    >>> check_room(model, ["0.weight", "1.weight"], 0.98, "global")
    >>> check_room(model, ["0.weight", "1.weight"], 0.98, "uniform")
    Traceback (most recent call last):
    bogp.errors.SparsityError: sparsity 0.98 leaves none of the 20 weights of '1.weight' ...
    """
    if scope not in SCOPES:
        raise UnknownNameError("scope", scope, SCOPES)
    whole = {name: torch.ones_like(model.get_parameter(name), dtype=torch.bool) for name in names}
    sizes = {name: layer.numel() for name, layer in whole.items()}
    kept = kept_count(sum(sizes.values()), sparsity)
    if kept < len(sizes):
        narrow = min(sizes, key=lambda name: sizes[name])
        raise SparsityError(
            f"sparsity {sparsity} keeps {kept} weights for {len(sizes)} layers, so that one "
            f"({narrow!r} of {sizes[narrow]} weights, say) would be empty: take a sparsity of at "
            f"most {1 - len(sizes) / sum(sizes.values()):.6g}"
        )
    if scope == "global":
        return
    counts, _ = SCOPES[scope](whole, whole, kept, 0)
    for name, count in zip(names, counts, strict=True):
        if count == 0:
            raise SparsityError(
                f"sparsity {sparsity} leaves none of the {sizes[name]} weights of {name!r} with "
                f"scope {scope!r}: leave this layer out of pruning or take a lower sparsity"
            )


def _by_word(
    model: nn.Module, everything: Sequence[PrunableLayer], layers: str | Sequence[str]
) -> set[str]:
    """Return the names of the layers that ``layers`` says, a word or names of parameters."""
    names = [layer.name for layer in everything]
    if not isinstance(layers, str):
        _check_exact(model, names, layers)
        return set(layers)
    if layers not in ("hidden", "all"):
        raise MaskError(f"layers {layers!r} is unknown: choose 'hidden' or 'all'")
    if not names:
        raise MaskError(f"the model has no weights to prune: {_why_nothing(model)}")
    if layers == "all":
        return set(names)
    if len(names) == 1:
        raise MaskError(
            f"the model has no hidden weights to prune ({names[0]!r} is its only layer): "
            "choose layers 'all'"
        )
    return set(names[:-1])


def _check_exact(model: nn.Module, names: Sequence[str], wanted: Sequence[str]) -> None:
    """Raise MaskError, with the reason, unless each of ``wanted`` is one of ``names``."""
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


def _why_nothing(model: nn.Module) -> str:
    """Return what a model without a layer to prune has instead."""
    if frozen := prunable_layers(model, with_frozen=True):
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

"""What must hold before weights are pruned, and what may come of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from bogp.errors import MaskError, SparsityError, UnknownNameError
from bogp.masks.scopes import SCOPES
from bogp.sparsity import kept_count


def check_weights(model: nn.Module, names: Sequence[str]) -> None:
    """Raise :class:`MaskError` if a weight of the parameters ``names`` is NaN or infinite.

    >>> layer = nn.Linear(2, 1)
    >>> layer.weight.data[0, 1] = torch.nan
    >>> check_weights(layer, ["weight"])
    Traceback (most recent call last):
    bogp.errors.MaskError: 1 of the 2 weights of 'weight' is NaN or infinite: give a model that ...
    """
    parameters = dict(model.named_parameters())
    for name in names:
        weight = parameters[name].detach()
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

    With the scope ``"global"`` that is where fewer weights are kept than there are layers; with
    the others, whose numbers follow from the shapes, where a layer's number is 0.

    Raises:
        SparsityError: no room, or ``sparsity`` is not in [0, 1).
        UnknownNameError: no such scope.

    >>> model = nn.Sequential(nn.Linear(100, 10), nn.Linear(10, 2))
    >>> check_room(model, ["0.weight", "1.weight"], 0.98, "global")
    >>> check_room(model, ["0.weight", "1.weight"], 0.98, "uniform")
    Traceback (most recent call last):
    bogp.errors.SparsityError: sparsity 0.98 leaves none of the 20 weights of '1.weight' ...
    """
    if scope not in SCOPES:
        raise UnknownNameError("scope", scope, SCOPES)
    parameters = dict(model.named_parameters())
    sizes = {name: parameters[name].numel() for name in names}
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
    whole = {name: torch.ones_like(parameters[name], dtype=torch.bool) for name in names}
    counts, _ = SCOPES[scope](whole, whole, kept, 0)
    for name, count in zip(names, counts, strict=True):
        if count == 0:
            raise SparsityError(
                f"sparsity {sparsity} leaves none of the {sizes[name]} weights of {name!r} with "
                f"scope {scope!r}: leave this layer out of pruning or take a lower sparsity"
            )


def collapsed(mask: Mapping[str, Tensor]) -> tuple[str, ...]:
    """Return the layers of which ``mask`` keeps no weight: layer collapse.

    Tanaka et al. 2020 (arXiv 2006.05467), section 3: such a layer lets nothing through, so that a
    network without a way around it cannot be trained.

    >>> collapsed({"a": torch.tensor([True]), "b": torch.tensor([False])})
    ('b',)
    """
    return tuple(name for name, layer in mask.items() if not layer.any())

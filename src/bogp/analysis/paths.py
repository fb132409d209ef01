"""Which units of a chain of pruned layers still carry anything: dead units, weights on a path.

Layers are a *chain* where each takes what the one before it gives, and nothing goes round it. A
unit of a chain is *dead* if no path of kept weights leads to it from an input, so that it is
constant, or none from it to an output, so that nobody reads it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from bogp.analysis.bipartite_graph import multiplicities
from bogp.errors import MaskError
from bogp.graphs.relational import as_bool
from bogp.types import BoolArray

_BESIDE = re.compile(
    r"(?:^|[._])(?:to_)?(?:q|k|v|qkv|query|key|value|attn|self_attn|attention|in_proj|downsample|"
    r"shortcut|skip)(?:_proj|_weight)?(?:[._]|\d|$)",
    re.IGNORECASE,
)

MOST_GROUPS = 5
"""Groups of layers of which every order is tried."""


def joint(before: Sequence[int], after: Sequence[int]) -> int | None:
    """Return how many inputs of a layer each output of the one before feeds; None if none fit.

    Args:
        before: shape of the weight of the layer before, (out, in, *kernel).
        after: shape of the weight of the next layer.

    It is 1 where the numbers are equal, and the places of a feature map where a convolution is
    flattened into a linear layer, channel by channel.

    >>> joint((16, 6, 5, 5), (120, 400)), joint((16, 8), (4, 16)), joint((16, 8), (4, 32))
    (25, 1, None)
    """
    outputs, inputs = before[0], after[1]
    if inputs == outputs:
        return 1
    flattened = len(before) > 2 and len(after) == 2
    return inputs // outputs if flattened and inputs % outputs == 0 else None


def chain_order(shapes: Mapping[str, Sequence[int]]) -> tuple[str, ...] | None:
    """Return the names of layers in the order in which they form a chain, None if in none.

    A state dict has its layers in the order in which the model was put together; a safetensors
    file sorts their names, so that ``10.weight`` comes before ``2.weight``. Tried in turn: the
    order given, unless it is that of the alphabet; names with their numbers read as numbers; and
    the groups that share a name up to the first number (``features``, ``classifier``), each in
    that order, if only one order of the groups fits.

    Args:
        shapes: name → shape of the weight (out, in, *kernel), inputs of all groups counted.

    >>> chain_order({"10.weight": (3, 8), "2.weight": (8, 5)})
    ('2.weight', '10.weight')
    """
    given, natural = tuple(shapes), tuple(sorted(shapes, key=_natural))
    likely = natural if given == tuple(sorted(given)) else given
    for order in (likely, natural):
        if misfit(shapes, order) is None:
            return order
    groups: dict[Any, list[str]] = {}
    for name in natural:
        groups.setdefault(_natural(name)[0], []).append(name)
    if len(groups) > MOST_GROUPS:
        return None
    orders = [
        tuple(itertools.chain.from_iterable(order))
        for order in itertools.permutations(groups.values())
    ]
    fitting = [order for order in orders if misfit(shapes, order) is None]
    return fitting[0] if len(fitting) == 1 else None


def beside(names: Iterable[str]) -> str | None:
    """Return the first layer whose name says that others run beside it; None if none does.

    Queries, keys and values take the same inputs and shortcuts go round other layers, yet their
    shapes may well fit into a row.

    >>> beside(["conv1.weight", "layer2.0.downsample.0.weight"])
    'layer2.0.downsample.0.weight'
    """
    return next((name for name in names if _BESIDE.search(name)), None)


def misfit(shapes: Mapping[str, Sequence[int]], order: Sequence[str]) -> tuple[str, str] | None:
    """Return the first two layers in a row that do not fit one another, None if all do."""
    for before, after in itertools.pairwise(order):
        if joint(shapes[before], shapes[after]) is None:
            return before, after
    return None


def _natural(name: str) -> tuple[str | int, ...]:
    """Return a key that sorts names with their numbers as numbers; text and numbers alternate."""
    return tuple(int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", name))


def chain_paths(masks: Sequence[Any]) -> tuple[BoolArray, ...]:
    """Return which kept weights of a chain of layers are on a path from its first to its last.

    Removing the weights of dead units makes further units dead, and so on to the fixed point; a
    pass from the front and one from the back give the same at once. The weights on a path are those
    that the effective sparsity counts (Vysogorets & Kempe 2023, "Connectivity Matters").

    Args:
        masks: bool arrays or tensors (out, in, *kernel) that follow one another, see
            :func:`joint`.

    Returns:
        One bool array (out, in, *kernel) a mask.

    Raises:
        MaskError: two layers in a row do not fit, or there is none.

    >>> first, second = np.array([[1, 1], [0, 0]]), np.array([[1, 1]])
    >>> chain_paths([first, second])[1].tolist()  # the second unit is constant: its weight is idle
    [[True, False]]
    """
    if not len(masks):
        raise MaskError("a chain of no layers has no path: give the mask of one layer or more")
    weights = [multiplicities(mask) > 0 for mask in masks]
    joints = [1]
    for number, (before, after) in enumerate(itertools.pairwise(masks), 1):
        factor = joint(before.shape, after.shape)
        if factor is None:
            raise MaskError(
                f"layer {number} of the chain has {before.shape[0]} outputs and layer {number + 1} "
                f"has {after.shape[1]} inputs: give layers that follow one another"
            )
        joints.append(factor)
    found = []
    fed, read = _fed(weights, joints), _read(weights, joints)
    for mask, inputs, outputs in zip(masks, fed, read, strict=True):
        kept = as_bool(mask, "a mask")
        live = np.logical_and.outer(outputs, inputs)
        found.append(kept & live.reshape(live.shape + (1,) * (kept.ndim - 2)))
    return tuple(found)


def dead_units(on_path: Any) -> tuple[int, int]:
    """Return how many inputs and how many outputs of a layer are dead.

    Args:
        on_path: bool array or tensor (out, in, *kernel): its weights that are on a path.

    >>> dead_units(np.array([[1, 0, 0], [0, 0, 0]]))
    (2, 1)
    """
    joined = multiplicities(on_path) > 0
    return int((~joined.any(axis=0)).sum()), int((~joined.any(axis=1)).sum())


def _fed(weights: Sequence[BoolArray], joints: Sequence[int]) -> list[BoolArray]:
    """Return of each layer the inputs that a path leads to from the front."""
    found = []
    reached: BoolArray = np.ones(weights[0].shape[1], dtype=np.bool_)
    for kept, factor in zip(weights, joints, strict=True):
        found.append(np.repeat(reached, factor))
        reached = np.asarray(kept[:, found[-1]].any(axis=1))
    return found


def _read(weights: Sequence[BoolArray], joints: Sequence[int]) -> list[BoolArray]:
    """Return of each layer the outputs from which a path leads to the end."""
    found = []
    read: BoolArray = np.ones(len(weights[-1]), dtype=np.bool_)
    for kept, factor in zip(reversed(weights), reversed(joints), strict=True):
        found.append(read)
        read = np.asarray(kept[read].any(axis=0).reshape(-1, factor).any(axis=1))
    return found[::-1]

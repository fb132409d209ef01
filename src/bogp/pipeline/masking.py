"""A mask without any training: what one pruning round makes of the weights that a model has."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from torch import nn

from bogp.data import Dataset, Split, from_datasets, load_dataset, split
from bogp.errors import SettingError
from bogp.masks import Granularity, Mask, check_room, check_weights, choose_layers
from bogp.pipeline.rounds import warn_of_collapse
from bogp.pipeline.scoring import method_examples
from bogp.sparsify import Method, Support, chosen_method, make_mover


def mask(
    model: nn.Module,
    data: Any = None,
    *,
    method: Method | str = "magnitude",
    sparsity: float = 0.9,
    granularity: Granularity | str | None = None,
    block: int | None = None,
    support: Support = None,
    layers: str | Sequence[str] = "all",
    seed: int = 0,
) -> Mask:
    """Return the mask that ``method`` gives ``model`` as it is, in one pruning round.

    It is the mask that :func:`bogp.prune` trains with where the method, the weights and the seed
    are the same. ``mask.apply(model)`` then prunes the model.

    Args:
        model: the network whose weights are scored; it is not changed.
        data: what criteria that run the network (SNIP, GraSP, SynFlow) score on; others need none.
            A :func:`bogp.split`, of which the training part is used, or what :func:`bogp.prune`
            takes as ``train``, with the same part of it held out.
        method: a name of :data:`bogp.sparsify.METHODS`, ``"magnitude"``, or a
            :class:`bogp.Method` of one pruning round without ``pretrain``.
        sparsity: the share of the weights of the chosen layers to remove.
        granularity: what is kept or pruned together: ``"weight"``, ``"block"`` or ``"channel"``, or
            a :class:`bogp.Granularity`, instead of the method's own; channels need ``data``.
        block: channels of a node, of blocks.
        support: bounds the mask: a relational graph, one for each layer, a graph to draw, or a
            mask (:func:`bogp.sparsify.find_support`); by default every weight may be kept.
        layers: ``"all"``, ``"hidden"`` (all but the last) or names of parameters, those of
            :func:`bogp.choose_layers` say.
        seed: of all that is random about the mask.

    Raises:
        SettingError: a method that trains between pruning rounds, or a criterion that runs the
            network, without data or with data that the model cannot take.
        UnknownNameError: no such method, criterion, scope or schedule.
        SparsityError: a sparsity out of range, one that leaves a layer without a weight, or more
            weights to keep than the support has.
        MaskError, GraphError: a support that does not fit, nothing to prune, weights that are NaN.
        DataError: data that cannot be read, or labels that are none of the model's classes.

    Warns:
        LayerCollapseWarning: the mask keeps no weight of some layer.

    >>> import bogp
    >>> model = bogp.mlp([8, 16, 2])
    >>> found = bogp.mask(model, sparsity=0.5, method="magnitude")
    >>> found.kept, found.total
    (80, 160)
    >>> ring = bogp.generate("ring_lattice", 8, 12, seed=0)
    >>> bogp.mask(model, sparsity=0.7, method="random", support=ring, layers="hidden").kept
    38
    """
    chosen = chosen_method(method, granularity=granularity, block=block)
    if chosen.rounds > 1 or chosen.pretrain:
        trained = "before the first" if chosen.rounds == 1 else f"between its {chosen.rounds}"
        raise SettingError(
            f"method {method!r} trains the network {trained} pruning rounds, and a mask trains "
            "nothing: call bogp.prune, or give a method of one round without pretrain"
        )
    if not isinstance(model, nn.Module):
        raise SettingError(f"model {model!r} is none: give a torch.nn.Module")
    if chosen.moves is not None:
        raise SettingError(
            f"method {method!r} moves its mask while it trains, and a mask trains nothing: call "
            "bogp.prune, or hold it through your own training with bogp.Sparsifier"
        )
    numbers: tuple[Any, Any] = sparsity, seed
    if isinstance(numbers[0], str) or not isinstance(numbers[1], int):
        raise SettingError(
            f"sparsity {sparsity!r} and seed {seed!r}: give a number, 0.9 say, and a whole number"
        )
    names = choose_layers(model, layers)
    check_weights(model, names)
    check_room(model, names, sparsity, chosen.scope)
    parts = _split(data)
    mover = make_mover(
        model,
        chosen,
        sparsity,
        layers=names,
        support=support,
        seed=seed,
        examples=(None if parts is None else parts.train_inputs[:1], None),
    )
    mover = replace(mover, examples=method_examples(model, parts, chosen, seed))
    found = mover.moved(0, model, mover.support)
    warn_of_collapse(found, 2)
    return found


def _split(data: Any) -> Split | None:
    """Return the parts of the data, of which the training part is scored on."""
    if data is None or isinstance(data, Split):
        return data
    if isinstance(data, str | os.PathLike):
        data = load_dataset(data)
    return split(data if isinstance(data, Dataset) else from_datasets(data), "holdout", seed=0)

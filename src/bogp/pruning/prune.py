"""`prune`: from a model, data and a sparsity to the model pruned, trained and weighed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from bogp.data import Dataset, from_datasets, load_dataset, split
from bogp.errors import SettingError, check_sparsity
from bogp.masks import check_room, check_weights, choose_layers, prunable_layers
from bogp.pipeline import Method
from bogp.pipeline.bench import Work
from bogp.pipeline.given import GivenModel, network_factory, shared_model
from bogp.pipeline.methods import pruning_method
from bogp.pipeline.own_model import graphs_for, prune_by_method, prune_by_search
from bogp.pipeline.pool_settings import pool_settings
from bogp.pipeline.pruning import warn_of_collapse
from bogp.pruning.result import PruneResult
from bogp.study import FinishedTrial
from bogp.training import Recipe, evaluate, initialise
from bogp.training.checks import check_fit, check_step
from bogp.types import Progress

Model = nn.Module | Callable[[], nn.Module] | str

_STEPS = 1500
"""Steps that a network of a small data set is trained for, about."""


def standard_recipe(examples: int) -> Recipe:
    """Return the training of one's own model if no recipe is given: Adam, one-cycle rate to 0.002.

    About 1,500 steps in 3 to 30 epochs. It is meant to train most small networks well enough to
    compare masks; give a recipe of your own for more.

    >>> standard_recipe(1_197).epochs, standard_recipe(50_000).epochs
    (30, 4)
    """
    batch = 64 if examples < 5_000 else 128
    while examples % batch == 1:  # batch normalisation cannot train on one example
        batch += 1
    epochs = -(-_STEPS // -(-examples // batch))
    return Recipe(
        learning_rate=2e-3,
        batch_size=batch,
        epochs=min(30, max(3, epochs)),
        schedule="one_cycle",
    )


def prune(
    model: Model,
    train: Any,
    val: Any = None,
    test: Any = None,
    *,
    sparsity: float = 0.9,
    method: Method | str | None = None,
    trials: int | None = None,
    recipe: Recipe | str | None = None,
    layers: str | Sequence[str] = "all",
    types: str | Sequence[str] | None = None,
    include: str | Sequence[str] | None = None,
    exclude: str | Sequence[str] | None = None,
    skip_first: bool = False,
    skip_last: bool = False,
    share: str | None = None,
    nodes: int | None = None,
    criteria: Sequence[str] | None = None,
    rounds: Sequence[int] | int | None = None,
    final_seeds: int = 3,
    controls: bool = True,
    study: str | os.PathLike[str] | None = None,
    name: str | None = None,
    workers: int = 1,
    device: str = "cpu",
    seed: int = 0,
    progress: Progress | None = None,
    on_trial: Callable[[FinishedTrial], None] | None = None,
) -> PruneResult:
    """Return ``model`` pruned to ``sparsity`` and trained, with what there is to say for it.

    Without a ``method`` bogp searches: relational graphs as supports × their density × criteria
    (random, magnitude, SNIP, GraSP, SynFlow) form a pool, Bayesian optimisation chooses which to
    train, and the validation set selects. The known methods are points of that pool, and one of
    each criterion is tried first. The winner is then trained on fresh seeds beside the dense
    network, random search's winner and controls, and the test set is opened for them once.

    Args:
        model: a ``torch.nn.Module``, which is pruned from the weights that it has and is itself
            never changed; or a function that makes one (or its ``"package.module:function"``, or a
            name such as ``"lenet-5"``), which is called for each seed, so that seeds differ in
            initial weights too. It gives logits: (N, classes), or (N, T, classes) for targets
            (N, T).
        train: what trains: a map-style torch Dataset of (tensor, int) pairs, a pair of tensors, a
            :class:`bogp.Dataset`, or the name or path of one (:func:`bogp.load_dataset`), which
            says all three.
        val: what selects; without it a sixth of ``train`` is held out.
        test: what reports; without it half of ``val``, or a sixth of ``train``, is put by.
        sparsity: share of the weights of the chosen layers to remove.
        method: how to prune, instead of a search: a name of :data:`bogp.pipeline.METHODS`
            (``"snip"``, ``"glob5"``, ``"imp"``) or a :class:`bogp.Method`.
        trials: trainings of the search, 24 if not given; random search gets as many. A study can
            go on with more, from 24 on.
        recipe: training of each pruning round, or its name or TOML file; by default
            :func:`bogp.pruning.standard_recipe`.
        layers: which weights to prune: ``"all"``, ``"hidden"`` (all but the last) or names of
            parameters; what follows chooses among these (:func:`bogp.choose_layers`).
        types: kinds of layers to prune: ``"linear"``, ``"conv2d"``, ``"attention"`` ...
        include: shell patterns of names to prune.
        exclude: shell patterns of names to leave alone.
        skip_first: whether to leave the model's first layer alone.
        skip_last: whether to leave its last layer alone.
        share: which layers have a graph in common: those of the ``"model"``, if not given, of a
            ``"stage"``, or each ``"layer"`` its own.
        nodes: of the graphs; by default what most weights' layers can carry, up to 64.
        criteria: that the search chooses among; all of :data:`bogp.criteria.CRITERIA` if none are
            given.
        rounds: numbers of pruning rounds that it chooses among; one if not given.
        final_seeds: fresh seeds of the winner and of what stands beside it, at least 1.
        controls: whether to train random search and the controls too: evidence that it is the
            wiring and the criterion, and more than twice the training.
        study: file or URL that keeps the search, so that a killed one goes on.
        name: of the study in it; by default the key of its settings.
        workers: processes that train; results do not depend on it.
        device: where torch trains, ``"cuda"`` say.
        seed: of everything that is drawn, but for what is held out and put by, which is the same
            for all seeds.
        progress: called with (trainings done, trainings in all), of one method with fresh seeds.
        on_trial: called with each trial of the search as it ends.

    Raises:
        SettingError, UnknownNameError: a setting out of range or unknown, or a model that cannot be
            copied or cannot take the data.
        MaskError: nothing to prune, a pattern that matches nothing, weights that are NaN.
        SparsityError: a sparsity out of range, or one that leaves a layer without a weight.
        DataError: data that cannot be read, whose parts do not fit, or with labels out of range.
        StudyError: the study is in use, or was made with other settings.

    Warns:
        LayerCollapseWarning: a method that leaves a layer without a weight.

    >>> import torch, bogp
    >>> inputs, targets = torch.rand(96, 8), torch.arange(96) % 2
    >>> result = bogp.prune(
    ...     bogp.mlp([8, 16, 2]), (inputs, targets), sparsity=0.5, method="magnitude", final_seeds=1
    ... )
    >>> result.mask.sparsity, result.mask.kept
    (0.5, 80)
    """
    _check_kinds(sparsity, seed)
    sparsity = check_sparsity(sparsity)
    _check_numbers(final_seeds=final_seeds, trials=trials, workers=workers, nodes=nodes)
    chosen = None if method is None else pruning_method(method)
    if chosen is not None:
        _check_alone(trials=trials, criteria=criteria, rounds=rounds, share=share, nodes=nodes)
    if isinstance(model, nn.Module):
        prunable_layers(model)  # what cannot be read at all is named before it is copied
    trials, share = trials or TRIALS, share or "model"
    dataset = _dataset(train, val, test)
    work = Work(
        study, name, workers, progress=progress, on_trial=on_trial, command={"prunes": True}
    )
    with ExitStack() as stack:
        source = (
            model
            if isinstance(model, str)
            else stack.enter_context(shared_model(model, packed=workers > 1))
        )
        factory = network_factory(source, dataset)
        example = initialise(factory, 0)
        names = choose_layers(
            example,
            layers,
            types=types,
            include=include,
            exclude=exclude,
            skip_first=skip_first,
            skip_last=skip_last,
        )
        _check(example, dataset, names, sparsity, chosen)
        trained = len(split(dataset, "holdout", seed=0).train_targets)
        settings = pool_settings(
            {"model": source, "layers": names, "sparsity": sparsity, "seed": seed}
            | {"recipe": recipe or standard_recipe(trained), "device": device}
            | {"rounds": 1 if rounds is None else rounds}
            | {"share": share, "nodes": nodes}
            | ({} if criteria is None else {"criteria": criteria})
            # A few trials, each of which counts: none is judged by how it began.
            | {"begin": "known", "rungs": ()}
            | {"random_arm": controls, "batch": _batch(trials), "population": _batch(trials)}
        )
        if chosen is None:
            own = [layer for layer in prunable_layers(example) if layer.name in names]
            with graphs_for(own, share, sparsity, nodes, seed) as database:
                found = prune_by_search(
                    database,
                    dataset,
                    settings,
                    work,
                    trials=trials,
                    final_seeds=final_seeds,
                    controls=controls,
                )
        else:
            found = prune_by_method(
                dataset, settings, chosen, work, final_seeds=final_seeds, controls=controls
            )
        pruned = initialise(factory, 0)
        pruned.load_state_dict(dict(found.state))
        fresh = not isinstance(source, GivenModel) or source.fresh
        before = None if fresh else evaluate(example, dataset.test_inputs, dataset.test_targets)
        warn_of_collapse(found.mask, 2)
        return PruneResult(
            pruned.cpu().eval(), found, dataset, None if before is None else before.accuracy
        )


TRIALS = 24
"""Trainings of a search, if none are asked for."""


def _check_kinds(sparsity: Any, seed: Any) -> None:
    """Raise SettingError unless both are numbers."""
    if isinstance(sparsity, str) or not isinstance(seed, int):
        raise SettingError(
            f"sparsity {sparsity!r} and seed {seed!r}: give a number, 0.9 say, and a whole number"
        )


def _check_numbers(**values: int | None) -> None:
    """Raise SettingError unless each is a whole number above 0, or not given."""
    for name, value in values.items():
        if value is not None and (not isinstance(value, int) or value < 1):
            raise SettingError(
                f"{name.replace('_', ' ')} = {value!r}: give a whole number, 1 or more"
            )


def _check_alone(**values: Any) -> None:
    """Raise SettingError if a setting of the search is given beside a method."""
    for name, value in values.items():
        if value is not None:
            raise SettingError(
                f"{name} = {value!r} is of a search, and a method is given, which is none: leave "
                f"out one of the two (a bogp.Method has rounds, scope and schedule of its own)"
            )


def _dataset(train: Any, val: Any, test: Any) -> Dataset:
    if isinstance(train, Dataset | str | os.PathLike):
        if val is not None or test is not None:
            raise SettingError(
                "a dataset by name says all its parts: give val and test with a torch Dataset or "
                "a pair of tensors alone"
            )
        return train if isinstance(train, Dataset) else load_dataset(train)
    return from_datasets(train, val, test)


def _check(
    model: nn.Module,
    dataset: Dataset,
    names: Sequence[str],
    sparsity: float,
    method: Method | None,
) -> None:
    """Raise the error of what cannot work, before any of it is done."""
    kinds = {p.dtype for p in model.parameters() if p.is_floating_point()} - {torch.float32}
    if kinds:
        raise SettingError(
            f"{type(model).__name__} has parameters of {min(map(str, kinds))}: bogp trains in "
            "float32, so give model.float()"
        )
    check_weights(model, names)
    check_room(model, names, sparsity, "global" if method is None else method.scope)
    check_fit(
        model, dataset.train_inputs, training=dataset.train_targets, test=dataset.test_targets
    )
    check_step(model, dataset.train_inputs[:2], dataset.train_targets[:2])


def _batch(trials: int) -> int:
    """Return how many trials are asked at one time: a quarter, so that the search can learn.

    At most 6: part of a study's key, so that from 24 trials on a study can go on with more.
    """
    return max(1, min(TRIALS // 4, trials // 4))

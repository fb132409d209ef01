"""`prune`: from a model, data and a sparsity to the model pruned, trained and weighed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn

from bogp.coupling import normalise_over_kept
from bogp.data import Dataset, from_datasets, load_dataset, split
from bogp.errors import SettingError
from bogp.masks import Granularity, check_room, check_weights, choose_layers, prunable_layers
from bogp.pipeline.given import GivenModel, ModelSource, network_factory, shared_model
from bogp.pipeline.own_model import graphs_for, prune_by_method, prune_by_search
from bogp.pipeline.rounds import warn_of_collapse
from bogp.pruning.result import PruneResult
from bogp.settings.prune import PruneSettings
from bogp.settings.search import Execution, OnTrial, SearchSettings
from bogp.sparsify import Method, Support, chosen_method
from bogp.sparsify.moves import When
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


def prune(  # noqa: D417 (PruneSettings says what its fields are for)
    model: Model,
    train: Any,
    val: Any = None,
    test: Any = None,
    *,
    sparsity: float = PruneSettings.sparsity,
    method: Method | str | None = PruneSettings.method,
    granularity: Granularity | str | None = PruneSettings.granularity,
    block: int | None = PruneSettings.block,
    support: Support = PruneSettings.support,
    begin: When | str | None = PruneSettings.begin,
    end: When | str | None = PruneSettings.end,
    every: int | None = PruneSettings.every,
    trials: int = PruneSettings.trials,
    recipe: Recipe | str | None = PruneSettings.recipe,
    layers: str | Sequence[str] = PruneSettings.layers,
    types: str | Sequence[str] | None = PruneSettings.types,
    include: str | Sequence[str] | None = PruneSettings.include,
    exclude: str | Sequence[str] | None = PruneSettings.exclude,
    skip_first: bool = PruneSettings.skip_first,
    skip_last: bool = PruneSettings.skip_last,
    graph_per: str = PruneSettings.graph_per,
    nodes: int | None = PruneSettings.nodes,
    criteria: Sequence[Any] = PruneSettings.criteria,
    rounds: Sequence[int] | int = PruneSettings.rounds,
    final_seeds: int = PruneSettings.final_seeds,
    controls: bool = PruneSettings.controls,
    device: str = PruneSettings.device,
    seed: int = PruneSettings.seed,
    study: str | os.PathLike[str] | None = Execution.study,
    name: str | None = Execution.name,
    workers: int = Execution.workers,
    progress: Progress | None = Execution.progress,
    on_trial: OnTrial | None = Execution.on_trial,
) -> PruneResult:
    """Return ``model`` pruned to ``sparsity`` and trained, with what there is to say for it.

    Without a ``method`` bogp searches: relational graphs as supports × their density × criteria
    (random, magnitude, SNIP, GraSP, SynFlow) form a pool, Bayesian optimisation chooses which to
    train, and the validation set selects. The known methods are points of that pool, and one of
    each criterion is tried first. The winner is then trained on fresh seeds beside the dense
    network, one of bogp's own also beside a narrower one with as many weights, random search's
    winner and controls, and the test set is opened for them once.

    With a ``method`` there is nothing to choose: it prunes and trains on each fresh seed. A method
    whose mask moves (``"gradual"``, ``"set"``, ``"rigl"``) does so within one training of the
    recipe's epochs, from the weights that the model has.

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
        sparsity, method, granularity, block, support, begin, end, every, trials, recipe, layers,
            types, include, exclude, skip_first, skip_last, graph_per, nodes, criteria, rounds,
            final_seeds, controls, device, seed: the fields of :class:`bogp.PruneSettings`, which
            says what each is for.
        study: file or URL that keeps the search, so that a killed one goes on.
        name: name of the study in it; by default the key of its settings.
        workers: processes that train; results do not depend on it.
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
    given: dict[str, Any] = {
        "sparsity": sparsity,
        "method": method,
        "granularity": granularity,
        "block": block,
        "support": support,
        "begin": begin,
        "end": end,
        "every": every,
        "trials": trials,
        "recipe": recipe,
        "layers": layers,
        "types": types,
        "include": include,
        "exclude": exclude,
        "skip_first": skip_first,
        "skip_last": skip_last,
        "graph_per": graph_per,
        "nodes": nodes,
        "criteria": criteria,
        "rounds": rounds,
        "final_seeds": final_seeds,
        "controls": controls,
        "device": device,
        "seed": seed,
    }
    chosen = PruneSettings(**given)
    if chosen.method is not None:
        whole = chosen_method(chosen.method, **chosen.changes)
        chosen = PruneSettings(**{**given, **dict.fromkeys(chosen.changes), "method": whole})
    execution = Execution(
        study=study, name=name, workers=workers, progress=progress, on_trial=on_trial
    )
    if isinstance(model, nn.Module):
        prunable_layers(model)  # what cannot be read at all is named before it is copied
    dataset = _dataset(train, val, test)
    with ExitStack() as stack:
        source: ModelSource = (
            model
            if isinstance(model, str)
            else stack.enter_context(shared_model(model, packed=workers > 1))
        )
        return _pruned(source, dataset, chosen, execution)


def _pruned(
    source: ModelSource, dataset: Dataset, chosen: PruneSettings, execution: Execution
) -> PruneResult:
    """Prune by a search or a method, and return the network with what there is to say for it."""
    factory = network_factory(source, dataset)
    example = initialise(factory, 0)
    names = choose_layers(
        example,
        chosen.layers,
        types=chosen.types,
        include=chosen.include,
        exclude=chosen.exclude,
        skip_first=chosen.skip_first,
        skip_last=chosen.skip_last,
    )
    _check(example, dataset, names, chosen.sparsity, chosen.method)
    settings = _search_settings(chosen, source, names, dataset)
    if chosen.method is not None:
        found = prune_by_method(
            dataset,
            settings,
            chosen.method,
            execution,
            support=chosen.support,
            controls=chosen.controls,
        )
    else:
        own = [layer for layer in prunable_layers(example) if layer.name in names]
        with graphs_for(
            own, chosen.graph_per, chosen.sparsity, chosen.nodes, chosen.seed
        ) as database:
            found = prune_by_search(
                database, dataset, settings, execution, controls=chosen.controls
            )
    pruned = initialise(factory, 0)
    pruned.load_state_dict(dict(found.state))
    if isinstance(chosen.method, Method) and chosen.method.granularity.kind == "channel":
        normalise_over_kept(pruned)  # its gains, 0 where a channel is gone, are among the weights
    fresh = not isinstance(source, GivenModel) or source.fresh
    before = None if fresh else evaluate(example, dataset.test_inputs, dataset.test_targets)
    warn_of_collapse(found.mask, 3)
    return PruneResult(
        pruned.cpu().eval(), found, dataset, None if before is None else before.accuracy
    )


def _search_settings(
    chosen: PruneSettings, source: ModelSource, names: tuple[str, ...], dataset: Dataset
) -> SearchSettings:
    """Return the settings of the search that prunes: a few trials, each of which counts."""
    examples = len(split(dataset, "holdout", seed=0).train_targets)
    # Part of a study's key: from the default number of trials on, it can go on with more.
    batch = max(1, min(PruneSettings.trials, chosen.trials) // 4)
    return SearchSettings(
        model=source,
        layers=names,
        sparsity=chosen.sparsity,
        seed=chosen.seed,
        recipe=chosen.recipe or standard_recipe(examples),
        device=chosen.device,
        criteria=chosen.criteria,
        rounds=chosen.rounds,
        graph_per=chosen.graph_per,
        nodes=chosen.nodes,
        trials=chosen.trials,
        final_seeds=chosen.final_seeds,
        random_search=chosen.controls,
        first_batch="known",
        rungs=(),  # none is judged by how it began
        batch=batch,
        population=batch,
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

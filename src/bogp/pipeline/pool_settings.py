"""The settings of a pool search."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from bogp.criteria import CRITERIA
from bogp.data import Dataset
from bogp.database import GraphDatabase
from bogp.engines import ACQUISITIONS
from bogp.errors import SettingError, UnknownNameError, check_sparsity
from bogp.pipeline.given import ModelSource, model_record, own_fingerprint
from bogp.pipeline.supports import SHARES
from bogp.training import Halving, Recipe, recipe


@dataclass(frozen=True)
class PoolSettings:
    """Every choice of a pool search that can change its result.

    Attributes:
        sparsity: maximise the accuracy at this sparsity.
        alpha: maximise accuracy + alpha · sparsity over ``sparsities`` (the paper's f2).
        pareto: find the whole front of accuracy against sparsity over ``sparsities``.
        sparsities: of the masks, with alpha and pareto; none takes those of the database.
        model: ``"mlp:128"`` is the paper's network (:func:`bogp.training.model_factory` names
            others).
        layers: ``"hidden"``, ``"all"`` or names of parameters.
        properties: what the surrogate sees of a graph; none takes those of the database that
            differ at a fixed number of edges (:data:`bogp.pipeline.pool_search.INFORMATIVE`).
        criteria: what picks the kept weights inside a support.
        rounds: numbers of pruning rounds; each prunes, then trains for a whole recipe.
        pool: about how many candidates the search chooses from.
        batch: trials asked at one time; results do not depend on the number of workers, but on
            this.
        population: trials trained together, at most; halving compares them.
        replicates: share of a batch that trains promising candidates on another seed.
        rungs: epochs after which only the best of a population go on; an empty tuple trains all to
            the end, None is one rung after a third of the recipe's epochs.
        keep: share of a population that goes on at a rung.
        acquisition: ``"qlognei"``, ``"ucb"`` or ``"thompson"``.
        random_arm: whether random search gets the same training; its winner stands beside.
        asynchronous: ask as soon as a worker is free, not when a whole batch has ended, and a
            population at a time. It keeps workers busy, and makes the result depend on which of
            them is faster; with one worker it is the search whose batch is a population. On an
            executor as many populations are under way as make a batch.
        recipe: training recipe, by name or given.
        protocol: ``"holdout"`` selects on a part of the training set and opens the test set
            once, for the winner; ``"paper"`` selects and reports on the test set.
        seed: master seed.
        share: which layers have one graph: those of the ``"model"``, of a ``"stage"`` or of one
            ``"layer"``. A candidate's graphs are of one kind, and its properties those of the graph
            of the group with the most weights.
        nodes: of the graphs of groups of layers other than the first; None is what they carry.
        begin: ``"mixed"`` begins with known methods as three quarters of the first batch,
            ``"known"`` with one of each criterion, ranked over all layers together.
        device: where torch trains; compiled kernels are the CPU's alone.
    """

    sparsity: float | None = None
    alpha: float | None = None
    pareto: bool = False
    sparsities: tuple[float, ...] = ()
    model: ModelSource = "mlp:128"
    layers: str | tuple[str, ...] = "hidden"
    properties: tuple[str, ...] = ()
    criteria: tuple[str, ...] = tuple(CRITERIA)
    rounds: tuple[int, ...] = (1,)
    pool: int = 5000
    batch: int = 16
    population: int = 16
    replicates: float = 0.25
    rungs: tuple[int, ...] | None = None
    keep: float = 0.5
    acquisition: str = "qlognei"
    random_arm: bool = True
    asynchronous: bool = False
    recipe: Recipe | str = "calibrated"
    protocol: str = "holdout"
    seed: int = 0
    share: str = "model"
    device: str = "cpu"
    nodes: int | None = None
    begin: str = "mixed"

    def fields(self, dataset: Dataset, database: GraphDatabase) -> dict[str, Any]:
        """Return every field that can change a trial's result, as a JSON object."""
        return self.described(dataset) | {"database": dict(database.plan.rows())}

    def described(self, dataset: Dataset) -> dict[str, Any]:
        """Return the same without the database."""
        lists = ("sparsities", "properties", "criteria", "rounds")
        values = asdict(replace(self, model=""))
        # Later than the first studies: left out at what those had, so that they keep their keys.
        for name in ("share", "device", "nodes", "begin"):
            if values[name] == getattr(PoolSettings, name):
                del values[name]
        layers = self.layers if isinstance(self.layers, str) else list(self.layers)
        return (
            values
            | {"model": model_record(self.model), "layers": layers}
            | own_fingerprint(self.model, dataset)
            | {name: list(getattr(self, name)) for name in lists}
            | {"rungs": list(self.rung_epochs)}
            | {
                "engine": "pool",
                "recipe": recipe(self.recipe).model_dump(),
                "dataset": {"name": dataset.name, "fingerprint": dataset.fingerprint},
            }
        )

    @property
    def halving(self) -> Halving | None:
        """The halving of new candidates, if there are rungs."""
        return Halving(self.rung_epochs, self.keep) if self.rung_epochs else None

    @property
    def rung_epochs(self) -> tuple[int, ...]:
        """The rungs, those of None worked out."""
        epochs = recipe(self.recipe).epochs
        if self.rungs is None:
            return (max(1, epochs // 3),) if epochs > 1 else ()
        return self.rungs

    def targets(self, database: GraphDatabase) -> tuple[float, ...]:
        """Return the sparsities of the masks."""
        if self.sparsity is not None:
            return (self.sparsity,)
        return tuple(sorted(set(self.sparsities))) or database.sparsities

    @property
    def asked_together(self) -> int:
        """Trials that are asked at one time."""
        return min(self.batch, self.population) if self.asynchronous else self.batch


_TUPLES = ("sparsities", "properties", "criteria", "rounds", "rungs")


def _tuple(value: Any) -> tuple[Any, ...]:
    """Return a list as a tuple, and what stands alone as a tuple of it."""
    alone = isinstance(value, str) or not isinstance(value, Iterable)
    return (value,) if alone else tuple(value)


def pool_settings(values: Mapping[str, Any]) -> PoolSettings:
    """Return checked settings.

    Raises:
        SettingError, SparsityError, UnknownNameError: one is unknown or out of range.
    """
    known = PoolSettings.__dataclass_fields__
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise SettingError(
            f"a search with engine 'pool' has no setting {unknown[0]!r}: it has {', '.join(known)}"
        )
    tuples = {name: _tuple(values[name]) for name in _TUPLES if values.get(name) is not None}
    settings = PoolSettings(**{**values, **tuples})
    goals = (settings.sparsity is not None) + (settings.alpha is not None) + settings.pareto
    if goals != 1:
        raise SettingError(
            "give one of a sparsity (maximise accuracy there), an alpha (maximise accuracy + "
            f"alpha * sparsity) and pareto (the whole trade-off): {goals} are given"
        )
    if settings.sparsities and settings.sparsity is not None:
        raise SettingError("sparsities go with alpha or pareto: a sparsity alone is the only one")
    for sparsity in (*settings.sparsities, settings.sparsity or 0.0):
        check_sparsity(sparsity)
    if settings.alpha is not None and not math.isfinite(settings.alpha):
        raise SettingError(f"alpha {settings.alpha} is not a number: give 0.25 say")
    if settings.share not in SHARES:
        raise UnknownNameError("share", settings.share, SHARES)
    if settings.acquisition not in ACQUISITIONS:
        raise UnknownNameError("acquisition", settings.acquisition, ACQUISITIONS)
    if settings.pareto and settings.acquisition in ("ucb", "thompson"):
        raise SettingError(
            f"acquisition {settings.acquisition!r} looks for one winner: with pareto leave it out, "
            "which takes the expected improvement of the hypervolume, or give random"
        )
    _check_numbers(settings)
    return settings


def _check_numbers(settings: PoolSettings) -> None:
    Halving(settings.rung_epochs or (1,), settings.keep)
    if settings.batch < 1 or settings.population < 1:
        raise SettingError(
            f"a batch of {settings.batch} in populations of {settings.population}: "
            "give at least one of each"
        )
    if not 0.0 <= settings.replicates < 1.0:
        raise SettingError(
            f"replicates {settings.replicates} is not in [0, 1): give the share of a batch, 0.25 "
            "say"
        )
    epochs = recipe(settings.recipe).epochs
    if settings.halving is not None and settings.rung_epochs[-1] >= epochs:
        raise SettingError(
            f"a rung after {settings.rung_epochs[-1]} of {epochs} epochs stops nothing early: "
            "give rungs before the recipe's end, or none"
        )

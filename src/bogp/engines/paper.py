"""The engines ``paper`` and ``random``: given what was seen, which graph to train next."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bogp.errors import SettingError, UnknownNameError
from bogp.keys import derive_seed


@dataclass(frozen=True)
class Space:
    """What an engine searches: the graphs of a database and the box their properties span."""

    graph_ids: NDArray[np.int64]  # (G,)
    names: tuple[str, ...]  # P properties
    vectors: NDArray[np.float64]  # (G, P)

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        """Lowest and highest value of each property over the database."""
        low, high = self.vectors.min(axis=0), self.vectors.max(axis=0)
        return {n: (float(a), float(b)) for n, a, b in zip(self.names, low, high, strict=True)}

    @property
    def varying(self) -> dict[str, tuple[float, float]]:
        """The bounds of the properties that take more than one value."""
        return {name: (a, b) for name, (a, b) in self.bounds.items() if b > a}


@dataclass(frozen=True)
class Proposal:
    """What an engine asks for: a property vector to fetch the nearest graph of, or a graph."""

    vector: Mapping[str, float] = field(default_factory=dict)
    graph_id: int | None = None


@dataclass(frozen=True)
class Observation:
    """A proposal and the value that its mask got."""

    proposal: Proposal
    value: float


Engine = Callable[[Space, Sequence[Observation], int, float], Proposal]
"""Gives the next proposal from the space, what was seen, a seed, and kappa of an upper bound."""


def paper(space: Space, seen: Sequence[Observation], seed: int, kappa: float) -> Proposal:
    """Return the vector of highest upper confidence bound (the paper's §5.3 and §6.3).

    The optimiser is the ``bayesian-optimization`` package with its Gaussian process as it comes;
    the first vector is random in the box of property ranges (the paper's §1, step 2). A property
    that is constant over the database has no range to search and keeps its value. The optimiser
    is rebuilt from all observations at each call, so that a resumed study proposes what an
    unbroken one would.

    Raises:
        SettingError: every property is constant over the database.
    """
    # Imported when they are used: they bring scikit-learn, which no other engine needs.
    from bayes_opt import BayesianOptimization
    from bayes_opt.acquisition import UpperConfidenceBound
    from sklearn.exceptions import ConvergenceWarning

    if not space.varying:
        raise SettingError(
            f"all of {', '.join(space.names)} are constant over the database: "
            "choose other properties, or build it with another family"
        )
    optimizer = BayesianOptimization(
        f=None,
        pbounds=space.varying,
        acquisition_function=UpperConfidenceBound(kappa=kappa),
        random_state=derive_seed(seed, "paper", len(seen)) % 2**32,
        verbose=0,
        allow_duplicate_points=True,
    )
    with warnings.catch_warnings():
        # The package's own settings leave the fit at a bound of its length scale now and then.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for observation in seen:
            known = {name: observation.proposal.vector[name] for name in space.varying}
            # The package prints a line for a vector that it was told before.
            with contextlib.redirect_stdout(io.StringIO()):
                optimizer.register(params=known, target=observation.value)
        suggestion = optimizer.suggest()
    vector = {name: low for name, (low, _) in space.bounds.items()}
    return Proposal(vector | {name: float(value) for name, value in suggestion.items()})


def random(space: Space, seen: Sequence[Observation], seed: int, kappa: float) -> Proposal:
    """Return a uniformly random graph of the database that was not proposed before.

    Raises:
        SettingError: every graph of the database has been evaluated.
    """
    order = np.random.default_rng(derive_seed(seed, "random-engine")).permutation(space.graph_ids)
    if len(seen) >= len(order):
        raise SettingError(f"all {len(order)} graphs are evaluated: ask for fewer trials")
    return Proposal(graph_id=int(order[len(seen)]))


ENGINES: dict[str, Engine] = {"paper": paper, "random": random}


def engine(name: str) -> Engine:
    """Return the engine called ``name``.

    Raises:
        UnknownNameError: no such engine.
    """
    if name not in ENGINES:
        raise UnknownNameError("engine", name, ENGINES)
    return ENGINES[name]

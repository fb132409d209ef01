"""The methods of pruning that have a name."""

from __future__ import annotations

from dataclasses import dataclass

from bogp.errors import SettingError, UnknownNameError


@dataclass(frozen=True)
class Method:
    """How a mask is chosen inside its support (see :mod:`bogp.pipeline.pruning`)."""

    criterion: str
    scope: str = "uniform"
    schedule: str = "exponential"
    rounds: int = 1


GRAPH = Method(criterion="random")
"""The paper's BoGP: the graph's own mask, its surplus weights dropped by a seeded draw."""

BASELINES: dict[str, Method] = {
    "glob1": Method("magnitude", "global", rounds=1),
    "glob5": Method("magnitude", "global", rounds=5),
    "unif1": Method("magnitude", "uniform", rounds=1),
    "unif5": Method("magnitude", "uniform", rounds=5),
}
"""The paper's §6.2. Each round prunes by the weights at hand, then trains for a whole recipe."""

METHODS: dict[str, Method | None] = {
    "dense": None,
    "random": GRAPH,
    **BASELINES,
    "snip": Method("snip", "global"),
    "grasp": Method("grasp", "global"),
    "synflow": Method("synflow", "global"),
    "erk": Method("random", "erk"),
}
"""What :func:`bogp.pipeline.baseline` can run on the complete support.

``dense`` is no mask, ``random`` a plain random 0-1 mask and ``erk`` one whose small layers are
denser; ``snip``, ``grasp`` and ``synflow`` prune before training, in one pruning round.
"""


def method_named(name: str, sparsity: float | None) -> Method | None:
    """Return a method of :data:`METHODS`, None for the dense network.

    Raises:
        UnknownNameError: no such method.
        SettingError: a method that prunes, without a sparsity.
    """
    if name not in METHODS:
        raise UnknownNameError("method", name, METHODS)
    if METHODS[name] is not None and sparsity is None:
        raise SettingError(f"method {name!r} needs a sparsity: give 0.9 say")
    return METHODS[name]

"""Criteria: functions from a network to a score for each weight; higher is kept first."""

from bogp.criteria.context import Context as Context
from bogp.criteria.context import Criterion as Criterion
from bogp.criteria.grasp import grasp as grasp
from bogp.criteria.magnitude import magnitude as magnitude
from bogp.criteria.random import random as random
from bogp.criteria.snip import snip as snip
from bogp.criteria.synflow import synflow as synflow
from bogp.errors import UnknownNameError

CRITERIA: dict[str, Criterion] = {
    "grasp": grasp,
    "magnitude": magnitude,
    "random": random,
    "snip": snip,
    "synflow": synflow,
}

RUN_THE_NETWORK = frozenset({"grasp", "snip", "synflow"})
"""The criteria that need inputs; all but synflow need targets too."""

STEPS: dict[str, int] = {"synflow": 100}
"""Scorings within one pruning round, the mask shrinking in between; 1 for all others."""


def criterion(name: str) -> Criterion:
    """Return the criterion called ``name``.

    Raises:
        UnknownNameError: no such criterion.
    """
    if name not in CRITERIA:
        raise UnknownNameError("criterion", name, CRITERIA)
    return CRITERIA[name]

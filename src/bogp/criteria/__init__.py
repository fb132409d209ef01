"""Criteria: functions from a model's weights to a score for each; higher is kept first."""

from collections.abc import Callable, Mapping

from torch import Tensor

from bogp.criteria.magnitude import magnitude as magnitude
from bogp.criteria.random import random as random
from bogp.errors import UnknownNameError

Criterion = Callable[[Mapping[str, Tensor], int], dict[str, Tensor]]

CRITERIA: dict[str, Criterion] = {"magnitude": magnitude, "random": random}


def criterion(name: str) -> Criterion:
    """Return the criterion called ``name``.

    Raises:
        UnknownNameError: no such criterion.
    """
    if name not in CRITERIA:
        raise UnknownNameError("criterion", name, CRITERIA)
    return CRITERIA[name]

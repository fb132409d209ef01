"""Criteria: functions from a network to a score for each weight; a higher score is kept first."""

from collections.abc import Callable

from bogp.criteria.context import Context as Context
from bogp.criteria.context import Criterion as Criterion
from bogp.criteria.context import Scores as Scores
from bogp.criteria.gradient import GRADIENT
from bogp.criteria.grasp import GRASP
from bogp.criteria.grasp import grasp as grasp
from bogp.criteria.magnitude import MAGNITUDE
from bogp.criteria.magnitude import magnitude as magnitude
from bogp.criteria.random import RANDOM
from bogp.criteria.random import random as random
from bogp.criteria.signed_magnitude import SIGNED_MAGNITUDE
from bogp.criteria.snip import SNIP
from bogp.criteria.snip import snip as snip
from bogp.criteria.synflow import SYNFLOW
from bogp.criteria.synflow import synflow as synflow
from bogp.errors import SettingError, UnknownNameError
from bogp.user_functions import qualified_name

CRITERIA: dict[str, Criterion] = {
    found.name: found for found in (RANDOM, MAGNITUDE, SNIP, GRASP, SYNFLOW)
}
"""The criteria by name. A search tries all of them, in this order, which is part of its key."""

MOVING: dict[str, Criterion] = {found.name: found for found in (GRADIENT, SIGNED_MAGNITUDE)}
"""Further criteria, which a mask that moves while it trains has a use for."""


def criterion(given: str | Criterion | Callable[[Context], Scores]) -> Criterion:
    """Return the criterion that is called ``given``, or that scores by the function ``given``.

    A function of your own is named by its module and qualified name, is given examples and scores
    once in a pruning round; where it is otherwise, give a :class:`Criterion`.

    Raises:
        UnknownNameError: no such criterion.
        SettingError: what is given is neither a name nor a function with one, as a lambda is not.

    >>> criterion("synflow").steps, criterion(synflow).name
    (100, 'synflow')
    >>> def smallest(context: Context) -> Scores:
    ...     return {name: -score for name, score in magnitude(context).items()}
    >>> criterion(smallest).name
    'bogp.criteria.smallest'
    """
    if isinstance(given, Criterion):
        return given
    if isinstance(given, str):
        known_names = CRITERIA | MOVING
        if given not in known_names:
            raise UnknownNameError("criterion", given, known_names)
        return known_names[given]
    for known in (CRITERIA | MOVING).values():
        if known.score is given:
            return known
    name = qualified_name(given)
    if name is None:
        raise SettingError(
            f"criterion {given!r} has no name for records: give a name ({', '.join(CRITERIA)}), a "
            "function that is defined with def, or a bogp.criteria.Criterion"
        )
    return Criterion(name, given, needs_data=True)

"""The methods of pruning that have a name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

from bogp.controls import invert
from bogp.coupling.units import SCOPES as CHANNEL_SCOPES
from bogp.criteria import CRITERIA, Context, Criterion, Scores, criterion
from bogp.errors import SettingError, UnknownNameError
from bogp.masks import SCHEDULES, SCOPES, WEIGHT, Granularity
from bogp.sparsify.moves import Moves


@dataclass(frozen=True)
class Method:
    """How a mask is chosen inside its support (see :mod:`bogp.pipeline.rounds`).

    The lottery tickets of Frankle & Carbin 2019 (arXiv 1803.03635, section 2) are the criterion
    magnitude with both ``rewind`` and ``pretrain``. Each is free to be used alone: without
    ``pretrain`` the first pruning round scores the initial weights, and with one pruning round too
    there is then no training to rewind from.

    Attributes:
        criterion: what scores the weights: a name of :data:`bogp.criteria.CRITERIA`, a function of
            your own, or a :class:`bogp.criteria.Criterion`.
        scope: how layers share what is kept, of :data:`bogp.masks.SCOPES`.
        schedule: the density at each pruning round, of :data:`bogp.masks.SCHEDULES`.
        rounds: pruning rounds, a whole training after each.
        rewind: whether each training begins from the weights that the first one began from, and
            not from those that the one before it left; scores are of the trained weights.
        pretrain: whether the network is trained once before the first pruning round, all of its
            support kept.
        moves: how the mask moves within the one training; None is a mask that does not. It does not
            go with several rounds.
        granularity: what is kept or pruned together: weights, blocks or channels.
    """

    criterion: str | Criterion | Callable[[Context], Scores]
    scope: str = "uniform"
    schedule: str = "exponential"
    rounds: int = 1
    rewind: bool = False
    pretrain: bool = False
    moves: Moves | None = None
    granularity: Granularity = WEIGHT

    @property
    def trainings(self) -> int:
        """Trainings of a whole recipe each, that before the first pruning round among them.

        >>> Method("magnitude", "global", rounds=5, pretrain=True).trainings
        6
        """
        return self.rounds + self.pretrain

    @property
    def criteria(self) -> tuple[Criterion, ...]:
        """Whatever scores weights: the criterion, and those that a moving mask drops and grows by.

        >>> [found.name for found in METHODS["rigl"].criteria]
        ['random', 'magnitude', 'gradient']
        """
        given = [self.criterion]
        if self.moves is not None and self.moves.regrows:
            given += [self.moves.drop, self.moves.grow]
        return tuple(criterion(each) for each in given)

    def record(self) -> dict[str, Any]:
        """Return the method as a JSON object, for the keys of records.

        A criterion that is no name of bogp's is there by the name that
        :func:`bogp.criteria.criterion` gives it. ``moves`` and ``granularity`` are there where a
        mask moves, and where it is not single weights that it keeps.

        >>> Method("random").record()["criterion"]
        'random'
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)[:6]}
        values["criterion"] = criterion(self.criterion).name
        if self.moves is not None:
            values["moves"] = self.moves.record()
        if self.granularity != WEIGHT:
            values["granularity"] = self.granularity.record()
        return values


GRAPH = Method(criterion="random")
"""The paper's BoGP: the graph's own mask, its surplus weights dropped by a seeded draw."""

BASELINES: dict[str, Method] = {
    "glob1": Method("magnitude", "global", rounds=1),
    "glob5": Method("magnitude", "global", rounds=5),
    "unif1": Method("magnitude", "uniform", rounds=1),
    "unif5": Method("magnitude", "uniform", rounds=5),
}
"""The paper's §6.2. Each round prunes by the weights at hand, then trains for a whole recipe."""

NARROWER = "narrower"
"""The method that prunes nothing and shrinks the network instead (:mod:`bogp.training.narrower`).
"""

METHODS: dict[str, Method | None] = {
    "dense": None,
    NARROWER: None,
    "random": GRAPH,
    **BASELINES,
    **{name: Method(name, "global") for name in CRITERIA if name != "random"},
    "erk": Method("random", "erk"),
    "imp": Method("magnitude", "global", rounds=5, rewind=True, pretrain=True),
    "iterative": Method("magnitude", "global", "cubic", rounds=5, pretrain=True),
    "gradual": Method("magnitude", "global", moves=Moves()),
    "set": Method(
        "random",
        "erk",
        moves=Moves(
            end=0.75, schedule="one_shot", regrow=0.3, decay="constant", drop="signed_magnitude"
        ),
    ),
    "rigl": Method(
        "random",
        "erk",
        moves=Moves(end=0.75, every=100, schedule="one_shot", regrow=0.3, grow="gradient"),
    ),
}
"""The known methods; :func:`bogp.sparsify.about_method` says what each does and where it is from.

``dense`` and ``narrower`` prune nothing.
"""


def pruning_method(given: Method | str) -> Method:
    """Return a method that prunes, given or by name.

    Raises:
        UnknownNameError: no such method, or one with an unknown criterion, scope or schedule.
        SettingError: ``given`` is neither a name nor a method, or a method with other bad fields.
    """
    if isinstance(given, Method):
        return check_method(given)
    if not isinstance(given, str):
        raise SettingError(f"method {given!r} is none: give a name or a bogp.Method")
    names = {name: method for name, method in METHODS.items() if method is not None}
    if given not in names:
        raise UnknownNameError("method", given, names)
    return names[given]


def check_method(method: Method) -> Method:
    """Return a method, or raise an error unless all of its fields are what bogp knows.

    Raises:
        UnknownNameError: no such criterion, scope or schedule.
        SettingError: ``rounds`` is no whole number above 0, an option is neither True nor False, or
            fields do not go together.
    """
    criterion(method.criterion)
    if method.scope not in SCOPES:
        raise UnknownNameError("scope", method.scope, SCOPES)
    if method.schedule not in SCHEDULES:
        raise UnknownNameError("schedule", method.schedule, SCHEDULES)
    if not isinstance(method.rounds, int) or method.rounds < 1:
        raise SettingError(f"rounds = {method.rounds!r} of a method: give 1 or more pruning rounds")
    if method.moves is not None and method.trainings > 1:
        raise SettingError(
            f"a method of {method.trainings} trainings with moves: a mask moves within one, so "
            "leave out rounds and pretrain, or moves"
        )
    if method.granularity.kind == "channel" and method.moves is not None and method.moves.regrows:
        raise SettingError(
            "channels that left a network do not come back, and this method regrows what it drops: "
            "take weights or blocks, or a method that regrows nothing, gradual say"
        )
    if method.granularity.kind == "channel" and method.scope not in CHANNEL_SCOPES:
        raise SettingError(
            f"the scope {method.scope!r} is none of channels: take a method whose scope is "
            f"{' or '.join(CHANNEL_SCOPES)}"
        )
    for option in ("rewind", "pretrain"):
        if not isinstance(getattr(method, option), bool):
            raise SettingError(
                f"{option} = {getattr(method, option)!r} of a method: give True or False"
            )
    return method


@dataclass(frozen=True)
class _Inverted:
    """A criterion's function with its scores inverted; a class, so that processes can send it."""

    score: Callable[[Context], Scores]

    def __call__(self, context: Context) -> Scores:
        return invert(self.score(context))


def inverted(method: Method) -> Method:
    """Return the method that keeps its criterion's lowest scores first: a control of the other.

    >>> inverted(Method("snip")).record()["criterion"]
    'inverted snip'
    """
    found = criterion(method.criterion)
    lowest = replace(found, name=f"inverted {found.name}", score=_Inverted(found.score))
    return replace(method, criterion=lowest)

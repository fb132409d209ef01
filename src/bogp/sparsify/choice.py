"""A method as its options choose it, and methods in words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from bogp.criteria import CRITERIA, criterion
from bogp.errors import SettingError
from bogp.masks import BLOCK, Granularity
from bogp.sparsify.methods import METHODS, NARROWER, Method, pruning_method
from bogp.sparsify.moves import Moves, When


def chosen_method(
    method: Method | str,
    *,
    granularity: Granularity | str | None = None,
    block: int | None = None,
    begin: When | str | None = None,
    end: When | str | None = None,
    every: int | None = None,
) -> Method:
    """Return a method with what is given in place of its own.

    Args:
        method: a method that prunes, or its name.
        granularity: what is kept or pruned together, or its kind; ``block`` alone means blocks.
        block: channels of a node, of blocks.
        begin: when a mask that moves begins to (:class:`bogp.Moves`), as a number or its text.
        end: when it has moved for the last time.
        every: steps from one move to the next.

    Raises:
        UnknownNameError: no such method or granularity.
        SettingError: options that do not go with each other, or with the method.

    >>> chosen_method("gradual", block=16, every=50).granularity
    Granularity(kind='block', block=16, shared=False, equal_rows=False, multiple=1)
    """
    found = pruning_method(method)
    if isinstance(granularity, str):
        granularity = Granularity(granularity, BLOCK if block is None else block)
    elif block is not None:
        own = granularity or found.granularity
        granularity = replace(own if own.kind != "weight" else Granularity("block"), block=block)
    if granularity is not None:
        found = replace(found, granularity=granularity)
    given = {"begin": _when("begin", begin), "end": _when("end", end), "every": every}
    times: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if times:
        found = replace(found, moves=replace(_moves(found, *next(iter(times.items()))), **times))
    return pruning_method(found)


def _moves(method: Method, name: str, value: When) -> Moves:
    """Return how a method's mask moves, of which a time is given."""
    if method.moves is None:
        moving = [known for known, each in METHODS.items() if each is not None and each.moves]
        raise SettingError(
            f"{name} = {value!r}: the mask of this method does not move while it trains; leave it "
            f"out, or take {', '.join(moving[:-1])} or {moving[-1]}"
        )
    return method.moves


def _when(name: str, given: When | str | None) -> When | None:
    """Return a step or a share of all steps, read from its text if it is given as such."""
    if not isinstance(given, str):
        return given
    try:
        return float(given) if "." in given else int(given)
    except ValueError:
        raise SettingError(
            f"{name} = {given!r} is no time: give a step, 100 say, or a share of all steps, 0.7 say"
        ) from None


ABOUT: dict[str, str] = {
    "dense": "prunes nothing",
    NARROWER: "prunes nothing; widths are shrunk until the network has as many weights as a mask "
    "keeps",
    "random": "keeps weights that are drawn at random, the same share of each layer",
    "glob1": "prunes the smallest weights, all layers ranked together, before training",
    "glob5": "prunes the smallest weights, all layers ranked together, in five rounds, a training "
    "after each",
    "unif1": "prunes the smallest weights of each layer, the same share of each, before training",
    "unif5": "prunes the smallest weights of each layer in five rounds, a training after each",
    **{
        name: f"prunes before training, all layers ranked together, by {found.help} "
        f"({found.source})"
        for name, found in CRITERIA.items()
        if name != "random"
    },
    "erk": "keeps weights that are drawn at random, more of small layers (Evci et al. 2020, arXiv "
    "1911.11134)",
    "imp": "finds a lottery ticket: trains, then prunes the smallest weights in five rounds, each "
    "from the initial weights again (Frankle & Carbin 2019, arXiv 1803.03635)",
    "iterative": "trains, then prunes the smallest weights in five rounds, less and less, and goes "
    "on with the weights at hand (Han et al. 2015, arXiv 1506.02626)",
    "gradual": "prunes the smallest weights a few at a time while the network trains, all layers "
    "ranked together (Zhu & Gupta 2017, arXiv 1710.01878)",
    "set": "begins as erk; now and then drops each layer's smallest weights and grows as many "
    "others at random (Mocanu et al. 2018, arXiv 1707.04780)",
    "rigl": "as set, but grows where the gradient is largest (Evci et al. 2020, arXiv 1911.11134)",
}
"""Name of :data:`METHODS` → what the method does, and its source."""


def about_method(name: str) -> str:
    """Return what a method of a name does, whether its mask moves, and what it trains.

    >>> about_method("glob1")
    'prunes the smallest weights, all layers ranked together, before training; a fixed mask, 1 training'
    """  # noqa: E501
    method = METHODS[name]
    if method is None:
        return f"{ABOUT[name]}; 1 training"
    mask = "a fixed mask" if method.trainings == 1 else "a smaller mask each round"
    trainings = f"{method.trainings} training{'s' if method.trainings > 1 else ''}"
    return f"{ABOUT[name]}; {'a mask that moves' if method.moves else mask}, {trainings}"


def method_words(method: Method) -> str:
    """Return a method in a few words, for tables.

    >>> method_words(chosen_method("gradual", block=16))
    'magnitude global, moving every 20 steps from 0.0 to 0.7, cubic, blocks of 16 channels'
    """
    words = [f"{criterion(method.criterion).name} {method.scope}"]
    if method.rounds > 1:
        words += [f"{method.rounds} rounds", method.schedule]
    words += [name for name in ("pretrain", "rewind") if getattr(method, name)]
    if (moves := method.moves) is not None:
        words.append(f"moving every {moves.every} steps from {moves.begin} to {moves.end}")
        if moves.schedule != "one_shot":
            words.append(moves.record()["schedule"])
        if moves.regrows:
            drop, grow = criterion(moves.drop).name, criterion(moves.grow).name
            words.append(f"drops by {drop}, grows by {grow}")
    if method.granularity.kind != "weight":
        kind = method.granularity
        blocks = f"blocks of {kind.block} channels"
        words.append(blocks if kind.kind == "block" else "whole channels")
        words += [
            name.replace("_", " ") for name in ("shared", "equal_rows") if getattr(kind, name)
        ]
    return ", ".join(words)

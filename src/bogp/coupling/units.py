"""Channels as units of a mask: a channel is kept or pruned with everything that is coupled to it.

A mask names weights alone. Where a channel is gone the mask prunes its row in every weight that
makes it and its column in every weight that reads it. What else holds a number for it (a bias, a
normalisation's gain and running statistics) stays as it is: the channel is then a constant that no
kept weight reads, so that the masked network is the one from which the channel is really removed.
That is so with batch normalisation, whose channels have statistics of their own.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import final

import torch
from torch import Tensor, nn

from bogp.coupling.groups import Group, Member, couplings
from bogp.errors import MaskError, SettingError, UnknownNameError
from bogp.keys import derive_seed
from bogp.masks import Mask, prunable_layers
from bogp.masks.granularity import Units
from bogp.masks.select import Layers, checked_support

SCOPES = ("global", "uniform")
"""How widths share what is kept: all channels ranked together, or the same share of each width."""


def channel_units(
    model: nn.Module,
    names: Sequence[str],
    example: Tensor | tuple[Tensor, ...],
    *,
    multiple: int = 1,
) -> ChannelUnits:
    """Return the channels of ``model`` that a mask of the weights ``names`` can keep or prune.

    A channel can go if every prunable weight that makes, carries or reads it is among ``names``. So
    the names are those of a hidden layer and of all that reads it, up to a last layer, whose rows
    (the outputs) always stay, as do the features of the input in the first: that is what
    :func:`bogp.masks.prunable_layers` gives.

    Args:
        model: any network; not changed.
        names: the weights of the mask.
        example: inputs (N, ...), or a tuple of them: the model is run on them for its shapes.
        multiple: widths are a multiple of it, or what they are at first.

    Raises:
        MaskError: the model cannot be run on the example, or none of its channels can go.
        SettingError: ``multiple`` is below 1.

    >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> units = channel_units(network, ["0.weight", "2.weight"], torch.zeros(1, 3))
    >>> [group.size for group in units.groups]
    [4]
    """
    if multiple < 1:
        raise SettingError(f"multiple = {multiple} of channels is below 1: give 1 or more")
    found = couplings(model, example)
    shapes = {layer.name: layer.shape for layer in prunable_layers(model, with_frozen=True)}
    groups, reasons = [], []
    for group in found.groups:
        held = [member for member in group.members if member.parameter in shapes]
        missing = [member for member in held if member.parameter not in names]
        if missing:
            reasons.append(
                f"the mask does not name {missing[0].parameter!r}, which {missing[0].role} "
                f"channels of {held[0].parameter!r}"
            )
        elif {"makes", "reads"} <= {member.role for member in held}:
            groups.append(Group(tuple(held), group.size))
    if not groups:
        why = next((f" ({reason})" for reason in (*reasons, *found.fixed.values())), "")
        raise MaskError(
            f"no channel of the model can go{why}: name the weights of a hidden layer and of all "
            "that read it, or prune weights"
        )
    return ChannelUnits(tuple(groups), {name: tuple(shapes[name]) for name in names}, multiple)


@final
class ChannelUnits(Units):
    """The channels of one network; see :func:`channel_units`.

    Attributes:
        groups: the channels that can go, with what weights hold of them.
        shapes: the weights of the mask and their shapes.
        multiple: what widths are a multiple of.
    """

    def __init__(
        self, groups: Sequence[Group], shapes: Mapping[str, tuple[int, ...]], multiple: int = 1
    ) -> None:
        self.groups, self.shapes, self.multiple = tuple(groups), dict(shapes), multiple
        starts = itertools.accumulate((group.size for group in groups), initial=0)
        self._numbers = [torch.arange(a, b) for a, b in itertools.pairwise(starts)]
        # The unit at each position of a weight's outputs and inputs; -1 where none can go.
        self._places = {
            name: [torch.full(((*shape, 1)[axis],), -1) for axis in (0, 1)]
            for name, shape in self.shapes.items()
        }
        for group, numbers in zip(self.groups, self._numbers, strict=True):
            for member in group.members:
                place = self._places[member.parameter][member.axis]
                place[member.positions] = numbers[:, None].expand_as(member.positions)

    def choose(self, scores: Layers, kept: int, *, scope: str, support: Layers, seed: int) -> Mask:
        """Return the mask that keeps the channels of highest score inside ``support``.

        A channel's score is the root mean square of the scores of the weights that make it times
        that of the weights that read it, over those inside the support whose other channel is still
        there. A channel of which the support has nothing on one of these sides has left already,
        and stays away.

        Channels come back one by one, the best first: all ranked together (``"global"``), or so
        that each width keeps the same share of its channels (``"uniform"``), and at least one of
        each. Where that gives no mask of ``kept`` weights, the nearest number is taken.

        Raises:
            SparsityError, MaskError: as :meth:`bogp.masks.granularity.Units.choose`.
            UnknownNameError: the scope is neither of these two.

        >>> network = nn.Sequential(nn.Linear(1, 3), nn.ReLU(), nn.Linear(3, 1))
        >>> units = channel_units(network, ["0.weight", "2.weight"], torch.zeros(1, 1))
        >>> scores = {"0.weight": torch.tensor([[1.0], [2.0], [3.0]]),
        ...           "2.weight": torch.tensor([[9.0, 4.0, 1.0]])}
        >>> whole = {name: torch.ones_like(score).bool() for name, score in scores.items()}
        >>> mask = units.choose(scores, 4, scope="uniform", support=whole, seed=0)
        >>> mask["2.weight"].tolist()  # products 9, 8 and 3
        [[True, True, False]]
        """
        if scope not in SCOPES:
            raise UnknownNameError("scope of channels", scope, SCOPES)
        inside = checked_support({name: scores[name] for name in self.shapes}, kept, scope, support)
        counts = {name: _flat(layer).sum(2).cpu().double() for name, layer in inside.items()}
        present = self._present(counts)
        order = self._order(self._values(scores, inside, present), present, scope, seed)
        least = sum(bool(present[numbers].any()) for numbers in self._numbers)
        steps = _nearest(
            lambda steps: self._weights(counts, self._staying(order[:steps])),
            least,
            len(order),
            kept,
        )
        return self._mask(inside, self._staying(order[:steps]))

    def _present(self, counts: Layers) -> Tensor:
        """Return which units the support has, on the side that makes them and on the other."""
        found = [
            torch.stack(
                [
                    torch.stack([_along(counts, member) for member in group.having(role)]).sum(0)
                    for role in ("makes", "reads")
                ]
            )
            for group in self.groups
        ]
        return (torch.cat(found, 1) > 0).all(0)

    def _values(self, scores: Layers, inside: Layers, present: Tensor) -> Tensor:
        """Return the score of each unit, float64."""
        squares = {
            name: _flat(scores[name].double().square() * layer).sum(2).cpu()
            for name, layer in inside.items()
        }
        # How many weights count: those between channels that are both there.
        sizes = {name: self._grid(name, present) * _taps(inside[name]) for name in inside}
        found = []
        for group in self.groups:
            value = torch.ones(group.size, dtype=torch.float64)
            for role in ("makes", "reads"):
                members = list(group.having(role))
                total = torch.stack([_along(squares, member) for member in members]).sum(0)
                number = torch.stack([_along(sizes, member) for member in members]).sum(0)
                value *= (total / number.clamp(min=1)).sqrt()
            found.append(value)
        return torch.cat(found)

    def _order(self, values: Tensor, present: Tensor, scope: str, seed: int) -> list[Tensor]:
        """Return the present units in the order in which they come back, some at a time.

        What comes at a time are ``multiple`` units of one group, or the last few of all its units.
        The first of each group come first of all.
        """
        generator = torch.Generator().manual_seed(derive_seed(seed, "channels"))
        luck = torch.randperm(len(values), generator=generator).tolist()
        found = []
        for numbers in self._numbers:
            ranked = sorted(
                numbers[present[numbers]].tolist(), key=lambda k: (-float(values[k]), luck[k])
            )
            for start in range(0, len(ranked), self.multiple):
                some = torch.tensor(ranked[start : start + self.multiple])
                whole = len(some) == self.multiple or start + len(some) == len(numbers)
                if start == 0 or whole:
                    share = (start + self.multiple / 2) / len(numbers)
                    rank = share if scope == "uniform" else -float(values[some].mean())
                    found.append((start > 0, rank, luck[numbers[0]], start, some))
        return [each[-1] for each in sorted(found, key=lambda each: each[:-1])]

    def _staying(self, chosen: Sequence[Tensor]) -> Tensor:
        """Return which units stay, bool; the one more at the end stands for what cannot go."""
        stays = torch.zeros(sum(len(numbers) for numbers in self._numbers) + 1, dtype=torch.bool)
        stays[torch.cat([*chosen, torch.tensor([-1])])] = True
        return stays

    def _weights(self, counts: Layers, stays: Tensor) -> int:
        """Return how many weights of the support lie between channels that stay."""
        return sum(
            int(stays[rows].double() @ counts[name] @ stays[columns].double())
            for name, (rows, columns) in self._places.items()
        )

    def _grid(self, name: str, stays: Tensor) -> Tensor:
        """Return which channels of a weight are both there (out, in), float64."""
        there = torch.cat([stays, torch.ones(1, dtype=torch.bool)])
        rows, columns = (there[place].double() for place in self._places[name])
        return torch.outer(rows, columns)

    def _mask(self, inside: Layers, stays: Tensor) -> Mask:
        """Return the mask of the support's weights between channels that stay."""
        return Mask(
            {
                name: layer
                & (self._grid(name, stays[:-1]) > 0)
                .view(*layer.shape[:2], *[1] * (layer.ndim - 2))
                .to(layer.device)
                for name, layer in inside.items()
            }
        )


def _flat(weight: Tensor) -> Tensor:
    """Return a weight as (out, in, taps); a vector has one input."""
    return weight.reshape(len(weight), weight.shape[1] if weight.ndim > 1 else 1, -1)


def _taps(weight: Tensor) -> int:
    return _flat(weight).shape[2]


def _along(weights: Layers, member: Member) -> Tensor:
    """Return the sum over what a weight (out, in) has of each unit of a member's group."""
    sums = weights[member.parameter].sum(1 - member.axis)
    return sums[member.positions].sum(1)


def _nearest(weights: Callable[[int], int], least: int, most: int, kept: int) -> int:
    """Return the steps at which ``weights``, which never falls, is nearest to ``kept``.

    >>> _nearest(lambda steps: 10 * steps, 1, 9, 44), _nearest(lambda steps: 10 * steps, 1, 9, 0)
    (4, 1)
    """
    low, high = least, most  # the fewest steps with at least ``kept`` weights, if there are any
    while low < high:
        middle = (low + high) // 2
        if weights(middle) < kept:
            low = middle + 1
        else:
            high = middle
    if low > least and kept - weights(low - 1) <= weights(low) - kept:
        return low - 1
    return low

"""Channels as units of a mask: a channel is kept or pruned with everything that is coupled to it.

A mask names the weights that can be pruned. Where a channel is gone it prunes the channel's row in
every weight that makes it and its column in every weight that reads it. Other parameters hold a
number for it too: biases, the gains of normalisations, embeddings. Where weights of the mask alone
make and read the channel, in a chain of layers with batch normalisation or none, within attention
and in a residual network, these do no harm: the channel is a constant that no kept weight reads.
Where a layer normalisation takes statistics over it, or an embedding or a head of its weight has a
column of it, they count. So whoever holds a mask on a network calls :meth:`ChannelUnits.prepare`
once and holds :meth:`ChannelUnits.with_carriers` of the mask. The masked network then is the one
from which the channels are really removed, as :func:`bogp.compact` removes them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import final

import torch
from torch import Tensor, nn

from bogp.coupling.groups import Group, Role, couplings
from bogp.coupling.norms import normalise_over_kept
from bogp.errors import MaskError, SettingError, UnknownNameError
from bogp.keys import derive_seed
from bogp.masks import Mask, prunable_layers
from bogp.masks.granularity import Units
from bogp.masks.select import Layers, checked_support

SCOPES = ("global", "uniform")
"""How widths share what is kept: all channels ranked together, or the same share of each width."""


ROLES: tuple[Role, Role] = ("makes", "reads")
"""The two sides of a channel, of which a score is the product."""


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
        if not held:
            continue
        missing = [member for member in held if member.parameter not in names]
        if missing:
            reasons.append(
                f"the mask does not name {missing[0].parameter!r}, which {missing[0].role} "
                f"channels of {held[0].parameter!r}"
            )
        elif {"makes", "reads"} <= {member.role for member in held}:
            groups.append(group)
    if not groups:
        why = next((f" ({reason})" for reason in (*reasons, *found.fixed.values())), "")
        raise MaskError(
            f"no channel of the model can go{why}: name the weights of a hidden layer and of all "
            "that read it, or prune weights"
        )
    carried = {
        member.parameter: tuple(model.get_parameter(member.parameter).shape)
        for group in groups
        if any(
            member.role != "carries" and member.parameter not in shapes for member in group.members
        )
        for member in group.members
        if member.parameter not in shapes
    }
    return ChannelUnits(groups, {name: shapes[name] for name in names}, carried, multiple)


@final
class ChannelUnits(Units):
    """The channels of one network; see :func:`channel_units`.

    Attributes:
        groups: the channels that can go, with what parameters hold of them.
        shapes: the weights of the mask and their shapes.
        carried: the other parameters that count where a channel is gone, and their shapes.
        multiple: what widths are a multiple of.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        shapes: Mapping[str, tuple[int, ...]],
        carried: Mapping[str, tuple[int, ...]],
        multiple: int = 1,
    ) -> None:
        self.groups, self.multiple = tuple(groups), multiple
        self.shapes, self.carried = dict(shapes), dict(carried)
        starts = itertools.accumulate((group.size for group in groups), initial=0)
        self._numbers = [torch.arange(a, b) for a, b in itertools.pairwise(starts)]
        # The unit at each position of an axis of a parameter; -1 where none can go.
        self._places = {
            name: [torch.full((size,), -1) for size in (*shape, 1)]
            for name, shape in (self.shapes | self.carried).items()
        }
        for group, numbers in zip(self.groups, self._numbers, strict=True):
            for member in group.members:
                if member.parameter not in self._places:
                    continue
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
        counts = {name: _counts(layer) for name, layer in inside.items()}
        present = self._present(counts)
        order = self._order(self._values(scores, inside, present), present, scope, seed)
        least = sum(
            bool(present[numbers].view(group.parts, -1).any(1).all())
            for group, numbers in zip(self.groups, self._numbers, strict=True)
        )

        def weights(steps: int) -> int:
            return self._weights(counts, self._staying(order[:steps]))

        steps = _nearest(weights, least, len(order), kept)
        stays = self._staying(order[:steps])
        return Mask(
            {
                name: layer & self._between(name, stays).to(layer.device)
                for name, layer in inside.items()
            }
        )

    def prepare(self, model: nn.Module) -> nn.Module:
        """Return ``model``, its layer norms made to take their statistics over what is kept.

        See :func:`bogp.coupling.normalise_over_kept`; a network without layer norms stays as it is.
        """
        if any(list(group.having("normalises")) for group in self.groups):
            normalise_over_kept(model)
        return model

    def with_carriers(self, mask: Mask) -> Mask:
        """Return ``mask`` with the other parameters that count where a channel is gone.

        Of these it prunes what is the channel's: its bias, its gain, its column of an embedding.

        >>> network = nn.Sequential(nn.Linear(1, 2), nn.LayerNorm(2), nn.Linear(2, 1))
        >>> units = channel_units(network, ["0.weight", "2.weight"], torch.zeros(1, 1))
        >>> gone = torch.tensor([[True], [False]])
        >>> whole = units.with_carriers(Mask({"0.weight": gone, "2.weight": gone.T}))
        >>> whole["1.weight"].tolist()
        [True, False]
        """
        stays = _and_more(self._present({name: _counts(mask[name]) for name in self.shapes}))
        return Mask(dict(mask) | {name: self._between(name, stays) for name in self.carried})

    def _present(self, counts: Layers) -> Tensor:
        """Return which units the support has, on the side that makes them and on the other."""
        found = []
        for group in self.groups:
            there = torch.ones(group.size, dtype=torch.bool)
            for role in ROLES:
                there &= self._sum(counts, group, role) > 0
            found.append(there)
        return torch.cat(found)

    def _sum(self, weights: Layers, group: Group, role: Role) -> Tensor:
        """Return the sum of what weights (out, in) of one role have of each unit of a group."""
        return torch.stack(
            [
                weights[member.parameter].sum(1 - member.axis)[member.positions].sum(1)
                for member in group.having(role)
                if member.parameter in weights
            ]
        ).sum(0)

    def _values(self, scores: Layers, inside: Layers, present: Tensor) -> Tensor:
        """Return the score of each unit, float64."""
        squares = {
            name: _over_taps(torch.where(layer, scores[name], 0).double().square_()).cpu()
            for name, layer in inside.items()
        }
        # How many weights count: those between channels that are both there.
        stays = _and_more(present)
        sizes = {name: _counts(self._between(name, stays)) for name in inside}
        found = []
        for group in self.groups:
            value = torch.ones(group.size, dtype=torch.float64)
            for role in ROLES:
                number = self._sum(sizes, group, role).clamp(min=1)
                value *= (self._sum(squares, group, role) / number).sqrt()
            found.append(value)
        return torch.cat(found)

    def _order(self, values: Tensor, present: Tensor, scope: str, seed: int) -> list[list[int]]:
        """Return the present units in the order in which they come back, some at a time.

        What comes at a time are ``multiple`` units of one group, as many of each of its parts, or
        the last few of all its units. The first of each group come first of all.
        """
        generator = torch.Generator().manual_seed(derive_seed(seed, "channels"))
        luck = torch.randperm(len(values), generator=generator).tolist()
        score, there = values.tolist(), present.tolist()
        found = []
        for group, numbers in zip(self.groups, self._numbers, strict=True):
            some = self.multiple // math.gcd(self.multiple, group.parts)
            ranked = [
                sorted((unit for unit in part if there[unit]), key=lambda k: (-score[k], luck[k]))
                for part in numbers.view(group.parts, -1).tolist()
            ]
            full, width = len(numbers) // group.parts, min(map(len, ranked))
            for start in range(0, width, some):
                end = min(start + some, width)
                if start == 0 or end == start + some or end == full:
                    units = [unit for part in ranked for unit in part[start:end]]
                    rank = (start + some / 2) / full
                    if scope == "global":
                        rank = -math.fsum(score[unit] for unit in units) / len(units)
                    found.append((start > 0, rank, luck[ranked[0][0]], start, units))
        return [units for *_, units in sorted(found)]

    def _staying(self, chosen: Sequence[Sequence[int]]) -> Tensor:
        """Return which units stay, bool, and one more."""
        stays = torch.zeros(sum(len(numbers) for numbers in self._numbers), dtype=torch.bool)
        stays[[unit for units in chosen for unit in units]] = True
        return _and_more(stays)

    def _weights(self, counts: Layers, stays: Tensor) -> int:
        """Return how many weights of the support lie between channels that stay."""
        total = 0
        for name, count in counts.items():
            rows, columns = (stays[place].double() for place in self._places[name][:2])
            total += int(rows @ count @ columns)
        return total

    def _between(self, name: str, stays: Tensor) -> Tensor:
        """Return which numbers of a parameter lie between channels that stay, of its shape."""
        shape = (self.shapes | self.carried)[name]
        found = torch.ones(shape, dtype=torch.bool)
        for axis, place in enumerate(self._places[name][: len(shape)]):
            found &= stays[place].view(-1, *[1] * (len(shape) - axis - 1))
        return found


def _over_taps(weight: Tensor) -> Tensor:
    """Return a weight summed over a kernel's taps (out, in); a vector has one input."""
    if weight.ndim < 3:
        return weight.reshape(len(weight), -1)
    return weight.flatten(2).sum(2)


def _counts(layer: Tensor) -> Tensor:
    """Return how many weights of each pair of channels a mask's layer keeps (out, in), float64."""
    return _over_taps(layer).cpu().double()


def _and_more(stays: Tensor) -> Tensor:
    """Return which units stay, and one more at the end, which is what cannot go."""
    return torch.cat([stays, torch.ones(1, dtype=torch.bool)])


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

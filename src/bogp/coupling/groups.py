"""The couplings of a network: which channels go together, and where each lies in its parameters."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bogp.coupling.channels import Flow, Layer
from bogp.coupling.opened import first_names, open_attention, packed_names
from bogp.coupling.reading import Reading, read_model
from bogp.errors import MaskError, first_line

Role = Literal["makes", "reads", "carries", "normalises"]
"""What a parameter does with a channel: computes it, is multiplied by it, changes it alone, or
changes it by statistics over it and others."""


Place = tuple[str, int, Role]
"""A parameter, one of its axes, and what it does with the channels that lie there."""


@dataclass(frozen=True, eq=False)
class Member:
    """What one parameter has of each unit of a group.

    Attributes:
        parameter: its name in the model.
        axis: the dimension along which the units lie.
        role: whether these positions make the channel, read it, or change it on its way.
        positions: where each unit lies (units, P), int64. A channel that was flattened has as many
            positions as it had places.
    """

    parameter: str
    axis: int
    role: Role
    positions: Tensor


@dataclass(frozen=True, eq=False)
class Group:
    """Channels that lie in the same places: the width of a hidden layer, or a part of a stream.

    Each of its units can go or stay by itself, with everything that ``members`` have of it. Where
    a shortcut puts the channels of a narrow stage among those of a wide one, these are one group,
    and those that the wide stage has beside them another.

    Attributes:
        members: the parameters that hold the channels.
        size: the number of units.
        parts: into how many equal parts the units fall, one after the other, of which each must
            keep as many: the heads of attention.
    """

    members: tuple[Member, ...]
    size: int
    parts: int = 1

    def having(self, role: Role) -> Iterator[Member]:
        """Yield the members of one role."""
        return (member for member in self.members if member.role == role)


@dataclass(frozen=True)
class Couplings:
    """What is coupled in a model.

    Attributes:
        groups: the channels that can go, in the order in which the model makes them.
        fixed: the name of a layer → a sentence on why channels that it makes must stay.
    """

    groups: tuple[Group, ...]
    fixed: Mapping[str, str]


def couplings(model: nn.Module, example: Tensor | tuple[Tensor, ...]) -> Couplings:
    """Return which channels of ``model`` go together.

    They are found by following its calls with torch.fx. A call that has no rule pins the channels
    that it reads: that is never wrong, and only leaves the network wider than it could be. The
    features of the input and the outputs stay.

    Args:
        model: any module that torch.fx can follow, or parts of which it can; not changed.
        example: inputs (N, ...), or a tuple of them: the model is run on them for its shapes.

    Raises:
        MaskError: the model cannot be run on the example.

    >>> network = nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.Linear(2, 1))
    >>> found = couplings(network, torch.zeros(1, 3))
    >>> [(m.parameter, m.axis, m.role, m.positions.tolist()) for m in found.groups[0].members]
    ... # doctest: +NORMALIZE_WHITESPACE
    [('0.weight', 0, 'makes', [[0], [1]]), ('0.bias', 0, 'carries', [[0], [1]]),
     ('2.weight', 1, 'reads', [[0], [1]])]
    >>> found.fixed
    {'2': "the channels of '2' stay: they are an output of the model"}
    """
    plain = copy.deepcopy(model).cpu().eval()
    firsts = first_names(plain)
    inputs = (example,) if isinstance(example, Tensor) else tuple(example)
    inputs = tuple(each.detach().cpu() for each in inputs)
    try:
        plain = open_attention(plain, inputs)
        readings = read_model(plain, inputs)
    except Exception as error:  # whatever a foreign forward raises
        raise MaskError(
            f"the model cannot be run on the example ({first_line(error)}): give a batch of its "
            "inputs"
        ) from error
    names = packed_names(firsts, plain)
    groups: list[Group] = []
    fixed: dict[str, str] = {}
    for part in readings.parts:
        groups += _groups(part, names)
        fixed |= _fixed(part)
    return Couplings(tuple(groups), fixed)


def _groups(part: Reading, names: Mapping[nn.Parameter, tuple[str, int]]) -> list[Group]:
    """Return the groups of one traced module."""
    flow = part.flow
    places = _places(part, names)
    rows = {root: at for at, units in enumerate(flow.even) for root in units.flatten().tolist()}
    alike: dict[object, list[int]] = defaultdict(list)
    for root in sorted(places):
        if {"makes", "reads"} <= {role for _, _, role in places[root]}:
            held = tuple((place, len(positions)) for place, positions in places[root].items())
            alike[rows.get(root), held].append(root)
    found = []
    for own in alike.values():
        parts = 1
        if own[0] in rows:
            units = flow.even[rows[own[0]]]
            if len(own) < units.numel():
                continue
            own, parts = units.flatten().tolist(), len(units)
        found.append(_group(own, parts, places))
    return found


def _places(
    part: Reading, names: Mapping[nn.Parameter, tuple[str, int]]
) -> dict[int, dict[Place, list[int]]]:
    """Return where each set of units lies that can go.

    Of packed attention, whose projections read one input with the same columns of one weight, these
    are one place; where they read several inputs, no column is one channel's, and all stay.
    """
    flow = part.flow
    roots, pinned = flow.units.roots().tolist(), flow.units.pinned().tolist()
    owners: dict[tuple[str, int, int], int] = {}
    places: dict[int, dict[Place, list[int]]] = defaultdict(lambda: defaultdict(list))
    for layer in flow.layers:
        for parameter, axis, role, units in _held(flow, layer):
            name, start = names[parameter]
            for position, unit in enumerate(units.tolist(), start if axis == 0 else 0):
                root = roots[unit]
                owner = owners.setdefault((name, axis, position), root)
                if owner != root:
                    pinned[owner] = pinned[root] = True
                if position not in places[root][name, axis, role]:
                    places[root][name, axis, role].append(position)
    return {root: held for root, held in places.items() if not pinned[root]}


def _group(own: list[int], parts: int, places: Mapping[int, Mapping[Place, list[int]]]) -> Group:
    """Return the group of the sets ``own``, which all lie in the same places."""
    members = tuple(
        Member(*place, positions=torch.tensor([places[root][place] for root in own]))
        for place in places[own[0]]
    )
    return Group(members, len(own), parts)


def _held(flow: Flow, layer: Layer) -> Iterator[tuple[nn.Parameter, int, Role, Tensor]]:
    """Yield what parameters have of a layer's channels: parameter, axis, role, units by position.

    Keys count as what reads: they are what the queries' channels are multiplied by.
    """
    output = layer.output.units
    if layer.kind == "parameter":
        yield flow.module.get_parameter(layer.name), layer.output.axis, "makes", output
        return
    module: Any = flow.module.get_submodule(layer.name)
    if layer.kind == "table":
        yield module.weight, 1, "makes", output
        return
    keys = any(torch.equal(match.keys.units.flatten(), output) for match in flow.matches)
    makes: Role = "reads" if keys else "makes"
    carries: Role = "normalises" if layer.kind == "norm" else "carries"
    for name, parameter in module.named_parameters(recurse=False):
        mixes = layer.kind == "reader" and name == "weight"
        yield parameter, 0, makes if mixes else carries, output
        if mixes and layer.source is not None:
            # The groups of a convolution have the same units in the same order.
            yield parameter, 1, "reads", layer.source.units[: parameter.shape[1]]


def _fixed(part: Reading) -> dict[str, str]:
    """Return why channels stay, by the name of the layer that makes them."""
    reasons = part.flow.units.reasons()
    roots = part.flow.units.roots()
    found = {}
    for layer in part.flow.layers:
        why = [reasons[root] for root in roots[layer.output.units].tolist() if root in reasons]
        if layer.kind in ("reader", "table") and why:
            name = part.full(layer.name)
            found[name] = f"the channels of {name!r} stay: {why[0]}"
    return found

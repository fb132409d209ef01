"""What a mask keeps or prunes together: single weights, blocks of weights, or whole channels.

A :class:`Granularity` is the choice, a value for settings and keys. :class:`Units` carries it out:
it picks the best units of a network by the scores of their weights.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, final

from torch import nn

from bogp.errors import SettingError, UnknownNameError
from bogp.masks.mask import Mask
from bogp.masks.select import Layers, select

GRANULARITIES = ("weight", "block", "channel")
"""What can be kept or pruned together."""

BLOCK = 32
"""Channels of a node, where nothing else is said: narrower blocks run slower."""


@dataclass(frozen=True)
class Granularity:
    """What is kept or pruned together.

    A *block* is all weights between the output channels of one node and the input channels of
    another, so that the kept blocks of a layer are the edges of its graph. A *channel* goes with
    everything that is coupled to it, so that the network becomes narrower.

    Attributes:
        kind: ``"weight"``, ``"block"`` or ``"channel"``.
        block: channels of a node, of blocks. A layer of fewer channels is one node; where they do
            not divide evenly, some nodes own a few more.
        shared: whether the blocks of all layers are one relational graph, symmetric, self-loops
            kept, which every layer carries that is wide enough.
        equal_rows: whether every output node of a layer reads the same number of input nodes.
        multiple: what the widths are multiples of that channels leave; processors like 8 or 16.

    Raises:
        UnknownNameError: no such kind.
        SettingError: ``block`` or ``multiple`` is no whole number above 0, an option is neither
            True nor False, an option is given that another kind heeds, or both options of blocks
            are given.

    >>> Granularity("block", block=16).record()
    {'kind': 'block', 'block': 16, 'shared': False, 'equal_rows': False}
    >>> Granularity("weight", equal_rows=True)
    Traceback (most recent call last):
    bogp.errors.SettingError: equal_rows = True is of blocks, and the granularity is 'weight': ...
    """

    kind: str = "weight"
    block: int = BLOCK
    shared: bool = False
    equal_rows: bool = False
    multiple: int = 1

    def __post_init__(self) -> None:
        if self.kind not in GRANULARITIES:
            raise UnknownNameError("granularity", self.kind, GRANULARITIES)
        for option, what in (("block", "1 or more channels a node"), ("multiple", "1 or more")):
            number = getattr(self, option)
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise SettingError(f"{option} = {number!r} of a granularity: give {what}")
        for option in ("shared", "equal_rows"):
            if not isinstance(getattr(self, option), bool):
                raise SettingError(
                    f"{option} = {getattr(self, option)!r} of a granularity: give True or False"
                )
        for option, default, kind in (
            ("block", BLOCK, "block"),
            ("shared", False, "block"),
            ("equal_rows", False, "block"),
            ("multiple", 1, "channel"),
        ):
            if self.kind != kind and getattr(self, option) != default:
                raise SettingError(
                    f"{option} = {getattr(self, option)} is of {kind}s, and the granularity is "
                    f"{self.kind!r}: leave it out, or take the granularity {kind!r}"
                )
        if self.shared and self.equal_rows:
            raise SettingError(
                "a granularity cannot be both shared and equal_rows: the rows of a symmetric "
                "graph cannot be filled one by one; take one of the two"
            )

    def record(self) -> dict[str, Any]:
        """Return the granularity as a JSON object, for the keys of records: what its kind heeds.

        >>> Granularity().record()
        {'kind': 'weight'}
        >>> Granularity("channel", multiple=8).record()
        {'kind': 'channel', 'multiple': 8}
        """
        if self.kind == "block":
            return {name: value for name, value in asdict(self).items() if name != "multiple"}
        return {"kind": self.kind} | ({"multiple": self.multiple} if self.multiple > 1 else {})


WEIGHT = Granularity()
"""Every weight by itself."""


class Units(ABC):
    """What is kept or pruned together in the layers of one network. It can be pickled."""

    @abstractmethod
    def choose(self, scores: Layers, kept: int, *, scope: str, support: Layers, seed: int) -> Mask:
        """Return the mask that keeps the units of highest score inside ``support``.

        Args:
            scores: parameter name → score of each weight; a higher score is kept first.
            kept: the number of weights to keep, over all layers; of blocks and channels the mask
                has the nearest number that whole units give.
            scope: how layers share what is kept, of :data:`bogp.masks.SCOPES`.
            support: parameter name → bool, the weights that may be kept.
            seed: decides which of equal units are kept.

        Raises:
            SparsityError: the support has fewer than ``kept`` weights, or ``kept`` is negative.
            MaskError: a score is NaN or its shape is not its support's.
            UnknownNameError: no such scope.
        """

    def prepare(self, model: nn.Module) -> nn.Module:
        """Return ``model``, changed in place so that it heeds a mask of these units."""
        return model

    def with_carriers(self, mask: Mask) -> Mask:
        """Return ``mask`` with what else is held at 0: of channels, gains and embeddings."""
        return mask

    def least(self, support: Layers) -> int:
        """Return how many weights of ``support`` every mask inside it keeps."""
        return 0


@final
class WeightUnits(Units):
    """Every weight by itself: :func:`bogp.masks.select`."""

    def choose(self, scores: Layers, kept: int, *, scope: str, support: Layers, seed: int) -> Mask:
        """Return the mask of exactly ``kept`` weights.

        >>> import torch
        >>> scores = {"w": torch.tensor([[3.0, 1.0, 9.0]])}
        >>> support = {"w": torch.tensor([[True, True, False]])}
        >>> WeightUnits().choose(scores, 1, scope="global", support=support, seed=0)["w"].tolist()
        [[True, False, False]]
        """
        return select(scores, kept, scope=scope, support=support, seed=seed)

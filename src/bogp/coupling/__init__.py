"""Couplings: which channels of a network go together, masks of them, and networks without them."""

from bogp.coupling.compaction import Compacted as Compacted
from bogp.coupling.compaction import LayerSize as LayerSize
from bogp.coupling.compaction import compact as compact
from bogp.coupling.groups import Couplings as Couplings
from bogp.coupling.groups import Group as Group
from bogp.coupling.groups import Member as Member
from bogp.coupling.groups import couplings as couplings
from bogp.coupling.norms import normalise_over_kept as normalise_over_kept
from bogp.coupling.units import ChannelUnits as ChannelUnits
from bogp.coupling.units import channel_units as channel_units

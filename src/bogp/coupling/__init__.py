"""Couplings: which channels of a network go together, and masks that prune whole channels."""

from bogp.coupling.groups import Couplings as Couplings
from bogp.coupling.groups import Group as Group
from bogp.coupling.groups import Member as Member
from bogp.coupling.groups import couplings as couplings
from bogp.coupling.norms import normalise_over_kept as normalise_over_kept
from bogp.coupling.units import ChannelUnits as ChannelUnits
from bogp.coupling.units import channel_units as channel_units

"""Pruning masks: what they are, how scores become one, how density falls, how they are kept."""

from bogp.masks.files import load_mask as load_mask
from bogp.masks.files import save_mask as save_mask
from bogp.masks.mask import Mask as Mask
from bogp.masks.mask import check_fits as check_fits
from bogp.masks.mask import complete_mask as complete_mask
from bogp.masks.mask import prunable as prunable
from bogp.masks.schedule import SCHEDULES as SCHEDULES
from bogp.masks.schedule import densities as densities
from bogp.masks.select import SCOPES as SCOPES
from bogp.masks.select import select as select

"""Pruning masks: which weights can be pruned, how scores become a mask, masks in files."""

from bogp.masks.choice import check_room as check_room
from bogp.masks.choice import check_weights as check_weights
from bogp.masks.choice import choose_layers as choose_layers
from bogp.masks.files import SavedModel as SavedModel
from bogp.masks.files import load_mask as load_mask
from bogp.masks.files import load_model as load_model
from bogp.masks.files import load_state as load_state
from bogp.masks.files import read_mask as read_mask
from bogp.masks.files import read_model as read_model
from bogp.masks.files import save_mask as save_mask
from bogp.masks.files import save_model as save_model
from bogp.masks.layers import KINDS as KINDS
from bogp.masks.layers import PrunableLayer as PrunableLayer
from bogp.masks.layers import prunable_layers as prunable_layers
from bogp.masks.mask import Mask as Mask
from bogp.masks.mask import check_fits as check_fits
from bogp.masks.mask import collapsed as collapsed
from bogp.masks.mask import complete_mask as complete_mask
from bogp.masks.schedule import SCHEDULES as SCHEDULES
from bogp.masks.schedule import densities as densities
from bogp.masks.select import SCOPES as SCOPES
from bogp.masks.select import select as select
from bogp.masks.torch_prune import mask_from_torch_prune as mask_from_torch_prune
from bogp.masks.torch_prune import with_torch_prune as with_torch_prune
from bogp.masks.torch_prune import without_torch_prune as without_torch_prune

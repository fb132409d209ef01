"""The arithmetic of many masked perceptrons at once, over the weights that their masks keep."""

from bogp.training.kernels.networks import Optimiser as Optimiser
from bogp.training.kernels.networks import State as State
from bogp.training.kernels.networks import logits as logits
from bogp.training.kernels.networks import pack as pack
from bogp.training.kernels.networks import start as start
from bogp.training.kernels.networks import train_batches as train_batches
from bogp.training.kernels.networks import unpack as unpack
from bogp.training.kernels.wiring import Wiring as Wiring
from bogp.training.kernels.wiring import wire as wire

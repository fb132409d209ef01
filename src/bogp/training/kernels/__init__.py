"""The arithmetic of many masked perceptrons at once, over the weights that their masks keep."""

from bogp.training.kernels.layout import Layout as Layout
from bogp.training.kernels.layout import make_layout as make_layout
from bogp.training.kernels.networks import Layers as Layers
from bogp.training.kernels.networks import logits as logits
from bogp.training.kernels.networks import pack as pack
from bogp.training.kernels.networks import start as start
from bogp.training.kernels.networks import train_batches as train_batches
from bogp.training.kernels.networks import unpack as unpack
from bogp.training.kernels.optimisers import Optimiser as Optimiser
from bogp.training.kernels.optimisers import State as State

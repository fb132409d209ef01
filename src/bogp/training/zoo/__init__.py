"""Small networks of each kind, to prune out of the box and to test with."""

from bogp.training.zoo.gpt import GPT as GPT
from bogp.training.zoo.gpt import gpt as gpt
from bogp.training.zoo.lenet import lenet_5 as lenet_5
from bogp.training.zoo.lenet import lenet_300_100 as lenet_300_100
from bogp.training.zoo.mlp import mlp as mlp
from bogp.training.zoo.resnet import resnet as resnet
from bogp.training.zoo.vit import ViT as ViT
from bogp.training.zoo.vit import vit as vit

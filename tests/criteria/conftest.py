import pytest
import torch
from torch import nn

from bogp.criteria import Context
from bogp.masks import Mask, choose_layers


class Convolutional(nn.Module):
    """Convolutions, both kinds of normalisation, pooling, dropout, and a layer that is not used."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.first = nn.Conv2d(2, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.second = nn.Conv2d(6, 4, 2, groups=2)
        self.group = nn.GroupNorm(2, 4)
        self.drop = nn.Dropout(dropout)
        self.last = nn.Linear(16, 3)
        self.idle = nn.Linear(3, 3)

    def forward(self, inputs):
        hidden = nn.functional.max_pool2d(self.norm(self.first(inputs)).relu(), 2)
        return self.last(self.drop(self.group(self.second(hidden)).relu().flatten(1)))


def make_context(model, shape, *, classes=3, count=12, dense=1.0, seed=0, layers="all", names=None):
    """A context of a model in double precision, a random mask and random examples."""
    generator = torch.Generator().manual_seed(seed)
    model = model.double()
    parameters = dict(model.named_parameters())
    mask = {
        name: torch.rand(parameters[name].shape, generator=generator) < dense
        for name in names or choose_layers(model, layers)
    }
    inputs = torch.randn(count, *shape, generator=generator, dtype=torch.float64)
    targets = torch.randint(classes, (count,), generator=generator)
    return Context(model, Mask(mask), inputs, targets, seed)


@pytest.fixture
def convolutional():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return Convolutional()


@pytest.fixture
def dropping():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return Convolutional(dropout=0.5)


@pytest.fixture
def perceptron():
    with torch.random.fork_rng():
        torch.manual_seed(4)
        layers = nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 6), nn.Tanh(), nn.Linear(6, 3)
        return nn.Sequential(*layers)


@pytest.fixture
def context():
    """The function that makes a context."""
    return make_context

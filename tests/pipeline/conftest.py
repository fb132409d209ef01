import pytest
import torch

from bogp.data import Dataset, split
from bogp.database import GraphDatabase
from bogp.training import Recipe

TINY = Recipe(learning_rate=0.01, batch_size=64, epochs=1)


def make_toy(test_shift=0):
    """A problem of 20 features and 4 classes; ``test_shift`` mislabels the test set alone."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(260, 20, generator=generator)
    targets = (inputs[:, 0] > 0).long() + 2 * (inputs[:, 1] > 0).long()
    shifted = (targets[200:] + test_shift) % 4
    return Dataset("toy", inputs[:200], targets[:200], inputs[200:], shifted, classes=4)


@pytest.fixture(scope="session")
def toy():
    return make_toy()


@pytest.fixture(scope="session")
def parts(toy):
    return split(toy, "holdout", seed=0)


@pytest.fixture(scope="session")
def mislabelled():
    return make_toy(1)


@pytest.fixture(scope="session")
def graphs(tmp_path_factory):
    path = tmp_path_factory.mktemp("database") / "graphs.db"
    with GraphDatabase.build(
        path, nodes=12, shape=(16, 20), sparsities=(0.5, 0.8), graphs=20
    ) as database:
        yield database


@pytest.fixture(scope="session")
def tiny():
    return TINY

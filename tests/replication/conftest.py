import pytest
import torch

from bogp.data import Dataset
from bogp.replication import Setup


@pytest.fixture(scope="session")
def blank():
    """A dataset that is only named: 16 features, 2 classes."""
    inputs, targets = torch.zeros(4, 16), torch.tensor([0, 1, 0, 1])
    return Dataset("blank", inputs, targets, inputs[:2], targets[:2], classes=2)


@pytest.fixture
def small(tmp_path):
    """A set-up for records that are made up: nothing of it is trained."""
    return Setup(
        tmp_path,
        data="blank",
        sparsities=(0.15, 0.75),
        nodes=16,
        width=16,
        variance_graphs=8,
        alphas=(0.1, 0.5, 0.9),
        figure_seeds=3,
    )

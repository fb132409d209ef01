import pytest
import torch

from bogp.data import Dataset
from bogp.files import output_folder
from bogp.replication.setup import Inputs, Setup
from bogp.replication.trainings import run_job


@pytest.fixture(scope="session")
def blank():
    """A dataset that is only named: 16 features, 2 classes."""
    inputs, targets = torch.zeros(4, 16), torch.tensor([0, 1, 0, 1])
    return Dataset("blank", inputs, targets, inputs[:2], targets[:2], classes=2)


@pytest.fixture(scope="session")
def inputs(blank):
    """What jobs of the blank dataset are trained on."""
    return Inputs({"blank": blank})


@pytest.fixture(scope="session")
def run_here():
    """Run jobs without the start of a process each: test_records.py has those."""

    def run(wanted, folder, *, workers, progress):
        studies = output_folder(folder / "work" / "studies")
        return {job.key: run_job(job, studies, lambda done, total: None) for job in wanted}

    return run


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

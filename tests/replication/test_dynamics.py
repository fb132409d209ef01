from collections import Counter
from pathlib import Path

import pytest
import torch

from bogp.data import Dataset
from bogp.replication.dynamics import (
    CHANNELS,
    ENTRIES,
    PERCEPTRON,
    dynamics_jobs,
    dynamics_setup,
    equal_widths,
    treatments,
)
from bogp.replication.setup import Inputs, Setup


@pytest.fixture(scope="module")
def blanks():
    """Datasets of the shapes of MNIST and of the digits, which jobs are named after."""

    def blank(name, side):
        inputs, targets = torch.zeros(10, side, side), torch.arange(10)
        return Dataset(name, inputs, targets, inputs, targets, classes=10)

    return Inputs({"mnist": blank("mnist", 28), "digits": blank("digits", 8)})


@pytest.fixture(scope="module")
def jobs(blanks):
    return dynamics_jobs(dynamics_setup(Setup(Path(), seeds=1), quick=False), blanks)


def test_there_are_as_many_jobs_as_can_be_run(jobs):
    count = Counter(
        (job.fields["model"], job.fields["epochs"], job.fields["shuffled"]) for job in jobs
    )
    assert count == {
        ("mlp:512,512", 4, False): 125,
        ("mlp:512,512", 4, True): 13,
        ("mlp:512,512", 12, False): 9,
        ("resnet-8", 15, False): 33,
        ("vit", 15, False): 33,
    }
    assert 5 * (125 + 13 + 3 * 9) == 825  # in trainings of the perceptron's four epochs


def test_every_row_trains_for_the_same_number_of_epochs(jobs):
    for job in jobs:
        method = job.fields["method"] or {"rounds": 1, "pretrain": False}
        each = job.fields["recipe"]["epochs"]
        assert each * (method["rounds"] + method["pretrain"]) == job.fields["epochs"]
    assert treatments(4)["lottery ticket"].trainings == 4
    assert treatments(15)["magnitude, several rounds"].trainings == 5


def test_what_the_claims_rest_on_comes_first(jobs):
    names = [job.fields["name"] for job in jobs]
    assert names[0] == "dense"
    assert max(job.fields["epochs"] for job in jobs[: names.index("RigL")]) == 12
    zoo = [job.fields["model"] != PERCEPTRON.model for job in jobs]
    assert zoo == sorted(zoo)
    shuffled = [job.fields["shuffled"] for job in jobs if job.fields["model"] == PERCEPTRON.model]
    assert shuffled == sorted(shuffled)


def test_channels_stand_beside_the_network_of_the_same_widths(jobs, blanks):
    pairs = equal_widths(PERCEPTRON, blanks)
    assert list(pairs.values()) == [f"mlp:{h},{h}" for h in (79, 110, 140, 200)]
    assert [round(1 - sparsity, 2) for sparsity in pairs] == [0.10, 0.15, 0.2, 0.3]
    for sparsity, network in pairs.items():
        both = {
            job.fields["name"]: job.fields for job in jobs if job.fields["sparsity"] == sparsity
        }
        assert set(both) == {CHANNELS, "narrower"}
        assert both["narrower"]["network"] == network
        assert {fields["layers"] for fields in both.values()} == {"all"}


def test_quick_is_small(tmp_path):
    setup = dynamics_setup(Setup(tmp_path), quick=True)
    assert {entry.data for entry in setup.entries} == {"digits"}
    assert (setup.seeds, setup.sparsities) == (2, (0.9,))
    assert setup.narrowed([0.95], []).sparsities == (0.95,)
    assert dynamics_setup(Setup(tmp_path), quick=False).entries == ENTRIES

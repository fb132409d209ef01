import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from bogp.data import PROTOCOLS, Dataset, load_dataset, split
from bogp.errors import SettingError, UnknownNameError

TARGETS = hnp.arrays(np.int64, st.integers(2, 80), elements=st.integers(0, 5))


def numbered(targets: np.ndarray) -> Dataset:
    """A dataset whose inputs say which example they are."""
    inputs = torch.arange(len(targets), dtype=torch.float32)[:, None]
    labels = torch.from_numpy(targets)
    return Dataset("numbered", inputs, labels, -1 - inputs, labels, classes=6)


@given(targets=TARGETS, seed=st.integers(0, 2**40), fraction=st.floats(0.01, 0.99))
def test_holdout_is_disjoint_whole_exact_and_stratified(
    targets: np.ndarray, seed: int, fraction: float
) -> None:
    count = round(fraction * len(targets))
    assume(0 < count < len(targets))
    parts = split(numbered(targets), "holdout", seed, fraction)
    train, select = parts.train_inputs[:, 0].long(), parts.select_inputs[:, 0].long()
    assert len(select) == count
    assert sorted([*train.tolist(), *select.tolist()]) == list(range(len(targets)))
    assert train.tolist() == sorted(train.tolist())
    assert (parts.train_targets.numpy() == targets[train.numpy()]).all()
    assert (parts.select_targets.numpy() == targets[select.numpy()]).all()
    shares = np.bincount(targets, minlength=6) * count / len(targets)
    drawn = np.bincount(parts.select_targets.numpy(), minlength=6)
    assert (np.abs(drawn - shares) < 1).all()


@given(targets=TARGETS, seed=st.integers(0, 2**40))
def test_one_seed_gives_one_split(targets: np.ndarray, seed: int) -> None:
    data = numbered(targets)
    first, second = (split(data, "holdout", seed, 0.5) for _ in range(2))
    assert torch.equal(first.select_inputs, second.select_inputs)


def test_another_seed_gives_another_split() -> None:
    data = numbered(np.arange(60) % 6)
    draws = {tuple(split(data, "holdout", seed).select_inputs[:, 0].tolist()) for seed in range(20)}
    assert len(draws) == 20


def test_every_example_is_drawn_about_equally_often() -> None:
    data = numbered(np.arange(12) % 2)
    counts = np.zeros(12)
    for seed in range(600):
        counts[split(data, "holdout", seed, 1 / 3).select_inputs[:, 0].long().numpy()] += 1
    # Binomial(600, 1/3): mean 200, standard deviation 11.5.
    assert (np.abs(counts - 200) < 60).all()


def test_the_draw_never_changes() -> None:
    data = numbered(np.arange(18) % 3)
    assert split(data, "holdout", 2).select_inputs[:, 0].tolist() == [6, 7, 11]


def test_the_test_set_reports_under_both_protocols() -> None:
    data = numbered(np.arange(18) % 3)
    for protocol in PROTOCOLS:
        parts = split(data, protocol, 0)
        assert parts.protocol == protocol
        assert parts.report_inputs is data.test_inputs
        assert parts.report_targets is data.test_targets


def test_holdout_keeps_the_test_set_out_of_selection() -> None:
    parts = split(numbered(np.arange(18) % 3), "holdout", 0)
    assert (parts.select_inputs >= 0).all()  # test inputs are negative
    assert (parts.train_inputs >= 0).all()


def test_paper_selects_on_the_test_set_and_trains_on_all() -> None:
    data = numbered(np.arange(18) % 3)
    parts = split(data, "paper", 0)
    assert parts.train_inputs is data.train_inputs
    assert parts.select_inputs is data.test_inputs


def test_an_unknown_protocol_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown protocol 'papr': did you mean paper"):
        split(numbered(np.arange(6)), "papr", 0)


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction: float) -> None:
    with pytest.raises(SettingError, match=r"is not in \(0, 1\)"):
        split(numbered(np.arange(6)), "holdout", 0, fraction)


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_a_fraction_that_empties_a_part_is_refused(fraction: float) -> None:
    with pytest.raises(SettingError, match="both need at least one"):
        split(numbered(np.arange(6)), "holdout", 0, fraction)


@pytest.mark.mnist
def test_mnist_is_split_50000_to_10000() -> None:
    parts = split(load_dataset("mnist"), "holdout", 0)
    lengths = len(parts.train_inputs), len(parts.select_inputs), len(parts.report_inputs)
    assert lengths == (50_000, 10_000, 10_000)

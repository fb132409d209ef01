import pytest
import torch

from bogp.criteria import CRITERIA, criterion
from bogp.errors import UnknownNameError


def test_magnitude_is_the_absolute_weight():
    weights = {"w": torch.tensor([[-3.0, 0.5]])}
    assert criterion("magnitude")(weights, 0)["w"].tolist() == [[3.0, 0.5]]


def test_random_follows_the_seed_and_not_the_weights():
    weights = {"a": torch.zeros(4, 4), "b": torch.zeros(4, 4)}
    first, again = (criterion("random")(weights, 5) for _ in range(2))
    assert torch.equal(first["a"], again["a"])
    assert not torch.equal(first["a"], first["b"])
    assert not torch.equal(first["a"], criterion("random")(weights, 6)["a"])
    ones = {"a": torch.ones(4, 4), "b": torch.ones(4, 4)}
    assert torch.equal(first["a"], criterion("random")(ones, 5)["a"])


def test_every_criterion_scores_every_weight():
    weights = {"a": torch.randn(3, 2), "b": torch.randn(2, 2, 3, 3)}
    for name in CRITERIA:
        scores = criterion(name)(weights, 0)
        assert {n: s.shape for n, s in scores.items()} == {n: w.shape for n, w in weights.items()}


def test_an_unknown_criterion_is_refused():
    with pytest.raises(UnknownNameError, match="did you mean magnitude"):
        criterion("magnitud")

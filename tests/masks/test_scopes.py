"""Erdős–Rényi scopes against the papers' formulas worked out another way."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bogp.masks import SCOPES, Mask, select

SHAPES = st.lists(
    st.one_of(
        st.tuples(st.integers(1, 9), st.integers(1, 9)),
        st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 3), st.integers(1, 3)),
    ),
    min_size=1,
    max_size=5,
)


def raw_density(shape, scope):
    """The density of a layer, up to the factor that all layers share."""
    outputs, inputs, *kernel = shape
    if scope == "er":
        return (outputs + inputs) / (outputs * inputs)
    return (outputs + inputs + sum(kernel)) / (outputs * inputs * math.prod(kernel))


def ideal_counts(shapes, room, scope, kept):
    """The real-valued numbers min(room, factor * raw * size), their factor by bisection."""
    weights = [raw_density(shape, scope) * math.prod(shape) for shape in shapes]
    low, high = 0.0, 1e9
    for _ in range(200):
        factor = (low + high) / 2
        found = [min(space, factor * weight) for space, weight in zip(room, weights, strict=True)]
        low, high = (factor, high) if sum(found) < kept else (low, factor)
    return found


def masks(shapes, dense, seed):
    generator = torch.Generator().manual_seed(seed)
    scores = {str(k): torch.rand(shape, generator=generator) for k, shape in enumerate(shapes)}
    support = {
        name: torch.rand(score.shape, generator=generator) < dense for name, score in scores.items()
    }
    return scores, Mask(support)


@given(
    SHAPES,
    st.integers(0, 2**32),
    st.sampled_from([0.3, 0.8, 1.0]),
    st.floats(0, 1),
    st.sampled_from(["er", "erk"]),
)
def test_layers_get_the_formulas_densities(shapes, seed, dense, share, scope):
    scores, support = masks(shapes, dense, seed)
    kept = round(share * support.kept)
    mask = select(scores, kept, scope=scope, support=support)
    assert mask.kept == kept
    room = [int(layer.sum()) for layer in support.values()]
    ideal = ideal_counts(shapes, room, scope, kept)
    for layer, wanted, space in zip(mask.values(), ideal, room, strict=True):
        count = int(layer.sum())
        assert abs(count - wanted) < 1 + 1e-6
        assert count <= space


def test_the_papers_network_keeps_its_small_layer_dense():
    # 784-128-10: in + out is 912 and 138, so that 86.9 % of what is kept is in the first layer.
    scores = {"first": torch.rand(128, 784), "last": torch.rand(10, 128)}
    mask = select(scores, 5000, scope="erk")
    assert [int(layer.sum()) for layer in mask.values()] == [4343, 657]  # 4342.86, 657.14
    # At 10 163 (s = 0.9) the last layer's share, 1335.7, is more than its 1280 weights.
    mask = select(scores, 10_163, scope="erk")
    assert [int(layer.sum()) for layer in mask.values()] == [10_163 - 1280, 1280]


def test_a_kernel_counts_in_erk_alone():
    # er: (2 + 2) * 9 against 2 + 4; erk: 2 + 2 + 3 + 3 against 2 + 4.
    scores = {"conv": torch.rand(2, 2, 3, 3), "linear": torch.rand(2, 4)}
    er, erk = (select(scores, 8, scope=scope) for scope in ("er", "erk"))
    assert [int(layer.sum()) for layer in er.values()] == [7, 1]  # 6.86, 1.14
    assert [int(layer.sum()) for layer in erk.values()] == [5, 3]


def test_equal_remainders_go_to_the_layers_in_order():
    scores = {name: torch.rand(3, 3) for name in "abc"}
    for scope in ("er", "erk", "uniform"):
        counts = [int(layer.sum()) for layer in select(scores, 11, scope=scope).values()]
        assert counts == [4, 4, 3]


def test_within_a_layer_the_best_are_kept():
    scores = {"a": torch.tensor([[1.0, 4.0, 2.0]]), "b": torch.tensor([[9.0, 8.0, 7.0]])}
    mask = select(scores, 2, scope="erk")
    assert mask["a"].tolist() == [[False, True, False]]
    assert mask["b"].tolist() == [[True, False, False]]


def test_a_vector_of_scores_has_one_input():
    assert select({"w": torch.arange(4.0)}, 2, scope="erk")["w"].tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("scope", sorted(SCOPES))
def test_supports_that_must_be_kept_whole_are(scope):
    scores, support = masks([(4, 5), (3, 3, 3, 3), (2, 2)], 0.5, 0)
    assert select(scores, support.kept, scope=scope, support=support) == support
    assert select(scores, 0, scope=scope, support=support).kept == 0


def test_uniform_shares_out_what_a_narrow_support_cannot_take_at_once():
    # 90 000 weights that the first layer's support of 10 has no room for.
    scores = {"a": torch.rand(1000, 100), "b": torch.rand(1000, 100), "c": torch.rand(1000, 50)}
    support = {name: torch.ones_like(score, dtype=torch.bool) for name, score in scores.items()}
    support["a"] = torch.zeros(1000, 100, dtype=torch.bool)
    support["a"][0, :10] = True
    mask = select(scores, 125_000, scope="uniform", support=support)
    # 50 000 and 25 000 of their own, then the rest of the first layer's, one each in turn.
    assert [int(layer.sum()) for layer in mask.values()] == [10, 74_995, 49_995]

"""Pruning a population in rounds against pruning one candidate at a time."""

from functools import partial

import pytest
import torch
from training_helpers import (
    Bomb,
    assert_weights_close,
    baseline,
    baseline_population,
    candidates,
    double_mlp,
    epochs,
    in_double,
)

from bogp.errors import SettingError, SparsityError, UnknownNameError
from bogp.graphs import generate
from bogp.pipeline import prune_and_train, prune_and_train_population
from bogp.sparsify import BASELINES, GRAPH, Method
from bogp.training import Halving, Recipe

RECIPE = Recipe(learning_rate=0.01, batch_size=64, epochs=2)
INSIDE = Method("magnitude", "global", "linear", 3)


@pytest.fixture(scope="module")
def parts(parts):
    return in_double(parts)


@pytest.fixture(scope="module")
def supports():
    return [generate("uniform", 12, 30, seed) for seed in range(3)]


@pytest.mark.parametrize(
    ("method", "layers"),
    [(GRAPH, "hidden"), (INSIDE, "hidden"), (BASELINES["glob5"], "all")],
)
def test_a_population_is_its_candidates_one_by_one(parts, supports, method, layers):
    if method is BASELINES["glob5"]:
        supports = [None] * 3
    found = prune_and_train_population(
        double_mlp,
        parts,
        RECIPE,
        candidates(supports, 0.8, (7, 8, 9), method),
        seeds=(4, 5, 6),
        layers=layers,
        order_seed=3,
        keep=True,
    )
    for k, one in enumerate(found):
        alone = prune_and_train(
            double_mlp,
            parts,
            RECIPE,
            layers=layers,
            sparsity=0.8,
            method=method,
            support=supports[k],
            mask_seed=7 + k,
            seed=4 + k,
            order_seed=3,
        )
        assert one.mask == alone.mask
        assert_weights_close(one, alone.model)
        assert one.selected.accuracy == alone.selected.accuracy
    assert epochs(found) == 3 * 2 * method.rounds


def test_halving_is_of_the_last_round_alone(parts, supports):
    seen = []
    found = prune_and_train_population(
        double_mlp,
        parts,
        RECIPE,
        candidates(supports, 0.8, (7, 8, 9), INSIDE),
        seeds=(4, 5, 6),
        layers="hidden",
        halving=Halving((1,), 0.3),
        progress=lambda *step: seen.append(step),
    )
    assert sorted(len(one.accuracies) for one in found) == [1, 1, 2]
    assert sorted(one.ended for one in found) == ["rung", "rung", "whole"]
    assert epochs(found) == 2 * 6 + 4
    assert seen[0] == (0, 18)
    assert seen[-1] == (16, 18)
    assert all(one.weights is None for one in found)


def test_a_candidate_that_diverges_leaves_the_rounds_to_the_others(parts):
    asked, shared = candidates([None] * 3, 0.8, (7, 8, 9), INSIDE), {"layers": "hidden"}
    shared |= {"keep": True}
    found = prune_and_train_population(
        partial(Bomb, 5), parts, RECIPE, asked, seeds=(4, 5, 6), **shared
    )
    assert [one.diverged for one in found] == [False, True, False]
    assert found[1].mask.sparsity < 0.8  # it did not get beyond its first round
    assert epochs(found) == 2 * 3 + 2 * 2 + 2 * 2
    others = prune_and_train_population(
        partial(Bomb, 5), parts, RECIPE, asked[::2], seeds=(4, 6), **shared
    )
    for mine, other in zip(found[::2], others, strict=True):
        assert mine.mask == other.mask
        for name, value in other.weights.items():
            torch.testing.assert_close(mine.weights[name], value, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["dense", "random", "glob5", "unif1"])
def test_a_baseline_population_is_the_baseline_seed_by_seed(parts, name):
    sparsity = None if name == "dense" else 0.8
    found = baseline_population(
        name, double_mlp, parts, RECIPE, seeds=(1, 2), layers="all", sparsity=sparsity, order_seed=1
    )
    # Seed 1 alone has the same order of the mini-batches; seed 2 shares it here.
    alone = baseline(name, double_mlp, parts, RECIPE, layers="all", sparsity=sparsity, seed=1)
    assert found[0].mask == alone.mask
    assert_weights_close(found[0], alone.model)
    assert epochs(found) == 2 * alone.epochs
    with pytest.raises(UnknownNameError, match="method"):
        baseline_population("glob7", double_mlp, parts, RECIPE, seeds=(1,), sparsity=0.8)
    with pytest.raises(SettingError, match="needs a sparsity"):
        baseline_population("glob5", double_mlp, parts, RECIPE, seeds=(1,))


def test_bad_input_is_one_sentence(parts, supports):
    asked = candidates(supports, 0.8, (1, 2, 3))
    with pytest.raises(SettingError, match="3 candidates and 2 seeds: give as many of each"):
        prune_and_train_population(double_mlp, parts, RECIPE, asked, seeds=(1, 2))
    dense = candidates(supports, 0.1, (1, 2, 3))
    with pytest.raises(SparsityError):
        prune_and_train_population(
            double_mlp, parts, RECIPE, dense, seeds=(1, 2, 3), layers="hidden"
        )

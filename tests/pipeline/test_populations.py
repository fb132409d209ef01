"""Pruning a population in rounds against pruning one candidate at a time."""

import dataclasses

import pytest
import torch
from bogp.pipeline.pruning import initial_seed
from torch import nn

from bogp.data import split
from bogp.errors import SettingError, SparsityError, UnknownNameError
from bogp.graphs import generate
from bogp.pipeline import (
    BASELINES,
    GRAPH,
    Method,
    baseline,
    baseline_population,
    prune_and_train,
    prune_and_train_population,
)
from bogp.training import Halving, Recipe, mlp

RECIPE = Recipe(learning_rate=0.01, batch_size=64, epochs=2)
INSIDE = Method("magnitude", "global", "linear", 3)


def factory():
    return mlp([20, 16, 4]).double()


@pytest.fixture(scope="module")
def parts(toy):
    found = split(toy, "holdout", seed=0)
    return dataclasses.replace(
        found,
        train_inputs=found.train_inputs.double(),
        select_inputs=found.select_inputs.double(),
        report_inputs=found.report_inputs.double(),
    )


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
        factory,
        parts,
        RECIPE,
        supports,
        seeds=(4, 5, 6),
        mask_seeds=(7, 8, 9),
        sparsity=0.8,
        layers=layers,
        method=method,
        order_seed=3,
        keep_weights=True,
    )
    for k, candidate in enumerate(found.candidates):
        alone = prune_and_train(
            factory,
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
        assert candidate.mask == alone.mask
        for name, value in alone.model.state_dict().items():
            torch.testing.assert_close(candidate.weights[name], value, rtol=0, atol=1e-10)
        assert candidate.metrics.accuracy == alone.selected.accuracy
    assert found.epochs == 3 * 2 * method.rounds


def test_halving_is_of_the_last_round_alone(parts, supports):
    seen = []
    found = prune_and_train_population(
        factory,
        parts,
        RECIPE,
        supports,
        seeds=(4, 5, 6),
        mask_seeds=(7, 8, 9),
        sparsity=0.8,
        method=INSIDE,
        halving=Halving((1,), 0.3),
        progress=lambda *step: seen.append(step),
    )
    assert sorted(c.epochs for c in found.candidates) == [1, 1, 2]
    assert found.epochs == 2 * 6 + 4
    assert seen[0] == (0, 18)
    assert seen[-1] == (16, 18)
    assert all(candidate.weights is None for candidate in found.candidates)


class Bomb(nn.Module):
    """A network that is lost once its weights are of a seed's own."""

    def __init__(self):
        super().__init__()
        self.layers = mlp([20, 16, 4]).double()
        if torch.initial_seed() == initial_seed(5):
            with torch.no_grad():
                self.layers[1].weight.mul_(1e200)
                self.layers[3].weight.mul_(1e200)

    def forward(self, inputs):
        return self.layers(inputs)


def test_a_candidate_that_diverges_leaves_the_rounds_to_the_others(parts):
    shared = {"mask_seeds": (7, 8, 9), "sparsity": 0.8, "method": INSIDE, "keep_weights": True}
    found = prune_and_train_population(Bomb, parts, RECIPE, [None] * 3, seeds=(4, 5, 6), **shared)
    assert [candidate.diverged for candidate in found.candidates] == [False, True, False]
    assert found.candidates[1].mask.sparsity < 0.8  # it did not get beyond its first round
    assert found.epochs == 2 * 3 + 2 * 2 + 2 * 2
    others = prune_and_train_population(
        Bomb, parts, RECIPE, [None] * 2, seeds=(4, 6), **(shared | {"mask_seeds": (7, 9)})
    )
    for mine, other in zip(found.candidates[::2], others.candidates, strict=True):
        assert mine.mask == other.mask
        for name, value in other.weights.items():
            torch.testing.assert_close(mine.weights[name], value, rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", ["dense", "random", "glob5", "unif1"])
def test_a_baseline_population_is_the_baseline_seed_by_seed(parts, name):
    sparsity = None if name == "dense" else 0.8
    found = baseline_population(
        name, factory, parts, RECIPE, seeds=(1, 2), layers="all", sparsity=sparsity, order_seed=1
    )
    # Seed 1 alone has the same order of the mini-batches; seed 2 shares it here.
    alone = baseline(name, factory, parts, RECIPE, layers="all", sparsity=sparsity, seed=1)
    first = found.candidates[0]
    assert first.mask == alone.mask
    for key, value in alone.model.state_dict().items():
        torch.testing.assert_close(first.weights[key], value, rtol=0, atol=1e-10)
    assert found.epochs == 2 * alone.epochs
    with pytest.raises(UnknownNameError, match="method"):
        baseline_population("glob7", factory, parts, RECIPE, seeds=(1,), sparsity=0.8)
    with pytest.raises(SettingError, match="needs a sparsity"):
        baseline_population("glob5", factory, parts, RECIPE, seeds=(1,))


def test_bad_input_is_one_sentence(parts, supports):
    shared = {"seeds": (1, 2, 3), "mask_seeds": (1, 2, 3)}
    with pytest.raises(SettingError, match="3 supports, 2 seeds"):
        prune_and_train_population(
            factory, parts, RECIPE, supports, sparsity=0.8, **(shared | {"seeds": (1, 2)})
        )
    with pytest.raises(SparsityError):
        prune_and_train_population(factory, parts, RECIPE, supports, sparsity=0.1, **shared)

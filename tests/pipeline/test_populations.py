"""Pruning a population in rounds against pruning one candidate at a time."""

import dataclasses

import pytest
import torch

from bogp.data import split
from bogp.errors import SettingError, SparsityError
from bogp.graphs import generate
from bogp.pipeline import (
    BASELINES,
    GRAPH,
    Method,
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


def test_bad_input_is_one_sentence(parts, supports):
    shared = {"seeds": (1, 2, 3), "mask_seeds": (1, 2, 3)}
    with pytest.raises(SettingError, match="3 supports, 2 seeds"):
        prune_and_train_population(
            factory, parts, RECIPE, supports, sparsity=0.8, **(shared | {"seeds": (1, 2)})
        )
    with pytest.raises(SparsityError):
        prune_and_train_population(factory, parts, RECIPE, supports, sparsity=0.1, **shared)

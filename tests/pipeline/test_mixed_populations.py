"""Populations whose candidates differ in method and sparsity, against one candidate at a time."""

import dataclasses
import warnings

import pytest
import torch
from bogp.pipeline.pruning import initial_seed
from torch import nn

from bogp.data import split
from bogp.errors import LayerCollapseWarning, SettingError
from bogp.graphs import generate
from bogp.pipeline import (
    BASELINES,
    GRAPH,
    METHODS,
    Method,
    prune_and_train,
    prune_and_train_population,
)
from bogp.training import Halving, Recipe, mlp

RECIPE = Recipe(learning_rate=0.01, batch_size=64, epochs=2)


def factory():
    return mlp([20, 16, 4]).double()


@pytest.fixture(scope="module")
def parts(toy):
    found = split(toy, "holdout", seed=0)
    return dataclasses.replace(
        found,
        train_inputs=found.train_inputs.double(),
        select_inputs=found.select_inputs.double(),
    )


# Method, sparsity and graph edges (None: the complete support) of each candidate.
MIXED = [
    (Method("snip", "erk", "linear", 3), 0.7, 30),
    (GRAPH, 0.8, 30),
    (METHODS["snip"], 0.9, None),
    (BASELINES["glob5"], 0.5, None),
    (METHODS["synflow"], 0.8, 40),
    (Method("grasp", "global", rounds=3), 0.6, None),
    (METHODS["erk"], 0.25, None),
    (Method("magnitude", rounds=3), 0.9999, None),  # nothing to keep: one round
    (Method("magnitude", "global", "cubic", 2, rewind=True, pretrain=True), 0.7, 30),
    (Method("magnitude", "global", rounds=3, rewind=True), 0.8, None),
    (Method("snip", "global", "one_shot", 2, pretrain=True), 0.8, None),
    (Method("random", pretrain=True), 0.8, 30),
]


def population(parts, rows, **changed):
    candidates = [MIXED[row] for row in rows]
    given = {
        "seeds": [10 + row for row in rows],
        "mask_seeds": [20 + row for row in rows],
        "sparsity": [sparsity for _, sparsity, _ in candidates],
        "method": [method for method, _, _ in candidates],
        "layers": "all",
        "order_seed": 3,
        "keep_weights": True,
    }
    supports = [
        None if edges is None else generate("uniform", 12, edges, 0) for _, _, edges in candidates
    ]
    return prune_and_train_population(factory, parts, RECIPE, supports, **(given | changed))


def test_each_candidate_is_what_it_is_alone(parts):
    seen = []
    found = population(parts, range(len(MIXED)), progress=lambda *step: seen.append(step))
    for row, (method, sparsity, edges) in enumerate(MIXED):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LayerCollapseWarning)  # one keeps nothing
            alone = prune_and_train(
                factory,
                parts,
                RECIPE,
                layers="all",
                sparsity=sparsity,
                method=method,
                support=None if edges is None else generate("uniform", 12, edges, 0),
                mask_seed=20 + row,
                seed=10 + row,
                order_seed=3,
            )
        candidate = found.candidates[row]
        assert candidate.mask == alone.mask
        for name, value in alone.model.state_dict().items():
            torch.testing.assert_close(candidate.weights[name], value, rtol=0, atol=1e-10)
        assert candidate.metrics.accuracy == alone.selected.accuracy
        assert found.spent[row] == alone.epochs
        assert len(candidate.losses) == len(candidate.accuracies) == RECIPE.epochs
        assert candidate.seed == 10 + row
        assert candidate.weights.keys() == alone.model.state_dict().keys()
    assert found.spent == (6, 2, 2, 10, 2, 6, 2, 2, 6, 6, 6, 4)
    assert seen[0] == (0, 54)
    assert seen[-1] == (54, 54)
    assert seen == sorted(seen)
    assert [o.mask for o in found.outcomes(factory, parts)] == [c.mask for c in found.candidates]


def test_the_order_of_the_candidates_changes_nothing(parts):
    rows = [5, 1, 3, 0]
    whole, part = population(parts, range(len(MIXED))), population(parts, rows)
    for candidate, row in zip(part.candidates, rows, strict=True):
        assert candidate.mask == whole.candidates[row].mask
        for name, value in whole.candidates[row].weights.items():
            torch.testing.assert_close(candidate.weights[name], value, rtol=0, atol=1e-10)


def test_one_method_and_many_sparsities_and_the_other_way_round(parts):
    found = population(parts, [2, 2, 2], sparsity=[0.5, 0.0, 0.9], seeds=[1] * 3)
    assert [c.mask.kept for c in found.candidates] == [192, 384, 38]
    found = population(parts, [2, 6], sparsity=0.5)
    assert [c.mask.kept for c in found.candidates] == [192, 192]
    found = population(parts, [2, 6], method=METHODS["snip"], seeds=[1, 1])
    assert [c.mask.kept for c in found.candidates] == [38, 288]


def test_halving_compares_those_of_equal_rounds_in_their_last(parts):
    rows = [0, 5, 1, 2, 4]  # two of three rounds, three of one
    found = population(parts, rows, halving=Halving((1,), 0.5))
    ended = [candidate.ended for candidate in found.candidates]
    assert ended[:2].count("rung") == 1  # of two one goes on
    assert ended[2:].count("rung") == 1  # of three two do
    assert sorted(found.spent[:2]) == [5, 6]
    assert sorted(found.spent[2:]) == [1, 2, 2]
    for candidate in found.candidates:
        assert len(candidate.accuracies) == candidate.epochs == (1 if candidate.stopped else 2)


class Bomb(nn.Module):
    """A network whose training overflows if its weights are of a seed's own."""

    def __init__(self):
        super().__init__()
        self.layers = factory()
        if torch.initial_seed() == initial_seed(10):
            with torch.no_grad():
                self.layers[1].weight.mul_(1e200)
                self.layers[3].weight.mul_(1e200)

    def forward(self, inputs):
        return self.layers(inputs)


@pytest.mark.parametrize("keep_weights", [True, False])
def test_a_candidate_that_diverges_between_rounds_stays_as_it_is(parts, keep_weights):
    methods = [Method("magnitude", "global", rounds=3)] * 2 + [METHODS["snip"]]
    found = prune_and_train_population(
        Bomb,
        parts,
        RECIPE,
        [None] * 3,
        seeds=(10, 11, 12),
        mask_seeds=(20, 21, 22),
        sparsity=(0.8, 0.8, 0.5),
        method=methods,
        keep_weights=keep_weights,
    )
    assert [candidate.diverged for candidate in found.candidates] == [True, False, False]
    assert found.candidates[0].mask.sparsity < 0.8  # it did not get beyond its first round
    assert found.spent == (2, 6, 2)
    assert all((c.weights is not None) == keep_weights for c in found.candidates)


def test_numbers_that_do_not_match_are_one_sentence(parts):
    with pytest.raises(SettingError, match="2 seeds, 2 mask seeds, 2 sparsities and 1 methods"):
        population(parts, [0, 1], method=[GRAPH])
    with pytest.raises(SettingError, match="3 sparsities"):
        population(parts, [0, 1], sparsity=[0.5] * 3)
    with pytest.raises(SettingError, match="0 supports"):
        population(parts, [])

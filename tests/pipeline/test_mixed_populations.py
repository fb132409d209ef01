"""Populations whose candidates differ in method and sparsity, against one candidate at a time."""

import warnings
from dataclasses import replace
from functools import partial

import pytest
import torch
from training_helpers import (
    Bomb,
    arguments,
    assert_weights_close,
    candidates,
    double_mlp,
    in_double,
)

from bogp.errors import LayerCollapseWarning, SettingError
from bogp.graphs import generate
from bogp.masks import WEIGHT, Granularity
from bogp.pipeline import Candidate, prune_and_train, prune_and_train_population
from bogp.sparsify import BASELINES, GRAPH, METHODS, Method
from bogp.training import Halving, Recipe

RECIPE = Recipe(learning_rate=0.01, batch_size=64, epochs=2)


@pytest.fixture(scope="module")
def parts(parts):
    return in_double(parts)


def moving(name, granularity=WEIGHT, **moves):
    """A method that moves, so often that it does in the few steps that there are."""
    method = METHODS[name]
    return replace(method, moves=replace(method.moves, **moves), granularity=granularity)


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
    (moving("gradual", every=1), 0.8, 30),
    (moving("set", every=2), 0.7, None),
    (moving("rigl", every=1, end=1.0), 0.6, None),
    (replace(moving("gradual", every=2), criterion="snip"), 0.7, None),
    (moving("gradual", Granularity("block", 4), every=1, regrow=0.5), 0.5, None),
    (moving("gradual", Granularity("channel"), every=2), 0.5, None),
]


def candidate(row):
    method, sparsity, edges = MIXED[row]
    support = None if edges is None else generate("uniform", 12, edges, 0)
    return Candidate(support, method, sparsity, 20 + row)


def population(parts, asked, seeds, **options):
    return prune_and_train_population(
        double_mlp,
        parts,
        RECIPE,
        asked,
        seeds=seeds,
        layers="all",
        order_seed=3,
        keep=True,
        **options,
    )


def rows_of(parts, rows, **options):
    return population(
        parts, [candidate(row) for row in rows], [10 + row for row in rows], **options
    )


def test_each_candidate_is_what_it_is_alone(parts):
    seen = []
    found = rows_of(parts, range(len(MIXED)), progress=lambda *step: seen.append(step))
    for row, one in enumerate(found):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LayerCollapseWarning)  # one keeps nothing
            alone = prune_and_train(
                double_mlp,
                parts,
                RECIPE,
                layers="all",
                seed=10 + row,
                order_seed=3,
                **arguments(candidate(row)),
            )
        assert one.mask == alone.mask
        assert_weights_close(one, alone.model)
        assert one.selected.accuracy == alone.selected.accuracy
        assert one.epochs == alone.epochs
        assert len(one.losses) == len(one.accuracies) == RECIPE.epochs
        assert one.fingerprint == one.mask.fingerprint
        assert one.sparsity == one.mask.sparsity
    assert [one.epochs for one in found] == [6, 2, 2, 10, 2, 6, 2, 2, 6, 6, 6, 4, *[2] * 6]
    assert seen[0] == (0, 66)
    assert seen[-1] == (66, 66)
    assert seen == sorted(seen)


def test_the_order_of_the_candidates_changes_nothing(parts):
    rows = [14, 5, 1, 12, 3, 0]
    whole, part = rows_of(parts, range(len(MIXED))), rows_of(parts, rows)
    for one, row in zip(part, rows, strict=True):
        assert one.mask == whole[row].mask
        for name, value in whole[row].weights.items():
            torch.testing.assert_close(one.weights[name], value, rtol=0, atol=1e-10)


def test_one_method_and_many_sparsities_and_the_other_way_round(parts):
    def kept(asked, seeds):
        return [one.mask.kept for one in population(parts, asked, seeds)]

    asked = [replace(candidate(2), sparsity=sparsity) for sparsity in (0.5, 0.0, 0.9)]
    assert kept(asked, [1] * 3) == [192, 384, 38]
    asked = [replace(candidate(row), sparsity=0.5) for row in (2, 6)]
    assert kept(asked, [12, 16]) == [192, 192]
    asked = [replace(candidate(row), method=METHODS["snip"]) for row in (2, 6)]
    assert kept(asked, [1, 1]) == [38, 288]


def test_halving_compares_those_of_equal_rounds_in_their_last(parts):
    rows = [0, 5, 1, 2, 4]  # two of three rounds, three of one
    found = rows_of(parts, rows, halving=Halving((1,), 0.5))
    ended = [one.ended for one in found]
    assert ended[:2].count("rung") == 1  # of two one goes on
    assert ended[2:].count("rung") == 1  # of three two do
    assert sorted(one.epochs for one in found[:2]) == [5, 6]
    assert sorted(one.epochs for one in found[2:]) == [1, 2, 2]
    for one in found:
        assert len(one.accuracies) == (1 if one.ended == "rung" else 2)


@pytest.mark.parametrize("keep", [True, False])
def test_a_candidate_that_diverges_between_rounds_stays_as_it_is(parts, keep):
    method = Method("magnitude", "global", rounds=3)
    asked = candidates([None] * 2, 0.8, (20, 21), method)
    asked += candidates([None], 0.5, (22,), METHODS["snip"])
    found = prune_and_train_population(
        partial(Bomb, 10), parts, RECIPE, asked, seeds=(10, 11, 12), layers="hidden", keep=keep
    )
    assert [one.diverged for one in found] == [True, False, False]
    assert found[0].sparsity < 0.8  # it did not get beyond its first round
    assert [one.epochs for one in found] == [2, 6, 2]
    assert all((one.weights is not None) == keep for one in found)
    assert all((one.mask is not None) == keep for one in found)


def test_numbers_that_do_not_match_are_one_sentence(parts):
    with pytest.raises(SettingError, match="2 candidates and 1 seeds: give as many of each"):
        population(parts, [candidate(0), candidate(1)], [10])
    with pytest.raises(SettingError, match="0 candidates and 0 seeds"):
        population(parts, [], [])

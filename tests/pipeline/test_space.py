"""The pool of a search: which methods it holds, and what the surrogate sees of them."""

from collections import Counter

import numpy as np
import pytest
from training_helpers import baseline

from bogp.criteria import CRITERIA
from bogp.errors import DatabaseError, SettingError, UnknownNameError
from bogp.keys import derive_seed
from bogp.pipeline import Candidate, Point, PopulationTrainer, TrainingTask, prune_and_train
from bogp.pipeline.pool_space import INFORMATIVE, _supports
from bogp.pipeline.space import candidate_space
from bogp.pipeline.workers import open_workers
from bogp.settings.search import SearchSettings
from bogp.sparsify import GRAPH, METHODS, Method
from bogp.training import Recipe, model_factory

ALL = tuple(CRITERIA)
NAMES = ("clustering", "degree_assortativity", "degree_centrality")
TWO = Recipe(learning_rate=0.01, batch_size=64, epochs=2)


def space(database, **changes):
    given = {"sparsities": (0.8,), "properties": NAMES, "criteria": ALL, "rounds": (1, 5)}
    return candidate_space(database, **(given | {"layers": 2, "size": 300} | changes))


@pytest.fixture(scope="module")
def whole(graphs):
    return space(graphs)


# The space has no schedules but the default, no training before the first round, no moves.
_FURTHER = ("dense", "narrower", "iterative", "imp", "gradual", "set", "rigl")
_POOLED = [name for name in METHODS if name not in _FURTHER]


@pytest.mark.parametrize("name", _POOLED)
def test_every_method_is_an_anchor_and_trains_to_the_same(name, whole, graphs, toy, parts):
    """SNIP, GraSP, SynFlow, ERK, random, and Glob and Unif of 1 and 5 pruning rounds."""
    method = METHODS[name]
    found = [whole.points[k] for k in whole.anchors if whole.points[k].method == method]
    assert found == [Point(None, 0.0, method.criterion, method.scope, method.rounds, 0.8)]
    alone = baseline(
        name, model_factory("mlp:16", toy.features, toy.classes), parts,
        TWO, layers="all", sparsity=0.8, seed=7,
    )  # fmt: skip
    check_same(found[0], graphs, toy, alone)


def check_same(point, graphs, toy, alone):
    with open_workers(toy) as opened:
        support = _supports(graphs, SearchSettings(sparsity=0.8), None)(point)
        candidate = Candidate(support, point.method, point.sparsity, derive_seed(7, "mask"))
        trainer = PopulationTrainer("mlp:16", "all", TWO, "holdout", opened.data)
        (mine,) = opened.submit(trainer, TrainingTask((candidate,), (7,), 7)).result()
    assert mine.fingerprint == alone.mask.fingerprint
    assert mine.selected.accuracy == alone.selected.accuracy
    assert mine.selected.loss == pytest.approx(alone.selected.loss, rel=1e-4)
    assert mine.epochs == alone.epochs == 2 * point.rounds


def test_the_papers_masks_are_points_and_train_to_the_same(whole, graphs, toy, parts):
    exact = [point for point in whole.points if point.graph is not None and point.support == 0.8]
    assert {point.method for point in exact} == {GRAPH}
    ids = [point.graph for point in exact]
    assert len(ids) == len(set(ids))
    assert {graphs.record(graph).sparsity for graph in ids} == {0.8}
    alone = prune_and_train(
        model_factory("mlp:16", toy.features, toy.classes), parts, TWO,
        layers="all", sparsity=0.8, support=graphs.record(ids[0]).graph,
        mask_seed=derive_seed(7, "mask"), seed=7,
    )  # fmt: skip
    check_same(exact[0], graphs, toy, alone)


def test_every_combination_gets_the_same_number_of_graphs(whole):
    cells = Counter(
        (p.support, p.criterion, p.scope, p.rounds) for p in whole.points if p.graph is not None
    )
    # 4 criteria of 2 scopes and 2 numbers of rounds, random of 2 scopes, and the paper's.
    assert len(cells) == 4 * 2 * 2 + 2 + 1
    assert set(cells.values()) == {(300 - len(whole.anchors)) // len(cells)}
    assert len(whole.anchors) == 18
    assert len(set(whole.points)) == len(whole.points)
    assert 250 <= len(whole.points) <= 300
    assert {point.support for point in whole.points} == {0.0, 0.5, 0.8}


def test_a_cell_has_at_most_the_graphs_there_are_and_at_least_one(graphs):
    many = space(graphs, size=10**6)
    graphs_of = Counter((p.support, p.criterion, p.scope, p.rounds) for p in many.points if p.graph)
    assert max(graphs_of.values()) <= 20
    least = space(graphs, size=1)
    assert len(least.points) == len(least.anchors) + 19


def test_the_same_seed_gives_the_same_pool_and_another_another(graphs, whole):
    again, other = space(graphs), space(graphs, seed=1)
    assert again.points == whole.points
    assert np.array_equal(again.features, whole.features)
    assert other.points != whole.points
    assert other.anchors == whole.anchors
    # What is drawn of a cell does not depend on what other cells there are.
    each = (300 - len(whole.anchors)) // 19
    fewer = space(graphs, criteria=("random",), rounds=(1,), size=2 + 3 * each)
    assert {point.criterion for point in fewer.points} == {"random"}
    assert set(fewer.points) <= set(whole.points)


def test_of_one_layer_all_scopes_are_one(graphs):
    found = space(graphs, layers=1)
    assert {point.scope for point in found.points} == {"uniform"}
    assert len(set(found.points)) == len(found.points)
    assert {p.method for p in found.points if p.graph is None and p.rounds == 1} == {
        Method(name, "uniform") for name in ALL
    }


def test_properties_are_standardised_among_graphs_of_one_sparsity(graphs):
    found = space(graphs, size=10**6)
    assert np.isfinite(found.features).all()
    column = found.names.index("clustering")
    for support in (0.5, 0.8):
        rows = {p.graph: k for k, p in enumerate(found.points) if p.graph and p.support == support}
        ids, vectors = graphs.vectors(("clustering",), sparsity=support)
        z = (vectors[:, 0] - vectors.mean()) / vectors.std()
        # A graph that prunes little can do little.
        expected = dict(zip(ids.tolist(), support * np.clip(z, -4, 4), strict=True))
        for graph, row in rows.items():
            assert found.features[row, column] == pytest.approx(expected[graph])
    # At a fixed number of edges the degree is constant: rounding must not become a feature.
    assert not found.features[:, found.names.index("degree_centrality")].any()
    assert not found.features[list(found.anchors), :3].any()


def test_what_else_the_surrogate_sees(whole):
    for point, row in zip(whole.points, whole.features, strict=True):
        seen = dict(zip(whole.names, row, strict=True))
        assert seen["support_density"] == pytest.approx(np.log(1 - point.support))
        assert seen["sparsity"] == pytest.approx(np.log(0.2))
        assert seen["pruning_rounds"] == np.log2(point.rounds)
        assert seen[f"criterion={point.criterion}"] == seen[f"scope={point.scope}"] == 1.0
        assert sum(value for name, value in seen.items() if name.startswith("criterion=")) == 1.0
        assert sum(value for name, value in seen.items() if name.startswith("scope=")) == 1.0
    assert len(np.unique(whole.features, axis=0)) == len(whole.points)


def test_what_a_dashboard_sees(whole):
    ranges = whole.ranges()
    for index in range(0, len(whole.points), 7):
        shown = whole.parameters(index)
        assert shown.keys() == ranges.keys()
        point = whole.points[index]
        assert (shown["criterion"], shown["sparsity"]) == (point.criterion, 0.8)
        assert shown["support_density"] == pytest.approx(1 - point.support)
        for name, value in shown.items():
            if isinstance(value, str):
                assert value in ranges[name]
            else:
                assert ranges[name][0] <= value <= ranges[name][1]


def test_a_point_is_a_json_object_and_a_sentence(whole):
    for point in whole.points[:: len(whole.points) // 9]:
        assert Point.from_record(point.record() | {"index": 3, "replicate": 0}) == point
    assert str(Point(None, 0.0, "random", "erk", 1, 0.8)) == "complete, random erk, s = 0.8"
    point = Point(7, 0.5, "snip", "global", 5, 0.9)
    assert str(point) == "graph 7 (s = 0.5), snip global, 5 pruning rounds, s = 0.9"
    keys = {point.key for point in whole.points}
    assert len(keys) == len(whole.points)


def test_several_sparsities_share_a_pool(graphs):
    found = space(graphs, sparsities=(0.5, 0.8, 0.9), rounds=(1,))
    assert set(found.sparsities) == {0.5, 0.8, 0.9}
    for point in found.points:
        assert point.support <= point.sparsity
    assert {p.support for p in found.points if p.sparsity == 0.9} == {0.0, 0.5, 0.8}
    assert Counter(found.points[k].sparsity for k in found.anchors) == dict.fromkeys(
        (0.5, 0.8, 0.9), 10
    )


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"sparsities": (0.3,)}, DatabaseError, "holds graphs of sparsity 0.5, 0.8: none is"),
        ({"criteria": ("snap",)}, UnknownNameError, "did you mean snip"),
        ({"criteria": ()}, SettingError, "at least one criterion"),
        ({"rounds": (1, 0)}, SettingError, "rounds of 1 or more"),
        ({"size": 0}, SettingError, "a pool of 0"),
        ({"properties": ("clusterin",)}, UnknownNameError, "did you mean clustering"),
    ],
)
def test_what_cannot_be_is_one_sentence(graphs, changes, error, text):
    with pytest.raises(error, match=text):
        space(graphs, **changes)


def test_the_default_properties_are_there(graphs):
    assert set(INFORMATIVE) <= set(graphs.names)

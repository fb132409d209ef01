import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern

from bogp.engines import ENGINES, Observation, Proposal, Space, engine
from bogp.errors import SettingError, UnknownNameError


def space(vectors, names="abcdefgh"):
    vectors = np.asarray(vectors, dtype=np.float64)
    ids = np.arange(100, 100 + len(vectors))
    return Space(ids, tuple(names[: vectors.shape[1]]), vectors)


@pytest.fixture
def three():
    """Three properties: a and b vary, c does not."""
    vectors = np.random.default_rng(0).uniform([0, 5, 0], [1, 9, 0], (20, 3))
    vectors[:, 2] = 0.25
    return space(vectors)


def observed(*pairs):
    return [Observation(Proposal(vector), value) for vector, value in pairs]


HISTORY = observed(
    ({"a": 0.1, "b": 6.0, "c": 0.25}, 0.5),
    ({"a": 0.7, "b": 8.0, "c": 0.25}, 0.7),
    ({"a": 0.4, "b": 5.5, "c": 0.25}, 0.6),
)


def test_bounds_are_the_reach_of_the_database(three):
    assert three.bounds["a"] == (three.vectors[:, 0].min(), three.vectors[:, 0].max())
    assert three.bounds["c"] == (0.25, 0.25)
    assert list(three.varying) == ["a", "b"]


def test_a_first_proposal_is_in_the_box_and_follows_the_seed(three):
    drawn = [ENGINES["paper"](three, [], seed, 5.0).vector for seed in range(8)]
    for vector in drawn:
        assert list(vector) == ["a", "b", "c"]
        assert vector["c"] == 0.25
        assert all(low <= vector[n] <= high for n, (low, high) in three.bounds.items())
    assert len({vector["a"] for vector in drawn}) == 8
    low, high = three.bounds["b"]
    spread = (np.array([vector["b"] for vector in drawn]) - low) / (high - low)
    assert spread.min() < 0.4
    assert spread.max() > 0.6


def test_a_proposal_depends_on_seed_and_history_alone(three):
    paper = ENGINES["paper"]
    alone = paper(three, HISTORY, 1, 5.0)
    np.random.seed(5)  # noqa: NPY002  The global stream must not matter.
    paper(three, HISTORY[:1], 1, 5.0)
    paper(three, [], 2, 5.0)
    assert paper(three, HISTORY, 1, 5.0) == alone
    assert alone.vector["c"] == 0.25
    assert alone.graph_id is None
    assert all(low <= alone.vector[n] <= high for n, (low, high) in three.bounds.items())
    assert paper(three, HISTORY[:2], 1, 5.0) != alone


def test_a_vector_seen_twice_neither_fails_nor_prints(three, capsys):
    proposal = ENGINES["paper"](three, [*HISTORY, HISTORY[0], HISTORY[0]], 0, 5.0)
    assert proposal.vector["c"] == 0.25
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("kappa", [0.0, 5.0])
def test_a_proposal_maximises_the_upper_confidence_bound(kappa):
    """The bound is computed anew, from scikit-learn's Gaussian process, on a grid."""
    line = space(np.linspace(0, 10, 30)[:, None])
    seen = [(0.5, 0.1), (3.0, 0.8), (4.5, 0.9), (6.5, 0.2), (9.0, 0.4)]
    history = observed(*[({"a": x}, y) for x, y in seen])
    process = GaussianProcessRegressor(
        Matern(nu=2.5), alpha=1e-6, normalize_y=True, n_restarts_optimizer=5, random_state=0
    )
    x, y = np.array(seen).T
    process.fit(x[:, None], y)

    def bound(points):
        mean, sd = process.predict(np.asarray(points)[:, None], return_std=True)
        return mean + kappa * sd

    grid = bound(np.linspace(0, 10, 2001))
    got = bound([ENGINES["paper"](line, history, 3, kappa).vector["a"]])[0]
    assert got > grid.max() - 0.01 * np.ptp(grid)


def test_the_optimum_of_a_parabola_is_found():
    line, seen = space(np.linspace(0, 1, 30)[:, None]), []
    for _ in range(12):
        proposal = ENGINES["paper"](line, seen, 0, 5.0)
        seen.append(Observation(proposal, -((proposal.vector["a"] - 0.3) ** 2)))
    assert min(abs(trial.proposal.vector["a"] - 0.3) for trial in seen) < 0.03


def test_a_space_without_range_is_refused():
    with pytest.raises(SettingError, match="all of a, b are constant"):
        ENGINES["paper"](space(np.ones((4, 2))), [], 0, 5.0)


def test_random_draws_every_graph_once_and_then_refuses(three):
    seen = []
    for _ in range(20):
        proposal = ENGINES["random"](three, seen, 7, 5.0)
        seen.append(Observation(proposal, 0.0))
    drawn = [trial.proposal.graph_id for trial in seen]
    assert sorted(drawn) == list(range(100, 120))
    assert drawn != sorted(drawn)
    assert ENGINES["random"](three, seen[:3], 7, 5.0).graph_id == drawn[3]
    others = {ENGINES["random"](three, [], seed, 5.0).graph_id for seed in range(10)}
    assert len(others) > 3
    with pytest.raises(SettingError, match="all 20 graphs are evaluated"):
        ENGINES["random"](three, seen, 7, 5.0)


def test_an_unknown_engine_is_refused_with_the_nearest_name():
    assert engine("paper") is ENGINES["paper"]
    with pytest.raises(UnknownNameError, match="unknown engine 'papre': did you mean paper"):
        engine("papre")

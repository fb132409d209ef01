"""The duel of the engines: its pools, its fairness, its verdicts, and one tiny run."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from bogp.analysis import Interval

PATH = Path(__file__).parent.parent / "benchmarks" / "duel.py"


@pytest.fixture(scope="module")
def duel():
    spec = importlib.util.spec_from_file_location("bogp_benchmark_duel", PATH)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize("kind", ["gp", "bowl", "ridge", "graphs"])
def test_a_pool_has_the_spread_that_was_measured_and_follows_its_seed(duel, kind):
    pool = duel.make_pool(kind, 0, 200)
    assert pool.vectors.shape == (200, 5)
    assert pool.truth.mean() == pytest.approx(95)
    assert pool.truth.std() == pytest.approx(0.3)
    duel.make_pool.cache_clear()
    assert (duel.make_pool(kind, 0, 200).truth == pool.truth).all()
    assert (duel.make_pool(kind, 1, 200).truth != pool.truth).any()
    # Smooth: next to a mask the accuracy is nearer than across the pool.
    x = duel.standardised(pool.vectors)
    near = pdist(x) < np.quantile(pdist(x), 0.02)
    steps = pdist(pool.truth[:, None])
    assert steps[near].mean() < 0.8 * steps.mean()


def test_made_up_properties_are_unlike_in_scale_and_mildly_correlated(duel):
    vectors = duel.made_up_vectors(np.random.default_rng(0), 2000)
    np.testing.assert_allclose(vectors.min(axis=0), [low for low, _ in duel.RANGES])
    np.testing.assert_allclose(vectors.max(axis=0), [high for _, high in duel.RANGES])
    assert (vectors[:, 3] == np.round(vectors[:, 3])).all()
    off = np.corrcoef(vectors, rowvar=False)[np.triu_indices(5, 1)]
    assert (np.abs(off - 0.3) < 0.1).all()


def test_a_bowl_matters_in_two_properties_and_has_its_bottom_in_the_pool(duel):
    x = np.random.default_rng(0).normal(size=(300, 5))
    values = duel.bowl(x, np.random.default_rng(1))
    squares = np.column_stack([np.ones(300), x, x**2])
    weights, residual = np.linalg.lstsq(squares, values, rcond=None)[:2]
    assert residual == pytest.approx(0, abs=1e-9)
    assert sorted(weights[6:].round(6).tolist()) == [-1, -1, 0, 0, 0]
    assert values.max() == 0


def test_every_engine_has_the_same_start_the_same_noise_and_all_its_evaluations(duel, monkeypatch):
    monkeypatch.setattr(duel, "BUDGET", 9)
    found = {
        name: duel.search(duel.Job("gp", 0, name, 150)) for name in ("paper", "random", "pool")
    }
    truth = duel.make_pool("gp", 0, 150).truth
    assert len({result.seen[: duel.START] for result in found.values()}) == 1
    values = {}
    for result in found.values():
        assert len(result.seen) == 9
        assert any(result.regret == truth.max() - truth[index] for index, _ in result.seen)
        once = dict(reversed(result.seen))  # the first of each mask
        assert all(values.setdefault(index, value) == value for index, value in once.items())
    assert found["random"].distinct == found["pool"].distinct == 9
    best = max(found["random"].seen, key=lambda pair: pair[1])[0]
    assert found["random"].regret == truth.max() - truth[best]


def test_noise_is_of_the_size_that_was_measured(duel):
    errors = []
    for seed in range(12):
        truth = duel.make_pool("bowl", seed, 100).truth
        seen = duel.search(duel.Job("bowl", seed, "random", 100)).seen
        errors += [100 * value - truth[index] for index, value in seen]
    assert np.std(errors) == pytest.approx(0.2, abs=0.03)
    assert abs(np.mean(errors)) < 0.04


def test_the_verdict_is_on_the_better_rival(duel):
    results = [
        duel.Result(duel.Job(kind, seed, name, 9), regret + 0.01 * seed, 0.1, ())
        for kind, seed in (("gp", 0), ("gp", 1), ("gp", 2), ("bowl", 0), ("bowl", 1), ("bowl", 2))
        for name, regret in (
            ("paper", 0.4),
            ("random", 0.2 if kind == "gp" else 0.8),
            ("pool", 0.1),
        )
    ]
    regrets = duel.gathered(results)
    assert regrets["all"]["random"] == pytest.approx([0.5, 0.51, 0.52])
    judged = duel.judge(regrets)
    assert judged["gp"]["pool"].estimate == pytest.approx(0.11 / 0.21)
    assert judged["bowl"]["pool"].estimate == pytest.approx(0.11 / 0.41)
    assert judged["all"]["pool"].estimate == pytest.approx(0.11 / 0.41)
    assert "does NOT hold" in duel.sentence("pool", "gp", Interval(0.26, 0.2, 0.3, 20))
    assert duel.sentence("pool", "all", Interval(0.2, 0.1, 0.3, 20)).endswith("quarter: holds")


def test_a_tiny_duel_is_printed_and_written(duel, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(duel, "BUDGET", 7)
    path = tmp_path / "duel.json"
    arguments = ["--quick", "--seeds", "2", "--size", "60", "--kind", "bowl", "--workers", "1"]
    duel.main([*arguments, "--json", str(path)])
    printed = capsys.readouterr().out
    assert "pool over all kinds: regret" in printed
    assert "below a quarter:" in printed
    written = json.loads(path.read_text())
    assert {result["job"]["engine"] for result in written["results"]} == {"paper", "random", "pool"}
    assert len(written["results"]) == 6
    again = [duel.search(duel.Job(**result["job"])).regret for result in written["results"][:3]]
    assert again == [result["regret"] for result in written["results"][:3]]

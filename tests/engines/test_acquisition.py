"""Acquisitions against BoTorch, closed forms, brute force and simulation."""

import math
import warnings

import numpy as np
import pytest
import torch
from mpmath import mp
from posteriors import condition

from bogp.engines import samples as sampling
from bogp.engines.acquisition import (
    Request,
    best_arm,
    expected_improvement,
    highest,
    thompson,
    upper_bound,
)
from bogp.engines.botorch_base import gaussian_process, normals
from bogp.engines.evaluations import Evaluation, Scaling, sums
from bogp.engines.features import standardise
from bogp.engines.fitting import Hyperparameters
from bogp.engines.improvement import improvement, log_improvement, log_noisy_improvement
from bogp.engines.samples import Fantasies, contenders, extended, fantasise, joint_samples

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit.script in GPyTorch
    from botorch.acquisition.analytic import LogExpectedImprovement
    from botorch.acquisition.logei import qLogNoisyExpectedImprovement
    from botorch.sampling import SobolQMCNormalSampler

RNG = np.random.default_rng(11)
POOL = RNG.normal(size=(120, 2))
FEATURES = torch.from_numpy(standardise(POOL))
TRUTH = np.sin(2 * POOL[:, 0]) + 0.5 * POOL[:, 1]
TOLD = list(range(14))
FREE = np.ones(120, dtype=bool)
FREE[TOLD] = False


def request(free=FREE, count=1, seed=0, pending=(), **options):
    return Request(count, free.copy(), np.array(pending, dtype=np.int64), seed, **options)


def surrogate(noise, rows=TOLD):
    generator = np.random.default_rng(1)
    values = TRUTH[rows] + math.sqrt(noise) * generator.normal(size=len(rows))
    found = Hyperparameters((0.3, 0.6), noise, 0.1)
    tells = [Evaluation(row, float(value)) for row, value in zip(rows, values, strict=True)]
    ours = condition(FEATURES, sums(tells, Scaling()), found)
    model = gaussian_process(FEATURES[rows], torch.from_numpy(values), None)
    model.covar_module.lengthscale = torch.tensor(found.lengths, dtype=torch.float64)
    model.likelihood.noise = torch.tensor(noise, dtype=torch.float64)
    model.mean_module.constant = torch.tensor(found.mean, dtype=torch.float64)
    return ours, model.eval(), values


def exact(z):
    mp.dps = 60
    return mp.npdf(z) + mp.mpf(z) * mp.ncdf(z)


@pytest.mark.parametrize(
    "z", [3.0, 0.0, -0.5, -1.0, -1.5, -5.0, -20.0, -36.0, -99.0, -150.0, -299.0, -301.0, -1e4]
)
def test_improvement_to_the_last_digits(z):
    point = torch.tensor([z], dtype=torch.float64)
    wanted = exact(z)
    assert float(log_improvement(point)) == pytest.approx(float(mp.log(wanted)), rel=1e-8)
    if z > -37:
        assert float(improvement(point)) == pytest.approx(float(wanted), rel=1e-9)


def test_without_noise_it_is_log_expected_improvement():
    ours, model, values = surrogate(1e-4)
    baseline = contenders(ours, 0)
    known = fantasise(ours, baseline, normals(512, len(baseline), 0))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = LogExpectedImprovement(model, values.max())(FEATURES.unsqueeze(1))
    found = log_noisy_improvement(known)
    sizeable = torch.from_numpy(FREE) & (wanted > -4)
    assert sizeable.sum() > 10
    assert torch.allclose(found[sizeable], wanted[sizeable], atol=0.05)
    masked = torch.where(torch.from_numpy(FREE), found, -math.inf)
    assert int(masked.argmax()) == int(
        torch.where(torch.from_numpy(FREE), wanted, -math.inf).argmax()
    )


@pytest.mark.parametrize("pending", [[], [40, 77]])
def test_with_noise_it_is_botorchs_within_its_sampling_error(pending):
    ours, model, _ = surrogate(0.1)
    baseline = np.array(TOLD + pending)
    found = log_noisy_improvement(fantasise(ours, baseline, normals(2048, len(baseline), 0)))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = qLogNoisyExpectedImprovement(
            model,
            FEATURES[TOLD],
            SobolQMCNormalSampler(torch.Size([4096]), seed=1),
            X_pending=FEATURES[pending] if pending else None,
            prune_baseline=False,
            tau_relu=1e-9,
        )(FEATURES.unsqueeze(1))
    sizeable = torch.from_numpy(FREE) & (wanted > wanted[FREE].max() - 3)
    sizeable[pending] = False
    assert sizeable.sum() > 10
    assert torch.allclose(found[sizeable], wanted[sizeable], atol=0.1)


def test_pruning_the_baseline_changes_little():
    ours, _, _ = surrogate(0.1)
    some = contenders(ours, 0)
    assert 1 < len(some) < len(TOLD)
    drawn = normals(2048, len(TOLD), 0)
    pruned = log_noisy_improvement(fantasise(ours, some, drawn))[FREE]
    whole = log_noisy_improvement(fantasise(ours, np.array(TOLD), drawn))[FREE]
    high = whole > whole.max() - 2
    assert torch.allclose(pruned[high], whole[high], atol=0.05)


def test_an_extended_baseline_is_one_made_at_once():
    ours, _, _ = surrogate(0.1)
    drawn = normals(64, 6, 3)
    whole = fantasise(ours, np.array([0, 3, 5, 60, 99]), drawn)
    part = fantasise(ours, np.array([0, 3, 5]), drawn)
    for place, row in enumerate((60, 99)):
        part = extended(ours, part, row, drawn[:, 3 + place])
    assert torch.allclose(part.loading, whole.loading, atol=1e-8)
    assert torch.allclose(part.variance, whole.variance, atol=1e-8)
    assert torch.allclose(part.best, whole.best, atol=1e-8)


def test_tiny_improvements_are_told_apart():
    ours, _, _ = surrogate(1e-4)
    known = fantasise(ours, contenders(ours, 0), normals(32, 14, 0))
    high = Fantasies(known.mean, known.loading, known.variance, known.normals, known.best + 500)
    found = log_noisy_improvement(high)[FREE]
    assert torch.isfinite(found).all()
    assert len(torch.unique(found)) == FREE.sum()


def test_picks_account_for_what_is_pending():
    ours, _, _ = surrogate(0.05)
    first = expected_improvement(ours, request())[0]
    free = FREE.copy()
    free[first] = False
    plain = expected_improvement(ours, request(free))[0]
    batch = expected_improvement(ours, request(count=2))
    pending = expected_improvement(ours, request(free, pending=[first]))[0]
    near = lambda row: float(torch.linalg.norm(FEATURES[row] - FEATURES[first]))  # noqa: E731
    assert batch[0] == first
    assert near(batch[1]) > near(plain)
    assert near(pending) > near(plain)


def test_upper_bound_with_pending_is_the_posterior_with_them_at_their_means():
    ours, _, values = surrogate(0.05)
    pending = [30, 31]
    found = Hyperparameters((0.3, 0.6), 0.05, 0.1)
    tells = [Evaluation(row, float(v)) for row, v in zip(TOLD, values, strict=True)]
    tells += [Evaluation(row, float(ours.mean[row])) for row in pending]
    hallucinated = condition(FEATURES, sums(tells, Scaling()), found)
    free = FREE.copy()
    free[pending] = False
    bound = (hallucinated.mean + 3.0 * hallucinated.variance.sqrt()).numpy()
    assert upper_bound(ours, request(free, pending=pending, kappa=3.0)) == [
        int(np.where(free, bound, -np.inf).argmax())
    ]
    alone = (ours.mean + 3.0 * ours.variance.sqrt()).numpy()
    assert upper_bound(ours, request(kappa=3.0)) == [int(np.where(FREE, alone, -np.inf).argmax())]
    greedy = int(np.where(FREE, ours.mean.numpy(), -np.inf).argmax())
    assert upper_bound(ours, request(kappa=0.0)) == [greedy]


@pytest.mark.parametrize("exact_up_to", [1000, 0])
def test_joint_samples_have_the_posteriors_moments(monkeypatch, exact_up_to):
    monkeypatch.setattr(sampling, "_EXACT_SAMPLE", exact_up_to)
    ours, _, _ = surrogate(0.05)
    rows = np.arange(0, 120, 6)
    # Many frequencies are shared by the samples of one call: several calls.
    samples = torch.cat([joint_samples(ours, rows, 400, seed) for seed in range(10)], 1)
    chosen = torch.from_numpy(rows)
    wanted = ours.covariance(chosen, chosen)
    error = 5 * ours.variance[chosen].sqrt() / math.sqrt(4000)
    assert ((samples.mean(1) - ours.mean[chosen]).abs() <= error + 0.01).all()
    assert torch.allclose(torch.cov(samples), wanted, atol=0.05)


def test_thompson_picks_as_often_as_a_candidate_is_best():
    ours, _, _ = surrogate(0.05)
    free = np.zeros(120, dtype=bool)
    free[[20, 25, 33, 50]] = True
    rows = torch.tensor([20, 25, 33, 50])
    factor = torch.linalg.cholesky(ours.covariance(rows, rows))
    drawn = torch.randn(4, 20000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wanted = (
        np.bincount((ours.mean[rows].unsqueeze(1) + factor @ drawn).argmax(0), minlength=4) / 20000
    )
    picks = [thompson(ours, request(free, seed=seed))[0] for seed in range(600)]
    found = np.array([picks.count(int(row)) for row in rows]) / 600
    assert found == pytest.approx(wanted, abs=0.08)
    assert sorted(thompson(ours, request(free, 4))) == rows.tolist()


def test_top_two_picks_as_top_two_thompson_sampling_does():
    ours, _, _ = surrogate(0.5)
    told = torch.tensor(TOLD)
    factor = torch.linalg.cholesky(ours.covariance(told, told) + 1e-9 * torch.eye(len(told)))
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(len(told), 40000, generator=generator, dtype=torch.float64)
    best = (ours.mean[told].unsqueeze(1) + factor @ drawn).argmax(0).numpy()
    coin, wanted, place = np.random.default_rng(0), np.zeros(len(told)), 0
    while place < 30000:  # the procedure itself
        leader = challenger = best[place]
        place += 1
        if coin.random() < 0.5:
            while challenger == leader:
                challenger = best[place]
                place += 1
        wanted[challenger] += 1
    allowed = np.zeros(120, dtype=bool)
    allowed[TOLD] = True
    picks = [best_arm(ours, request(allowed, seed=seed))[0] for seed in range(250)]
    found = np.array([picks.count(row) for row in TOLD]) / 250
    assert found == pytest.approx(wanted / wanted.sum(), abs=0.1)
    assert sorted(best_arm(ours, request(allowed, len(TOLD)))) == TOLD


def test_equal_scores_are_drawn_from():
    free = np.array([True, True, False, True])
    scores = np.array([1.0, 2.0, 2.0, 2.0])
    assert {highest(scores, free, seed, 0) for seed in range(30)} == {1, 3}
    nothing = np.full(4, -np.inf)
    assert {highest(nothing, free, seed, 0) for seed in range(40)} == {0, 1, 3}


def test_threads_change_no_bit():
    pool = torch.from_numpy(standardise(np.random.default_rng(0).normal(size=(3000, 3))))
    tells = [Evaluation(i, float(i % 7)) for i in range(30)]
    ours = condition(pool, sums(tells, Scaling()), Hyperparameters((1.0,) * 3, 0.1))
    known = fantasise(ours, np.arange(10), normals(128, 10, 0))
    assert torch.equal(log_noisy_improvement(known, 1), log_noisy_improvement(known, 3))

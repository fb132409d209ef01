"""The surrogate against BoTorch's model, brute-force densities and its own shortcuts."""

import json
import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from posteriors import condition
from scipy.optimize import approx_fprime
from scipy.stats import multivariate_normal

from bogp.engines import fitting
from bogp.engines.botorch_base import gaussian_process, priors
from bogp.engines.evaluations import Evaluation, Scaling, drawn_in, raw_means, scaling, sums
from bogp.engines.features import standardise
from bogp.engines.fitting import Hyperparameters, default, fit, log_density, summarise
from bogp.engines.posterior import Factors, robust_cholesky
from bogp.engines.surrogate import Fit, Surrogate

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit.script in GPyTorch
    from botorch.fit import fit_gpytorch_mll
    from gpytorch.mlls import ExactMarginalLogLikelihood

RNG = np.random.default_rng(7)
POOL = RNG.normal(size=(40, 3))
FEATURES = torch.from_numpy(standardise(POOL))
ROWS = [int(row) for row in RNG.integers(0, 25, size=45)]  # with replicates
PLAIN = [Evaluation(row, float(np.sin(2 * POOL[row, 0]) + 0.2 * RNG.normal())) for row in ROWS]
LENGTHS = np.array([0.4, 0.9, 2.0])


def standardised(tells, scale):
    values = np.array(drawn_in(tells, scale.allowance))
    return torch.from_numpy((values - scale.centre) / scale.scale)


def botorch_model(tells, scale, found, variances=None):
    """BoTorch's model with one row a tell, at given hyperparameters."""
    inputs = FEATURES[[tell.index for tell in tells]]
    model = gaussian_process(inputs, standardised(tells, scale), variances)
    model.covar_module.lengthscale = torch.tensor(found.lengths, dtype=torch.float64)
    if variances is None:
        model.likelihood.noise = torch.tensor(found.noise, dtype=torch.float64)
    model.mean_module.constant = torch.tensor(found.mean, dtype=torch.float64)
    return model


def botorch_density(model):
    model.train()
    mll = ExactMarginalLogLikelihood(model.likelihood, model)
    with torch.no_grad():
        return float(mll(model(*model.train_inputs), model.train_targets)) * len(
            model.train_targets
        )


def told_of(tells):
    scale = scaling(tells)
    told = sums(tells, scale)
    return scale, told, FEATURES[torch.from_numpy(told.rows)]


def brute_density(tells, noise, lengths, own=0.0):
    """Log posterior density of the hyperparameters with one row a tell, by scipy."""
    scale = scaling(tells)
    values = standardised(tells, scale).numpy()
    rows = [tell.index for tell in tells]
    scaled = FEATURES[rows].numpy() / lengths
    distance = math.sqrt(5) * np.linalg.norm(scaled[:, None] - scaled[None], axis=2)
    kernel = (1 + distance + distance**2 / 3) * np.exp(-distance)
    variance = [noise if t.variance is None else t.variance / scale.scale**2 for t in tells]
    kernel += own * np.equal.outer(rows, rows)
    covariance = kernel + np.diag(variance)
    ones = np.linalg.solve(covariance, np.ones(len(values)))
    mean = ones @ values / ones.sum()
    return multivariate_normal(np.full(len(values), mean), covariance).logpdf(values), mean


def test_priors_of_the_length_scales_are_those_of_the_paper():
    found = priors(9)
    assert found.length.location == pytest.approx(math.sqrt(2) + math.log(9) / 2)
    assert found.length.scale == 1.0
    assert (found.noise.location, found.noise.scale) == (math.log(0.25), 0.5)
    assert (found.own.location, found.own.scale) == (math.log(0.1), 1.0)
    assert (found.length.least, found.noise.least) == pytest.approx((0.025, 1e-4), rel=1e-6)
    assert default(9).lengths == pytest.approx((math.exp(math.sqrt(2) - 1) * 3,) * 9, rel=1e-5)


def test_density_with_replicates_is_that_of_botorch_with_one_row_a_tell():
    scale, told, inputs = told_of(PLAIN)
    value, _ = log_density(inputs, told, Hyperparameters(tuple(LENGTHS), 0.07), priors(3), True)
    _, mean = brute_density(PLAIN, 0.07, LENGTHS)
    model = botorch_model(PLAIN, scale, Hyperparameters(tuple(LENGTHS), 0.07, mean))
    assert value == pytest.approx(botorch_density(model), abs=1e-6)


@pytest.mark.parametrize("known", ["none", "some", "all"])
def test_density_and_gradient_against_brute_force(known):
    tells = [
        Evaluation(
            t.index,
            t.value,
            0.01 * (1 + k % 4) if known == "all" or (known == "some" and k % 3 == 0) else None,
        )
        for k, t in enumerate(PLAIN)
    ]
    _, told, inputs = told_of(tells)
    estimated = known != "all"
    flat = priors(3)

    def ours(point):
        lengths = tuple(np.exp(point[:3]).tolist())
        given = Hyperparameters(lengths, math.exp(point[4]), own=math.exp(point[3]))
        return log_density(inputs, told, given, flat, estimated)

    point = np.log([*LENGTHS, 0.13, 0.07])
    value, gradient = ours(point)
    brute, _ = brute_density(tells, 0.07, LENGTHS, own=0.13)
    normal = lambda x, m, s: -x - 0.5 * ((x - m) / s) ** 2 - math.log(s * math.sqrt(2 * math.pi))  # noqa: E731
    prior = sum(normal(x, flat.length.location, flat.length.scale) for x in point[:3])
    prior += normal(point[3], math.log(0.1), 1.0)
    prior += normal(point[4], math.log(0.25), 0.5) if estimated else 0.0
    assert value == pytest.approx(brute + prior, abs=1e-8)
    numeric = approx_fprime(point, lambda at: ours(at)[0], 1e-6)
    assert gradient == pytest.approx(numeric[: len(gradient)], abs=1e-3)


def test_fit_is_at_least_as_good_as_botorchs():
    scale, told, inputs = told_of(PLAIN)
    found = fit(inputs, told)
    ours, _ = log_density(inputs, told, found, priors(3), True)
    model = gaussian_process(FEATURES[[t.index for t in PLAIN]], standardised(PLAIN, scale), None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit_gpytorch_mll(ExactMarginalLogLikelihood(model.likelihood, model))
    lengths = tuple(model.covar_module.lengthscale.detach().squeeze().tolist())
    for own in (1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3):
        theirs = Hyperparameters(lengths, float(model.likelihood.noise.detach()), own=own)
        assert ours >= log_density(inputs, told, theirs, priors(3), True)[0] - 1e-3
    again = fit(inputs, told, None, found)
    assert log_density(inputs, told, again, priors(3), True)[0] >= ours - 1e-6


@pytest.mark.parametrize("known", [False, True])
def test_posterior_is_that_of_botorch(known):
    variances = [0.004 * (1 + k % 5) for k in range(len(PLAIN))]
    tells = [
        Evaluation(t.index, t.value, v if known else None)
        for t, v in zip(PLAIN, variances, strict=True)
    ]
    scale, told, inputs = told_of(tells)
    found = replace(fit(inputs, told), own=0.0)
    given_variances = torch.tensor(variances, dtype=torch.float64) / scale.scale**2
    model = botorch_model(tells, scale, found, given_variances if known else None)
    model.eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = model.posterior(FEATURES)
        covariance = wanted.distribution.covariance_matrix
    ours = condition(FEATURES, told, found)
    everything = torch.arange(len(FEATURES))
    assert torch.allclose(ours.mean, wanted.mean.squeeze(), atol=1e-7)
    assert torch.allclose(ours.variance, wanted.variance.squeeze(), atol=1e-7)
    assert torch.allclose(ours.covariance(everything, everything), covariance, atol=1e-7)
    some = everything[3:6]
    assert torch.allclose(ours.with_pool(some), covariance[:, some], atol=1e-7)


def test_a_candidates_own_effect_is_that_of_a_column_a_candidate():
    """A linear effect of an indicator of each candidate, unit amplitude, is the same model."""
    scale, told, _ = told_of(PLAIN)
    found = Hyperparameters((0.4, 0.9, 2.0), 0.07, 0.2, own=0.3)
    scaled = FEATURES.numpy() / np.array(found.lengths)
    distance = math.sqrt(5) * np.linalg.norm(scaled[:, None] - scaled[None], axis=2)
    indicators = np.eye(len(FEATURES))
    kernel = (1 + distance + distance**2 / 3) * np.exp(-distance)
    kernel += 0.3 * indicators @ indicators.T
    rows = [tell.index for tell in PLAIN]
    gain = kernel[:, rows] @ np.linalg.inv(
        kernel[np.ix_(rows, rows)] + found.noise * np.eye(len(rows))
    )
    mean = found.mean + gain @ (standardised(PLAIN, scale).numpy() - found.mean)
    covariance = kernel - gain @ kernel[rows]
    ours = condition(FEATURES, told, found)
    everything = torch.arange(len(FEATURES))
    assert ours.mean.numpy() == pytest.approx(mean, abs=1e-9)
    assert ours.variance.numpy() == pytest.approx(np.diag(covariance), abs=1e-9)
    assert ours.covariance(everything, everything).numpy() == pytest.approx(covariance, abs=1e-9)
    some = torch.tensor([4, 30, 7])
    assert ours.with_pool(some).numpy() == pytest.approx(covariance[:, some], abs=1e-9)


def test_replicates_tell_apart_candidates_of_equal_features():
    generator = np.random.default_rng(5)
    pool = np.repeat(generator.normal(size=(10, 2)), 2, axis=0)
    features = torch.from_numpy(standardise(pool))
    own = generator.normal(size=20)
    tells = [Evaluation(i, own[i] + 0.1 * generator.normal()) for i in range(20) for _ in range(5)]
    told = sums(tells, scaling(tells))
    found = fit(features[torch.from_numpy(told.rows)], told)
    assert found.own > 0.3
    posterior = condition(features, told, found)
    assert np.corrcoef(posterior.mean.numpy(), own)[0, 1] > 0.95


def test_grown_factors_are_those_computed_at_once():
    rows, variances = (
        torch.arange(0, 40)[torch.randperm(40, generator=torch.Generator().manual_seed(1))],
        torch.linspace(0.01, 0.2, 40, dtype=torch.float64),
    )
    lengths = Hyperparameters((0.5, 0.7, 1.5), 0.1, own=0.2)
    whole = Factors(FEATURES, rows, variances, lengths)
    grown = Factors(FEATURES, rows[:5], variances[:5], lengths)
    for row, variance in zip(rows[5:].tolist(), variances[5:].tolist(), strict=True):
        grown.grow(row, variance)
    assert torch.allclose(grown.factor, whole.factor, atol=1e-12)
    assert torch.allclose(grown.white, whole.white, atol=1e-11)
    assert torch.allclose(grown.variance, whole.variance, atol=1e-11)


def test_growing_past_the_room_held():
    pool = torch.from_numpy(standardise(np.random.default_rng(0).normal(size=(150, 2))))
    flat = Hyperparameters((1.0, 1.0), 0.1, own=0.05)
    rows, variances = torch.arange(130), torch.full((130,), 0.1, dtype=torch.float64)
    whole, grown = (
        Factors(pool, rows, variances, flat),
        Factors(pool, rows[:60], variances[:60], flat),
    )
    for row in range(60, 130):
        grown.grow(row, 0.1)
    assert torch.allclose(grown.white, whole.white, atol=1e-10)


def test_threads_change_no_bit():
    pool = torch.from_numpy(standardise(np.random.default_rng(0).normal(size=(2500, 4))))
    flat = Hyperparameters((1.0,) * 4, 0.1, own=0.05)
    rows, variances = torch.arange(70), torch.full((70,), 0.1, dtype=torch.float64)
    one = Factors(pool, rows, variances, flat, threads=1)
    three = Factors(pool, rows, variances, flat, threads=3)
    assert torch.equal(one.white, three.white)


def test_replicates_identify_the_noise():
    generator = np.random.default_rng(3)
    pool = generator.normal(size=(30, 2))
    features = torch.from_numpy(standardise(pool))
    truth = generator.normal(size=30)  # nothing that features could explain
    tells = [
        Evaluation(i, truth[i] + 0.1 * generator.normal()) for i in range(30) for _ in range(4)
    ]
    scale = scaling(tells)
    told = sums(tells, scale)
    found = fit(features[torch.from_numpy(told.rows)], told)
    assert math.sqrt(found.noise) * scale.scale == pytest.approx(0.1, rel=0.2)


def test_summary_of_tells_weighs_by_variance():
    tells = [
        Evaluation(4, 1.0),
        Evaluation(4, 2.0),
        Evaluation(4, 5.0, 0.5),
        Evaluation(2, 3.0, 0.25),
    ]
    summary = summarise(sums(tells, Scaling()), 0.5)
    assert summary.value.tolist() == pytest.approx([8 / 3, 3.0])
    assert summary.variance.tolist() == pytest.approx([0.5 / 3, 0.25])


def test_a_failed_fit_keeps_what_there_was(monkeypatch):
    monkeypatch.setattr(fitting, "log_density", lambda *_: None)
    _, told, inputs = told_of(PLAIN)
    start = Hyperparameters((1.0, 2.0, 3.0), 0.2)
    assert fit(inputs, told, None, start).lengths == start.lengths
    assert fit(inputs, told).lengths == default(3).lengths


def test_cholesky_of_what_has_none():
    singular = torch.ones(6, 6, dtype=torch.float64)
    factor = robust_cholesky(singular)
    assert torch.allclose(factor @ factor.T, singular, atol=1e-6)
    assert torch.isfinite(robust_cholesky(-singular)).all()


def test_standardise_drops_what_does_not_vary():
    wide = np.column_stack(
        (
            POOL[:, 0] * 1e9 + 1e9,
            np.full(40, 0.1) * (1 + 1e-13 * POOL[:, 1]),
            np.full(40, 3.0),
            POOL[:, 2] * 1e-9,
        )
    )
    found = standardise(wide)
    assert found.shape == (40, 2)
    assert found.std(axis=0) == pytest.approx([1 / math.sqrt(12)] * 2)
    assert found[:, 1] == pytest.approx(standardise(POOL)[:, 2])
    assert standardise(np.ones((3, 2))).shape == (3, 0)
    assert standardise([[1.0, 2.0]]).shape == (1, 0)
    assert np.isfinite(standardise([[1e300], [-1e300]])).all()


def test_a_collapsed_network_flattens_nothing():
    generator = np.random.default_rng(0)
    good = 0.95 + 0.002 * generator.normal(size=20)
    tells = [Evaluation(i, float(v)) for i, v in enumerate(good)]
    collapsed = [*tells, Evaluation(20, 0.1), Evaluation(21, 0.1)]
    drawn = np.array(drawn_in(collapsed, scaling(collapsed).allowance))
    assert drawn[:20] == pytest.approx(good, abs=0)  # the good ones are as they were
    assert good.min() - 0.02 < drawn[20] == pytest.approx(drawn[21])
    assert drawn[20] < good.min()
    assert scaling(collapsed).scale < 3 * scaling(tells).scale


def test_high_values_are_never_drawn_in():
    tells = [Evaluation(i, v) for i, v in enumerate([0.1, 0.101, 0.102, 0.099, 0.95])]
    assert max(drawn_in(tells, scaling(tells).allowance)) == 0.95


def test_the_front_is_never_drawn_in():
    generator = np.random.default_rng(0)
    second = np.linspace(0.1, 0.98, 30)
    values = 0.97 - 0.3 * second**8 + 0.0005 * generator.normal(size=30)
    tells = [Evaluation(i, float(v)) for i, v in enumerate(values)] + [Evaluation(3, 0.1)]
    drawn = drawn_in(tells, scaling(tells, second).allowance, second)
    assert drawn[-2] == values[-1]  # lowest of all, at the highest second objective
    assert drawn[-1] > 0.9


def test_equal_values_keep_a_scale():
    assert scaling([Evaluation(0, 0.5), Evaluation(1, 0.5), Evaluation(2, 0.5)]).scale == 1.0
    assert scaling([Evaluation(0, 0.5)]) == Scaling(0.5, 1.0)
    assert scaling([]) == Scaling()


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(-1e3, 1e3)), min_size=1, max_size=30))
def test_drawing_in_keeps_order_and_the_best(pairs):
    tells = [Evaluation(index, value) for index, value in pairs]
    values = np.array([tell.value for tell in tells])
    drawn = np.array(drawn_in(tells, scaling(tells).allowance))
    assert (drawn >= values - 1e-9).all()
    assert drawn[values.argmax()] == values.max()
    assert (np.diff(drawn[np.argsort(values)]) >= -1e-9).all()
    assert set(raw_means(tells)) == {index for index, _ in pairs}


def test_fit_survives_json():
    made = Fit(Hyperparameters((0.1 + 0.2, 1 / 3), 1e-4, -0.7), Scaling(0.95, 0.003, None), 12)
    assert Fit.of(json.loads(json.dumps(made.state()))) == made


def test_refits_follow_the_number_of_tells():
    model = Surrogate(standardise(POOL), None)
    model.commit(PLAIN[:40])
    first = model.committed
    assert model.fit(PLAIN[:41]) is first  # 40 / 20 = 2 more are needed
    assert model.fit(PLAIN[:42]) is not first
    assert model.committed is first  # looking is not asking


def test_known_noise_is_not_estimated():
    model = Surrogate(standardise(POOL), 0.2)
    model.commit(PLAIN)
    found = model.committed
    assert math.sqrt(found.hyperparameters.noise) * found.scaling.scale == pytest.approx(0.2)


def test_between_fits_the_posterior_is_that_of_all_tells():
    surrogate = Surrogate(standardise(POOL), None)
    tells = [Evaluation(row, float(np.sin(POOL[row, 0]))) for row in range(10)] * 6
    surrogate.commit(tells)
    known = surrogate.committed
    for further in (
        Evaluation(12, 0.3),
        Evaluation(12, 0.5),
    ):  # a new candidate, then its replicate
        tells.append(further)
        found = surrogate.posterior(tells)
        assert surrogate.fit(tells) is known
        wanted = condition(FEATURES, sums(tells, known.scaling), known.hyperparameters)
        assert torch.allclose(found.mean, wanted.mean, atol=1e-8)
        assert torch.allclose(found.variance, wanted.variance, atol=1e-8)

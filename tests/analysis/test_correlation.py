from __future__ import annotations

import json
import math
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bogp.analysis import (
    correlation_matrix,
    json_matrix,
    partial_rank_correlation,
    rank_correlation,
)
from bogp.errors import SettingError

POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=7)


@settings(max_examples=30, deadline=None)
@given(POINTS)
def test_rho_and_exact_p_are_those_of_scipy(points: list[tuple[int, int]]) -> None:
    x, y = np.array(points, float).T
    result = rank_correlation(x, y, seed=0)
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        assert (result.rho, result.p_value) == (None, None)
        return
    assert result.rho == pytest.approx(stats.spearmanr(x, y).statistic)
    assert result.exact
    expected = (
        stats.permutation_test(
            (x,),
            lambda a: abs(stats.spearmanr(a, y).statistic),
            permutation_type="pairings",
            alternative="greater",
            n_resamples=np.inf,
        )
        if len(points) <= 4
        else None
    )
    if expected is not None:
        assert result.p_value == pytest.approx(expected.pvalue)
    json.dumps(asdict(result), allow_nan=False)


def test_the_p_value_of_many_points_is_seeded_and_near_the_t_approximation() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=40)
    y = 0.35 * x + rng.normal(size=40)
    first = rank_correlation(x, y, seed=1)
    assert not first.exact
    assert first == rank_correlation(x, y, seed=1)
    assert first.p_value != rank_correlation(x, y, seed=2).p_value
    assert first.p_value == pytest.approx(stats.spearmanr(x, y).pvalue, abs=0.01)


@pytest.mark.parametrize("method", ["fisher", "bootstrap"])
def test_the_interval_covers_the_true_rho(method: str) -> None:
    rng, truth, hits = np.random.default_rng(4), 0.6, 0
    rho = 6 / math.pi * math.asin(truth / 2)  # Spearman's rho of a bivariate normal
    runs = 200 if method == "fisher" else 40
    for run in range(runs):
        x = rng.normal(size=40)
        y = truth * x + math.sqrt(1 - truth**2) * rng.normal(size=40)
        result = rank_correlation(x, y, seed=run, method=method, resamples=200)
        assert result.interval is not None
        hits += not result.interval.excludes(rho)
    assert 0.88 <= hits / runs <= 1.0


def test_the_interval_is_that_of_bonett_and_wright() -> None:
    # rho = 0.8 of five points: atanh 1.098612, SE sqrt(1.32 / 2) = 0.812404, times 1.959964.
    interval = rank_correlation([1, 2, 3, 4, 5], [2, 1, 4, 3, 5], seed=0).interval
    assert interval is not None
    assert interval.low == pytest.approx(math.tanh(1.098612 - 1.592283), abs=1e-5)
    assert interval.high == pytest.approx(math.tanh(1.098612 + 1.592283), abs=1e-5)


def test_a_perfect_order_of_few_points_is_not_called_certain() -> None:
    result = rank_correlation([1, 2, 3, 4, 5], [1, 2, 3, 4, 5], seed=0)
    assert result.interval is not None
    assert result.interval.estimate == result.interval.high == 1.0
    assert result.interval.low is not None
    assert result.interval.low < 0.95
    assert result.p_value == pytest.approx(2 / 120)


def test_three_points_have_no_bounds() -> None:
    result = rank_correlation([1, 2, 3], [1, 3, 2], seed=0)
    assert result.interval is not None
    assert (result.interval.low, result.interval.high) == (None, None)


def test_values_within_rounding_are_tied() -> None:
    x = [0.3, 0.1 + 0.2, 0.5, 0.7]
    assert rank_correlation(x, [2, 1, 3, 4], seed=0).rho == pytest.approx(
        stats.spearmanr([0.3, 0.3, 0.5, 0.7], [2, 1, 3, 4]).statistic
    )


def test_rank_correlation_refuses() -> None:
    with pytest.raises(SettingError, match="at least 3"):
        rank_correlation([1, 2], [1, 2], seed=0)
    with pytest.raises(SettingError, match="method 'exact' is unknown"):
        rank_correlation([1, 2, 3], [1, 2, 3], seed=0, method="exact")  # type: ignore[arg-type]


def test_one_control_has_the_closed_form() -> None:
    rng = np.random.default_rng(6)
    z = rng.normal(size=30)
    x, y = z + rng.normal(size=30), z + rng.normal(size=30)
    xy, xz, yz = (stats.spearmanr(a, b).statistic for a, b in ((x, y), (x, z), (y, z)))
    expected = (xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2))
    result = partial_rank_correlation(x, y, z)
    assert result.rho == pytest.approx(expected)
    freedom = 30 - 3
    t = expected * math.sqrt(freedom / (1 - expected**2))
    assert result.p_value == pytest.approx(2 * stats.t.sf(abs(t), freedom))
    assert result.interval is not None
    assert not result.interval.excludes(expected)


def test_a_control_takes_away_what_it_explains() -> None:
    rng = np.random.default_rng(7)
    edges = rng.integers(4, 11, 200)
    clustering = edges + rng.normal(0, 0.5, 200)
    accuracy = edges + rng.normal(0, 0.5, 200)
    plain = rank_correlation(clustering, accuracy, seed=0).rho
    partial = partial_rank_correlation(clustering, accuracy, edges)
    assert plain is not None
    assert plain > 0.85
    assert partial.rho is not None
    assert abs(partial.rho) < 0.2
    both = partial_rank_correlation(clustering, accuracy, np.column_stack([edges, edges**2]))
    assert both.rho == pytest.approx(partial.rho)  # a monotone copy of a control adds nothing


def test_a_property_that_is_its_control_has_no_partial_correlation() -> None:
    x = [1, 2, 3, 4, 5, 6]
    assert partial_rank_correlation(x, [2, 1, 4, 3, 6, 5], [v**2 for v in x]).rho is None
    assert partial_rank_correlation([1] * 6, [2, 1, 4, 3, 6, 5], x).rho is None


def test_partial_correlation_refuses_too_few_points_and_another_length() -> None:
    with pytest.raises(SettingError, match="at least 5"):
        partial_rank_correlation([1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 3, 4])
    with pytest.raises(SettingError, match="x holds 6 numbers and control 5"):
        partial_rank_correlation(range(6), range(6), range(5))


@settings(deadline=None)
@given(st.integers(2, 12), st.integers(2, 5), st.integers(0, 1000))
def test_the_matrix_is_that_of_numpy(rows: int, columns: int, seed: int) -> None:
    table = np.random.default_rng(seed).normal(size=(rows, columns))
    matrix = correlation_matrix(table)
    np.testing.assert_allclose(matrix, np.corrcoef(table.T), atol=1e-12)
    np.testing.assert_array_equal(matrix, matrix.T)
    np.testing.assert_allclose(correlation_matrix(table * 1e-200), matrix, atol=1e-12)
    if rows > 2 and columns > 2:
        expected = stats.spearmanr(table).statistic
        np.testing.assert_allclose(correlation_matrix(table, "spearman"), expected, atol=1e-12)


def test_constant_columns_are_nan_and_json_none() -> None:
    jitter = 0.1 + 1e-17 * np.arange(5)
    table = np.column_stack([np.arange(5), np.full(5, 3.0), jitter, [1, 0, 2, 1, 0]])
    for method in ("pearson", "spearman"):
        matrix = correlation_matrix(table, method)
        assert np.isnan(matrix[[1, 2]]).all()
        assert np.isnan(matrix[:, [1, 2]]).all()
        assert np.isfinite(matrix[np.ix_([0, 3], [0, 3])]).all()
        text = json.dumps(json_matrix(matrix), allow_nan=False)
        np.testing.assert_array_equal(np.array(json.loads(text), dtype=float), matrix)
        assert np.isnan(correlation_matrix(table[:, [1, 2]], method)).all()


def test_the_matrix_refuses_one_row_and_another_method() -> None:
    with pytest.raises(SettingError, match="at least 2 rows"):
        correlation_matrix([[1.0, 2.0]])
    with pytest.raises(SettingError, match="'kendall' is unknown"):
        correlation_matrix([[1.0], [2.0]], "kendall")  # type: ignore[arg-type]

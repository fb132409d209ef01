import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.spatial import distance

from bogp.database import METRICS, SCALES, nearest, neighbours
from bogp.errors import DatabaseError, SettingError, UnknownNameError

REFERENCE = {
    "cosine": lambda row, target: 1.0 - distance.cosine(row, target),
    "l1": distance.cityblock,
    "l2": distance.euclidean,
}


def brute_force(vectors, target, metric, scale):
    if scale == "standardised":
        mean, deviation = vectors.mean(axis=0), vectors.std(axis=0)
        vectors, target = (vectors - mean) / deviation, (target - mean) / deviation
    scores = [REFERENCE[metric](row, target) for row in vectors]
    best_first = sorted(
        range(len(vectors)), key=lambda k: -scores[k] if metric == "cosine" else scores[k]
    )
    return np.array(best_first), np.array([scores[k] for k in best_first])


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("seed", range(5))
def test_nearest_is_what_scipy_finds_by_brute_force(metric, scale, seed):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(40, 5)) * [1.0, 0.01, 30.0, 2.0, 900.0] + [0.1, 0.1, 5.0, 0.0, 1e3]
    target = vectors[7] + rng.normal(size=5) * [0.1, 0.001, 1.0, 0.5, 50.0]
    indices, scores = nearest(vectors, target, metric, scale, count=40)
    expected, expected_scores = brute_force(vectors, target, metric, scale)
    assert indices.dtype == np.int64
    np.testing.assert_array_equal(indices, expected)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-12)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("count", [1, 2, 7, 30, 100])
def test_fewer_are_the_head_of_all(metric, count):
    vectors = np.random.default_rng(3).integers(0, 3, size=(30, 2)).astype(float)  # many ties
    everything, scores = nearest(vectors, [1.0, 2.0], metric, count=30)
    some, some_scores = nearest(vectors, [1.0, 2.0], metric, count=count)
    np.testing.assert_array_equal(some, everything[:count])
    np.testing.assert_array_equal(some_scores, scores[:count])


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("metric", METRICS)
def test_ties_go_to_the_lowest_index(metric, scale):
    vectors = np.tile([[0.1, 0.7, 1 / 3], [0.9, 0.2, 0.3]], (50, 1))
    indices, scores = nearest(vectors, [0.1, 0.7, 1 / 3], metric, scale, count=50)
    np.testing.assert_array_equal(indices, np.arange(0, 100, 2))
    assert len(set(scores.tolist())) == 1


def large(seed, rows, properties, kind):
    """Return vectors whose columns are contiguous, as a database has them, and a target."""
    rng = np.random.default_rng(seed)
    if kind == "whole":  # many rows are equal
        vectors = rng.integers(-1, 3, size=(properties, rows)).astype(float).T
    elif kind == "alike":  # cosines that differ in the last digits only
        vectors = (1e3 + rng.normal(size=(properties, rows)) * 1e-4).T
    else:
        scale = 10.0 ** rng.integers(-2, 3, size=(properties, 1))
        vectors = (rng.normal(size=(properties, rows)) * scale).T
    target = vectors[rng.integers(rows)] + rng.normal(size=properties) * 1e-3
    return vectors, np.round(target) if kind == "whole" else target


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("kind", ["whole", "alike", "wide"])
@pytest.mark.parametrize(
    ("rows", "properties"), [(20_000, 5), (neighbours.CHUNK * 40, 9), (9_001, 1)]
)
def test_the_pass_over_chunks_changes_nothing(monkeypatch, metric, scale, kind, rows, properties):
    vectors, target = large(rows + properties, rows, properties, kind)
    candidates = []
    narrow = neighbours._candidates
    monkeypatch.setattr(neighbours, "_candidates", lambda *given: candidates.append(narrow(*given)))
    plain = {count: nearest(vectors, target, metric, scale, count) for count in (1, 3, 40)}
    monkeypatch.setattr(neighbours, "_candidates", narrow)
    for count, (indices, scores) in plain.items():
        found, found_scores = nearest(vectors, target, metric, scale, count)
        np.testing.assert_array_equal(found, indices)
        np.testing.assert_array_equal(found_scores, scores)  # to the last bit
    if kind == "wide" and properties > 1:
        assert candidates[0] is not None
        assert len(candidates[0]) < rows / 8  # and it does leave rows out


def test_a_score_that_is_no_number_is_not_the_nearest():
    vectors = np.asfortranarray(np.ones((5_000, 2)))
    vectors[:2_500] = 1e300  # whose squares overflow
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert nearest(vectors, [2.0, 3.0], "l2")[0] == [2_500]
        vectors[:2_500] = np.nan
        assert nearest(vectors, [2.0, 3.0], "cosine")[0] == [2_500]
        everything, scores = nearest(vectors, [2.0, 3.0], "cosine", count=5_000)
        np.testing.assert_array_equal(everything, [*range(2_500, 5_000), *range(2_500)])
        assert np.isnan(scores[2_500:]).all()
        assert nearest(vectors, [-2.0, -3.0], "cosine")[0] == [2_500]  # whose score is negative


@pytest.mark.parametrize(
    ("scale", "size"),
    [  # columns of so little spread as 1e-200 are constant and cannot be standardised
        *(("raw", size) for size in (1e-300, 1e-200, 1e150, 1e200, 1e300)),
        *(("standardised", size) for size in (1e150, 1e200, 1e300)),
    ],
)
@pytest.mark.parametrize("rows", [12, 20_000])
def test_the_cosine_does_not_depend_on_the_size_of_numbers(scale, size, rows):
    rng = np.random.default_rng(rows)
    vectors = np.asfortranarray(rng.normal(size=(rows, 3)))
    vectors[:2] = 0.0
    target = [0.3, -0.2, 0.9]
    plain, plain_scores = nearest(vectors, target, "cosine", scale, 9)
    factor = 2.0 ** np.rint(np.log2(size))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wanted = np.array(target) * (factor if scale == "standardised" else 1.0)
        found, scores = nearest(vectors * factor, wanted, "cosine", scale, 9)
        np.testing.assert_array_equal(found, plain)
        np.testing.assert_array_equal(scores, plain_scores)
        if scale == "raw":  # one of them is so, and the scan must not pass it by
            best = vectors.copy(order="F")
            best[rows // 2] = np.array(target) * size
            found, scores = nearest(best, np.array(target) / size, "cosine")
            assert found.tolist() == [rows // 2]
            assert scores[0] == pytest.approx(1.0, abs=1e-15)


def test_scale_and_metric_change_the_answer():
    vectors = np.array([[1.0, 1000.0], [0.0, 1010.0], [10.0, 1100.0]])
    target = [1.0, 1008.0]
    assert nearest(vectors, target, "l2", "raw")[0] == [1]
    assert nearest(vectors, target, "l2", "standardised")[0] == [0]
    assert nearest(np.array([[2.0, 2.0], [1.0, 0.0]]), [1.0, 0.9], "cosine")[0] == [0]
    assert nearest(np.array([[2.0, 2.0], [1.0, 0.0]]), [1.0, 0.9], "l1")[0] == [1]


@pytest.mark.parametrize("scale", SCALES)
def test_a_zero_vector_has_no_direction(scale):
    vectors = np.array([[0.0, 0.0], [-1.0, -1.0], [1.0, 1.0]])  # the mean is 0 as well
    indices, scores = nearest(vectors, [2.0, 2.0], "cosine", scale, count=3)
    np.testing.assert_array_equal(indices, [2, 0, 1])
    np.testing.assert_allclose(scores, [1.0, 0.0, -1.0])
    indices, scores = nearest(vectors, [0.0, 0.0], "cosine", scale, count=3)
    np.testing.assert_array_equal(indices, [0, 1, 2])
    np.testing.assert_array_equal(scores, [0.0, 0.0, 0.0])


@pytest.mark.parametrize("metric", METRICS)
def test_a_constant_column_contributes_nothing_when_standardised(metric):
    rng = np.random.default_rng(0)
    varying, target = rng.random((20, 3)), rng.random(3)
    constant = 0.1 + rng.choice([0.0, 3e-17], size=(20, 1))  # but for rounding
    with_constant = nearest(
        np.hstack([varying, constant]), [*target, 55.0], metric, "standardised", 20
    )
    without = nearest(varying, target, metric, "standardised", 20)
    np.testing.assert_array_equal(with_constant[0], without[0])
    np.testing.assert_allclose(with_constant[1], without[1], atol=1e-12)
    alone = nearest(constant, [55.0], metric, "standardised", 20)
    np.testing.assert_array_equal(alone[0], np.arange(20))
    np.testing.assert_array_equal(alone[1], np.zeros(20))


@settings(deadline=None)
@given(
    vectors=arrays.arrays(
        np.float64,
        st.tuples(st.integers(1, 12), st.integers(1, 4)),
        elements=st.floats(-1e6, 1e6, allow_subnormal=False),
    ),
    metric=st.sampled_from(sorted(METRICS)),
    scale=st.sampled_from(SCALES),
    data=st.data(),
)
def test_a_row_is_among_the_best_for_itself(vectors, metric, scale, data):
    row = data.draw(st.integers(0, len(vectors) - 1))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        indices, scores = nearest(vectors, vectors[row], metric, scale, count=len(vectors))
    assert sorted(indices.tolist()) == list(range(len(vectors)))
    assert np.isfinite(scores).all()
    best, own = scores[0], scores[indices.tolist().index(row)]
    assert own == pytest.approx(best, abs=1e-9)


def test_bad_input_is_refused_with_the_fix():
    vectors = np.ones((3, 2))
    with pytest.raises(UnknownNameError, match=r"unknown metric 'cosin': did you mean cosine\?"):
        nearest(vectors, [1, 1], "cosin")
    with pytest.raises(UnknownNameError, match="unknown scale 'std'"):
        nearest(vectors, [1, 1], scale="std")
    with pytest.raises(SettingError, match=r"shape \(3,\) does not fit .* \(3, 2\)"):
        nearest(vectors, [1, 1, 1])
    with pytest.raises(SettingError, match="not all finite"):
        nearest(vectors, [1, float("nan")])
    with pytest.raises(SettingError, match="count 0 is below 1"):
        nearest(vectors, [1, 1], count=0)
    with pytest.raises(SettingError, match="names no property"):
        nearest(np.ones((3, 0)), [])
    with pytest.raises(DatabaseError, match="no graph to choose from"):
        nearest(np.ones((0, 2)), [1, 1])

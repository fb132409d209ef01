from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from bogp.analysis import compare_coverage, coverage, distinct
from bogp.errors import SettingError

RNG = np.random.default_rng(0)
NAMES = ["a", "b", "c", "d", "e"]
TABLES = hnp.arrays(
    np.float64, st.tuples(st.integers(1, 20), st.integers(1, 4)), elements=st.integers(-3, 3)
)


def sample(graphs: int = 400) -> np.ndarray:
    """Three independent columns, one twice another, one constant but for rounding."""
    free = RNG.normal(size=(graphs, 3)) * [1.0, 5.0, 0.01]
    fifth = 0.1 + 1e-13 * RNG.random(graphs)
    return np.column_stack([free, 2.0 * free[:, 0] - 7.0, fifth])


def test_ranges_are_those_of_numpy() -> None:
    table = sample()
    found = coverage(NAMES, table)
    assert found.graphs == 400
    for entry, column in zip(found.properties[:4], table.T[:4], strict=True):
        expected = (column.min(), np.median(column), column.max(), column.std())
        got = (entry.minimum, entry.median, entry.maximum, entry.sd)
        assert got == pytest.approx(expected, rel=1e-12)
        assert entry.reach == pytest.approx(np.ptp(column))
        np.testing.assert_array_equal(entry.counts, np.histogram(column, 12)[0])
    assert found.constant == ("e",)
    assert (found.properties[4].sd, found.properties[4].reach) == (0.0, 0.0)
    assert sum(found.properties[4].counts) == max(found.properties[4].counts) == 400


def test_dimensions_are_the_participation_ratio_of_the_eigenvalues() -> None:
    table = RNG.normal(size=(300, 4)) @ RNG.normal(size=(4, 4))
    eigenvalues = np.linalg.eigvalsh(np.corrcoef(table.T))
    expected = eigenvalues.sum() ** 2 / (eigenvalues**2).sum()
    assert coverage(NAMES[:4], table).dimensions == pytest.approx(expected)
    # Columns of a Hadamard matrix are uncorrelated: as many dimensions as columns.
    square = np.array([[1, 1, 1], [1, -1, 1], [-1, 1, 1], [-1, -1, 1]], float)
    assert coverage(NAMES[:2], square[:, :2]).dimensions == pytest.approx(2.0)
    assert coverage(NAMES[:3], square).dimensions == pytest.approx(2.0)  # the constant adds none
    line = np.outer(np.arange(5.0), [1.0, -2.0, 3.0])
    assert coverage(NAMES[:3], line).dimensions == pytest.approx(1.0)
    assert coverage(["a"], [[1.0], [1.0]]).dimensions == 0.0


def test_collinear_properties_are_grouped_under_the_first() -> None:
    table = sample()
    (group,) = coverage(NAMES, table).collinear
    assert (group.leader, group.followers, group.exact) == ("a", ("d",), True)
    noisy = table.copy()
    noisy[:, 3] = -table[:, 0] + 0.02 * RNG.normal(size=len(table))
    (group,) = coverage(NAMES, noisy).collinear
    assert not group.exact
    r = abs(stats.pearsonr(noisy[:, 0], noisy[:, 3]).statistic)
    assert group.weakest == pytest.approx(r)
    assert 0.999 <= r < 1 - 1e-9
    noisy[:, 3] = table[:, 0] + 0.1 * RNG.normal(size=len(table))
    assert coverage(NAMES, noisy).collinear == ()


def test_evenness_is_entropy_over_its_largest() -> None:
    even = coverage(["a"], np.arange(24.0)[:, None]).properties[0]
    assert even.counts == (2,) * 12
    assert even.evenness == pytest.approx(1.0)
    assert coverage(["a"], [[3.0]] * 5).properties[0].evenness == 0.0
    uneven = coverage(["a"], [[0.0], [0.0], [0.0], [1.0]]).properties[0]
    assert uneven.evenness == pytest.approx(stats.entropy([0.75, 0.25], base=12))


def test_distinct_leaves_out_what_says_nothing_and_then_the_most_alike() -> None:
    table = sample()
    found = coverage(NAMES, table)
    assert distinct(found) == ("a", "b", "c")
    even = np.linspace(0.0, 1.0, 400)
    lonely = np.where(np.arange(400) == 7, 1.0, 0.0)  # nearly uncorrelated, and says nearly nothing
    other = RNG.permutation(even)
    alike = np.column_stack([lonely, even, even + 0.2 * other, other])
    found = coverage(NAMES[:4], alike)
    assert distinct(found, most=4) == ("a", "b", "c", "d")
    assert distinct(found, most=2) == ("b", "d")
    assert len(distinct(found, most=1)) == 1
    with pytest.raises(SettingError, match="0 properties is below 1"):
        distinct(found, most=0)


def test_two_sets_have_the_same_bars_and_the_ratio_of_their_ranges() -> None:
    wide, narrow = np.linspace(0, 10, 50), np.linspace(4, 6, 30)
    same = np.ones(50)
    found = compare_coverage(
        ["a", "b", "c"],
        np.column_stack([wide, same, wide[::-1] ** 2]),
        np.column_stack([narrow, same[:30], same[:30]]),
    )
    assert found.ratios["a"] == pytest.approx(5.0)
    assert found.ratios["b"] is None
    assert found.ratios["c"] is None  # the second is constant there
    assert found.variance == pytest.approx((narrow.var() / wide.var() + 0.0) / 2)  # of a and c
    counts = np.histogram(narrow, 12, range=(0, 10))[0]
    np.testing.assert_array_equal(found.second.properties[0].counts, counts)
    swapped = compare_coverage(["a"], narrow[:, None], wide[:, None])
    assert swapped.ratios["a"] == pytest.approx(0.2)
    assert swapped.second.properties[0].counts == found.first.properties[0].counts
    assert found.axes == ("a", "c")
    grid = [np.floor(np.minimum(v / v.max() * 10, 9)) for v in (wide, wide[::-1] ** 2)]
    assert found.cells == len({*zip(*grid, strict=True)})
    assert found.second_cells == len({*np.floor(narrow)})


@settings(max_examples=100)
@given(TABLES)
def test_what_holds_of_any_table(table: np.ndarray) -> None:
    names = NAMES[: table.shape[1]]
    found = coverage(names, table)
    varying = len(names) - len(found.constant)
    assert 0.0 <= found.dimensions <= varying + 1e-9
    assert (found.dimensions >= 1 - 1e-9) == (varying > 0)
    for entry in found.properties:
        assert sum(entry.counts) == len(table)
        assert 0.0 <= entry.evenness <= 1.0 + 1e-12
        assert entry.minimum <= entry.median <= entry.maximum
    followers = [name for group in found.collinear for name in group.followers]
    assert len(set(followers)) == len(followers)
    assert not set(followers) & {group.leader for group in found.collinear}
    assert not set(followers) & set(found.constant)
    # Moving and stretching a property changes neither dimensions nor groups.
    moved = coverage(names, table * 3.0 + 1.0)
    assert moved.dimensions == pytest.approx(found.dimensions)
    assert [g.followers for g in moved.collinear] == [g.followers for g in found.collinear]


@pytest.mark.parametrize(
    ("names", "vectors", "said"),
    [
        (["a"], [[1.0, 2.0]], "do not fit the names a"),
        (["a", "a"], [[1.0, 2.0]], "each name once"),
        (["a"], np.empty((0, 1)), "at least 1 rows"),
        (["a"], [[np.nan]], "holds nan"),
    ],
)
def test_what_does_not_fit_is_refused(names, vectors, said) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SettingError, match=said):
        coverage(names, vectors)

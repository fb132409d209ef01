import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bogp.errors import SettingError, UnknownNameError
from bogp.masks import SCHEDULES, densities


@given(
    st.sampled_from(sorted(SCHEDULES)),
    st.floats(0.001, 1.0),
    st.floats(0.001, 1.0),
    st.integers(1, 12),
)
def test_density_falls_and_ends_exactly(schedule, one, other, rounds):
    start, end = max(one, other), min(one, other)
    steps = densities(schedule, start, end, rounds)
    assert len(steps) == rounds
    assert steps[-1] == end
    falling = [start, *steps]
    assert all(a >= b - 1e-12 for a, b in itertools.pairwise(falling))


def test_exponential_removes_an_equal_share_each_round():
    steps = densities("exponential", 1.0, 0.1, 5)
    assert steps == pytest.approx([10 ** (-k / 5) for k in range(1, 6)])


def test_bad_settings_are_refused():
    with pytest.raises(UnknownNameError, match="linear"):
        densities("liner", 1.0, 0.5, 2)
    with pytest.raises(SettingError, match="0 pruning rounds"):
        densities("linear", 1.0, 0.5, 0)
    with pytest.raises(SettingError, match=r"from density 0.1 to 0.5"):
        densities("linear", 0.1, 0.5, 2)

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
    assert all(a >= b for a, b in itertools.pairwise(falling))


def test_exponential_removes_an_equal_share_each_round():
    steps = densities("exponential", 1.0, 0.1, 5)
    assert steps == pytest.approx([10 ** (-k / 5) for k in range(1, 6)])


def test_linear_removes_an_equal_number_each_round():
    assert densities("linear", 0.9, 0.1, 4) == pytest.approx([0.7, 0.5, 0.3, 0.1])


@given(st.floats(0.0, 0.999), st.floats(0.0, 0.999), st.integers(1, 12))
def test_cubic_is_zhu_and_guptas_equation_in_sparsities(one, other, steps):
    initial, final = min(one, other), max(one, other)
    found = densities("cubic", 1 - initial, 1 - final, steps)
    begin, frequency = 7, 3  # their t_0 and Delta t; t = t_0 + k Delta t
    for k, density in enumerate(found, 1):
        t = begin + k * frequency
        sparsity = final + (initial - final) * (1 - (t - begin) / (steps * frequency)) ** 3
        assert 1 - density == pytest.approx(sparsity, abs=1e-12)


def test_cubic_by_hand():
    # 1 - s falls by 0.8 * (1 - (1 - k / 4)^3): 37/64, 56/64, 63/64 and all of it.
    steps = densities("cubic", 1.0, 0.2, 4)
    assert steps == pytest.approx([1 - 0.8 * share / 64 for share in (37, 56, 63, 64)])


def test_one_shot_prunes_in_its_first_round_and_never_again():
    assert densities("one_shot", 0.8, 0.1, 4) == [0.1] * 4


def test_schedules_differ_and_agree_on_one_round():
    shapes = {name: tuple(densities(name, 1.0, 0.1, 5)) for name in SCHEDULES}
    assert len(set(shapes.values())) == len(SCHEDULES) == 4
    assert all(densities(name, 1.0, 0.1, 1) == [0.1] for name in SCHEDULES)


def test_bad_settings_are_refused():
    with pytest.raises(UnknownNameError, match="linear"):
        densities("liner", 1.0, 0.5, 2)
    with pytest.raises(SettingError, match="0 pruning rounds"):
        densities("linear", 1.0, 0.5, 0)
    with pytest.raises(SettingError, match=r"from density 0.1 to 0.5"):
        densities("linear", 0.1, 0.5, 2)

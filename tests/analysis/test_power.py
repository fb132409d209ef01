from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bogp.analysis import (
    detectable_difference,
    seeds_to_tell_apart,
    t_test_power,
    tell_apart_sentence,
)
from bogp.errors import SettingError


@pytest.mark.parametrize(
    ("effect", "power", "seeds"),
    # Cohen (1988), table 2.4.1, two-sided 5 %, n of each sample. He prints 393 at 0.2, from an
    # approximation; the exact n is 393.4 (power.t.test of R), so 394.
    [(0.2, 0.80, 394), (0.5, 0.80, 64), (0.8, 0.80, 26), (1.0, 0.80, 17), (1.2, 0.80, 12),
     (0.5, 0.90, 86), (0.8, 0.90, 34), (0.5, 0.95, 105), (1.0, 0.95, 27)],
)  # fmt: skip
def test_the_published_sample_sizes(effect: float, power: float, seeds: int) -> None:
    assert seeds_to_tell_apart(effect, 1.0, power=power) == seeds
    assert seeds_to_tell_apart(-0.01 * effect, 0.01, power=power) == seeds


def test_the_published_sizes_of_the_paired_test() -> None:
    # G*Power 3 (Faul et al. 2007), matched pairs, two-sided 5 %, power 0.8.
    for effect, pairs in ((0.2, 199), (0.5, 34), (0.8, 15)):
        assert seeds_to_tell_apart(effect, 1.0, paired=True) == pairs


@pytest.mark.parametrize(
    ("effect", "seeds", "paired"),
    [(1.0, 10, False), (2.0, 3, False), (1.0, 6, True), (0.0, 4, False)],
)
def test_the_power_is_that_of_simulated_tests(effect: float, seeds: int, paired: bool) -> None:
    rng = np.random.default_rng(1)
    a = rng.normal(effect, 1.0, (20_000, seeds))
    if paired:
        p = stats.ttest_1samp(a, 0.0, axis=1).pvalue
    else:
        p = stats.ttest_ind(a, rng.normal(size=a.shape), axis=1).pvalue
    expected = t_test_power(effect, 1.0, seeds, paired=paired)
    assert (p < 0.05).mean() == pytest.approx(expected, abs=0.012)


def test_the_power_is_scipys_noncentral_t_where_that_is_a_number() -> None:
    for seeds, effect, level in ((5, 0.7, 0.95), (12, 1.5, 0.99), (40, 0.1, 0.9)):
        freedom, shift = 2 * seeds - 2, effect * math.sqrt(seeds / 2)
        edge = stats.t.ppf(0.5 + level / 2, freedom)
        wanted = stats.nct.sf(edge, freedom, shift) + stats.nct.cdf(-edge, freedom, shift)
        assert t_test_power(effect, 1.0, seeds, level=level) == pytest.approx(wanted, abs=1e-9)
    # From a million degrees of freedom on it is the normal: no step there.
    below, above = (t_test_power(0.003, 1.0, 500_000 + k) for k in (-1, 2))
    assert 0.0 < above - below < 1e-5


@settings(max_examples=60, deadline=None)
@given(
    st.floats(0.02, 20.0),
    st.floats(0.05, 0.99),
    st.floats(0.5, 0.999),
    st.booleans(),
    st.floats(1e-4, 100.0),
)
def test_the_number_is_the_smallest_that_is_enough(effect, power, level, paired, unit) -> None:
    options = {"level": level, "paired": paired}
    seeds = seeds_to_tell_apart(effect * unit, unit, power=power, **options)
    assert seeds is not None
    assert seeds >= 2
    assert t_test_power(effect * unit, unit, seeds, **options) >= power
    if seeds > 2:
        assert t_test_power(effect * unit, unit, seeds - 1, **options) < power
    least = detectable_difference(unit, seeds, power=power, **options)
    assert least is not None
    assert least <= effect * unit * (1 + 1e-6)
    if least > 0.0:
        assert t_test_power(least, unit, seeds, **options) == pytest.approx(power, abs=1e-6)


def test_the_extremes() -> None:
    assert seeds_to_tell_apart(0.0, 1.0) is None
    assert seeds_to_tell_apart(1e-12, 1.0) is None
    assert seeds_to_tell_apart(1e-5, 0.0) == 2
    assert seeds_to_tell_apart(1e9, 1.0) == 2
    assert seeds_to_tell_apart(1e-3, 1.0) == pytest.approx(15_697_722, abs=2)
    assert detectable_difference(1.0, 1) is None
    assert detectable_difference(0.0, 5) == 0.0
    assert detectable_difference(1.0, 5, power=0.04) == 0.0
    assert t_test_power(1.0, 1.0, 1) == 0.0
    assert t_test_power(0.0, 0.0, 5) == pytest.approx(0.05)
    for shift in (0.0, 1e-7, 1e-3, 10.0, 1e5, 1e300):
        for seeds in (2, 3, 10, 1000):
            assert 0.049 < t_test_power(shift, 1.0, seeds) <= 1.0


def test_the_sentence_says_what_is_needed() -> None:
    text = tell_apart_sentence(-0.0031, 0.002, power=0.9)
    seeds = seeds_to_tell_apart(0.0031, 0.002, power=0.9)
    assert text == (
        f"you need {seeds} seeds each to tell these apart "
        "(difference 0.0031, seed SD 0.002, power 90 %)"
    )
    assert "SD of the paired differences 0.002" in tell_apart_sentence(0.003, 0.002, paired=True)
    assert "they do not differ" in tell_apart_sentence(0.0, 0.002)
    assert "no feasible number" in tell_apart_sentence(1e-15, 0.002)


def test_bad_input_is_refused() -> None:
    with pytest.raises(SettingError, match=r"sd -0.1"):
        seeds_to_tell_apart(0.1, -0.1)
    with pytest.raises(SettingError, match="difference nan"):
        tell_apart_sentence(math.nan, 0.1)
    with pytest.raises(SettingError, match=r"power 1\.0"):
        seeds_to_tell_apart(0.1, 0.1, power=1.0)
    with pytest.raises(SettingError, match="0 seeds"):
        detectable_difference(0.1, 0)
    with pytest.raises(SettingError, match="0 seeds"):
        t_test_power(0.1, 0.1, 0)
    with pytest.raises(SettingError, match="level"):
        detectable_difference(0.1, 3, level=0.0)

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bogp.errors import MaskError, SparsityError, UnknownNameError
from bogp.masks import Mask, select
from bogp.sparsity import kept_count

SHAPES = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=4)


def scores_of(shapes, seed, levels):
    """Random scores with many ties: integers below ``levels``."""
    generator = torch.Generator().manual_seed(seed)
    return {
        str(k): torch.randint(levels, shape, generator=generator).float()
        for k, shape in enumerate(shapes)
    }


@given(SHAPES, st.integers(0, 99), st.integers(1, 5), st.floats(0, 0.999), st.booleans())
def test_exactly_the_wanted_number_is_kept(shapes, seed, levels, sparsity, uniform):
    scores = scores_of(shapes, seed, levels)
    total = sum(score.numel() for score in scores.values())
    kept = kept_count(total, sparsity)
    mask = select(scores, kept, scope="uniform" if uniform else "global", seed=seed)
    assert mask.kept == kept
    assert select(scores, kept, scope="uniform" if uniform else "global", seed=seed) == mask


@given(SHAPES, st.integers(0, 99), st.floats(0, 0.999))
def test_global_scope_keeps_no_weight_below_one_it_drops(shapes, seed, sparsity):
    scores = scores_of(shapes, seed, 5)
    flat = torch.cat([score.flatten() for score in scores.values()])
    mask = select(scores, kept_count(len(flat), sparsity), seed=seed)
    bits = torch.cat([layer.flatten() for layer in mask.values()])
    if bits.any() and not bits.all():
        assert flat[bits].min() >= flat[~bits].max()


@given(SHAPES, st.integers(0, 99), st.floats(0, 0.999))
def test_uniform_scope_gives_each_layer_its_share(shapes, seed, sparsity):
    scores = scores_of(shapes, seed, 5)
    total = sum(score.numel() for score in scores.values())
    kept = kept_count(total, sparsity)
    mask = select(scores, kept, scope="uniform", seed=seed)
    for name, layer in mask.items():
        assert abs(int(layer.sum()) - kept * scores[name].numel() / total) < 1


@given(SHAPES, st.integers(0, 99), st.floats(0, 0.999), st.booleans())
def test_nothing_outside_the_support_is_kept(shapes, seed, sparsity, uniform):
    scores = scores_of(shapes, seed, 5)
    support = Mask({n: score > 1 for n, score in scores_of(shapes, seed + 1, 5).items()})
    kept = kept_count(support.kept, sparsity)
    scope = "uniform" if uniform else "global"
    mask = select(scores, kept, scope=scope, support=support, seed=seed)
    assert mask.kept == kept
    assert all(not (layer & ~support[name]).any() for name, layer in mask.items())


def test_ties_follow_the_seed():
    scores = {"w": torch.zeros(20, 20)}
    assert select(scores, 40, seed=1) != select(scores, 40, seed=2)


def test_bad_input_is_refused_with_its_numbers():
    scores = {"w": torch.ones(2, 2)}
    with pytest.raises(SparsityError, match="keep 5 of the 4"):
        select(scores, 5)
    with pytest.raises(UnknownNameError, match="did you mean global"):
        select(scores, 1, scope="globl")
    with pytest.raises(MaskError, match="NaN"):
        select({"w": torch.tensor([[float("nan")]])}, 1)
    with pytest.raises(MaskError, match=r"support has no layer 'w' of shape \(2, 2\)"):
        select(scores, 1, support={"w": torch.ones(2, 3, dtype=torch.bool)})


def test_kept_count_is_the_definition_and_refuses_the_rest():
    assert [kept_count(100_352, s) for s in (0.0, 0.15, 0.5, 0.9)] == [
        100_352,
        85_299,
        50_176,
        10_035,
    ]
    for wrong in (-0.1, 1.0, 1.3, float("nan")):
        with pytest.raises(SparsityError, match="is not in"):
            kept_count(10, wrong)

import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bogp.errors import MaskError, SparsityError, UnknownNameError
from bogp.keys import derive_seed
from bogp.masks import Mask, select
from bogp.sparsity import kept_count

SCOPES = ("global", "uniform", "er", "erk")
SHAPES = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=4)


def scores_of(shapes, seed, levels):
    """Random scores with many ties: integers below ``levels``."""
    generator = torch.Generator().manual_seed(seed)
    return {
        str(k): torch.randint(levels, shape, generator=generator).float()
        for k, shape in enumerate(shapes)
    }


@given(SHAPES, st.integers(0, 99), st.integers(1, 5), st.floats(0, 0.999), st.sampled_from(SCOPES))
def test_exactly_the_wanted_number_is_kept(shapes, seed, levels, sparsity, scope):
    scores = scores_of(shapes, seed, levels)
    total = sum(score.numel() for score in scores.values())
    kept = kept_count(total, sparsity)
    mask = select(scores, kept, scope=scope, seed=seed)
    assert mask.kept == kept
    assert select(scores, kept, scope=scope, seed=seed) == mask


def by_sorting(scores, kept, *, scope, support=None, seed=0):
    """The masks of the first version, which sorted a shuffled copy of all scores."""

    def top(score, allowed, count, seed):
        candidates = allowed.flatten().nonzero().squeeze(1)
        order = torch.randperm(len(candidates), generator=torch.Generator().manual_seed(seed))
        shuffled = candidates[order]
        ranked = torch.argsort(score.flatten()[shuffled], descending=True, stable=True)
        mask = torch.zeros(score.numel(), dtype=torch.bool)
        mask[shuffled[ranked[:count]]] = True
        return mask.view_as(score)

    allowed = support or {name: torch.ones_like(s, dtype=torch.bool) for name, s in scores.items()}
    room = [int(allowed[name].sum()) for name in scores]
    if scope == "global":
        flat = torch.cat([scores[name][allowed[name]] for name in scores])
        everywhere = torch.ones_like(flat, dtype=torch.bool)
        chosen = top(flat, everywhere, kept, derive_seed(seed, "global"))
        counts = [int(part.sum()) for part in torch.split(chosen, room)]
    else:
        sizes = [score.numel() for score in scores.values()]
        ideal = [kept * size / sum(sizes) for size in sizes]
        counts = [min(int(share), space) for share, space in zip(ideal, room, strict=True)]
        while (left := kept - sum(counts)) > 0:
            open_layers = [k for k in range(len(sizes)) if counts[k] < room[k]]
            open_layers.sort(key=lambda k: (counts[k] - ideal[k], k))
            for k in open_layers[:left]:
                counts[k] += 1
    layers = zip(scores, counts, strict=True)
    return Mask({n: top(scores[n], allowed[n], c, derive_seed(seed, "ties", n)) for n, c in layers})


VALUES = (-torch.inf, -1.5, -0.0, 0.0, 1e-30, 2.0, torch.inf)
TYPES = (
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.int64,
    torch.uint8,
    torch.bool,
)


@given(
    SHAPES,
    st.integers(0, 2**32),
    st.integers(1, len(VALUES)),
    st.floats(0, 1),
    st.floats(0, 1),
    st.sampled_from(["global", "uniform"]),
    st.sampled_from(TYPES),
)
@settings(max_examples=200)
def test_masks_are_those_of_sorting_bit_for_bit(shapes, seed, levels, dense, share, scope, kind):
    generator = torch.Generator().manual_seed(seed)
    floating = kind.is_floating_point
    scores, support = {}, {}
    for k, shape in enumerate(shapes):
        drawn = torch.randint(levels, shape, generator=generator)
        values = torch.tensor(VALUES)[drawn] if floating else drawn
        scores[str(k)] = values.to(kind)
        support[str(k)] = torch.rand(shape, generator=generator) < dense
    for allowed in (None, Mask(support)):
        total = sum(s.numel() for s in scores.values()) if allowed is None else allowed.kept
        given = {"scope": scope, "support": allowed, "seed": seed}
        kept = round(share * total)
        assert select(scores, kept, **given) == by_sorting(scores, kept, **given)


def test_masks_of_continuous_scores_are_those_of_sorting():
    generator = torch.Generator().manual_seed(0)
    scores = {n: torch.randn(40, 50, generator=generator) for n in "abc"}
    for scope in ("global", "uniform"):
        for kept in (1, 17, 3000, 5999, 6000):
            assert select(scores, kept, scope=scope) == by_sorting(scores, kept, scope=scope)


def test_selection_by_steps_does_not_sort():
    # 100 000 scores, timed in one run beside the sort, which takes five to ten times as long.
    scores = {"w": torch.rand(100_000)}

    def seconds(work):
        taken = []
        for _ in range(5):
            started = time.perf_counter()
            work()
            taken.append(time.perf_counter() - started)
        return min(taken)

    fast = seconds(lambda: select(scores, 10_000))
    slow = seconds(lambda: by_sorting(scores, 10_000, scope="global"))
    assert fast < slow / 2


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


@given(SHAPES, st.integers(0, 99), st.floats(0, 0.999), st.sampled_from(SCOPES))
def test_nothing_outside_the_support_is_kept(shapes, seed, sparsity, scope):
    scores = scores_of(shapes, seed, 5)
    support = Mask({n: score > 1 for n, score in scores_of(shapes, seed + 1, 5).items()})
    kept = kept_count(support.kept, sparsity)
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

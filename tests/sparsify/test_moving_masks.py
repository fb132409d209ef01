"""Every update of every method has its exact number of weights, inside the support."""

import itertools
from dataclasses import replace

import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from torch import nn

import bogp
from bogp.errors import SettingError, SparsityError
from bogp.masks import SCHEDULES, SCOPES, Granularity
from bogp.sparsify import METHODS, make_mover, make_plan

STEPS = 100


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 4)
    )


def drift(model, mask, seed):
    """Move the kept weights at random, as training would; return random gradients of all."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=generator)
    mask.apply(model)
    return {n: torch.randn(p.shape, generator=generator) for n, p in model.named_parameters()}


def history(method, sparsity, support=None, seed=0, steps=STEPS):
    """The mover, and the mask after each update."""
    model = network()
    mover = make_mover(model, method, sparsity, steps=steps, support=support, seed=seed)
    mask, masks = mover.support, {}
    for step in sorted(mover.plan):
        gradients = drift(model, mask, step)
        mask = mover.moved(step, model, mask, gradients if mover.wants_gradients(step) else None)
        masks[step] = mask
        mask.apply(model)
    return mover, masks


methods = st.sampled_from([n for n, m in METHODS.items() if m is not None]).filter(
    lambda name: name not in ("snip", "grasp", "synflow")  # their scores are of data or flow
)
supports = st.one_of(
    st.none(),
    st.tuples(st.sampled_from([4, 8, 12]), st.floats(0.3, 0.9), st.integers(0, 99)),
)


def support_of(drawn):
    """A relational graph, or nothing."""
    if drawn is None:
        return None
    nodes, share, seed = drawn
    edges = max(nodes - 1, round(share * nodes * (nodes - 1) / 2))
    return bogp.generate("ws_flex", nodes, edges, seed)


@settings(max_examples=60)
@given(
    methods,
    st.sampled_from(sorted(SCOPES)),
    st.sampled_from(sorted(SCHEDULES)),
    st.floats(0.3, 0.97),
    st.integers(1, 40),
    supports,
    st.integers(0, 9),
)
def test_every_update_keeps_exactly_the_planned_number(
    name, scope, schedule, sparsity, every, drawn, seed
):
    method = replace(METHODS[name], scope=scope)
    if method.moves is None:
        method = replace(method, schedule=schedule)
    else:
        method = replace(method, moves=replace(method.moves, schedule=schedule, every=every))
    try:
        mover, masks = history(method, sparsity, support_of(drawn), seed)
    except SparsityError:  # too few weights in the support, or too many self-loops
        reject()
    for step, mask in masks.items():
        assert mask.kept == mover.plan[step].kept
        assert not any((mask[layer] & ~mover.support[layer]).any() for layer in mask)
    total = mover.support.total
    assert masks[mover.last].kept == round((1 - sparsity) * total)
    assert mover.last < STEPS
    if method.moves is None or not method.moves.regrows:
        for before, after in itertools.pairwise(masks.values()):
            assert not any((after[layer] & ~before[layer]).any() for layer in after)


@settings(max_examples=25)
@given(
    st.sampled_from(["gradual", "set", "rigl", "iterative", "magnitude"]),
    st.sampled_from(sorted(SCOPES)),
    st.sampled_from([4, 5]),
    st.booleans(),
    st.booleans(),
    st.floats(0.3, 0.9),
    supports,
)
def test_masks_of_blocks_are_near_the_planned_number_and_inside_the_support(
    name, scope, block, shared, equal_rows, sparsity, drawn
):
    granularity = Granularity("block", block, shared=shared, equal_rows=equal_rows and not shared)
    method = replace(METHODS[name], scope=scope, granularity=granularity)
    if method.moves is not None:
        method = replace(method, moves=replace(method.moves, every=15))
    try:
        mover, masks = history(method, sparsity, support_of(drawn))
    except SparsityError:  # too few weights in the support, or too many self-loops
        reject()
    # A unit is a block, a row of blocks in each of four rows, or a pair in three layers.
    largest = block**2 * {shared: 6, granularity.equal_rows: 4}.get(True, 1) * 2
    for step, mask in masks.items():
        assert abs(mask.kept - mover.plan[step].kept) <= largest
        assert not any((mask[layer] & ~mover.support[layer]).any() for layer in mask)


def test_channels_leave_row_and_column_together():
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    method = bogp.Method("magnitude", "global", moves=bogp.Moves(every=4))
    inputs = torch.randn(8, 12, generator=torch.manual_seed(1))
    sparsifier = bogp.Sparsifier(
        model, optimizer, sparsity=0.6, method=method, steps=20, granularity="channel", data=inputs
    )
    for _ in range(20):
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()
        gone = ~sparsifier.mask["0.weight"].any(1)
        assert not model[0].weight[gone].any()
        assert not model[2].weight[:, gone].any()
    mask = sparsifier.finish()
    assert gone.any()
    assert torch.equal(mask["2.weight"].any(0), ~gone)
    total = 12 * 16 + 16 * 12 + 12 * 4
    assert abs(mask.kept - 0.4 * total) <= 0.5 * (12 + 16 + 12 + 4)


@settings(max_examples=40)
@given(st.integers(6, 60), st.integers(1, 30), st.sampled_from(["gradual", "set", "rigl", "imp"]))
def test_a_training_of_any_length_ends_with_the_final_number(steps, every, name):
    method = METHODS[name]
    if method.moves is not None:
        method = replace(method, moves=replace(method.moves, every=every))
    mover, masks = history(method, 0.75, steps=steps)
    assert max(mover.plan) <= steps - 1
    assert masks[mover.last].kept == round(0.25 * (12 * 16 * 2 + 48))


@settings(max_examples=40)
@given(st.integers(0, STEPS), st.sampled_from(["gradual", "set", "rigl", "imp", "magnitude"]))
def test_training_that_ends_early_ends_with_the_final_number(ends, name):
    model = network()
    method = METHODS[name]
    if method.moves is not None:
        method = replace(method, moves=replace(method.moves, every=10, decay="constant"))
    mover = make_mover(model, method, 0.8, steps=STEPS)
    mask = mover.support
    for step in sorted(mover.plan):
        if step <= ends:
            mask = mover.moved(step, model, mask, drift(model, mask, step))
    final = mover.final(ends, model, mask)
    assert final.kept == round(0.2 * mover.support.total)
    assert final is mask or not any((final[n] & ~mask[n]).any() for n in mask)


def rises(step):
    return 0.1 if step < 50 else 0.6


@pytest.mark.parametrize("grow", ["random", "gradient"])
def test_a_schedule_of_ones_own_may_rise(grow):
    moves = bogp.Moves(every=10, end=0.9, schedule=rises, grow=grow)
    method = bogp.Method("magnitude", "global", moves=moves)
    mover, masks = history(method, 0.5)
    assert [masks[step].kept for step in (40, 50, 90)] == [43, 259, 216]
    low, high = masks[40], masks[50]
    assert not any((low[name] & ~high[name]).any() for name in low)
    model = network()
    assert mover.final(40, model, low).kept == 216


def test_the_same_seed_gives_the_same_masks_and_another_gives_others():
    for name in ("set", "rigl"):
        first, again, other = (history(METHODS[name], 0.8, seed=seed)[1] for seed in (0, 0, 1))
        assert list(first.values()) == list(again.values())
        assert list(first.values()) != list(other.values())


def test_moves_that_begin_after_they_end_are_refused():
    support = bogp.Mask({"w": torch.ones(10, 10).bool()})
    for moves in (bogp.Moves(begin=0.9, end=0.5), bogp.Moves(begin=200)):
        method = bogp.Method("magnitude", moves=moves)
        with pytest.raises(SettingError, match=r"moves begin at step .* of 100 steps"):
            make_plan(method, support, 0.5, STEPS)
    with pytest.raises(SettingError, match="steps = 5 for 6 trainings"):
        make_plan(METHODS["imp"], support, 0.5, 5)
    for name in ("gradual", "rigl"):
        assert make_plan(METHODS[name], support, 0.5, 1)[0].kept == 50

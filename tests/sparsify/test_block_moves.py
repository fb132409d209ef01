"""Masks of whole blocks that move, update by update."""

import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn

from bogp.masks import Granularity, Mask, grids, prunable_layers, wiring, wiring_mask
from bogp.sparsify import METHODS
from bogp.sparsify.mover import make_mover
from bogp.sparsify.units import make_units

LARGEST = {
    Granularity("block", block=4): 4 * 4,
    Granularity("block", block=4, equal_rows=True): 8 * 4 * 4,
    Granularity("block", block=4, shared=True): 2 * 2 * 4 * 4,
}
"""Weights of the largest unit of two layers of 32 x 32."""


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(32, 32), nn.Linear(32, 32))


def random_gradients(model, seed):
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(values.shape, generator=generator)
        for name, values in model.named_parameters()
    }


def history(method, granularity, sparsity, support=None, **moves):
    """The mover, and (step, mask) after every update of a network whose weights drift at random."""
    model = network()
    found = replace(METHODS[method], granularity=granularity)
    if moves:
        found = replace(found, moves=replace(found.moves, **moves))
    mover = make_mover(model, found, sparsity, steps=1000, support=support)
    mask, masks = mover.support, []
    for step in sorted(mover.plan):
        mask = mover.moved(step, model, mask, random_gradients(model, step))
        masks.append((step, mask))
        drift = random_gradients(model, step + 1)
        for name, values in model.named_parameters():
            values.data += 0.2 * drift[name]
        mask.apply(model)
    return mover, masks


@pytest.mark.parametrize("granularity", LARGEST)
@pytest.mark.parametrize("sparsity", [0.5, 0.8])
@pytest.mark.parametrize("method", ["gradual", "set", "rigl", "iterative", "magnitude"])
def test_every_update_has_whole_blocks_of_the_nearest_number(method, sparsity, granularity):
    model = network()
    layers = prunable_layers(model)
    grid = grids(layers, granularity)
    mover, masks = history(method, granularity, sparsity)
    for step, mask in masks:
        assert 2 * abs(mask.kept - mover.plan[step].kept) <= LARGEST[granularity]
        wired = [wiring(mask[layer.name], layer, grid[layer.name]) for layer in layers]
        for layer, kept in zip(layers, wired, strict=True):
            assert torch.equal(wiring_mask(kept, layer, grid[layer.name]), mask[layer.name])
            if granularity.equal_rows:
                assert len(set(kept.sum(1).tolist())) == 1
        if granularity.shared:
            assert torch.equal(*wired)
            assert torch.equal(wired[0], wired[0].T)
            assert wired[0].diagonal().all()
    if method in ("gradual", "iterative", "magnitude"):  # nothing comes back
        for (_, earlier), (_, later) in itertools.pairwise(masks):
            assert all(not (later[name] & ~earlier[name]).any() for name in later)
    if method in ("set", "rigl"):
        assert len({mask.fingerprint for _, mask in masks}) > 1


@pytest.mark.parametrize("method", ["set", "rigl"])
def test_a_shared_wiring_of_little_more_than_self_loops_moves_the_few_edges_it_has(method):
    granularity = Granularity("block", block=4, shared=True)
    mover, masks = history(
        method, granularity, 0.85, regrow=0.5
    )  # 256 of 307 weights are on self-loops
    assert {mask.kept for _, mask in masks} == {320}
    loops = make_units(granularity, network(), tuple(mover.support)).least(mover.support)
    assert loops == 2 * 32 * 4
    assert len({mask.fingerprint for _, mask in masks}) > 1


def test_blocks_grow_inside_the_support_alone():
    support = Mask({f"{k}.weight": torch.ones(32, 32).tril(k).bool() for k in (0, 1)})
    for method in ("set", "rigl"):
        mover, masks = history(method, Granularity("block", block=4), 0.8, support=support)
        for step, mask in masks:
            assert all(not (mask[name] & ~support[name]).any() for name in mask)
            assert 2 * abs(mask.kept - mover.plan[step].kept) <= 16

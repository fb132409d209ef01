"""Masks of whole blocks, against loops over the single weights."""

import math
import pickle

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from bogp.errors import GraphError, MaskError, SparsityError, UnknownNameError
from bogp.graphs import RelationalGraph, mask_to_graph
from bogp.masks import (
    SCOPES,
    BlockUnits,
    Granularity,
    Mask,
    PrunableLayer,
    grids,
    wiring,
    wiring_mask,
    wirings,
)
from bogp.masks.wiring import block_sums

SEEDS = st.integers(0, 10**6)
SIDES = st.integers(1, 9)


@st.composite
def layers(draw, least=1):
    """A layer of every kind, of a few channels."""
    kind = draw(st.sampled_from(("linear", "conv1d", "grouped", "attention")))
    out, into = draw(st.integers(least, 9)), draw(st.integers(least, 9))
    if kind == "attention":
        return PrunableLayer("w", "", kind, (3 * out, into), parts=3)
    if kind == "grouped":
        groups = draw(st.integers(1, 3))
        return PrunableLayer("w", "", "conv2d", (groups * out, into, 2, 1), groups=groups)
    return PrunableLayer("w", "", kind, (out, into) if kind == "linear" else (out, into, 2))


def named(found):
    return tuple(
        PrunableLayer(str(k), "", each.kind, each.shape, each.groups, each.parts)
        for k, each in enumerate(found)
    )


def owner(channel, channels, nodes):
    """The node of a channel: the first nodes own one more."""
    for node in range(nodes):
        channel -= channels // nodes + (node < channels % nodes)
        if channel < 0:
            return node
    raise AssertionError


def block_of(layer, place, grid):
    """The row and column of the wiring in which the weight at ``place`` lies."""
    part, output = divmod(place[0], layer.outputs)
    group = output // (layer.outputs // layer.groups)
    into = group * layer.shape[1] + place[1]
    return (
        part * grid[0] + owner(output, layer.outputs, grid[0]),
        owner(into, layer.inputs, grid[1]),
    )


def slow_blocks(found, grid, scores, support):
    """(layer, row, column) → the scores of its weights inside the support."""
    blocks = {}
    for layer in found:
        for place in map(tuple, support[layer.name].nonzero().tolist()):
            block = (layer.name, *block_of(layer, place, grid[layer.name]))
            blocks.setdefault(block, []).append(float(scores[layer.name][place]))
    return blocks


def slow_mask(found, grid, support, kept):
    """The mask of the weights inside the support that lie in the blocks ``kept``."""
    mask = {layer.name: torch.zeros_like(support[layer.name]) for layer in found}
    for layer in found:
        for place in map(tuple, support[layer.name].nonzero().tolist()):
            mask[layer.name][place] = (
                layer.name,
                *block_of(layer, place, grid[layer.name]),
            ) in kept
    return mask


def drawn(found, seed, density=1.0, signed=False, levels=None):
    """Scores and a support; with few ``levels`` of scores, and with many ties."""
    generator = torch.Generator().manual_seed(seed)
    scores = {each.name: torch.rand(each.shape, generator=generator) for each in found}
    if levels:
        scores = {name: (score * levels).floor() for name, score in scores.items()}
    if signed:
        scores = {name: score - 0.5 for name, score in scores.items()}
    support = {each.name: torch.rand(each.shape, generator=generator) < density for each in found}
    return scores, support


def count_of(support, share):
    return round(share * sum(int(layer.sum()) for layer in support.values()))


def root_mean_square(values):
    return math.sqrt(sum(value**2 for value in values) / len(values))


def nearest(ranked, sizes, wanted):
    """The firsts of ``ranked`` whose sizes add up nearest to ``wanted``: one, or two as near."""
    firsts = [ranked[:count] for count in range(len(ranked) + 1)]
    distances = [abs(sum(sizes[unit] for unit in first) - wanted) for first in firsts]
    return [
        first
        for first, distance in zip(firsts, distances, strict=True)
        if distance == min(distances)
    ]


networks = st.lists(layers(), min_size=1, max_size=3).map(named)
wide = st.lists(layers(least=4), min_size=1, max_size=3).map(named)


def choose(found, granularity, scores, kept, support, scope="global", seed=0):
    units = BlockUnits(found, granularity)
    return units.choose(scores, kept, scope=scope, support=support, seed=seed)


@given(layers(), SEEDS)
def test_sums_over_blocks_are_those_of_a_loop_and_the_way_back_is_the_same_wiring(layer, seed):
    grid = (1 + seed % layer.outputs, 1 + seed // 9 % layer.inputs)
    scores, support = drawn([layer], seed)
    slow = slow_blocks([layer], {"w": grid}, scores, support)
    sums = block_sums(scores["w"].double(), layer, grid)
    expected = torch.zeros(layer.parts * grid[0], grid[1], dtype=torch.double)
    for (_, row, column), values in slow.items():
        expected[row, column] = sum(values)
    torch.testing.assert_close(sums, expected)
    kept = torch.rand(sums.shape, generator=torch.Generator().manual_seed(seed)) < 0.5
    mask = wiring_mask(kept, layer, grid)
    chosen = {("w", *block) for block in kept.nonzero().tolist()}
    assert torch.equal(mask, slow_mask([layer], {"w": grid}, support, chosen)["w"])
    assert torch.equal(wiring(mask, layer, grid), kept & (expected > 0))


@given(
    wide,
    st.integers(1, 2),
    SEEDS,
    st.floats(0, 1),
    st.sampled_from((0.1, 0.6, 1.0)),
    st.booleans(),
)
def test_the_best_blocks_of_all_layers_are_those_of_a_loop(
    found, block, seed, share, density, signed
):
    granularity = Granularity("block", block=block)
    grid = grids(found, granularity)
    scores, support = drawn(found, seed, density, signed)
    kept = count_of(support, share)
    slow = slow_blocks(found, grid, scores, support)
    negative = any(value < 0 for values in slow.values() for value in values)
    norm = (lambda values: sum(values) / len(values)) if negative else root_mean_square
    ranked = sorted(slow, key=lambda unit: -norm(slow[unit]))
    sizes = {unit: len(values) for unit, values in slow.items()}
    mask = choose(found, granularity, scores, kept, support, seed=seed)
    expected = [
        Mask(slow_mask(found, grid, support, set(first))) for first in nearest(ranked, sizes, kept)
    ]
    assert mask in expected


@given(
    networks,
    st.integers(1, 4),
    SEEDS,
    st.floats(0, 1),
    st.floats(0.05, 1),
    st.sampled_from(sorted(SCOPES)),
)
def test_the_number_of_weights_is_within_half_a_block(found, block, seed, share, density, scope):
    granularity = Granularity("block", block=block)
    assume(any(max(each.outputs, each.inputs) >= 2 * block for each in found))
    scores, support = drawn(found, seed, density, levels=seed % 3)
    kept = count_of(support, share)
    grid = grids(found, granularity)
    sizes = [len(values) for values in slow_blocks(found, grid, scores, support).values()]
    mask = choose(found, granularity, scores, kept, support, scope, seed)
    assert 2 * abs(mask.kept - kept) <= max(sizes, default=0)
    assert mask == choose(found, granularity, scores, kept, support, scope, seed)
    for layer in found:  # a kept block keeps all of its weights inside the support
        wired = wirings(mask, found, granularity)[layer.name]
        whole = wiring_mask(wired, layer, grid[layer.name]) & support[layer.name]
        assert torch.equal(mask[layer.name], whole)


@given(
    st.integers(1, 6),
    st.integers(2, 6),
    st.integers(1, 4),
    SEEDS,
    st.sampled_from(sorted(SCOPES)),
)
def test_equal_blocks_are_kept_in_their_exact_number(rows, columns, block, seed, scope):
    found = named([PrunableLayer("w", "", "linear", (rows * block, columns * block))] * 2)
    scores, support = drawn(found, seed)
    kept = seed % (2 * rows * columns * block**2 + 1)
    mask = choose(found, Granularity("block", block=block), scores, kept, support, scope)
    assert mask.kept == round(kept / block**2) * block**2
    if scope != "global":  # layers of one shape get as many, or one more or less
        first, second = (int(layer.sum()) // block**2 for layer in mask.values())
        assert abs(first - second) <= 1


def test_the_scopes_share_blocks_out_as_they_do_weights():
    found = named(
        [PrunableLayer("", "", "linear", shape) for shape in ((64, 96), (32, 64), (8, 32))]
    )
    scores, support = drawn(found, 0)
    scores["0"] += 1  # the first layer's are the best
    kept = 33 * 64  # a quarter of the blocks
    granularity = Granularity("block", block=8)
    counts = {}
    for scope in SCOPES:
        mask = choose(found, granularity, scores, kept, support, scope)
        counts[scope] = [int(layer.sum()) // 64 for layer in mask.values()]
    assert counts["global"] == [33, 0, 0]
    assert counts["uniform"] == [24, 8, 1]
    # In proportion to in + out, 160 : 96 : 40, the last layer would keep more than it has.
    assert counts["er"] == counts["erk"] == [18, 11, 4]


@given(SEEDS, st.floats(0, 1), st.sampled_from(((), (3,), (2, 1))))
def test_equal_nodes_that_change_places_change_the_mask_alike(seed, share, kernel):
    layer = PrunableLayer("0", "", "linear", (8, 6, *kernel))
    granularity = Granularity("block", block=2)
    scores, support = drawn([layer], seed)
    order = torch.randperm(4, generator=torch.Generator().manual_seed(seed))
    rows = (2 * order[:, None] + torch.arange(2)).flatten()
    kept = count_of(support, share)
    plain = choose((layer,), granularity, scores, kept, support)
    moved = choose((layer,), granularity, {"0": scores["0"][rows]}, kept, support)
    assert torch.equal(plain["0"][rows], moved["0"])


@given(
    networks,
    st.integers(1, 4),
    SEEDS,
    st.floats(0, 1),
    st.sampled_from((0.3, 1.0)),
    st.sampled_from(sorted(SCOPES)),
)
def test_rows_keep_the_same_number_of_blocks_the_best_of_each(
    found, block, seed, share, density, scope
):
    granularity = Granularity("block", block=block, equal_rows=True)
    assume(any(max(each.outputs, each.inputs) >= 2 * block for each in found))
    scores, support = drawn(found, seed, density)
    kept = count_of(support, share)
    grid = grids(found, granularity)
    mask = choose(found, granularity, scores, kept, support, scope, seed)
    blocks = slow_blocks(found, grid, scores, support)
    units = []
    for layer in found:
        rows = {}
        for (name, row, column), values in blocks.items():
            if name == layer.name:
                rows.setdefault(row, []).append((-root_mean_square(values), column, len(values)))
        wired = wirings(mask, found, granularity)[layer.name]
        most = int(wired.sum(1).max())
        for row, ranked in rows.items():
            best = {column for _, column, _ in sorted(ranked)[:most]}
            assert set(wired[row].nonzero().flatten().tolist()) == best
        units += [
            sum(sorted(row)[rank][2] for row in rows.values() if rank < len(row))
            for rank in range(max(map(len, rows.values()), default=0))
        ]
    assert 2 * abs(mask.kept - kept) <= max(units, default=0)


def test_equal_rows_of_equal_blocks_are_exact_and_cost_the_better_block():
    layer = PrunableLayer("0", "", "linear", (4, 6))
    best = torch.tensor([[9.0, 8.0, 0.0], [1.0, 3.0, 2.0]])
    scores = {"0": best.repeat_interleave(2, 0).repeat_interleave(2, 1)}
    support = {"0": torch.ones(4, 6).bool()}
    free = choose((layer,), Granularity("block", block=2), scores, 8, support)
    rows = choose((layer,), Granularity("block", block=2, equal_rows=True), scores, 8, support)
    assert wiring(free["0"], layer, (2, 3)).int().tolist() == [[1, 1, 0], [0, 0, 0]]
    assert wiring(rows["0"], layer, (2, 3)).int().tolist() == [[1, 0, 0], [0, 1, 0]]


def slow_edges(found, grid, blocks):
    """(u, v) of u ≤ v → the mean of its blocks' scores by their layer's mean, and its weights."""
    pairs, sizes = {}, {}
    for layer in found:
        n = grid[layer.name][0]
        squares = {
            (row % n, column, row // n): sum(x**2 for x in values) / len(values)
            for (name, row, column), values in blocks.items()
            if name == layer.name
        }
        mean = sum(squares.values()) / len(squares) if squares else 1.0
        for (u, v, _), square in squares.items():
            pairs.setdefault((min(u, v), max(u, v)), []).append(square / mean)
        for (name, row, column), values in blocks.items():
            if name == layer.name:
                pair = (min(row % n, column), max(row % n, column))
                sizes[pair] = sizes.get(pair, 0) + len(values)
    return {pair: sum(each) / len(each) for pair, each in pairs.items()}, sizes


@given(wide, st.integers(1, 2), SEEDS, st.floats(0, 1), st.sampled_from((0.3, 1.0)))
def test_a_shared_wiring_is_a_symmetric_graph_of_the_best_edges(found, block, seed, share, density):
    granularity = Granularity("block", block=block, shared=True)
    grid = grids(found, granularity)
    scores, support = drawn(found, seed, density)
    blocks = slow_blocks(found, grid, scores, support)
    edges, sizes = slow_edges(found, grid, blocks)
    loops = sum(size for (u, v), size in sizes.items() if u == v)
    ranked = sorted((pair for pair in edges if pair[0] < pair[1]), key=lambda pair: -edges[pair])
    wanted = max(loops, count_of(support, share))
    mask = choose(found, granularity, scores, wanted, support, seed=seed)
    nodes = min(min(each.outputs, each.inputs) for each in found) // block
    assert set(grid.values()) == {(nodes, nodes)}
    expected = []
    for chosen in nearest(ranked, sizes, wanted - loops):
        joined = {*chosen, *((v, u) for u, v in chosen), *((u, u) for u in range(nodes))}
        kept = {unit for unit in blocks if (unit[1] % nodes, unit[2]) in joined}
        expected.append(Mask(slow_mask(found, grid, support, kept)))
    assert mask in expected


def test_a_shared_wiring_goes_to_its_graph_and_layers_too_narrow_have_their_own_blocks():
    shapes = (64, 96), (64, 64), (4, 64)
    found = named([PrunableLayer("", "", "linear", shape) for shape in shapes])
    granularity = Granularity("block", block=8, shared=True)
    assert grids(found, granularity) == {"0": (8, 8), "1": (8, 8), "2": (1, 8)}
    scores, support = drawn(found, 3)
    mask = choose(found, granularity, scores, 4000, support, "uniform")
    wired = wirings(mask, found, granularity)
    graph = RelationalGraph(wired["0"])
    assert torch.equal(wired["0"], wired["1"])
    # Of 4,000 weights the graph's share is 3,902: 1,280 on self-loops and 320 on each edge.
    assert graph.edges == 8
    assert wired["0"].diagonal().all()
    assert mask_to_graph(mask["0"], 8) == mask_to_graph(mask["1"], 8) == graph
    assert int(wired["2"].sum()) == 3


@pytest.mark.parametrize(
    "granularity",
    [
        Granularity("block", 2),
        Granularity("block", 2, shared=True),
        Granularity("block", 2, equal_rows=True),
    ],
)
@pytest.mark.parametrize("scope", ["global", "uniform"])
def test_ties_are_broken_by_the_seed(granularity, scope):
    found = named([PrunableLayer("", "", "linear", (12, 12))] * 2)
    scores = {"0": torch.ones(12, 12), "1": torch.ones(12, 12)}
    support = {name: score.bool() for name, score in scores.items()}
    masks = [choose(found, granularity, scores, 144, support, scope, seed) for seed in (0, 0, 1, 2)]
    assert masks[0] == masks[1]
    assert len(set(masks)) == 3
    assert all(layer.any() for mask in masks for layer in mask.values())


def test_ties_in_all_rows_do_not_fall_on_one_column():
    found = (PrunableLayer("0", "", "linear", (32, 32)),)
    scores, support = {"0": torch.zeros(32, 32)}, {"0": torch.ones(32, 32).bool()}
    mask = choose(found, Granularity("block", 2, equal_rows=True), scores, 64, support)
    assert int(wiring(mask["0"], found[0], (16, 16)).any(0).sum()) > 5


def test_of_two_numbers_of_blocks_as_near_the_even_one_is_taken():
    layer = PrunableLayer("0", "", "linear", (2, 8))
    scores, support = drawn([layer], 0)
    found = [
        choose((layer,), Granularity("block", 2), scores, kept, support).kept for kept in (2, 6, 10)
    ]
    assert found == [0, 8, 8]


def test_ties_between_blocks_of_unequal_size_cost_no_exactness():
    layer = PrunableLayer("0", "", "linear", (7, 4))  # blocks of 6, 6, 4, 4, 4 and 4 weights
    scores, support = {"0": torch.ones(7, 4)}, {"0": torch.ones(7, 4).bool()}
    for seed in range(30):
        mask = choose((layer,), Granularity("block", 2), scores, 14, support, seed=seed)
        assert abs(mask.kept - 14) <= 2


def test_large_blocks_are_not_favoured():
    layer = PrunableLayer("0", "", "linear", (7, 4))  # nodes of 3, 2 and 2 outputs
    scores = torch.full((7, 4), 1.0)
    scores[3:5] = 1.01
    support = torch.ones(7, 4).bool()
    mask = choose((layer,), Granularity("block", 2), {"0": scores}, 8, {"0": support})
    assert mask["0"].any(1).tolist() == [False] * 3 + [True] * 2 + [False] * 2


def test_units_can_be_pickled_and_do_not_change_what_they_are_given():
    found = named([PrunableLayer("", "", "attention", (12, 4), parts=3)])
    units = pickle.loads(pickle.dumps(BlockUnits(found, Granularity("block", 2))))
    scores, support = drawn(found, 1, 0.8)
    before = {name: score.clone() for name, score in scores.items()}
    mask = units.choose(scores, 20, scope="global", support=support, seed=0)
    assert mask == choose(found, Granularity("block", 2), before, 20, support)
    assert torch.equal(scores["0"], before["0"])


def test_an_infinite_score_is_first_or_last_and_extreme_ones_keep_their_order():
    layer = PrunableLayer("0", "", "linear", (1, 5))
    support = {"0": torch.tensor([[True, True, True, True, False]])}
    for scores, best in (
        ([1.0, math.inf, 2.0, 0.0, 9.0], [1, 2]),
        ([1e-30, 3e-30, 2e-30, 0.0, 1.0], [1, 2]),
        ([-math.inf, -1.0, 1.0, -2.0, 9.0], [1, 2]),
    ):
        mask = choose((layer,), Granularity("block", 1), {"0": torch.tensor([scores])}, 2, support)
        assert mask["0"][0].nonzero().flatten().tolist() == best
    scores = {"0": torch.full((1, 5), -math.inf)}
    assert choose((layer,), Granularity("block", 1), scores, 4, support)["0"].sum() == 4


@pytest.mark.parametrize("options", [{}, {"shared": True}, {"equal_rows": True}])
def test_what_is_kept_with_an_infinite_score_comes_first(options):
    # So a mask grows: by what is best beside all that it has.
    found = named([PrunableLayer("", "", "linear", (12, 12))] * 2)
    granularity = Granularity("block", 2, **options)
    scores, support = drawn(found, 0)
    small = choose(found, granularity, scores, 120, support)
    other, _ = drawn(found, 1)
    best = {name: torch.where(small[name], math.inf, other[name]) for name in small}
    grown = choose(found, granularity, best, 190, support)
    assert all((grown[name] | small[name]).equal(grown[name]) for name in small)
    assert grown.kept > small.kept


def test_what_cannot_be_done_is_refused():
    layer = PrunableLayer("w", "", "linear", (8, 8))
    granularity = Granularity("block", 2)
    scores, support = drawn((layer,), 0)
    units = BlockUnits((layer,), granularity)
    with pytest.raises(GraphError, match="no layer has two nodes of 5 channels"):
        BlockUnits((layer,), Granularity("block", 5))
    with pytest.raises(GraphError, match="two nodes of 3 outputs and two of 3 inputs"):
        BlockUnits(
            (PrunableLayer("w", "", "linear", (5, 9)),), Granularity("block", 3, shared=True)
        )
    with pytest.raises(SparsityError, match="cannot keep 65 of the 64 weights"):
        units.choose(scores, 65, scope="global", support=support, seed=0)
    with pytest.raises(UnknownNameError, match="unknown scope"):
        units.choose(scores, 5, scope="local", support=support, seed=0)
    with pytest.raises(MaskError, match="scores of 'v', of which no blocks are known"):
        units.choose({"v": scores["w"]}, 5, scope="global", support={"v": support["w"]}, seed=0)
    with pytest.raises(SparsityError, match="self-loops of a shared wiring keep 16 weights, and 7"):
        choose((layer,), Granularity("block", 2, shared=True), scores, 7, support)
    with pytest.raises(MaskError, match=r"'w' has the shape \(8, 8\), and what is given for it"):
        wiring(torch.ones(8, 4).bool(), layer, (2, 2))
    with pytest.raises(MaskError, match="the mask has no layer 'w': it has v"):
        wirings({"v": support["w"]}, (layer,), granularity)
    with pytest.raises(GraphError, match="9 nodes do not fit 8 channels"):
        wiring_mask(torch.ones(9, 1).bool(), layer, (9, 1))

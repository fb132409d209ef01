from __future__ import annotations

import itertools
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from wirings import WIRINGS, blocks, random, ring, small_world

from bogp.errors import MaskError, UnknownNameError
from bogp.nn import DEFAULT, Blocks, blocks_of_mask, even_blocks, measured, plan_blocks
from bogp.nn.plan import NONE, Layer, _bucket_seconds, _merged, block_plans


@settings(max_examples=80)
@given(kept=st.sampled_from(list(WIRINGS)).flatmap(blocks), turned=st.booleans())
def test_every_plan_computes_each_block_once(kept: Blocks, turned: bool) -> None:
    wiring = kept.wiring.T if turned else kept.wiring
    pairs = [(u, v) if turned else (v, u) for v, u in kept.order]
    for plan in block_plans(kept, 64, turned=turned):
        found = [
            (block, (row, node))
            for bucket in plan.buckets
            for row, reads, held in zip(bucket.rows, bucket.reads, bucket.blocks, strict=True)
            for node, block in zip(reads, held, strict=True)
            if block != NONE
        ]
        assert sorted(found) == list(enumerate(pairs))
        assert wiring.sum() == len(found)
        rows = [row for bucket in plan.buckets[plan.added :] for row in bucket.rows]
        assert len(rows) == len(set(rows))


@settings(max_examples=80)
@given(kept=st.sampled_from(list(WIRINGS)).flatmap(blocks))
def test_a_window_is_what_its_rows_read(kept: Blocks) -> None:
    for plan in block_plans(kept, 64):
        for bucket in plan.buckets:
            if bucket.window is not None:
                start, step = bucket.window
                nodes = len(kept.in_sizes)
                assert bucket.reads == tuple(
                    tuple((start + r * step + k) % nodes for k in range(bucket.width))
                    for r in range(len(bucket.rows))
                )


def test_wirings_get_the_plans_that_are_made_for_them() -> None:
    def kinds(wiring: np.ndarray) -> set[str]:
        return {plan.kind for plan in block_plans(even_blocks(wiring, 256, 256), 64)}

    assert kinds(ring(8, 0)) == {"window", "gather"}
    assert "window" not in kinds(ring(8, 0)[:, ::-1])  # its windows move backwards
    assert kinds(ring(8, 0)[::2]) == {"window", "gather"}  # ... on by two
    assert kinds(small_world(16, 1)) == {"window+gather", "buckets", "padded"}
    assert kinds(random(8, 1)) >= {"buckets", "padded"}
    assert kinds(np.eye(4) == 1) == {"window", "gather"}


@settings(max_examples=30)
@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=12),
    rows=st.sampled_from([1, 64, 2048]),
    call=st.sampled_from([1e-7, 1e-5, 1e-3]),
)
def test_buckets_are_merged_as_the_best_of_all_ways(
    lengths: list[int], rows: int, call: float
) -> None:
    layer, costs = Layer(rows, 32, 32), replace(DEFAULT, call=call)
    reads = {row: tuple(range(length)) for row, length in enumerate(lengths)}
    different = sorted(set(lengths))

    def seconds(cuts: list[tuple[int, int]]) -> float:
        return sum(
            _bucket_seconds(
                sum(fewest <= length <= most for length in lengths),
                most,
                layer,
                costs,
                padded=fewest < most,
            )
            for fewest, most in cuts
        )

    ways = []
    for ends in itertools.product([False, True], repeat=len(different) - 1):
        cuts, start = [], 0
        for k, end in enumerate([*ends, True]):
            if end:
                cuts.append((different[start], different[k]))
                start = k + 1
        ways.append(cuts)
    best = min(seconds(cuts) for cuts in ways)
    assert seconds(_merged(reads, different, layer, costs)) == pytest.approx(best)


def test_the_quickest_plan_is_taken_and_dense_where_none_gains() -> None:
    wide = even_blocks(ring(32, 0), 2048, 2048)
    plan = plan_blocks(wide, 256)
    assert plan.kind == "window"
    assert plan.gain > 3
    assert plan_blocks(even_blocks(ring(4, 0), 64, 64), 1).kind == "dense"
    assert plan_blocks(even_blocks(np.ones((8, 8)), 512, 512), 256).kind == "dense"
    with pytest.raises(
        UnknownNameError, match=r"unknown plan of this wiring 'padded': choose from"
    ):
        plan_blocks(wide, 256, kind="padded")
    assert plan_blocks(wide, 256, kind="dense").gain == 1


def test_costs_between_measured_sizes_lie_on_straight_lines_of_logarithms() -> None:
    costs = replace(
        DEFAULT,
        rows=(1, 100),
        sizes=(10, 1000),
        dense=((1e-9, 4e-9), (1e-11, 4e-11)),
        widths=(8, 32),
        blocks=((4e-9, 1e-9), (4e-11, 1e-11)),
        convolutions=(4e-10, 1e-10),
        dense_convolution=1e-10,
    )
    assert costs.dense_seconds(10, 2, 5) == pytest.approx(100 * 1e-10)
    assert costs.dense_seconds(10, 10, 10) == pytest.approx(1000 * 2e-10)
    assert costs.dense_seconds(1000, 100, 100) == pytest.approx(1e7 * 4e-11)
    assert costs.dense_seconds(10, 3, 5, places=9) == pytest.approx(150 * 9 * 1e-10)
    assert costs.product_seconds(10, 16) == pytest.approx(2e-10)
    assert costs.product_seconds(10, 16, places=9) == pytest.approx(2e-10)


def test_costs_are_measured() -> None:
    threads = torch.get_num_threads()
    found = asdict(measured(repeats=1))
    assert torch.get_num_threads() == threads
    assert found.keys() == asdict(DEFAULT).keys()
    for name, value in found.items():
        assert np.shape(value) == np.shape(asdict(DEFAULT)[name])
        assert np.all(np.array(value) > 0) or name == "layer"
        assert np.all(np.isfinite(value))
    # A product in a dense layer takes longest where there is one row.
    assert min(found["dense"][0]) > min(found["dense"][-1])


def test_runs_of_unequal_length_are_cut_into_nodes_of_about_one_size() -> None:
    kept = Blocks(np.array([[1, 0, 1, 1], [0, 1, 1, 0]]) == 1, (6, 6), (20, 10, 10, 10))
    mask = kept.mask()
    found = blocks_of_mask(mask)
    assert found.in_sizes == (10, 10, 10, 10, 10)
    assert found.wiring.astype(int).tolist() == [[1, 1, 0, 1, 1], [0, 0, 1, 1, 0]]
    with pytest.raises(MaskError, match="does not fit 2 out nodes and 1 in nodes"):
        Blocks(np.eye(2), (1, 1), (1,))

from __future__ import annotations

import copy
import pickle
import shutil
import warnings

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from wirings import TOLERANCES, WIRINGS, blocks, ring, small_world

from bogp.errors import MaskError, SettingError
from bogp.graphs import RelationalGraph, graph_to_mask
from bogp.nn import Blocks, GraphLinear, blocks_of_mask, even_blocks
from bogp.nn.plan import block_plans


def dense_of(kept: Blocks, dtype: torch.dtype, bias: bool = True) -> nn.Linear:
    """A linear layer with whatever in the blocks that are not kept."""
    torch.manual_seed(0)
    return nn.Linear(kept.in_channels, kept.out_channels, bias, dtype=dtype)


def masked(layer: nn.Linear, kept: Blocks) -> nn.Linear:
    found = copy.deepcopy(layer)
    with torch.no_grad():
        found.weight.masked_fill_(~kept.mask(), 0.0)
    return found


def kinds_of(kept: Blocks) -> list[str]:
    return sorted({plan.kind for plan in block_plans(kept, 64)})


def gradients(layer: nn.Module, x: Tensor, direction: Tensor) -> dict[str, Tensor]:
    x = x.clone().requires_grad_()
    layer.zero_grad()
    (layer(x) * direction).sum().backward()
    assert x.grad is not None
    return {"x": x.grad, **{name: each.grad.clone() for name, each in layer.named_parameters()}}


def check_gradients(layer: GraphLinear, dense: nn.Linear, x: Tensor, direction: Tensor) -> None:
    """Compare a layer's gradients with those of the masked dense layer."""
    expected, found = gradients(dense, x, direction), gradients(layer, x, direction)
    expected["weight"] = expected["weight"] * layer.blocks.mask()
    with torch.no_grad():  # the blocks' gradient as a matrix
        layer.weight.copy_(found["weight"])
    found["weight"] = layer.dense_weight().detach()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("wiring", WIRINGS)
@settings(max_examples=5)
@given(data=st.data())
def test_it_gives_what_the_masked_layer_gives(
    wiring: str, dtype: torch.dtype, data: st.DataObject
) -> None:
    kept = data.draw(blocks(wiring))
    dense = dense_of(kept, dtype, bias=data.draw(st.booleans()))
    rows = data.draw(st.integers(0, 40))
    x = torch.randn(rows, kept.in_channels, generator=torch.Generator().manual_seed(1)).to(dtype)
    expected = masked(dense, kept)(x)
    for kind in kinds_of(kept):
        layer = GraphLinear.from_dense(dense, kept, kind=kind)
        for context in (torch.enable_grad(), torch.no_grad()):
            with context:
                torch.testing.assert_close(layer(x), expected, rtol=0, atol=TOLERANCES[dtype])


@pytest.mark.parametrize("wiring", WIRINGS)
@settings(max_examples=5)
@given(data=st.data())
def test_gradients_are_those_of_the_masked_layer(wiring: str, data: st.DataObject) -> None:
    kept = data.draw(blocks(wiring))
    dense = dense_of(kept, torch.float64)
    rows = data.draw(st.integers(1, 30))
    x = torch.randn(rows, kept.in_channels, dtype=torch.float64)
    direction = torch.randn(rows, kept.out_channels, dtype=torch.float64)
    for kind in kinds_of(kept):
        layer = GraphLinear.from_dense(dense, kept, kind=kind)
        check_gradients(layer, masked(dense, kept), x, direction)


@pytest.mark.parametrize("kind", ["window+gather", "buckets", "padded"])
def test_gradients_can_be_differentiated(kind: str) -> None:
    kept = even_blocks(small_world(7, 3), 14, 17)
    layer = GraphLinear(kept, dtype=torch.float64, kind=kind)
    x = torch.randn(3, 17, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)
    assert torch.autograd.gradgradcheck(layer, x)


@pytest.mark.parametrize("wiring", [ring(12, 0), small_world(12, 1)], ids=["ring", "small world"])
def test_many_rows_are_computed_in_parts(wiring: np.ndarray) -> None:
    kept = even_blocks(wiring, 700, 1000)
    dense = dense_of(kept, torch.float64)
    reference = masked(dense, kept)
    x = torch.randn(401, 1000, dtype=torch.float64)
    direction = torch.randn(401, 700, dtype=torch.float64)
    for kind in kinds_of(kept):
        layer = GraphLinear.from_dense(dense, kept, kind=kind)
        torch.testing.assert_close(layer(x), reference(x), rtol=0, atol=1e-10)
        check_gradients(layer, reference, x, direction)


@pytest.mark.parametrize("wiring", WIRINGS)
@settings(max_examples=20)
@given(data=st.data())
def test_to_dense_and_back_is_the_same_to_the_bit(wiring: str, data: st.DataObject) -> None:
    kept = data.draw(blocks(wiring))
    dense = dense_of(kept, torch.float32)
    layer = GraphLinear.from_dense(dense, kept)
    assert torch.equal(layer.to_dense().weight, masked(dense, kept).weight)
    assert torch.equal(layer.to_dense().bias, dense.bias)
    again = GraphLinear.from_dense(layer.to_dense(), kept)
    assert all(torch.equal(again.state_dict()[k], v) for k, v in layer.state_dict().items())


def test_the_mask_of_a_graph_is_read_back() -> None:
    graph = RelationalGraph(ring(12, 0))
    mask = graph_to_mask(graph, 100, 64)
    layer = GraphLinear.from_dense(nn.Linear(64, 100), mask)
    assert np.array_equal(layer.blocks.wiring, graph.adjacency)
    assert torch.equal(layer.blocks.mask(), mask)
    assert layer.plan.kind == "window"
    assert "density 0.25" in repr(layer)


@settings(max_examples=60)
@given(kept=st.sampled_from(list(WIRINGS)).flatmap(blocks))
def test_blocks_of_a_mask_expand_to_that_mask(kept: Blocks) -> None:
    try:
        found = blocks_of_mask(kept.mask())
    except MaskError:
        assert np.mean(kept.out_sizes) * np.mean(kept.in_sizes) < 25  # smaller blocks alone
        return
    assert torch.equal(found.mask(), kept.mask())
    assert found.density == pytest.approx(float(kept.mask().double().mean()))


@pytest.mark.parametrize("shape", [(64, 64), (16, 8, 3, 3)])
def test_a_mask_without_whole_blocks_says_what_to_do(shape: tuple[int, ...]) -> None:
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(0)) < 0.2
    with pytest.raises(MaskError, match="prune with block=32"):
        blocks_of_mask(mask)


def test_only_the_kept_blocks_are_in_the_state() -> None:
    layer = GraphLinear(even_blocks(ring(16, 0), 512, 256))
    assert {name: value.numel() for name, value in layer.state_dict().items()} == {
        "weight": 3 * 16 * 32 * 16,
        "bias": 512,
        "wiring": 256,
    }
    other = GraphLinear(even_blocks(ring(16, 0), 512, 256), kind="gather")
    other.load_state_dict(layer.state_dict())
    x = torch.randn(5, 256)
    torch.testing.assert_close(other(x), layer(x))
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        torch.testing.assert_close(twin(x), layer(x))


def test_the_state_of_another_wiring_is_refused() -> None:
    wiring = ring(16, 0)
    layer, other = (GraphLinear(even_blocks(each, 64, 64)) for each in (wiring, wiring[::-1]))
    with pytest.raises(RuntimeError, match="the state of the layer is of another wiring"):
        layer.load_state_dict(other.state_dict())


def test_weights_begin_as_those_of_a_layer_of_as_many_inputs() -> None:
    layer = GraphLinear(Blocks(np.array([[1, 1], [1, 0], [0, 0]]) == 1, (400, 300, 300), (50, 25)))
    weight = layer.to_dense().weight.detach()
    assert float(weight[:400].abs().max()) == pytest.approx(75**-0.5, rel=0.01)
    assert float(weight[400:700, :50].abs().max()) == pytest.approx(50**-0.5, rel=0.01)
    assert layer.bias is not None
    assert not layer.bias[700:].any()
    again = GraphLinear.from_dense(layer.to_dense(), layer.blocks)
    assert torch.equal(again.weight, layer.weight)  # what fills narrow nodes is 0


def test_blocks_stay_what_they_are_while_it_trains() -> None:
    kept = Blocks(ring(6, 0), (5, 5, 4, 4, 4, 4), (3, 3, 3, 2, 2, 2))
    layer = GraphLinear(kept, kind="window")
    optimiser = torch.optim.AdamW(layer.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        layer(torch.randn(8, kept.in_channels)).square().sum().backward()
        optimiser.step()
    again = GraphLinear.from_dense(layer.to_dense(), kept)
    assert torch.equal(again.weight, layer.weight)  # what fills narrow nodes is still 0


def test_inputs_may_have_any_number_of_dimensions() -> None:
    layer = GraphLinear(even_blocks(ring(6, 0), 18, 12))
    x = torch.randn(4, 3, 2, 12)
    torch.testing.assert_close(layer(x)[1, 2, 0], layer(x[1, 2, 0]))
    torch.testing.assert_close(layer(x.transpose(0, 2))[0, 2, 1], layer(x[1, 2, 0]))
    with pytest.raises(SettingError, match="does not end in the 12 channels"):
        layer(torch.randn(12, 3))


def test_autocast_computes_in_its_type() -> None:
    layer = GraphLinear(even_blocks(ring(6, 0), 24, 24))
    x = torch.randn(4, 24, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), layer(x), rtol=0, atol=0.05)
    found.sum().backward()
    assert x.grad is not None
    assert layer.weight.grad is not None
    assert x.grad.dtype == layer.weight.grad.dtype == torch.float32


@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # which dynamo does
@pytest.mark.parametrize("wiring", [ring(7, 0), small_world(8, 2)], ids=["ring", "small world"])
def test_it_compiles_as_one_graph(wiring: np.ndarray) -> None:
    layer = GraphLinear(even_blocks(wiring, 20, 16))
    quick = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x, direction = torch.randn(5, 16), torch.randn(5, 20)
    expected, found = gradients(layer, x, direction), gradients(quick, x, direction)
    for one, other in zip(expected.values(), found.values(), strict=True):
        torch.testing.assert_close(one, other)
    with torch.no_grad():
        torch.testing.assert_close(quick(x), layer(x))


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, within itself
def test_compiled_code_computes_the_same() -> None:
    layer = GraphLinear(even_blocks(ring(7, 0), 20, 16)).eval()
    x = torch.randn(5, 16)
    with torch.no_grad():
        torch.testing.assert_close(torch.compile(layer, fullgraph=True)(x), layer(x))


@pytest.mark.parametrize("kind", ["window", "window+gather", "padded"])
def test_it_is_exported_and_onnxruntime_agrees(kind: str) -> None:
    wiring = ring(8, 0) if kind == "window" else small_world(8, 2)
    layer = GraphLinear(even_blocks(wiring, 20, 16), kind=kind).eval()
    example, more = torch.randn(4, 3, 16), torch.randn(9, 3, 16)
    free = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(layer, (example,), dynamic_shapes=free)
    torch.testing.assert_close(program.module()(more), layer(more))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        written = torch.onnx.export(
            layer, (example,), dynamo=True, dynamic_shapes=free, external_data=False, verbose=False
        )
    operators = {node.op_type for node in written.model_proto.graph.node}
    assert {"Gather", "MatMul"} <= operators
    assert not operators & {"Scatter", "ScatterND", "ScatterElements", "Loop"}
    session = onnxruntime.InferenceSession(written.model_proto.SerializeToString())
    (found,) = session.run(None, {session.get_inputs()[0].name: more.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), layer(more), rtol=0, atol=1e-5)

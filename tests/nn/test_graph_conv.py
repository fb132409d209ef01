from __future__ import annotations

import copy
import warnings
from typing import Any

import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from wirings import TOLERANCES, WIRINGS, blocks, random, ring, small_world

from bogp.errors import SettingError
from bogp.nn import Blocks, GraphConv1d, GraphConv2d, even_blocks
from bogp.nn.plan import block_plans

LAYERS: dict[int, Any] = {1: GraphConv1d, 2: GraphConv2d}
DENSE: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d}


@st.composite
def convolutions(draw: st.DrawFn, dimensions: int) -> dict[str, Any]:
    """What a convolution can be given besides its channels."""
    mode = draw(st.sampled_from(["zeros", "reflect", "circular", "replicate"]))
    found = {
        "kernel_size": draw(st.sampled_from([1, 2, 3])),
        "stride": draw(st.sampled_from([1, 2])),
        "padding": draw(st.sampled_from([0, 1, 2])),
        "dilation": draw(st.sampled_from([1, 2])),
        "bias": draw(st.booleans()),
        "padding_mode": mode,
    }
    if found["stride"] == 1 and found["kernel_size"] != 2 and draw(st.booleans()):
        found["padding"] = "same"
    return found


def masked(layer: Any, kept: Blocks) -> Any:
    found = copy.deepcopy(layer)
    mask = kept.mask().view(*layer.weight.shape[:2], *(1,) * (layer.weight.ndim - 2))
    with torch.no_grad():
        found.weight.mul_(mask)
    return found


def kinds_of(kept: Blocks) -> list[str]:
    return sorted({plan.kind for plan in block_plans(kept, 64, windows=False)})


def gradients(layer: nn.Module, x: Tensor, direction: Tensor) -> dict[str, Tensor]:
    x = x.clone().requires_grad_()
    layer.zero_grad()
    (layer(x) * direction).sum().backward()
    assert x.grad is not None
    found = {"x": x.grad}
    for name, each in layer.named_parameters():
        found[name] = torch.zeros_like(each) if each.grad is None else each.grad.clone()
    return found


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("wiring", WIRINGS)
@settings(max_examples=5)
@given(data=st.data())
def test_it_gives_what_the_masked_layer_gives(
    wiring: str, dtype: torch.dtype, data: st.DataObject
) -> None:
    dimensions = data.draw(st.sampled_from([1, 2]))
    kept = data.draw(blocks(wiring))
    torch.manual_seed(0)
    given_settings = data.draw(convolutions(dimensions))
    dense = DENSE[dimensions](kept.in_channels, kept.out_channels, **given_settings, dtype=dtype)
    x = torch.randn(3, kept.in_channels, *(7, 6)[:dimensions]).to(dtype)
    expected = masked(dense, kept)(x)
    for kind in kinds_of(kept):
        layer = LAYERS[dimensions].from_dense(dense, kept, kind=kind)
        for context in (torch.enable_grad(), torch.no_grad()):
            with context:
                torch.testing.assert_close(layer(x), expected, rtol=0, atol=TOLERANCES[dtype])
        torch.testing.assert_close(layer(x[0]), expected[0], rtol=0, atol=TOLERANCES[dtype])


@pytest.mark.parametrize("wiring", WIRINGS)
@settings(max_examples=5)
@given(data=st.data())
def test_gradients_are_those_of_the_masked_layer(wiring: str, data: st.DataObject) -> None:
    kept = data.draw(blocks(wiring))
    torch.manual_seed(0)
    kernel = data.draw(st.sampled_from([1, 3]))
    dense = nn.Conv2d(kept.in_channels, kept.out_channels, kernel, dtype=torch.float64)
    x = torch.randn(2, kept.in_channels, 5, 4, dtype=torch.float64)
    direction = torch.randn_like(dense(x)).detach()
    expected = gradients(masked(dense, kept), x, direction)
    expected["weight"] *= kept.mask()[:, :, None, None]
    for kind in kinds_of(kept):
        layer = GraphConv2d.from_dense(dense, kept, kind=kind)
        found = gradients(layer, x, direction)
        with torch.no_grad():
            layer.weight.copy_(found["weight"])
        found["weight"] = layer.dense_weight().detach()
        for name, value in expected.items():
            torch.testing.assert_close(found[name], value, rtol=1e-10, atol=1e-10)


def test_gradients_can_be_differentiated() -> None:
    layer = GraphConv1d(even_blocks(random(5, 3), 7, 6), 3, dtype=torch.float64)
    x = torch.randn(2, 6, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, x)
    assert torch.autograd.gradgradcheck(layer, x)


@pytest.mark.parametrize("wiring", WIRINGS)
@settings(max_examples=10)
@given(data=st.data())
def test_to_dense_and_back_is_the_same_to_the_bit(wiring: str, data: st.DataObject) -> None:
    kept = data.draw(blocks(wiring))
    torch.manual_seed(0)
    dense = nn.Conv2d(kept.in_channels, kept.out_channels, (2, 3), padding=(1, 0))
    layer = GraphConv2d.from_dense(dense, kept)
    found = layer.to_dense()
    assert torch.equal(found.weight, masked(dense, kept).weight)
    assert torch.equal(found.bias, dense.bias)
    assert repr(found) == repr(dense)
    again = GraphConv2d.from_dense(found, kept)
    assert all(torch.equal(again.state_dict()[k], v) for k, v in layer.state_dict().items())


def test_rows_of_one_length_are_a_grouped_convolution_as_they_stand() -> None:
    kept = even_blocks(ring(8, 0), 32, 16)
    layer = GraphConv2d(kept, 3)
    grouped = nn.Conv2d(48, 32, 3, groups=8)
    with torch.no_grad():
        grouped.weight.copy_(layer.weight.view(32, 6, 3, 3))
        grouped.bias.copy_(layer.bias)
    x = torch.randn(2, 16, 6, 6)
    reads = [node for row in layer.plan.buckets[0].reads for node in row]
    torch.testing.assert_close(layer(x), grouped(x.unflatten(1, (8, 2))[:, reads].flatten(1, 2)))
    assert {name: value.numel() for name, value in layer.state_dict().items()} == {
        "weight": 3 * 8 * 4 * 2 * 9,
        "bias": 32,
        "wiring": 64,
    }


def test_bad_input_says_what_to_do() -> None:
    with pytest.raises(SettingError, match="of 2 groups is block-sparse already"):
        GraphConv2d.from_dense(nn.Conv2d(8, 8, 3, groups=2), even_blocks(ring(4, 0), 8, 8))
    layer = GraphConv2d(even_blocks(ring(4, 0), 8, 8), 3)
    with pytest.raises(SettingError, match=r"give \(N, channels, size, size\)"):
        layer(torch.randn(2, 7, 5, 5))


@pytest.mark.parametrize("kernel", [1, 3])
def test_it_is_exported_and_onnxruntime_agrees(kernel: int) -> None:
    layer = GraphConv2d(even_blocks(small_world(8, 2), 20, 16), kernel).eval()
    example, more = torch.randn(4, 16, 6, 6), torch.randn(9, 16, 6, 6)
    free = ({0: torch.export.Dim("batch")},)
    program = torch.export.export(layer, (example,), dynamic_shapes=free)
    torch.testing.assert_close(program.module()(more), layer(more))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        written = torch.onnx.export(
            layer, (example,), dynamo=True, dynamic_shapes=free, external_data=False, verbose=False
        )
    operators = {node.op_type for node in written.model_proto.graph.node}
    assert {"Gather", "MatMul" if kernel == 1 else "Conv"} <= operators
    session = onnxruntime.InferenceSession(written.model_proto.SerializeToString())
    (found,) = session.run(None, {session.get_inputs()[0].name: more.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), layer(more), rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*should not be instantiated")  # which dynamo does
def test_it_compiles_as_one_graph() -> None:
    layer = GraphConv2d(even_blocks(small_world(8, 2), 20, 16), 3)
    quick = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x, direction = torch.randn(2, 16, 6, 6), torch.randn(2, 20, 4, 4)
    expected, found = gradients(layer, x, direction), gradients(quick, x, direction)
    for one, other in zip(expected.values(), found.values(), strict=True):
        torch.testing.assert_close(one, other)

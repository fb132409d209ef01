from __future__ import annotations

import copy
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from wirings import TOLERANCES, random, ring, small_world

from bogp.errors import SettingError
from bogp.nn import GraphLinear, GraphMultiheadAttention, even_blocks


def attention(**settings: Any) -> nn.MultiheadAttention:
    """An attention with random biases too."""
    found = nn.MultiheadAttention(24, 3, **settings)
    with torch.no_grad():
        for name, value in found.named_parameters():
            if "bias" in name:
                value.normal_()
    return found


def masks_for(layer: nn.MultiheadAttention) -> dict[str, torch.Tensor]:
    wirings = itertools.cycle([ring(6, 0), small_world(6, 1), random(6, 2)])
    found = {}
    for name, value in layer.named_parameters():
        if value.ndim == 2:
            parts = 3 if name == "in_proj_weight" else 1
            each = [
                even_blocks(next(wirings), len(value) // parts, value.shape[1]).mask()
                for _ in range(parts)
            ]
            found[name] = torch.cat(each)
    return found


def masked(layer: nn.MultiheadAttention, masks: dict[str, torch.Tensor]) -> nn.MultiheadAttention:
    found = copy.deepcopy(layer)
    with torch.no_grad():
        for name, mask in masks.items():
            found.get_parameter(name).mul_(mask)
    return found


@pytest.mark.parametrize("dtype", TOLERANCES, ids=str)
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("dims", [{}, {"kdim": 30, "vdim": 36}, {"bias": False}], ids=str)
def test_it_gives_what_the_masked_attention_gives(
    dims: dict[str, Any], batch_first: bool, dtype: torch.dtype
) -> None:
    layer = attention(batch_first=batch_first, dtype=dtype, **dims)
    masks = masks_for(layer)
    graph = GraphMultiheadAttention.from_dense(layer, masks)
    reference = masked(layer, masks)
    tokens, keys = ((2, 5), (2, 7)) if batch_first else ((5, 2), (7, 2))
    q = torch.randn(*tokens, 24).to(dtype)
    k = torch.randn(*keys, dims.get("kdim", 24)).to(dtype)
    v = torch.randn(*keys, dims.get("vdim", 24)).to(dtype)
    padding = torch.tensor([[False] * 7, [False] * 4 + [True] * 3])
    allowed = torch.rand(5, 7) < 0.2
    allowed[:, 0] = False
    for given in (
        {},
        {"need_weights": False},
        {"average_attn_weights": False},
        {"key_padding_mask": padding},
        {"attn_mask": allowed, "need_weights": False},
        {"attn_mask": torch.randn(6, 5, 7).to(dtype)},
        {"attn_mask": allowed, "key_padding_mask": padding},
    ):
        expected, found = reference(q, k, v, **given), graph(q, k, v, **given)
        for one, other in zip(expected, found, strict=True):
            if one is None:
                assert other is None
            else:
                torch.testing.assert_close(other, one, rtol=0, atol=4 * TOLERANCES[dtype])


def test_one_sequence_needs_no_batch() -> None:
    layer = attention()
    masks = masks_for(layer)
    graph, reference = GraphMultiheadAttention.from_dense(layer, masks), masked(layer, masks)
    x = torch.randn(5, 24)
    for one, other in zip(reference(x, x, x), graph(x, x, x), strict=True):
        torch.testing.assert_close(other, one)


@pytest.mark.parametrize("dims", [{}, {"kdim": 30, "vdim": 36}, {"bias": False}], ids=str)
def test_to_dense_is_the_same_to_the_bit(dims: dict[str, Any]) -> None:
    layer = attention(batch_first=True, dropout=0.1, **dims).eval()
    masks = masks_for(layer)
    found = GraphMultiheadAttention.from_dense(layer, masks).to_dense()
    expected = masked(layer, masks)
    assert list(found.state_dict()) == list(expected.state_dict())
    for name, value in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name
    assert (found.dropout, found.batch_first, found.training) == (0.1, True, False)


def test_gradients_are_those_of_the_masked_attention() -> None:
    layer = attention(batch_first=True, dtype=torch.float64)
    masks = masks_for(layer)
    graph, reference = GraphMultiheadAttention.from_dense(layer, masks), masked(layer, masks)
    inputs = [torch.randn(2, 4, 24, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    for module, x in zip((graph, reference), inputs, strict=True):
        x.data.copy_(inputs[0].data)
        module(x, x, x)[0].square().sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)
    assert isinstance(graph.value, GraphLinear)
    with torch.no_grad():
        graph.value.weight.copy_(graph.value.weight.grad)
    expected = reference.in_proj_weight.grad.chunk(3)[2] * masks["in_proj_weight"].chunk(3)[2]
    torch.testing.assert_close(graph.value.dense_weight().detach(), expected)
    torch.testing.assert_close(graph.query.bias.grad, reference.in_proj_bias.grad.chunk(3)[0])


def test_dropout_is_that_of_the_dense_attention() -> None:
    layer = attention(batch_first=True, dropout=0.5)
    masks = {"out_proj.weight": torch.from_numpy(np.ones((24, 24), dtype=bool))}
    graph = GraphMultiheadAttention.from_dense(layer, masks)
    x = torch.randn(2, 4, 24)
    found = []
    for module in (layer, graph):
        torch.manual_seed(1)
        found.append(module(x, x, x, need_weights=True)[0])
    torch.testing.assert_close(found[0], found[1])


def test_an_encoder_layer_runs_with_it() -> None:
    layer = nn.TransformerEncoderLayer(24, 3, 48, batch_first=True).eval()
    masks = masks_for(layer.self_attn)
    reference = copy.deepcopy(layer)
    reference.self_attn = masked(layer.self_attn, masks)
    layer.self_attn = GraphMultiheadAttention.from_dense(layer.self_attn, masks)
    x = torch.randn(2, 5, 24)
    with torch.no_grad():
        torch.testing.assert_close(layer(x), reference(x), rtol=0, atol=1e-5)


def test_bad_input_says_what_to_do() -> None:
    layer = attention(add_bias_kv=True)
    with pytest.raises(SettingError, match="keep it dense"):
        GraphMultiheadAttention.from_dense(layer, {})
    plain = attention()
    graph = GraphMultiheadAttention.from_dense(plain, masks_for(plain))
    x = torch.randn(3, 1, 24)
    with pytest.raises(SettingError, match="give the mask, too"):
        graph(x, x, x, is_causal=True)

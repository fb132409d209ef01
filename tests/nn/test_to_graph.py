from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from wirings import random, ring

import bogp
from bogp.errors import ExportError, MaskError
from bogp.masks import Mask, prunable_layers
from bogp.nn import (
    DEFAULT,
    GraphConv1d,
    GraphConv2d,
    GraphLinear,
    GraphMultiheadAttention,
    even_blocks,
    to_graph,
)
from bogp.training import model_factory

SLOW_DENSE = replace(
    DEFAULT, dense=((1.0,) * len(DEFAULT.sizes),) * len(DEFAULT.rows), dense_convolution=1.0
)
"""Costs by which every block-sparse layer is quicker than the dense one."""


def block_mask(model: nn.Module, block: int = 4) -> Mask:
    """Half of the blocks of every layer whose channels make more than one node."""
    found = {}
    for seed, layer in enumerate(prunable_layers(model)):
        if layer.kind == "conv3d" or layer.groups > 1:
            continue
        out, into = (max(1, channels // block) for channels in (layer.outputs, layer.inputs))
        parts = []
        for part in range(layer.parts):
            wiring = torch.rand(out, into, generator=torch.Generator().manual_seed(seed + part))
            parts.append(even_blocks((wiring < 0.5).numpy(), layer.outputs, layer.inputs).mask())
        mask = torch.cat(parts)
        found[layer.name] = mask.view(*mask.shape, *(1,) * (len(layer.shape) - 2)).expand(
            layer.shape
        )
    return Mask(found)


def masked(model: nn.Module, mask: Mask) -> nn.Module:
    found = copy.deepcopy(model)
    mask.apply(found)
    return found.eval()


ZOO: list[tuple[str, tuple[int, ...], int]] = [
    ("mlp:32,24", (4, 8), 10),
    ("lenet-300-100", (28, 28), 10),
    ("lenet-5", (28, 28), 10),
    ("resnet-8", (3, 8, 8), 10),
    ("vit:patch=4,width=32,depth=2,heads=2", (3, 8, 8), 10),
    ("vit:patch=4,width=32,depth=1,heads=2,attention=packed", (3, 8, 8), 10),
    ("gpt:width=32,depth=2,heads=2", (6,), 20),
    ("gpt:width=32,depth=1,heads=2,attention=packed", (6,), 20),
]


@pytest.mark.parametrize(("name", "shape", "classes"), ZOO, ids=[each[0] for each in ZOO])
def test_models_of_the_zoo_compute_the_same(
    name: str, shape: tuple[int, ...], classes: int
) -> None:
    model = model_factory(name, shape, classes)()
    mask = block_mask(model)
    example = (
        torch.randint(classes, (3, *shape)) if name.startswith("gpt") else torch.randn(3, *shape)
    )
    found = to_graph(model, mask, example=example, costs=SLOW_DENSE)
    assert any(each.done == "graph" for each in found.layers)
    with torch.no_grad():
        torch.testing.assert_close(
            found.model.eval()(example), masked(model, mask)(example), rtol=0, atol=1e-5
        )
    graph_layers = [
        each for each in found.model.modules() if isinstance(each, GraphLinear | GraphConv2d)
    ]
    assert len(graph_layers) == sum(each.done == "graph" for each in found.layers)


def test_by_default_layers_stay_that_dense_computes_quicker() -> None:
    model = nn.Sequential(nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 16), nn.Linear(16, 16))
    mask = Mask(
        {
            "0.weight": even_blocks(ring(32, 0), 1024, 1024).mask(),
            "2.weight": torch.rand(16, 1024) < 0.2,
            "3.weight": even_blocks(ring(4, 0), 16, 16).mask(),
        }
    )
    found = to_graph(model, mask, example=torch.randn(64, 1024))
    assert [(each.name, each.done, each.plan, each.rows) for each in found.layers] == [
        ("0", "graph", "window", 64),
        ("2", "dense", "dense", 64),
        ("3", "dense", "dense", 64),
    ]
    assert found.layers[0].gain > 2
    assert [each.why for each in found.layers] == [
        "",
        "its mask does not keep whole blocks",
        "dense is quicker",
    ]
    assert "stays dense (density 0.75): dense is quicker" in str(found.layers[2])
    assert not model[0].weight[~mask["0.weight"]].eq(0).any()  # the model is not changed
    assert type(found.model[2]) is nn.Linear
    read = mask["2.weight"].any(0)  # what nothing reads has left
    assert found.removed["2"].after == (int(read.sum()), 16)
    assert not found.model[2].weight[~mask["2.weight"][:, read]].any()


def test_what_was_measured_slower_stays_dense(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock that runs as slowly as the layers are asked to be."""
    model = nn.Sequential(nn.Linear(32, 32), nn.Conv1d(16, 16, 3))
    mask = Mask(
        {
            "0.weight": even_blocks(ring(8, 0), 32, 32).mask(),
            "1.weight": even_blocks(ring(4, 0), 16, 16).mask()[:, :, None].expand(16, 16, 3),
        }
    )
    slow = {nn.Linear: 1.0, GraphLinear: 2.0, nn.Conv1d: 3.0, GraphConv1d: 1.0}
    now = [0.0]
    for layer, seconds in slow.items():

        def forward(
            self: Any, x: Tensor, real: Any = layer.forward, seconds: float = seconds
        ) -> Tensor:
            now[0] += seconds
            found: Tensor = real(self, x)
            return found

        monkeypatch.setattr(layer, "forward", forward)
    monkeypatch.setattr("bogp.nn.running.time.perf_counter", lambda: now[0])
    found = to_graph(model, mask, example=torch.randn(2, 16, 32), costs=SLOW_DENSE, timed=True)
    assert [(each.done, each.gain, each.why) for each in found.layers] == [
        ("dense", 1.0, "dense was measured to be quicker"),
        ("graph", 3.0, ""),
    ]


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")  # of the dense encoder
@pytest.mark.parametrize("needs", ["packed", "separate"])
def test_torchs_own_encoder_is_converted(needs: str) -> None:
    layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
    model = nn.TransformerEncoder(layer, 2)
    mask = block_mask(model)
    if needs == "separate":  # the attention stays, and torch's fused code would read the others
        mask = Mask({name: each for name, each in mask.items() if ".linear" in name})
    example = torch.randn(2, 5, 16)
    found = to_graph(model, mask, example=example, costs=SLOW_DENSE)
    assert isinstance(found.model.layers[0].linear1, GraphLinear)
    attention = found.model.layers[1].self_attn
    assert isinstance(attention, GraphMultiheadAttention) == (needs == "packed")
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    reference = masked(model, mask)
    with torch.no_grad():
        for given in ({}, {"src_key_padding_mask": padding}):
            kept = slice(0, 3)
            torch.testing.assert_close(
                found.model.eval()(example, **given)[:, kept],
                reference(example, **given)[:, kept],
                rtol=0,
                atol=1e-5,
            )


class Tied(nn.Module):
    """An embedding's weight, shared; a layer twice; a weight read past its layer."""

    def __init__(self, past: bool = False) -> None:
        super().__init__()
        self.a, self.b, self.past = nn.Linear(16, 16), nn.Linear(16, 16), past
        self.again = self.a
        self.head = nn.Linear(16, 16)
        self.tail = nn.Linear(16, 16)
        self.tail.weight = self.head.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.again(torch.relu(self.a(x)))
        x = functional.linear(x, self.b.weight) if self.past else self.b(x)
        return self.tail(self.head(x))


def test_shared_weights_stay_and_a_layer_used_twice_is_replaced_twice() -> None:
    model = Tied()
    mask = block_mask(model)
    example = torch.randn(2, 16)
    found = to_graph(model, mask, example=example, costs=SLOW_DENSE)
    assert found.model.a is found.model.again
    assert isinstance(found.model.a, GraphLinear)
    assert {each.name: each.why for each in found.layers if each.done == "dense"} == {
        "head": "its weight is shared with another module"
    }
    torch.testing.assert_close(found.model(example), masked(model, mask)(example))


def test_a_weight_that_the_model_reads_by_itself_is_found_out() -> None:
    model = Tied(past=True)
    mask, example = block_mask(model), torch.randn(2, 16)
    with pytest.raises(ExportError, match=r"in dense=\[...\]"):
        to_graph(model, mask, example=example, costs=SLOW_DENSE)
    found = to_graph(model, mask, example=example, costs=SLOW_DENSE, dense=["b"])
    assert type(found.model.b) is nn.Linear


def test_other_convolutions_stay_dense() -> None:
    model = nn.Sequential(nn.Conv2d(8, 8, 3, groups=2), nn.Conv3d(8, 8, 1), nn.Conv2d(8, 8, 1))
    mask = Mask(
        {
            "0.weight": torch.ones(8, 4, 3, 3, dtype=torch.bool),
            "1.weight": torch.ones(8, 8, 1, 1, 1, dtype=torch.bool),
            "2.weight": even_blocks(ring(4, 0), 8, 8).mask()[:, :, None, None].repeat(1, 1, 1, 1),
        }
    )
    found = to_graph(model, mask, costs=SLOW_DENSE)
    assert [each.why for each in found.layers[:2]] == [
        "it is a grouped convolution",
        "there is no graph layer of its kind",
    ]


def test_a_single_layer_is_a_model_too() -> None:
    model = nn.Linear(16, 16)
    found = to_graph(model, block_mask(model), costs=SLOW_DENSE)
    assert isinstance(found.model, GraphLinear)
    assert found.layers[0].name == ""


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_types_and_training_are_kept(dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Linear(16, 24), nn.Linear(24, 8)).to(dtype).eval()
    found = to_graph(
        model, block_mask(model), example=torch.randn(4, 16, dtype=dtype), costs=SLOW_DENSE
    )
    assert {value.dtype for value in found.model.parameters()} == {dtype}
    assert not any(module.training for module in found.model.modules())


def test_bad_input_says_what_to_do() -> None:
    model = nn.Sequential(nn.Linear(32, 32))
    scattered = Mask({"0.weight": torch.rand(32, 32) < 0.2})
    with pytest.raises(MaskError, match="prune with block=32"):
        to_graph(model, scattered)
    with pytest.raises(MaskError, match="which the model does not have"):
        to_graph(model, Mask({"1.weight": torch.ones(2, 2, dtype=torch.bool)}))
    with pytest.raises(ExportError, match="give a batch of its inputs"):
        to_graph(model, block_mask(model), example=torch.randn(2, 31))


def test_it_trains_on_as_the_masked_network_does() -> None:
    model: Any = nn.Sequential(nn.Linear(16, 24), nn.Tanh(), nn.Linear(24, 8)).double()
    mask = block_mask(model)
    found = to_graph(model, mask, costs=SLOW_DENSE).model
    reference = masked(model, mask)
    x = torch.randn(32, 16, dtype=torch.float64)
    for network in (found, reference):
        optimiser = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
        for _ in range(5):
            optimiser.zero_grad()
            network(x).square().mean().backward()
            optimiser.step()
            if network is reference:
                mask.apply(network)
    torch.testing.assert_close(found(x), reference(x), rtol=1e-9, atol=1e-9)


def test_it_is_written_as_onnx(tmp_path: Any) -> None:
    model = nn.Sequential(nn.Conv2d(4, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16 * 16, 32))
    mask = Mask(
        {
            "0.weight": even_blocks(random(4, 0)[:, :1] | True, 16, 4)
            .mask()[:, :, None, None]
            .expand(16, 4, 3, 3),
            "3.weight": even_blocks(ring(8, 0), 32, 256).mask(),
        }
    )
    example = torch.randn(2, 4, 6, 6)
    found = to_graph(model, mask, example=example, costs=SLOW_DENSE)
    written = bogp.to_onnx(found.model, example, tmp_path / "graph.onnx", tolerance=1e-5)
    assert written.difference < 1e-5


def learned(shape: tuple[int, int], sources: list[int], targets: list[int], seed: int) -> Tensor:
    """Blocks of 32 between some nodes alone, as learned blocks are: one each way, and a few."""
    wiring = torch.zeros(shape[0] // 32, shape[1] // 32, dtype=torch.bool)
    generator = torch.Generator().manual_seed(seed)
    for k in range(max(len(sources), len(targets))):
        wiring[targets[k % len(targets)], sources[k % len(sources)]] = True
    more = torch.rand(len(targets), len(sources), generator=generator) < 0.2
    wiring[torch.tensor(targets)[:, None], torch.tensor(sources)[None]] |= more
    return even_blocks(wiring.numpy(), *shape).mask()


def test_nodes_that_nothing_reads_or_feeds_leave_first() -> None:
    """Of 16 nodes, the first layer reads 10 and feeds 9; the second reads 8 of these, feeds 6."""
    model = nn.Sequential(
        nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 10)
    ).train()
    mask = Mask(
        {
            "0.weight": learned((512, 512), list(range(3, 13)), list(range(9)), 0),
            "2.weight": learned((512, 512), list(range(1, 9)), list(range(10, 16)), 1),
        }
    )
    example = torch.randn(7, 512)
    for costs in (SLOW_DENSE, DEFAULT):
        found = to_graph(model, mask, example=example, costs=costs)
        assert found.removed["2"].before == (512, 512)
        assert found.removed["2"].after == (8 * 32, 6 * 32)
        assert found.removed["4"].after == (6 * 32, 10)
        assert found.note == ""
        assert found.model.training
        with torch.no_grad():
            torch.testing.assert_close(
                found.model.eval()(example), masked(model, mask)(example), rtol=0, atol=1e-5
            )
        if costs is SLOW_DENSE:
            assert [each.done for each in found.layers] == ["graph", "graph"]
            assert isinstance(found.model[0], GraphLinear)  # though its dead inputs cannot leave
            assert (found.model[0].in_features, found.model[0].out_features) == (512, 256)
    assert not to_graph(model, mask, costs=SLOW_DENSE).removed  # nothing is known without inputs


def test_a_network_that_cannot_be_made_smaller_says_so_and_is_converted_all_the_same() -> None:
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * int(x.shape[1] > 1)

    model = nn.Sequential(nn.Linear(64, 64), Odd(), nn.Linear(64, 64))
    mask = Mask({"0.weight": learned((64, 64), [0], [1], 0)})
    found = to_graph(model, mask, example=torch.randn(3, 64), costs=SLOW_DENSE)
    assert found.note.startswith("torch.fx cannot follow 1")
    assert found.layers[0].done == "graph"

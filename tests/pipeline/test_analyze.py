"""A pruned network, layer by layer: from masks, files, networks of torch.nn.utils.prune."""

import json

import networkx as nx
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune

from bogp.errors import GraphError, MaskError, SettingError, UnknownNameError
from bogp.graphs import PROPERTIES, RelationalGraph, graph_to_mask, properties
from bogp.masks import (
    BlockUnits,
    Granularity,
    Mask,
    prunable_layers,
    save_mask,
    wirings,
)
from bogp.pipeline.analyze import analyze
from bogp.training import structure


def perceptron(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 8), nn.ReLU(),
                         nn.Linear(8, 4))  # fmt: skip


def torch_pruned(model, amount=0.8, seed=0):
    torch.manual_seed(seed)
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            prune.random_unstructured(module, "weight", amount=amount)
    return model


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(6, 6)
        self.second = nn.Linear(6, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, inputs):
        hidden = self.first(inputs)
        return self.head(hidden + self.second(torch.relu(hidden)))


def numbers(found):
    """All of a record but its notes."""
    return {key: value for key, value in found.record().items() if key != "notes"}


def test_a_layer_made_of_a_graph_gives_that_graph_back():
    graph = RelationalGraph.from_networkx(nx.watts_strogatz_graph(16, 4, 0.3, seed=2))
    mask = Mask({"0.weight": graph_to_mask(graph, 48, 40), "2.weight": torch.ones(5, 48).bool()})
    first, second = analyze(mask, nodes=None).layers
    assert analyze(mask, nodes=16, layers=["0.weight"]).layers[0].graph == graph
    assert (first.graph.nodes, second.graph.nodes) == (32, 4)
    known = properties(first.graph, PROPERTIES)
    assert first.properties == {name: float(known[name][0]) for name in PROPERTIES}
    assert first.graph != analyze(mask, threshold=0.9).layers[0].graph
    assert (second.density, second.bipartite.is_connected) == (1.0, True)


def learned_blocks(granularity):
    """A mask of blocks by the weights of a perceptron and attention, and its wirings."""
    torch.manual_seed(0)
    model = nn.ModuleDict(
        {"a": nn.Linear(24, 16), "attn": nn.MultiheadAttention(16, 2), "fc": nn.Linear(16, 3)}
    )
    layers = prunable_layers(model)
    scores = {each.name: model.get_parameter(each.name).detach().abs() for each in layers}
    support = {name: torch.ones_like(score, dtype=torch.bool) for name, score in scores.items()}
    units = BlockUnits(layers, granularity)
    mask = units.choose(scores, 600, scope="uniform", support=support, seed=0)
    return mask, wirings(mask, layers, granularity)


def test_learned_blocks_are_seen_block_by_block():
    mask, wired = learned_blocks(Granularity("block", block=4))
    found = {layer.name: layer for layer in analyze(mask, block=4).layers}
    assert torch.equal(found["a.weight"].wiring.kept, wired["a.weight"])
    assert found["a.weight"].wiring.kept.shape == (4, 6)
    for place, part in enumerate("qkv"):
        seen = found[f"attn.in_proj_weight[{part}]"]
        rows = wired["attn.in_proj_weight"][4 * place : 4 * place + 4]
        assert torch.equal(seen.wiring.kept, rows)
        assert seen.graph == RelationalGraph((rows | rows.T).numpy())
        said = seen.record()["wiring"]
        assert said["pairs"] == rows.nonzero().tolist()
        assert (said["blocks"], said["filled"]) == (int(rows.sum()), 1.0)
        assert said["live_outputs"] == len({pair[0] for pair in said["pairs"]})
        assert said["live_inputs"] == len({pair[1] for pair in said["pairs"]})
    assert found["fc.weight"].wiring.kept.shape == (1, 4)
    assert found["fc.weight"].graph is None  # one node
    one = Mask({"a.weight": mask["a.weight"] & (torch.arange(24) % 2 > 0)})
    (half,) = analyze(one, block=4).layers
    assert half.wiring.filled == 0.5
    assert analyze(Mask({"w": ~torch.ones(8, 8).bool()}), block=4).layers[0].wiring.filled is None


def test_a_shared_wiring_is_the_graph_of_every_layer_that_carries_it():
    mask, wired = learned_blocks(Granularity("block", block=4, shared=True))
    graph = RelationalGraph(wired["a.weight"].numpy())
    assert 0 < graph.edges < 6
    known = properties(graph, PROPERTIES)
    wide = [name for name in mask if name != "fc.weight"]
    for layer in analyze(mask, nodes=4, layers=wide).layers:
        assert layer.graph == graph
        assert layer.wiring.is_graph
        assert torch.equal(layer.wiring.kept, wired["a.weight"])
        assert layer.properties == {name: float(known[name][0]) for name in PROPERTIES}
    assert not analyze(mask, block=4, layers=["a.weight"]).layers[0].wiring.is_graph  # 4 x 6 nodes


def test_every_way_to_give_a_network_gives_the_same(tmp_path):
    model = torch_pruned(perceptron())
    torch.save(model.state_dict(), tmp_path / "torch.pt")
    plain = torch_pruned(perceptron())
    for module in plain.modules():
        if isinstance(module, nn.Linear):
            prune.remove(module, "weight")
    save_file(plain.state_dict(), tmp_path / "zeros.safetensors")
    mask = Mask({n: p != 0 for n, p in plain.named_parameters() if p.dim() == 2})
    save_mask(mask, tmp_path / "mask.safetensors")
    wanted = numbers(analyze(mask))
    for source in (model, plain, *(tmp_path / n for n in ("torch.pt", "zeros.safetensors"))):
        assert numbers(analyze(source)) == wanted
    assert numbers(analyze(str(tmp_path / "mask.safetensors"))) == wanted
    assert prune.is_pruned(model)  # and the user's network is as it was
    example = torch.zeros(2, 12)
    for source in (model, plain):
        assert numbers(analyze(source, example=example)) == wanted
    assert numbers(analyze(mask, model=model, example=example)) == wanted
    assert numbers(analyze(mask, model=perceptron(1), example=example)) == wanted
    assert wanted["effective_sparsity"] == pytest.approx(
        structure(plain, mask, example).effective_sparsity
    )
    assert wanted["effective_sparsity"] > wanted["sparsity"]


def test_a_chain_is_not_told_from_a_network_with_a_way_round_until_the_network_is_given():
    model = Residual()
    ones = torch.ones(6, 6).bool()
    mask = Mask({"first.weight": ones, "second.weight": ~ones, "head.weight": ones[:3]})
    chain = analyze(mask)
    assert chain.effective_sparsity == 1.0
    assert any("chain" in note and "example" in note for note in chain.notes)
    assert [layer.dead_outputs for layer in chain.layers] == [6, 6, 3]
    real = analyze(mask, model=model, example=torch.zeros(1, 6))
    assert real.effective_sparsity == pytest.approx(real.sparsity)
    assert [layer.dead_outputs for layer in real.layers] == [0, 6, 0]
    assert [layer.on_path for layer in real.layers] == [36, 0, 18]
    assert not any("chain" in note for note in real.notes)


def test_hand_worked_dead_units():
    first = torch.tensor([[1, 1, 0], [0, 0, 0], [0, 1, 0]]).bool()
    second = torch.tensor([[1, 1, 0]]).bool()
    found = analyze(Mask({"a.weight": first, "b.weight": second}))
    one, two = found.layers
    # Unit 1 gets nothing, unit 2 is not read, input 2 goes nowhere.
    assert (one.dead_inputs, one.dead_outputs, one.on_path) == (1, 2, 2)
    assert (two.dead_inputs, two.dead_outputs, two.on_path) == (2, 0, 1)
    assert found.effective_sparsity == pytest.approx(1 - 3 / 12)
    assert (one.bipartite.isolated_inputs, one.bipartite.isolated_outputs) == (1, 1)


def test_a_grouped_convolution_is_seen_over_all_of_its_inputs():
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8), nn.Conv2d(8, 4, 1))
    found = analyze(model, example=torch.zeros(1, 3, 9, 9))
    depthwise = found.layers[1]
    assert depthwise.shape == (8, 8, 3, 3)
    assert (depthwise.kept, depthwise.total, depthwise.density) == (72, 72, 1.0)
    assert depthwise.bipartite.components == 8
    assert depthwise.graph.edges == 0  # every node keeps to itself
    assert (found.effective_sparsity, found.kept) == (0.0, found.total)
    assert any("Nothing is pruned" in note for note in found.notes)
    with torch.no_grad():
        model[1].weight[5] = 0
    lame = analyze(model)
    assert lame.effective_sparsity > lame.sparsity
    assert numbers(lame) == numbers(analyze(model, example=torch.zeros(1, 3, 9, 9)))
    assert [layer.dead_outputs for layer in lame.layers] == [1, 1, 0]
    file = analyze(Mask({n: p != 0 for n, p in model.named_parameters() if p.dim() > 1}))
    assert file.layers[1].graph is None
    assert file.effective_sparsity is None
    assert any("grouped" in note for note in file.notes)
    assert any("1.weight" in note and "no chain" in note for note in file.notes)


def test_packed_projections_are_three_graphs():
    attention = nn.MultiheadAttention(16, 2)
    with torch.no_grad():
        attention.in_proj_weight[16:32] = 0
        attention.in_proj_weight[32:].fill_diagonal_(0)
    state = Mask({n: p != 0 for n, p in attention.named_parameters() if p.dim() == 2})
    for found in (analyze(attention), analyze(state)):
        q, k, v, out = found.layers
        assert [layer.name for layer in (q, k, v)] == [f"in_proj_weight[{x}]" for x in "qkv"]
        assert [layer.kept for layer in (q, k, v)] == [256, 0, 240]
        assert q.shape == (16, 16)
        assert k.spectrum is None
        assert k.graph.edges == 0
        assert out.name == "out_proj.weight"
        assert found.effective_sparsity is None
        assert sum(layer.total for layer in found.layers) == found.total == 4 * 256
        assert any("in_proj_weight[k]" in note for note in found.notes)


def test_a_record_is_json_and_complete(tmp_path):
    found = analyze(torch_pruned(perceptron(), 0.95))
    record = json.loads(json.dumps(found.record(), allow_nan=False))
    assert set(record) == {
        "sparsity", "effective_sparsity", "kept", "total", "notes", "layers",
    }  # fmt: skip
    layer = record["layers"][0]
    assert (layer["name"], layer["shape"]) == ("1.weight", [16, 12])
    assert set(layer["properties"]) == set(PROPERTIES)
    graph = nx.Graph(layer["graph"]["pairs"])
    assert graph.number_of_edges() == layer["graph"]["edges"]
    assert layer["bipartite"]["edges"] == layer["kept"]
    assert layer["spectrum"]["ramanujan_gap"] == found.layers[0].spectrum.ramanujan_gap


def test_what_is_no_weight_of_a_layer_is_left_out_of_a_file(tmp_path):
    state = {
        "fc.weight": torch.ones(4, 6),
        "position": torch.ones(1, 3, 6),
        "fc.bias": torch.ones(4),
    }
    save_file(state, tmp_path / "model.safetensors")
    found = analyze(tmp_path / "model.safetensors")
    assert [layer.name for layer in found.layers] == ["fc.weight"]


def saved(path, **tensors):
    save_file({name.replace("__", "."): tensor for name, tensor in tensors.items()}, path)
    return path


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda f: analyze(f / "none.safetensors"), MaskError, "none.safetensors"),
        (
            lambda f: analyze(saved(f / "flat.safetensors", a__weight=torch.ones(3))),
            MaskError,
            "no weight of two or more dimensions",
        ),
        (
            lambda f: analyze(saved(f / "n.safetensors", a__weight=torch.full((2, 2), np.nan))),
            MaskError,
            "4 of the 4 weights of 'a.weight'",
        ),
        (lambda _: analyze(Mask({"a": torch.ones(3).bool()})), MaskError, "one dimension"),
        (lambda _: analyze(nn.ReLU()), MaskError, "no layer to analyse"),
        (
            lambda _: analyze(perceptron(), nodes=8),
            GraphError,
            "layer '5.weight' of 4 outputs and 8 inputs: use at most 4 nodes",
        ),
        (lambda _: analyze(perceptron(), nodes=0), GraphError, "0 nodes"),
        (lambda _: analyze(perceptron(), threshold=0.0), GraphError, "threshold 0.0"),
        (
            lambda _: analyze(perceptron(), layers=["5.wait"]),
            UnknownNameError,
            "did you mean 5.weight",
        ),
        (
            lambda _: analyze(perceptron(), example=torch.zeros(1, 7)),
            SettingError,
            r"shape \(1, 7\)",
        ),
        (
            lambda _: analyze(Mask({"x.weight": torch.ones(2, 2).bool()}), model=perceptron()),
            MaskError,
            "'x.weight'",
        ),
        (
            lambda _: analyze(Mask({"1.weight": torch.ones(2, 2).bool()}), model=perceptron()),
            MaskError,
            "'1.weight'",
        ),
    ],
)
def test_bad_input(tmp_path, call, error, said):
    with pytest.raises(error, match=said) as caught:
        call(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_network_of_not_finite_weights():
    model = perceptron()
    model[1].weight.data[0, 0] = torch.inf
    with pytest.raises(MaskError, match=r"1 of the 192 weights of '1.weight'"):
        analyze(model)


def test_a_pruned_network_that_has_run_can_be_read():
    model = torch_pruned(perceptron())
    model(torch.ones(1, 12)).sum()  # now its weights are no leaves, which deepcopy refuses
    assert analyze(model).kept == sum(int(b.sum()) for b in model.buffers())

"""Every form of a support is one value: texts, drawn graphs, mappings and masks against another."""

import pickle
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import bogp
from bogp.errors import GraphError, MaskError, SettingError, SparsityError, UnknownNameError
from bogp.graphs import edges_for_sparsity, generate
from bogp.keys import derive_seed
from bogp.masks import Mask, save_mask
from bogp.sparsify import (
    DrawnGraph,
    drawn_support,
    find_support,
    make_mover,
    pruning_method,
    support_mask,
    support_record,
)
from bogp.training import mlp

NAMES = ("1.weight", "3.weight", "5.weight")  # of (16, 32), (12, 16) and (10, 12)


def model():
    return mlp([32, 16, 12, 10])


def mask_of(support, seed=0):
    return support_mask(drawn_support(support, NAMES, seed), model(), NAMES)


def test_a_drawn_graph_is_the_generators_with_the_edges_of_its_density():
    drawn = DrawnGraph("ws_flex", nodes=12, density=0.4, seed=3, p=0.2)
    edges = edges_for_sparsity(12, 0.6)
    assert 12 + 2 * edges >= 0.4 * 144 > 12 + 2 * (edges - 1)
    expected = generate("ws_flex", 12, edges, derive_seed(7, "support graph", 3), p=0.2)
    assert drawn.graph(7) == expected
    assert drawn.graph(7) != drawn.graph(8)
    assert pickle.loads(pickle.dumps(drawn)) == drawn
    assert {drawn: 1}[DrawnGraph("ws_flex", 12, 0.4, 3, p=0.2)] == 1
    assert DrawnGraph("uniform", 12, 1.0).graph(0).density == 1.0


@given(
    st.sampled_from(["ring_lattice", "uniform", "ws_flex", "barabasi_albert"]),
    st.integers(4, 12),
    st.floats(0.3, 1.0),
    st.integers(0, 99),
)
def test_a_drawn_graph_is_read_back_from_its_text(family, nodes, density, seed):
    drawn = DrawnGraph(family, nodes, density, seed)
    assert find_support(str(drawn)) == drawn
    assert find_support([f"first={drawn}", "5.weight=none"]) == {"first": drawn, "5.weight": None}


def test_a_kind_is_a_word_and_a_probability_a_number():
    found = find_support("mixed:nodes=16,density=0.3,kind=small_world,p=0.1")
    assert found.parameters == {"kind": "small_world", "p": 0.1}


def test_each_mask_draws_its_own_graph_and_layers_of_one_draw_share_it():
    drawn = DrawnGraph("uniform", nodes=10, density=0.4)
    one, two = mask_of(drawn, 0), mask_of(drawn, 1)
    assert one == mask_of(drawn.graph(0))
    assert one != two
    other = DrawnGraph("uniform", nodes=10, density=0.4, seed=1)
    found = drawn_support({NAMES[0]: drawn, NAMES[1]: drawn, NAMES[2]: other}, NAMES, 5)
    assert found[NAMES[0]] is found[NAMES[1]]
    assert found[NAMES[0]] != found[NAMES[2]]


def test_a_mapping_bounds_what_it_names_and_nothing_else():
    graph = generate("uniform", 12, 20, 0)
    layer = torch.rand(10, 12, generator=torch.Generator().manual_seed(0)) < 0.5
    mask = mask_of({"first": graph, NAMES[1]: None, NAMES[2]: layer})
    whole = mask_of(graph)
    assert torch.equal(mask[NAMES[0]], whole[NAMES[0]])
    assert not mask[NAMES[0]].all()
    assert mask[NAMES[1]].all()
    assert not whole[NAMES[1]].all()
    assert torch.equal(mask[NAMES[2]], layer)
    assert mask_of({"first": None}) == mask_of(None)
    assert mask_of("none") == mask_of(None)
    assert mask_of({"first": graph}) == mask_of({NAMES[0]: graph})


def test_a_file_is_the_mask_in_it(tmp_path):
    mask = mask_of(generate("uniform", 12, 20, 0))
    save_mask(mask, tmp_path / "bound.safetensors")
    found = find_support(str(tmp_path / "bound.safetensors"))
    assert found == mask
    assert mask_of(found) == mask
    assert support_record(found) == support_record(mask) == mask.fingerprint


def test_records_tell_supports_apart_and_agree_for_the_same():
    graph, drawn = generate("uniform", 8, 9, 0), DrawnGraph("uniform", 8, 0.4)
    layer = torch.eye(4).bool()
    records = [
        support_record(each)
        for each in (
            None, graph, generate("uniform", 8, 9, 1), drawn, DrawnGraph("uniform", 8, 0.5), layer,
            ~layer, {"a": layer}, {"a": graph, "b": None}, {"b": graph, "a": None},
        )
    ]  # fmt: skip
    assert all(one not in records[:number] for number, one in enumerate(records))
    assert support_record(str(drawn)) == drawn.record()
    assert support_record(generate("uniform", 8, 9, 0)) == support_record(graph)


@pytest.mark.parametrize(
    ("support", "kind", "sentence"),
    [
        ("ring:nodes=8,density=0.5", UnknownNameError, "unknown graph family 'ring'"),
        ("ring_lattice", SettingError, "says no nodes and no density: write ring_lattice:nodes=64"),
        ("ring_lattice:nodes=8", SettingError, "says no density"),
        ("ring_lattice:nodes=8,density", SettingError, "'density' is not NAME=VALUE"),
        ("ring_lattice:nodes=8,nodes=8", SettingError, "its name comes twice"),
        ("ring_lattice:nodes=8.5,density=0.5", SettingError, "nodes = 8.5 of a drawn graph"),
        ("ring_lattice:nodes=8,density=1.5", SparsityError, "density 1.5 of a drawn graph"),
        ("ring_lattice:nodes=8,density=x", SettingError, "density = 'x' is no number"),
        ("ring_lattice:nodes=8,density=0.5,p=1", GraphError, "takes no parameters"),
        ("ws_flex:nodes=8,density=0.5,q=1", UnknownNameError, "unknown ws_flex parameter 'q'"),
        ("ws_flex:nodes=8,density=0.5,p=x", SettingError, "p = 'x' is no number"),
        ("ring_lattice:nodes=0,density=0.5", GraphError, "0 nodes"),
        (["first=none", "none"], SettingError, "'none' is for all layers, and there is more"),
        (["first=none", "first=none"], SettingError, "two supports for 'first'"),
        ("nowhere.safetensors", MaskError, "nowhere.safetensors"),
        (0.5, MaskError, "support 0.5 is none"),
        ({"first": 0.5}, MaskError, "the support 0.5 of 'first' is none"),
        ({"9.weight": None}, MaskError, "a support for '9.weight', which is not a layer to prune"),
        ({"first": torch.ones(2, 2).bool()}, MaskError, r"has the shape \(2, 2\) and the layer"),
    ],
)
def test_what_is_no_support_is_one_sentence(support, kind, sentence):
    with pytest.raises(kind, match=sentence) as caught:
        mask_of(support)
    assert len(str(caught.value).splitlines()) == 1


def test_a_support_too_sparse_is_named_in_numbers():
    drawn = DrawnGraph("ring_lattice", nodes=10, density=0.1)  # the self-loops: 1 in 10
    bound = mask_of(drawn)
    with pytest.raises(SparsityError) as caught:
        make_mover(model(), "gradual", 0.5, steps=100, support=drawn)
    kept = round(0.5 * bound.total)
    assert str(caught.value).startswith(
        f"the support has {bound.kept} of the {bound.total} weights, a density of "
        f"{bound.kept / bound.total:.4g}, and sparsity 0.5 keeps {kept}: take a denser support or "
        "a sparsity of at least 0."
    )
    least = float(str(caught.value).rpartition(" ")[2])
    make_mover(model(), "gradual", least, steps=100, support=drawn)


@pytest.mark.parametrize("method", ["gradual", "set", "rigl", "snip"])
@pytest.mark.parametrize("granularity", ["weight", "block"])
def test_a_moving_mask_stays_inside_a_drawn_graph(method, granularity):
    network = mlp([32, 16, 12, 10])
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    text = "first=ring_lattice:nodes=8,density=0.5"
    batch = torch.rand(64, 32), torch.arange(64) % 10
    chosen = pruning_method(method)
    if chosen.moves is not None:
        chosen = replace(chosen, moves=replace(chosen.moves, every=5))
    held = bogp.Sparsifier(
        network, optimizer, sparsity=0.7, method=chosen, steps=40, granularity=granularity,
        block=4 if granularity == "block" else None, support=text, data=batch, seed=3,
    )  # fmt: skip
    inside = mask_of(text, 3)
    seen = []
    for _ in range(40):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(batch[0]), batch[1]).backward()
        optimizer.step()
        seen.append(held.mask)
        assert all(not bool((layer & ~inside[name]).any()) for name, layer in held.mask.items())
    assert (len({mask.fingerprint for mask in seen}) > 1) == (chosen.moves is not None)
    assert isinstance(held.finish(), Mask)

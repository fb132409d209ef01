import numpy as np
import pytest
from torch import nn

from bogp.database import GraphDatabase
from bogp.errors import DatabaseError, SettingError
from bogp.graphs import edges_for_sparsity
from bogp.masks import PrunableLayer, prunable_layers
from bogp.pipeline.own_model import graphs_for, support_sparsities
from bogp.pipeline.sharing import (
    candidate_support,
    distinct_graphs,
    graph_groups,
    groups_of_database,
    one_graph,
)
from bogp.sparsify import support_mask


def network() -> nn.Module:
    """Three stages of widths 8, 16 and 32, and a head of 10 classes."""
    stages = [nn.Sequential(nn.Conv2d(a, b, 3), nn.ReLU()) for a, b in ((1, 8), (8, 16), (16, 32))]
    return nn.Sequential(*stages, nn.Flatten(), nn.Linear(32, 10))


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    path = tmp_path_factory.mktemp("sharing") / "graphs.db"
    shape = {"nodes": 16, "shape": (32, 16), "sparsities": (0.5, 0.75), "graphs": 8}
    with GraphDatabase.build(path, **shape) as built:
        yield built


def test_each_group_has_as_many_nodes_as_its_layers_carry() -> None:
    layers = prunable_layers(network())
    whole = graph_groups(layers, "model")
    assert [(group.nodes, group.shape) for group in whole] == [(8, (32, 16))]
    each = graph_groups(layers, "layer")
    # The first layer has one input: it can carry no graph.
    assert [(group.layers[0].shape[:2], group.nodes) for group in each] == [
        ((32, 16), 16),
        ((16, 8), 8),
        ((10, 32), 8),
    ]
    assert graph_groups(layers, "model", 12)[0].nodes == 12
    assert graph_groups(layers, "model", 64) == ()


def test_the_graphs_of_one_candidate_are_alike(database) -> None:
    layers = prunable_layers(network())
    groups = groups_of_database(layers, "layer", 16)
    record = database.record(int(database.vectors(("clustering",), sparsity=0.75)[0][0]))
    support = candidate_support(record, groups, "layer")
    again = candidate_support(record, groups, "layer")
    assert support == again
    first = support[groups[0].layers[0].name]
    assert first == record.graph
    for group in groups[1:]:
        graph = support[group.layers[0].name]
        assert graph.nodes == group.nodes
        assert graph.edges == edges_for_sparsity(group.nodes, 0.75, *group.shape)
    names = tuple(layer.name for layer in layers)
    mask = support_mask(support, network(), names)
    assert mask[names[0]].all()
    for group in groups:
        layer = mask[group.layers[0].name]
        assert 0.25 <= float(layer.float().mean()) < 0.5


def test_one_graph_is_all_of_them_side_by_side(database) -> None:
    groups = groups_of_database(prunable_layers(network()), "layer", 16)
    record = database.record(int(database.vectors(("clustering",), sparsity=0.5)[0][0]))
    support = candidate_support(record, groups, "layer")
    graphs = distinct_graphs(support)
    whole = one_graph(support)
    assert whole.nodes == sum(graph.nodes for graph in graphs)
    assert whole.edges == sum(graph.edges for graph in graphs)
    assert np.array_equal(whole.adjacency[:16, :16], graphs[0].adjacency)
    assert not whole.adjacency[:16, 16:].any()
    assert one_graph(record.graph) is record.graph
    assert one_graph(None) is None


def test_a_database_of_too_many_nodes_is_refused() -> None:
    layers = prunable_layers(network())
    assert groups_of_database(layers, "stage", 12)[0].nodes == 12
    with pytest.raises(DatabaseError, match="have 64 nodes, more than the layers of '2"):
        groups_of_database(layers, "stage", 64)


def test_supports_are_denser_than_the_mask() -> None:
    for sparsity in (0.05, 0.3, 0.5, 0.9, 0.98):
        found = support_sparsities(sparsity)
        assert found == tuple(sorted(found))
        assert all(0.0 < support < sparsity for support in found)


def test_layers_without_channels_for_a_graph_are_named() -> None:
    layer = PrunableLayer("a.weight", "a", "linear", (3, 50))
    words = "no layer can carry a graph of 4 nodes: the widest, 'a.weight', has 3 outputs"
    with pytest.raises(SettingError, match=words), graphs_for([layer], "model", 0.9, None, 0):
        pass

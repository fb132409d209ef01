import networkx as nx
import numpy as np
import pytest
import torch

from bogp.errors import GraphError, SettingError
from bogp.graphs import RelationalGraph
from bogp.training import model_factory, relational_network


def test_factory_makes_the_papers_network():
    model = model_factory("mlp:128", 784, 10)()
    shapes = [tuple(p.shape) for p in model.parameters()]
    assert shapes == [(128, 784), (128,), (10, 128), (10,)]
    assert model(torch.zeros(2, 28, 28)).shape == (2, 10)


@pytest.mark.parametrize("spec", ["mlp", "mlp:", "mlp:0", "mlp:12,x", "cnn:3"])
def test_other_texts_are_refused(spec):
    with pytest.raises(SettingError, match="mlp"):
        model_factory(spec, 784, 10)


def test_rounds_of_message_exchange_are_hidden_layers():
    graph = RelationalGraph.from_networkx(nx.cycle_graph(5))
    model, mask = relational_network(graph, 3, 10, 20, 4)
    shapes = [tuple(p.shape) for p in model.parameters() if p.dim() == 2]
    assert shapes == [(10, 20), (10, 10), (10, 10), (4, 10)]
    assert [tuple(layer.shape) for layer in mask.values()] == shapes[:-1]


def test_information_reaches_exactly_the_nodes_within_as_many_steps_as_rounds():
    graph = RelationalGraph.from_networkx(nx.path_graph(6))
    distances = dict(nx.all_pairs_shortest_path_length(nx.path_graph(6)))
    for rounds in (1, 2, 3):
        _, mask = relational_network(graph, rounds, 6, 6, 2)
        reach = np.eye(6, dtype=int)
        for layer in mask.values():
            reach = layer.numpy().astype(int) @ reach
        for u in range(6):
            for v in range(6):
                assert (reach[u, v] > 0) == (distances[u][v] <= rounds)


def test_impossible_networks_are_refused():
    graph = RelationalGraph.from_networkx(nx.path_graph(6))
    with pytest.raises(SettingError, match="0 message-exchange rounds"):
        relational_network(graph, 0, 6, 6, 2)
    with pytest.raises(GraphError, match="6"):
        relational_network(graph, 1, 5, 6, 2)

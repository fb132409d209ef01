"""Structure of masked networks, against paths counted by networkx and numbers by hand."""

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bogp.errors import MaskError
from bogp.masks import Mask
from bogp.training import mlp, structure


def weights_on_a_path(mask, sizes):
    """Return the number of kept weights between a unit reached from the input and one that
    reaches the output."""
    graph = nx.DiGraph()
    for depth, layer in enumerate(mask.values()):
        for out, into in layer.nonzero().tolist():
            graph.add_edge((depth, into), (depth + 1, out))
    first = [(0, unit) for unit in range(sizes[0])]
    last = [(len(mask), unit) for unit in range(sizes[-1])]
    graph.add_edges_from(("input", unit) for unit in first)
    graph.add_edges_from((unit, "output") for unit in last)
    reached = nx.descendants(graph, "input")
    reaching = nx.ancestors(graph, "output")
    return sum(
        u in reached and v in reaching and u != "input" and v != "output" for u, v in graph.edges
    )


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 6), min_size=2, max_size=5),
    st.floats(0.05, 1.0),
    st.integers(0, 10**6),
)
def test_effective_sparsity_is_counted_along_paths(sizes, density, seed):
    generator = torch.Generator().manual_seed(seed)
    model = mlp(sizes)
    mask = Mask(
        {
            name: torch.rand(weight.shape, generator=generator) < density
            for name, weight in model.named_parameters()
            if weight.dim() == 2
        }
    )
    found = structure(model, mask, torch.zeros(2, sizes[0]))
    on_path = weights_on_a_path(mask, sizes)
    assert found.effective_sparsity == pytest.approx(1 - on_path / mask.total)
    assert found.effective_sparsity >= found.sparsity - 1e-12


def test_size_and_arithmetic_by_hand():
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(100, 3))
    keep = torch.zeros(4, 2, 3, 3, dtype=torch.bool)
    keep[:2] = True
    found = structure(model, Mask({"0.weight": keep}), torch.zeros(1, 2, 5, 5))
    # 72 and 300 weights, 4 and 3 biases; the convolution's are used at 25 places each.
    assert found.compression == pytest.approx(379 / (379 - 36))
    assert found.speed_up == pytest.approx((72 * 25 + 300) / (36 * 25 + 300))
    assert found.sparsity == found.effective_sparsity == 0.5


def test_a_deep_network_with_normalisation_and_pooling_is_read():
    blocks = [
        layer
        for _ in range(8)
        for layer in (nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.GELU())
    ]
    model = nn.Sequential(*blocks, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 2))
    keep = torch.ones(4, 4, 3, 3, dtype=torch.bool)
    keep[0] = False  # one output channel of the first layer is dead ...
    found = structure(model, Mask({"0.weight": keep}), torch.zeros(1, 4, 6, 6))
    assert found.effective_sparsity == pytest.approx(0.25)
    later = Mask({"0.weight": keep, "3.weight": torch.ones_like(keep)})
    # ... and with it what the second layer reads from it.
    assert structure(model, later, torch.zeros(1, 4, 6, 6)).effective_sparsity == pytest.approx(
        0.25
    )


class Gate(nn.Module):
    """A layer whose output enters only through a softmax over one number."""

    def __init__(self):
        super().__init__()
        self.score, self.value = nn.Linear(3, 1), nn.Linear(3, 2)

    def forward(self, inputs):
        return self.score(inputs).softmax(1) * self.value(inputs)


def test_a_network_that_cannot_be_read_says_so():
    model = Gate()
    mask = Mask({"score.weight": torch.ones(1, 3, dtype=torch.bool)})
    assert structure(model, mask, torch.zeros(1, 3)).effective_sparsity is None


def test_the_model_is_left_as_it_was_and_a_wrong_mask_refused():
    model = mlp([3, 2]).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    mask = Mask({"1.weight": torch.ones(2, 3, dtype=torch.bool)})
    structure(model, mask, torch.zeros(1, 3))
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with pytest.raises(MaskError):
        structure(model, Mask({"1.weight": torch.ones(2, 2, dtype=torch.bool)}), torch.zeros(1, 3))

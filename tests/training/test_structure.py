"""Structure of masked networks, against paths counted by networkx and numbers by hand."""

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bogp.errors import MaskError
from bogp.masks import Mask
from bogp.training import gpt, lenet_5, mlp, resnet, structure, vit


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


def complete(model):
    return {n: torch.ones_like(p, dtype=bool) for n, p in model.named_parameters() if p.dim() > 1}


def test_a_residual_network_is_read_around_its_blocks():
    model, inputs = resnet(8, (8, 8), 3, width=2), torch.rand(2, 8, 8)
    whole = complete(model)
    found = structure(model, Mask(whole), inputs)
    assert (found.sparsity, found.effective_sparsity, found.speed_up) == (0.0, 0.0, 1.0)
    # With a channel within a block dead, its 2 kernels in the next convolution are on no path ...
    whole["layer1.0.conv1.weight"][0] = False
    found = structure(model, Mask(whole), inputs)
    total = sum(layer.numel() for layer in whole.values())
    assert found.sparsity == pytest.approx(2 * 9 / total)
    assert found.effective_sparsity == pytest.approx(2 * (2 * 9) / total)
    # ... but a block wholly dead is passed by its shortcut.
    for name in ("layer1.0.conv1.weight", "layer1.0.conv2.weight"):
        whole[name][:] = False
    found = structure(model, Mask(whole), inputs)
    assert found.effective_sparsity == pytest.approx(found.sparsity) == pytest.approx(72 / total)
    places = dict.fromkeys(whole, 64) | {"fc.weight": 1}
    places |= {n: {"2": 16, "3": 4}[n[5]] for n in whole if n.startswith(("layer2", "layer3"))}
    dense = sum(places[name] * layer.numel() for name, layer in whole.items())
    assert found.speed_up == pytest.approx(dense / (dense - 64 * 72))


def test_grouped_convolutions_and_pools_of_maxima_are_read():
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.AdaptiveMaxPool2d(2),
        nn.Flatten(),
        nn.Unflatten(1, (1, 16)),
        nn.MaxPool1d(2, stride=1),
        nn.Flatten(),
        nn.Linear(15, 3),
    )
    whole = complete(model)
    whole["0.weight"][3] = False  # read by outputs 2 and 3 of the second group alone
    found = structure(model, Mask(whole), torch.rand(1, 2, 6, 6))
    total = 4 * 2 * 9 + 4 * 2 * 9 + 45
    assert found.sparsity == pytest.approx(18 / total)
    assert found.effective_sparsity == pytest.approx((18 + 2 * 9) / total)
    dense = 36 * (4 * 2 * 9 + 4 * 2 * 9) + 45
    assert found.speed_up == pytest.approx(dense / (dense - 36 * 18))
    lenet = lenet_5((8, 8), 10)
    assert structure(lenet, Mask(complete(lenet)), torch.rand(1, 8, 8)).effective_sparsity == 0.0


@pytest.mark.parametrize("pool", ["mean", "token"])  # 17 tokens round, 16 do not
@pytest.mark.parametrize("attention", ["separate", "packed"])
def test_attention_is_counted_and_its_paths_are_not_read(attention, pool):
    sizes = {"width": 8, "heads": 2, "depth": 1, "ratio": 2}
    model = vit((8, 8), 3, attention=attention, pool=pool, **sizes)
    whole = complete(model)
    whole.pop("patches.weight")
    # A weight of 8 x 8 each for queries, keys, values and output.
    halves = {
        "separate": ("blocks.0.attention.q.weight", slice(4)),
        "packed": ("blocks.0.attention.in_proj_weight", slice(12)),
    }
    name, rows = halves[attention]
    whole[name][rows] = False
    found = structure(model, Mask(whole), torch.rand(2, 8, 8))
    assert found.effective_sparsity is None
    tokens = 16 + (pool == "token")
    dense = 16 * 8 * 4 + tokens * (4 * 64 + 2 * 128) + 8 * 3
    gone = tokens * 8 * len(range(24)[rows])
    assert found.speed_up == pytest.approx(dense / (dense - gone))
    # Nor where the mask is of other layers alone.
    head = Mask({"head.weight": torch.eye(3, 8, dtype=torch.bool)})
    assert structure(model, head, torch.rand(2, 8, 8)).effective_sparsity is None


def test_queries_and_keys_of_different_sequences_are_counted_apart():
    class Reader(nn.Module):
        def __init__(self):
            super().__init__()
            self.read = nn.MultiheadAttention(4, 1, kdim=2, vdim=2, batch_first=True)

        def forward(self, inputs):
            mixed, _ = self.read(inputs[:, :3], key=inputs[..., :2], value=inputs[..., 2:])
            return mixed.mean(1)

    model = Reader()
    mask = Mask({"read.k_proj_weight": torch.zeros(4, 2, dtype=torch.bool)})
    found = structure(model, mask, torch.rand(2, 5, 4))
    dense = 3 * 16 + 5 * 8 + 5 * 8 + 3 * 16
    assert found.speed_up == pytest.approx(dense / (dense - 40))


def test_token_numbers_are_no_reason_to_fail():
    model = gpt(7, 5, width=8, heads=2, depth=1, ratio=2)
    name = "blocks.0.mlp.0.weight"
    mask = Mask({name: torch.zeros(16, 8, dtype=torch.bool)})
    found = structure(model, mask, torch.zeros(2, 5, dtype=torch.int64))
    assert found.effective_sparsity is None
    dense = 5 * (4 * 64 + 2 * 128 + 7 * 8)
    assert found.speed_up == pytest.approx(dense / (dense - 5 * 128))


def test_modes_of_modules_and_frozen_parameters_stay():
    model = resnet(8, (8, 8), 3, width=2).train()
    model.bn1.eval()
    model.layer1.requires_grad_(False)
    modes = [module.training for module in model.modules()]
    found = structure(model, Mask(complete(model)), torch.rand(1, 8, 8))
    assert found.effective_sparsity == 0.0
    assert [module.training for module in model.modules()] == modes

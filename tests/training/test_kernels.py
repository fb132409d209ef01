"""The compiled trainer against torch's own loop, one candidate at a time."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from bogp.errors import MaskError, RecipeError
from bogp.graphs import generate, graph_to_mask
from bogp.masks import Mask
from bogp.training import Recipe, mlp, train
from bogp.training.kernels import logits, make_layout, pack, start, train_batches, unpack
from bogp.training.kernels.cost import COSTS, OVERHEAD, grouping
from bogp.training.kernels.networks import parts
from bogp.training.kernels.optimisers import ADAM, ADAMW, SGD, Optimiser

TOLERANCE = {np.float64: 1e-10, np.float32: 2e-4}


@dataclass
class Population:
    """Masks, weights and data of one shape for every side of a comparison."""

    masks: list[list[np.ndarray]]
    weights: list[list[np.ndarray]]
    biases: list[list[np.ndarray]]
    live: np.ndarray
    inputs: np.ndarray
    targets: np.ndarray
    order: np.ndarray

    @property
    def networks(self) -> list[list[tuple[np.ndarray, np.ndarray]]]:
        """The weight and the bias of each layer of each candidate."""
        pairs = zip(self.weights, self.biases, strict=True)
        return [list(zip(*layers, strict=True)) for layers in pairs]


def population(sizes=(40, 24, 18, 7), candidates=4, examples=300, seed=0) -> Population:
    """Unstructured, relational-graph and dense masks; some inputs never on."""
    rng = np.random.default_rng(seed)
    shapes = [(out, inputs) for inputs, out in itertools.pairwise(sizes)]
    masks = []
    for k in range(candidates):
        if k % 3 == 0:
            layers = [rng.random(shape) < 0.1 + 0.4 * rng.random() for shape in shapes]
        elif k % 3 == 1:
            nodes = min(6, *sizes)
            graph = generate("uniform", nodes, nodes // 2, k)
            layers = [graph_to_mask(graph, *shape).numpy() for shape in shapes]
        else:
            layers = [np.ones(shape, dtype=bool) for shape in shapes]
        masks.append(layers)
    weights = [[rng.normal(0, 0.3, shape) for shape in shapes] for _ in masks]
    biases = [[rng.normal(0, 0.1, shape[0]) for shape in shapes] for _ in masks]
    live = np.flatnonzero(rng.random(sizes[0]) < 0.8)
    inputs = np.zeros((examples, sizes[0]))
    inputs[:, live] = rng.random((examples, len(live)))
    targets = rng.integers(0, sizes[-1], examples)
    order = np.concatenate([rng.permutation(examples) for _ in range(2)])
    return Population(masks, weights, biases, live, inputs, targets, order)


def ours(given: Population, batch: int, rates: Any, dtype=np.float64, chosen=None, **options):
    """Return [(weight, bias) of each layer] of each candidate, and the losses."""
    layout = make_layout(chosen or given.masks, given.live, options.pop("costs", None))
    state = start(layout, pack(layout, given.networks, dtype))
    inputs = given.inputs.astype(dtype)
    losses = train_batches(
        layout, state, inputs, given.targets, given.order, batch, rates, **options
    )
    trained = [unpack(layout, state.parameters, k) for k in range(layout.candidates)]
    losses = losses / len(given.order)
    return trained, losses, logits(layout, state.parameters, inputs)


def theirs(given: Population, k: int, batch: int, rates: Any, make: Any, smoothing=0.0):
    """Train candidate ``k`` with torch in float64, gradients masked."""
    masks = [torch.tensor(mask) for mask in given.masks[k]]
    weights = [
        torch.tensor(weight * mask.numpy(), requires_grad=True)
        for weight, mask in zip(given.weights[k], masks, strict=True)
    ]
    biases = [torch.tensor(bias, requires_grad=True) for bias in given.biases[k]]
    optimiser = make([*weights, *biases])
    inputs, targets = torch.tensor(given.inputs), torch.tensor(given.targets)

    def forward(values):
        for number, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            values = nn.functional.linear(values.relu() if number else values, weight, bias)
        return values

    total = 0.0
    for rows, rate in zip(torch.split(torch.tensor(given.order), batch), rates, strict=True):
        optimiser.param_groups[0]["lr"] = rate
        loss = nn.functional.cross_entropy(
            forward(inputs[rows]), targets[rows], label_smoothing=smoothing
        )
        optimiser.zero_grad()
        loss.backward()
        for weight, mask in zip(weights, masks, strict=True):
            weight.grad *= mask
        optimiser.step()
        # Decay and momentum act on kept weights only, as pruned ones are zero and stay so.
        total += float(loss.detach()) * len(rows)
    trained = [
        (weight.detach().numpy(), bias.detach().numpy())
        for weight, bias in zip(weights, biases, strict=True)
    ]
    return trained, total / len(given.order), forward(inputs).detach().numpy()


OPTIMISERS = {
    "sgd": (Optimiser(SGD, first=0.0), lambda p: torch.optim.SGD(p, lr=0.1)),
    "momentum": (
        Optimiser(SGD, first=0.9, weight_decay=0.01),
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    ),
    "adam": (Optimiser(), lambda p: torch.optim.Adam(p, lr=0.1)),
    "adam with decay": (
        Optimiser(ADAM, 0.8, 0.95, epsilon=1e-6, weight_decay=0.02),
        lambda p: torch.optim.Adam(p, lr=0.1, betas=(0.8, 0.95), eps=1e-6, weight_decay=0.02),
    ),
    "adamw": (
        Optimiser(ADAMW, weight_decay=0.05),
        lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.05),
    ),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_every_optimiser_is_torchs(name, dtype):
    optimiser, make = OPTIMISERS[name]
    data, batch = population(), 150
    rates = [0.01, 0.02, 0.01, 0.005]
    trained, losses, outputs = ours(data, batch, rates, dtype, optimiser=optimiser)
    for k in range(len(data.masks)):
        expected, loss, values = theirs(data, k, batch, rates, make)
        assert losses[k] == pytest.approx(loss, abs=TOLERANCE[dtype])
        np.testing.assert_allclose(outputs[k], values, atol=5 * TOLERANCE[dtype])
        for (weight, bias), (weight_there, bias_there) in zip(trained[k], expected, strict=True):
            np.testing.assert_allclose(weight, weight_there, atol=TOLERANCE[dtype])
            np.testing.assert_allclose(bias, bias_there, atol=TOLERANCE[dtype])


@pytest.mark.parametrize("sizes", [(40, 7), (30, 65, 3), (33, 20, 20, 20, 20, 5)])
@pytest.mark.parametrize("batch", [1, 100, 128, 129, 300])
def test_every_depth_and_batch(sizes, batch):
    data = population(sizes, candidates=3, examples=300 if batch > 1 else 6, seed=batch)
    rates = [0.003] * len(range(0, len(data.order), batch))
    trained, losses, _ = ours(data, batch, rates)
    for k in range(3):
        expected, loss, _ = theirs(data, k, batch, rates, lambda p: torch.optim.Adam(p, lr=1.0))
        assert losses[k] == pytest.approx(loss, abs=1e-10)
        for (weight, bias), (weight_there, bias_there) in zip(trained[k], expected, strict=True):
            np.testing.assert_allclose(weight, weight_there, atol=1e-10)
            np.testing.assert_allclose(bias, bias_there, atol=1e-10)


def test_label_smoothing_is_torchs():
    data, rates = population(candidates=2), [0.01] * 4
    trained, losses, _ = ours(data, 150, rates, smoothing=0.1)
    for k in range(2):
        make = lambda p: torch.optim.Adam(p, lr=1.0)  # noqa: E731
        expected, loss, _ = theirs(data, k, 150, rates, make, smoothing=0.1)
        assert losses[k] == pytest.approx(loss, abs=1e-10)
        np.testing.assert_allclose(trained[k][0][0], expected[0][0], atol=1e-10)


def test_it_is_the_loop_of_one_candidate():
    """The same order of mini-batches as in ``train``: the same network to float32's rounding."""
    data = population(candidates=3)
    recipe = Recipe(learning_rate=0.01, batch_size=64, epochs=1)
    generator = torch.Generator().manual_seed(5)
    data.order = torch.randperm(len(data.targets), generator=generator).numpy()
    trained, losses, _ = ours(data, 64, [0.01] * 5, np.float32)
    for k in range(3):
        model = mlp([40, 24, 18, 7])
        parts_there = dict(model.named_parameters())
        names = [name for name in parts_there if name.endswith("weight")]
        with torch.no_grad():
            for name, weight, bias in zip(names, data.weights[k], data.biases[k], strict=True):
                parts_there[name].copy_(torch.tensor(weight))
                parts_there[name.replace("weight", "bias")].copy_(torch.tensor(bias))
        mask = Mask({n: torch.tensor(m) for n, m in zip(names, data.masks[k], strict=True)})
        inputs = torch.tensor(data.inputs, dtype=torch.float32)
        there = train(model, inputs, torch.tensor(data.targets), recipe, mask=mask, seed=5)
        assert losses[k] == pytest.approx(there.losses[0], abs=1e-5)
        for name, (weight, _) in zip(names, trained[k], strict=True):
            np.testing.assert_allclose(
                weight, dict(there.model.named_parameters())[name].detach().numpy(), atol=2e-4
            )


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_candidate_does_not_depend_on_the_others_or_on_threads(dtype):
    data, rates = population(candidates=5), [0.01] * 4
    together, losses, _ = ours(data, 150, rates, dtype)
    for threads in (2, 3, 8):
        assert_same(together, ours(data, 150, rates, dtype, threads=threads)[0])
    for k in range(5):
        alone = Population(
            [data.masks[k]], [data.weights[k]], [data.biases[k]], data.live, data.inputs,
            data.targets, data.order,
        )  # fmt: skip
        trained, loss, _ = ours(alone, 150, rates, dtype)
        assert_same([together[k]], trained)
        assert loss[0] == losses[k]


def test_where_an_epoch_is_cut_changes_no_bit():
    data, rates = population(), [0.01, 0.02, 0.03, 0.04]
    layout = make_layout(data.masks, data.live)
    state = start(layout, pack(layout, data.networks, np.float64))
    given = (layout, state, data.inputs, data.targets)
    sums = train_batches(*given, data.order[:150], 150, rates[:1])
    sums = train_batches(*given, data.order[150:], 150, rates[1:], taken=1, sums=sums)
    trained, losses, _ = ours(data, 150, rates)
    np.testing.assert_array_equal(sums / len(data.order), losses)
    assert_same([unpack(layout, state.parameters, k) for k in range(4)], trained)


@pytest.mark.parametrize("rows", [{1: 1.0}, {1: 9.0, 2: 1.0, 4: 9.0}, {1: 9.0, 2: 9.0, 4: 1.0}])
def test_how_rows_are_grouped_changes_no_number(rows):
    data, rates = population(), [0.01] * 4
    assert_same(ours(data, 150, rates)[0], ours(data, 150, rates, costs=rows)[0])


def test_inputs_that_are_never_on_may_be_left_out():
    data, rates = population(), [0.01] * 4
    optimiser = Optimiser(ADAMW, weight_decay=0.1)
    some = ours(data, 150, rates, optimiser=optimiser)[0]
    data.live = np.arange(40)
    assert_same(some, ours(data, 150, rates, optimiser=optimiser)[0])


def test_an_input_that_is_on_after_all_is_not_passed_over():
    data = population()
    layout = make_layout(data.masks, data.live)
    flat = pack(layout, data.networks, np.float64)
    dead = np.setdiff1d(np.arange(40), data.live)[0]
    data.inputs[3, dead] = 0.5
    with pytest.raises(MaskError, match=f"input {dead} is not always zero"):
        logits(layout, flat, data.inputs)


def test_pruned_weights_are_zero_and_a_diverged_candidate_harms_no_other():
    data, rates = population(), [0.01] * 4
    healthy, losses, _ = ours(data, 150, rates)
    data.weights[1][0][:] = np.inf
    trained, with_sick, _ = ours(data, 150, rates, threads=2)
    assert not np.isfinite(with_sick[1])
    for k in (0, 2, 3):
        assert with_sick[k] == losses[k]
        assert_same([healthy[k]], [trained[k]])
    for k, layers in enumerate(data.masks):
        for mask, (weight, _) in zip(layers, trained[k], strict=True):
            assert not weight[~mask].any()


def test_large_logits_neither_overflow_nor_lose_the_loss():
    masks = [[np.ones((3, 2), dtype=bool)]]
    weights = [[np.array([[900.0, 0], [-800.0, 0], [0, 700.0]])]]
    inputs, targets = np.array([[1.0, 0], [0, 1.0], [-1.0, 1.0]]), np.array([1, 0, 2])
    layout = make_layout(masks)
    state = start(layout, pack(layout, [[(weights[0][0], np.zeros(3))]], np.float64))
    found = train_batches(layout, state, inputs, targets, np.arange(3), 3, [0.0])
    there = torch.tensor(inputs) @ torch.tensor(weights[0][0]).T
    assert found[0] / 3 == pytest.approx(
        float(nn.functional.cross_entropy(there, torch.tensor(targets)))
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(1, 12), st.floats(0.05, 1.0), st.integers(0, 1000))
def test_no_partition_costs_less_than_the_chosen_one(out, inputs, density, seed):
    kept = np.random.default_rng(seed).random((out, inputs)) < density

    def price(groups):
        return sum(
            COSTS[rows] * kept[row : row + rows].any(axis=0).sum() + OVERHEAD
            for row, rows in groups
        )

    chosen = grouping(kept)
    assert [row for row, _ in chosen] == [sum(r for _, r in chosen[:n]) for n in range(len(chosen))]
    ways = [
        sizes
        for length in range(1, out + 1)
        for sizes in itertools.product((1, 2, 4), repeat=length)
        if sum(sizes) == out
    ]
    best = min(price(zip(itertools.accumulate((0, *w)), w, strict=False)) for w in ways)
    assert price(chosen) == pytest.approx(best)


def test_a_dense_layer_is_all_groups_of_four():
    assert grouping(np.ones((128, 784), dtype=bool)) == [(row, 4) for row in range(0, 128, 4)]


def test_rows_of_a_graphs_node_are_computed_together():
    mask = graph_to_mask(generate("uniform", 16, 10, 0), 32, 160).numpy()
    assert grouping(mask) == [(row, 2) for row in range(0, 32, 2)]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=20), st.integers(1, 6))
def test_parts_cover_all_candidates_in_order(costs, count):
    runs = parts(np.array(costs), count)
    assert [k for low, high in runs for k in range(low, high)] == list(range(len(costs)))
    assert len(runs) <= count


def test_what_does_not_fit_is_refused():
    good = np.ones((3, 4), dtype=bool)
    with pytest.raises(MaskError, match="no candidates"):
        make_layout([])
    with pytest.raises(MaskError, match="candidate 1 has masks of shapes"):
        make_layout([[good], [good.T]])
    with pytest.raises(MaskError, match="layer 1 reads 4 inputs and layer 0 gives 3"):
        make_layout([[good, good]])
    with pytest.raises(MaskError, match="int64"):
        make_layout([[good.astype(np.int64)]])
    layout = make_layout([[good]])
    with pytest.raises(MaskError, match="its mask needs"):
        pack(layout, [[(np.ones((4, 3)), np.ones(3))]])
    state = start(layout, pack(layout, [[(np.ones((3, 4)), np.ones(3))]]))
    inputs, targets = np.ones((5, 4), dtype=np.float32), np.zeros(5, dtype=np.int64)
    with pytest.raises(RecipeError, match="2 learning rates do not fit 1 mini-batches"):
        train_batches(layout, state, inputs, targets, np.arange(5), 5, [0.1, 0.1])
    with pytest.raises(MaskError, match="do not fit masks of 4 inputs"):
        train_batches(layout, state, inputs.astype(float), targets, np.arange(5), 5, [0.1])
    with pytest.raises(MaskError, match="not all in"):
        logits(layout, state.parameters, inputs, active=[1])
    with pytest.raises(MaskError, match="do not increase"):
        logits(layout, state.parameters, inputs, active=[0, 0])
    with pytest.raises(RecipeError, match="batch of 0 examples"):
        train_batches(layout, state, inputs, targets, np.arange(5), 0, [0.1])
    with pytest.raises(MaskError, match="4 targets do not fit 5"):
        train_batches(layout, state, inputs, targets[1:], np.arange(5), 5, [0.1])
    with pytest.raises(MaskError, match="class 7"):
        train_batches(layout, state, inputs, targets + 7, np.arange(5), 5, [0.1])
    with pytest.raises(MaskError, match="example 9"):
        train_batches(layout, state, inputs, targets, np.arange(5, 10), 5, [0.1])


def test_candidates_that_stop_keep_what_they_have():
    data, rates = population(), [0.01] * 4
    layout = make_layout(data.masks, data.live)
    state = start(layout, pack(layout, data.networks, np.float64))
    before = [unpack(layout, state.parameters, k) for k in range(4)]
    chosen = {"active": [1, 3], "threads": 2}
    losses = train_batches(
        layout, state, data.inputs, data.targets, data.order, 150, rates, **chosen
    )
    everyone, all_losses, all_outputs = ours(data, 150, rates)
    np.testing.assert_array_equal(losses / len(data.order), all_losses[[1, 3]])
    found = [unpack(layout, state.parameters, k) for k in range(4)]
    assert_same([found[k] for k in (0, 2)], [before[k] for k in (0, 2)])
    assert_same([found[k] for k in (1, 3)], [everyone[k] for k in (1, 3)])
    outputs = logits(layout, state.parameters, data.inputs, **chosen)
    np.testing.assert_array_equal(outputs, all_outputs[[1, 3]])
    none = train_batches(
        layout, state, data.inputs, data.targets, data.order, 150, rates, active=[]
    )
    assert none.shape == (0,)


def assert_same(left, right):
    for one, other in zip(left, right, strict=True):
        for (weight, bias), (weight_there, bias_there) in zip(one, other, strict=True):
            np.testing.assert_array_equal(weight, weight_there)
            np.testing.assert_array_equal(bias, bias_there)

"""Modules that are not what they look like, against the loop of one candidate."""

import pytest
import torch
from torch import nn

from bogp.errors import SettingError
from bogp.masks import Mask
from bogp.sparsify import Method, Moves, fixed, make_mover
from bogp.training import (
    Halving,
    Recipe,
    initialise,
    mlp,
    model_factory,
    population,
    train,
    train_population,
)
from bogp.training.kernels.cost import CACHE, pays
from bogp.training.perceptron import perceptron_layers
from bogp.training.randomness import seeded
from bogp.training.task import Task
from bogp.training.torch_stack import TorchStack

GENERATOR = torch.Generator().manual_seed(0)
INPUTS = torch.randn(90, 6, generator=GENERATOR, dtype=torch.float64)
TARGETS = INPUTS[:, :3].argmax(1)
VALIDATION = (INPUTS[:40], TARGETS[:40])
TOKENS = torch.randint(0, 10, (90, 6), generator=GENERATOR)


def recipe(**changes):
    return Recipe(**({"learning_rate": 0.02, "batch_size": 32, "epochs": 3} | changes))


def shared_relu():
    relu = nn.ReLU()
    return nn.Sequential(nn.Linear(6, 5), relu, nn.Linear(5, 4), relu, nn.Linear(4, 3))


class Absolute(nn.Sequential):
    def forward(self, inputs):
        return super().forward(inputs.abs())


def absolute():
    return Absolute(nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3))


def hooked():
    model = mlp([6, 5, 3])
    model[1].register_forward_hook(lambda module, arguments, output: output * 0.1)
    return model


def hooked_at_the_root():
    model = mlp([6, 5, 3])
    model.register_forward_pre_hook(lambda module, arguments: (arguments[0] * 2.0,))
    return model


def overridden():
    model = mlp([6, 5, 3])
    model[1].forward = lambda inputs: nn.functional.linear(inputs, model[1].weight)
    return model


def frozen():
    model = mlp([6, 5, 3])
    model[1].weight.requires_grad_(False)
    return model


def tied():
    model = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))
    model[2].weight = model[0].weight
    return model


def tied_bias():
    model = tied()
    model[2].weight = nn.Parameter(model[2].weight.detach().clone())
    model[2].bias = model[0].bias
    return model


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)
        self.second.weight = self.first.weight
        self.register_buffer("scale", torch.full((6,), 0.5))
        self.register_buffer("passing", torch.ones(6), persistent=False)

    def forward(self, inputs):
        hidden = self.second(self.first(inputs).tanh()).tanh()
        return self.head(hidden * self.scale * self.passing)


def dropping():
    # A bias before the normalisation has a gradient of rounding alone, which Adam follows.
    return nn.Sequential(
        nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3)
    )


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.embedding, self.head = nn.Embedding(10, 8), nn.Linear(8, 3)

    def forward(self, inputs):
        return self.head(self.embedding(inputs).mean(1))


FACTORIES = {
    "shared relu": shared_relu,
    "forward of its own": absolute,
    "hooked": hooked,
    "hooked at the root": hooked_at_the_root,
    "frozen": frozen,
    "tied": tied,
    "tied bias": tied_bias,
    "tied module": Tied,
    "dropout": dropping,
}


def pruning(factory):
    """Return masks of the first weight, of different densities, and None."""
    name, weight = next((n, p) for n, p in factory().named_parameters() if p.dim() == 2)
    half = torch.rand(weight.shape, generator=torch.Generator().manual_seed(1))
    return [Mask({name: half < 0.5}), None, Mask({name: half < 0.8})]


def assert_as_alone(candidates, factory, masks, chosen, inputs=INPUTS, initial=None):
    for k, (candidate, mask) in enumerate(zip(candidates, masks, strict=True)):
        model = initialise(factory, k)
        model = model.to(inputs.dtype) if inputs.is_floating_point() else model
        if initial is not None:
            model.load_state_dict(initial[k])
        expected = train(model, inputs, TARGETS, chosen, mask=mask, seed=4).model.state_dict()
        if candidate.ended != "whole":
            continue
        assert candidate.weights.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(candidate.weights[name], value, rtol=0, atol=1e-10)


@pytest.mark.parametrize("arithmetic", ["auto", "dense"])
@pytest.mark.parametrize("kind", FACTORIES)
def test_whatever_the_module_does_its_copies_do(kind, arithmetic):
    factory = FACTORIES[kind]
    masks = pruning(factory)
    shared = {"validation": VALIDATION, "order_seed": 4, "keep_weights": True}
    before = torch.get_rng_state()
    found = train_population(
        factory, masks, (INPUTS, TARGETS), recipe(), range(3), arithmetic=arithmetic, **shared
    )
    assert torch.equal(before, torch.get_rng_state())
    assert_as_alone(found.candidates, factory, masks, recipe())
    # A second round from what the first one left, as pruning in rounds has it.
    states = [candidate.weights for candidate in found.candidates]
    again = train_population(
        factory, masks, (INPUTS, TARGETS), recipe(), range(3), initial=states, **shared
    )
    assert_as_alone(again.candidates, factory, masks, recipe(), initial=states)
    if kind == "frozen":
        start = initialise(factory, 1).double()[1].weight
        assert torch.equal(again.candidates[1].weights["1.weight"], start)


@pytest.mark.parametrize("arithmetic", ["dense", "sparse"])
@pytest.mark.parametrize("factory", [lambda: mlp([6, 5, 3]), frozen, dropping])
def test_momentum_and_random_state_outlive_halving(factory, arithmetic):
    if arithmetic == "sparse" and factory in (frozen, dropping):
        with pytest.raises(SettingError, match="all of whose parameters are trained"):
            train_population(
                factory,
                [None],
                (INPUTS, TARGETS),
                recipe(),
                [0],
                validation=VALIDATION,
                arithmetic=arithmetic,
            )
        return
    chosen = recipe(optimizer="sgd", momentum=0.9, epochs=5)
    masks = [*pruning(factory), None, None]
    found = train_population(
        factory,
        masks,
        (INPUTS, TARGETS),
        chosen,
        range(5),
        validation=VALIDATION,
        order_seed=4,
        keep_weights=True,
        arithmetic=arithmetic,
        together=2,
        halving=Halving((1, 3), 0.5),
    )
    assert sorted(c.epochs for c in found.candidates) == [1, 1, 3, 5, 5]
    assert_as_alone(found.candidates, factory, masks, chosen)


def test_only_a_plain_perceptron_is_a_chain():
    flat = INPUTS[:2]
    assert [kind for kind, _ in perceptron_layers(shared_relu(), flat)] == [
        "linear", "relu", "linear", "relu", "linear",
    ]  # fmt: skip
    for factory in (absolute, hooked, hooked_at_the_root, overridden, tied, tied_bias, dropping):
        assert perceptron_layers(factory(), flat) is None
    bare = nn.Sequential(nn.Linear(6, 3))
    assert perceptron_layers(bare, flat) is not None
    assert perceptron_layers(bare, flat[:, None]) is None


def test_token_numbers_are_inputs_too():
    found = train_population(
        Tokens,
        [None] * 2,
        (TOKENS, TARGETS),
        recipe(),
        range(2),
        validation=(TOKENS[:20], TARGETS[:20]),
        order_seed=4,
        keep_weights=True,
    )
    assert found.candidates[0].weights["head.weight"].dtype == torch.float32
    for k, candidate in enumerate(found.candidates):
        reference = train(initialise(Tokens, k), TOKENS, TARGETS, recipe(), seed=4)
        for name, value in reference.model.state_dict().items():
            torch.testing.assert_close(candidate.weights[name], value, rtol=0, atol=1e-5)
    initial = [initialise(Tokens, k).double().state_dict() for k in range(2)]
    wide = train_population(
        Tokens,
        [None] * 2,
        (TOKENS, TARGETS),
        recipe(),
        range(2),
        validation=(TOKENS[:20], TARGETS[:20]),
        initial=initial,
        keep_weights=True,
    )
    assert wide.candidates[0].weights["head.weight"].dtype == torch.float64


def test_initial_weights_are_not_rounded():
    initial = {n: v + 1e-12 for n, v in initialise(frozen, 0).double().state_dict().items()}
    found = train_population(
        frozen,
        [None],
        (INPUTS, TARGETS),
        recipe(),
        [0],
        validation=VALIDATION,
        initial=[initial],
        keep_weights=True,
    )
    assert torch.equal(found.candidates[0].weights["1.weight"], initial["1.weight"])


def test_dropout_follows_the_order_seed_alone():
    runs = []
    for seed in (4, 4, 5):
        torch.rand(3)  # what the global stream has given before does not count
        model = train(initialise(dropping, 0).double(), INPUTS, TARGETS, recipe(), seed=seed).model
        runs.append(model[0].weight)
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    state = torch.get_rng_state()
    with seeded(3):
        torch.rand(3)
    assert torch.equal(torch.get_rng_state(), state)


LAST = {"optimizer": "sgd", "learning_rate": 1e300, "batch_size": None, "epochs": 1}


@pytest.mark.parametrize("arithmetic", ["dense", "sparse"])
def test_divergence_in_the_last_step_shows(arithmetic):
    found = train_population(
        model_factory("mlp:5", 6, 3),
        [None],
        (INPUTS, TARGETS),
        Recipe(**LAST),
        [0],
        validation=VALIDATION,
        arithmetic=arithmetic,
    )
    assert all(loss < 10 for loss in found.candidates[0].losses)
    assert found.candidates[0].diverged
    for validation in (None, VALIDATION):
        model = initialise(lambda: mlp([6, 5, 3]), 0).double()
        found = train(model, INPUTS, TARGETS, Recipe(**LAST), seed=0, validation=validation)
        assert all(loss < 10 for loss in found.losses)
        assert found.diverged


@pytest.mark.parametrize("kind", [population.TorchStack, population.KernelStack])
def test_a_parameter_that_is_not_finite_is_seen(kind):
    models = [initialise(lambda: mlp([6, 5, 3]), k).double() for k in range(3)]
    with torch.no_grad():
        models[1][3].bias[2] = float("inf")
    stack = kind(models, [None] * 3, Task(INPUTS, TARGETS, recipe(), 0))
    assert stack.finite() == [True, False, True]
    assert stack.select([1, 2]).finite() == [False, True]


def test_a_parameter_that_is_not_finite_makes_a_candidate_diverged(monkeypatch):
    monkeypatch.setattr(TorchStack, "finite", lambda stack: [False] * len(stack))
    found = train_population(
        Tied, [None], (INPUTS, TARGETS), recipe(), [0], validation=VALIDATION
    ).candidates[0]
    assert found.diverged
    assert not found.finite


def test_the_rule_for_the_kernels_on_both_sides_of_each_threshold():
    sizes = [784, 128, 10]
    assert pays(sizes, 128, 4, 1.0)
    assert not pays(sizes, 127, 4, 1.0)
    assert not pays([784, 1024, 1024, 10], 512, 4, 1.0)
    widest = CACHE // (128 * 4)
    assert pays([widest - 10, 10], 128, 4, 1.0)
    assert not pays([widest - 9, 10], 128, 4, 1.0)
    assert not pays([widest - 10, 10], 128, 8, 1.0)
    assert pays([784, 1024, 1024, 10], 1, 4, 0.3)
    assert not pays([784, 1024, 1024, 10], 1, 4, 0.301)
    assert pays(sizes, 128, 4, 0.1, between=2048)
    assert not pays(sizes, 128, 4, 0.1, between=2047)


@pytest.mark.parametrize(
    ("batch", "densities", "kind"),
    [
        (128, (1.0, 1.0), population.KernelStack),
        (None, (1.0,), population.KernelStack),
        (127, (1.0, 1.0), population.TorchStack),
        # Of 6 * 50 + 50 * 3 weights, density d keeps 300 d + 150 in the mean.
        (16, (0.0, 0.0), population.TorchStack),
        (16, "all", population.KernelStack),
    ],
)
def test_auto_follows_the_rule(batch, densities, kind):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(200, 6, generator=generator)
    task = Task(inputs, inputs[:, :3].argmax(1), recipe(batch_size=batch), 0)
    shapes = {"1.weight": (50, 6), "3.weight": (3, 50)}
    if densities == "all":
        masks = [Mask({n: torch.rand(s, generator=generator) < 0.2 for n, s in shapes.items()})]
    else:
        masks = [
            None if d == 1.0 else Mask({"1.weight": torch.rand(50, 6, generator=generator) < d})
            for d in densities
        ]
    movers = [mask and fixed(mask) for mask in masks]
    assert population._stack_kind("auto", mlp([6, 50, 3]), movers, task, exact=False) is kind


@pytest.mark.parametrize(
    ("kept", "moves", "kind"),
    [
        # A tenth of the training dense, the rest at the final density: 0.3 in the mean, and more.
        (100, [Moves(every=40, end=40)], population.KernelStack),
        (101, [Moves(every=40, end=40)], population.TorchStack),
        # 40,000 examples have room for 19 moves, of one mask or of all together.
        (45, [Moves(every=20, end=1.0, schedule="one_shot")], population.KernelStack),
        (45, [Moves(every=19, end=1.0, schedule="one_shot")], population.TorchStack),
        (
            45,
            [Moves(every=n, end=1.0, schedule="one_shot") for n in (40, 37)],
            population.KernelStack,
        ),
        (
            45,
            [Moves(every=n, end=1.0, schedule="one_shot") for n in (40, 33)],
            population.TorchStack,
        ),
    ],
)
def test_auto_goes_by_the_mean_density_and_the_examples_between_moves(kept, moves, kind):
    inputs = torch.rand(200, 6, generator=torch.Generator().manual_seed(0))
    task = Task(inputs, inputs[:, :3].argmax(1), recipe(batch_size=100, epochs=200), 0)
    model = mlp([6, 50, 3])
    movers = [
        make_mover(model, Method("magnitude", "global", moves=each), 1 - kept / 450, steps=400)
        for each in moves
    ]
    assert population._stack_kind("auto", model, movers, task, exact=False) is kind
    assert population._stack_kind("auto", model, movers, task, exact=True) is population.KernelStack


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("kind", ["shared relu", "tied module", "frozen"])
def test_on_cuda_a_population_is_what_it_is_on_the_cpu(kind):
    factory = FACTORIES[kind]
    masks, found = pruning(factory), []
    for device in ("cpu", "cuda"):
        pairs = [(x.to(device), y.to(device)) for x, y in ((INPUTS, TARGETS), VALIDATION)]
        run = train_population(
            factory,
            masks,
            pairs[0],
            recipe(),
            range(3),
            validation=pairs[1],
            keep_weights=True,
            together=2,
            halving=Halving((1,), 0.7),
        )
        found.append(run.candidates)
    for ours, theirs in zip(*found, strict=True):
        assert (ours.epochs, ours.ended) == (theirs.epochs, theirs.ended)
        for name, value in ours.weights.items():
            torch.testing.assert_close(theirs.weights[name], value, rtol=0, atol=1e-8)

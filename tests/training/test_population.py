"""Populations against the loop of one candidate, their reference."""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

from bogp.data import Split
from bogp.errors import MaskError, RecipeError, SettingError, UnknownNameError
from bogp.masks import Mask, choose_layers, complete_mask
from bogp.sparsify import fixed
from bogp.training import (
    Halving,
    Metrics,
    Recipe,
    TrainedCandidate,
    evaluate,
    initialise,
    mlp,
    population,
    population_run,
    train,
    train_population,
)
from bogp.training.task import Task

COUNT = 5


class Attention(nn.Module):
    """A block of self-attention with separate projections, and a classifier over its mean."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(4, 8)
        self.query, self.key, self.value, self.out = (nn.Linear(8, 8) for _ in range(4))
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 3)

    def forward(self, inputs):
        tokens = self.embed(inputs.flatten(1).unflatten(1, (9, 4)))
        parts = (self.query(tokens), self.key(tokens), self.value(tokens))
        attended = nn.functional.scaled_dot_product_attention(*parts)
        return self.head(self.norm(tokens + self.out(attended)).mean(1))


def convolutional():
    return nn.Sequential(
        # A bias before the normalisation has a gradient of rounding alone, which Adam follows.
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 4, 3, padding=1, groups=2),
        nn.GELU(),
        nn.Flatten(),
        nn.Linear(36, 3),
    )


MODELS = {
    "mlp of no hidden layer": lambda: mlp([36, 3]),
    "mlp of one": lambda: mlp([36, 16, 3]),
    "mlp of three": lambda: mlp([36, 16, 12, 8, 3]),
    "convolutional": convolutional,
    "attention": Attention,
}

RECIPES = {
    "adam": {"optimizer": "adam"},
    "adamw": {"optimizer": "adamw", "weight_decay": 0.05, "schedule": "cosine"},
    "sgd": {"optimizer": "sgd", "momentum": 0.9, "weight_decay": 0.01, "schedule": "one_cycle"},
    "smoothed": {"label_smoothing": 0.1},
    "full batch": {"batch_size": None},
}


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(150, 1, 6, 6, generator=generator, dtype=torch.float64)
    targets = inputs.flatten(1)[:, :3].argmax(1)
    return (inputs[:110], targets[:110]), (inputs[110:], targets[110:])


def recipe(**changes):
    return Recipe(**({"learning_rate": 0.01, "batch_size": 32, "epochs": 2} | changes))


def masks_for(factory, count=COUNT, layers="all"):
    """Return masks of different densities, one of them None."""
    names = choose_layers(factory(), layers)
    whole = complete_mask(factory(), names)
    masks = []
    for k in range(count):
        generator = torch.Generator().manual_seed(k)
        masks.append(
            Mask(
                {
                    name: torch.rand(layer.shape, generator=generator) < (k + 1) / (count + 1)
                    for name, layer in whole.items()
                }
            )
        )
    masks[-1] = None
    return masks


def alone(factory, mask, data, given_recipe, seed, order_seed=0, dtype=torch.float64):
    model = initialise(factory, seed).to(dtype)
    (inputs, targets), _ = data
    return train(model, inputs.to(dtype), targets, given_recipe, mask=mask, seed=order_seed)


def assert_equal_states(state, model, tolerance=1e-10):
    expected = model.state_dict()
    assert state.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(state[name], value, rtol=0, atol=tolerance)


WAYS = [(kind, "dense") for kind in MODELS] + [
    (kind, "sparse") for kind in MODELS if kind.startswith("mlp")
]
"""Models, and the arithmetic that each is trained with."""


@pytest.mark.parametrize(("kind", "arithmetic"), WAYS)
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_each_candidate_gets_what_it_gets_alone(data, kind, arithmetic, optimizer):
    factory, chosen = MODELS[kind], recipe(**RECIPES[optimizer])
    masks, seeds = masks_for(factory), [3, 1, 4, 1, 5]
    found = train_population(
        factory,
        masks,
        data[0],
        chosen,
        seeds,
        validation=data[1],
        keep_weights=True,
        order_seed=8,
        arithmetic=arithmetic,
    )
    for candidate, mask, seed in zip(found.candidates, masks, seeds, strict=True):
        reference = alone(factory, mask, data, chosen, seed, order_seed=8)
        assert_equal_states(candidate.weights, reference.model)
        assert candidate.losses == pytest.approx(reference.losses, abs=1e-10)
        metrics = evaluate(reference.model, *data[1])
        assert candidate.metrics.accuracy == metrics.accuracy == candidate.accuracies[-1]
        assert candidate.metrics.loss == pytest.approx(metrics.loss, abs=1e-10)
        for name, layer in (mask or {}).items():
            assert (candidate.weights[name][~layer] == 0).all()
        assert (candidate.seed, candidate.mask) == (seed, mask)
        assert not candidate.stopped
        assert not candidate.diverged


@pytest.mark.parametrize("arithmetic", ["dense", "sparse"])
@pytest.mark.parametrize("name", ["smoothed", "full batch"])
def test_the_rest_of_a_recipe_is_the_loops_too(data, name, arithmetic):
    factory, chosen = MODELS["mlp of one"], recipe(**RECIPES[name])
    masks = masks_for(factory)
    found = train_population(
        factory,
        masks,
        data[0],
        chosen,
        range(COUNT),
        validation=data[1],
        keep_weights=True,
        arithmetic=arithmetic,
    )
    for k, candidate in enumerate(found.candidates):
        assert_equal_states(candidate.weights, alone(factory, masks[k], data, chosen, k).model)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.permutations(range(COUNT)),
    st.integers(1, COUNT),
    st.integers(1, COUNT),
    st.sampled_from(["dense", "sparse"]),
)
def test_a_candidate_does_not_depend_on_its_company(order, count, together, arithmetic):
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(60, 36, generator=generator, dtype=torch.float64)
    pair = (inputs, inputs[:, :3].argmax(1))
    factory, masks = MODELS["mlp of three"], masks_for(MODELS["mlp of three"])
    chosen, rows = recipe(batch_size=20, epochs=1), order[:count]
    shared = {"validation": pair, "keep_weights": True, "arithmetic": arithmetic}
    # The kernels add a candidate's numbers in an order of its own: there it is equal to the bit.
    tolerance = 0 if arithmetic == "sparse" else 1e-10
    whole = train_population(factory, masks, pair, chosen, range(COUNT), **shared)
    part = train_population(
        factory, [masks[row] for row in rows], pair, chosen, rows, together=together, **shared
    )
    assert part.together == together
    for row, candidate in zip(rows, part.candidates, strict=True):
        for name, value in whole.candidates[row].weights.items():
            torch.testing.assert_close(candidate.weights[name], value, rtol=0, atol=tolerance)


@pytest.mark.parametrize("arithmetic", ["dense", "sparse"])
def test_single_precision_agrees_as_far_as_it_goes(data, arithmetic):
    factory, masks = MODELS["mlp of one"], masks_for(MODELS["mlp of one"])
    single = tuple((inputs.float(), targets) for inputs, targets in data)
    found = train_population(
        factory,
        masks,
        single[0],
        recipe(),
        range(COUNT),
        validation=single[1],
        keep_weights=True,
        arithmetic=arithmetic,
    )
    for k, candidate in enumerate(found.candidates):
        reference = alone(factory, masks[k], data, recipe(), k, dtype=torch.float32)
        assert_equal_states(candidate.weights, reference.model, tolerance=1e-4)


@pytest.mark.parametrize("arithmetic", ["dense", "sparse"])
def test_a_diverging_candidate_is_reported_and_disturbs_nobody(data, arithmetic):
    factory, masks = MODELS["mlp of one"], masks_for(MODELS["mlp of one"])
    initial = [initialise(factory, k).double().state_dict() for k in range(COUNT)]
    initial[2]["1.weight"] = initial[2]["1.weight"] * 1e200
    initial[2]["3.weight"] = initial[2]["3.weight"] * 1e200
    found = train_population(
        factory,
        masks,
        data[0],
        recipe(),
        range(COUNT),
        validation=data[1],
        initial=initial,
        keep_weights=True,
        halving=Halving((1,), 0.8),
        arithmetic=arithmetic,
    )
    assert [candidate.diverged for candidate in found.candidates] == [k == 2 for k in range(COUNT)]
    assert found.candidates[2].stopped
    assert (found.candidates[2].weights["1.weight"][~masks[2]["1.weight"]] == 0).all()
    for k in (0, 1, 3, 4):
        reference = alone(factory, masks[k], data, recipe(), k)
        assert_equal_states(found.candidates[k].weights, reference.model)


@pytest.mark.parametrize("arithmetic", ["dense", "sparse"])
@pytest.mark.parametrize("together", [2, 3, COUNT])
def test_halving_keeps_the_best_and_changes_nothing_for_them(data, together, arithmetic):
    factory, masks = MODELS["mlp of one"], masks_for(MODELS["mlp of one"])
    chosen = recipe(epochs=4)
    shared = {"validation": data[1], "keep_weights": True, "together": together}
    shared["arithmetic"] = arithmetic
    full = train_population(factory, masks, data[0], chosen, range(COUNT), **shared)
    halved = train_population(
        factory, masks, data[0], chosen, range(COUNT), halving=Halving((1, 3), 0.5), **shared
    )
    assert sorted(c.epochs for c in halved.candidates) == [1, 1, 3, 4, 4]
    assert halved.epochs == 13
    for ours, whole in zip(halved.candidates, full.candidates, strict=True):
        assert ours.accuracies == whole.accuracies[: ours.epochs]
        assert ours.losses == pytest.approx(whole.losses[: ours.epochs], abs=1e-10)
        assert ours.ended == ("whole" if ours.epochs == 4 else "rung")
        assert ours.stopped == (ours.epochs < 4)
        assert ours.weights is not None
    after_one = {k: c.accuracies[0] for k, c in enumerate(full.candidates)}
    gone = {k for k, c in enumerate(halved.candidates) if c.epochs == 1}
    assert max(after_one[k] for k in gone) <= min(after_one[k] for k in after_one.keys() - gone)


@pytest.mark.parametrize("arithmetic", ["dense", "sparse"])
def test_patience_stops_a_candidate_where_it_stops_the_loop(data, arithmetic):
    factory, masks = MODELS["mlp of one"], masks_for(MODELS["mlp of one"])
    chosen = recipe(epochs=12, patience=2, learning_rate=0.05)
    found = train_population(
        factory,
        masks,
        data[0],
        chosen,
        range(COUNT),
        validation=data[1],
        keep_weights=True,
        arithmetic=arithmetic,
    )
    assert len({candidate.epochs for candidate in found.candidates}) > 1
    for k, candidate in enumerate(found.candidates):
        model = initialise(factory, k).double()
        reference = train(model, *data[0], chosen, mask=masks[k], seed=0, validation=data[1])
        assert candidate.accuracies == reference.accuracies
        assert candidate.ended == ("whole" if candidate.epochs == 12 else "patience")
        assert_equal_states(candidate.weights, reference.model)


def test_where_memory_runs_out_halves_go_on(data, monkeypatch):
    factory, masks = MODELS["mlp of one"], masks_for(MODELS["mlp of one"])
    expected = train_population(factory, masks, data[0], recipe(), range(COUNT), validation=data[1])
    advance, calls = population.TorchStack.advance, []

    def small(stack):
        calls.append(len(stack))
        if len(stack) > 2:
            raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
        if len(calls) == 4:  # The second epoch of a group that was well until then.
            raise torch.OutOfMemoryError("CUDA out of memory")
        return advance(stack)

    monkeypatch.setattr(population.TorchStack, "advance", small)
    found = train_population(
        factory,
        masks,
        data[0],
        recipe(),
        range(COUNT),
        validation=data[1],
        together=COUNT,
        arithmetic="dense",
    )
    assert calls[:4] == [5, 3, 2, 2]
    assert found.together == 1
    for ours, whole in zip(found.candidates, expected.candidates, strict=True):
        assert ours.losses == pytest.approx(whole.losses, abs=1e-10)
        assert ours.epochs == 2

    def never(stack):
        raise MemoryError

    monkeypatch.setattr(population.TorchStack, "advance", never)
    with pytest.raises(RecipeError, match="lower batch_size from 32"):
        train_population(
            factory,
            masks,
            data[0],
            recipe(),
            range(COUNT),
            validation=data[1],
            arithmetic="dense",
        )


def test_another_error_is_not_taken_for_a_lack_of_memory(data, monkeypatch):
    def broken(stack):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    monkeypatch.setattr(population.TorchStack, "advance", broken)
    factory = MODELS["convolutional"]
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        train_population(factory, [None], data[0], recipe(), [0], validation=data[1])


def test_as_many_at_once_as_memory_holds(data, monkeypatch):
    (inputs, targets), _ = data
    task = Task(inputs, targets, recipe(), 0)
    model = mlp([36, 16, 3]).double()
    # 643 parameters five times, and 16 + 16 + 3 + 36 outputs of leaves for 32 examples thrice.
    each = 8 * (5 * 643 + 3 * 32 * (36 + 16 + 16 + 3))
    for memory, count in ((2 * each * 7.5, 7), (each, 1), (1e12, 9)):
        monkeypatch.setattr(population_run, "free_memory", lambda device, memory=memory: memory)
        assert population_run.affordable(model, task, [None] * 9, population.TorchStack) == count
    # An evaluation of 500 examples at once takes more than a mini-batch of 32 thrice.
    validation = (inputs.repeat(5, 1, 1, 1)[:500], targets.repeat(5)[:500])
    task = Task(inputs, targets, recipe(), 0, validation)
    each = 8 * (5 * 643 + 500 * (36 + 16 + 16 + 3))
    monkeypatch.setattr(population_run, "free_memory", lambda device: 2 * each * 7.5)
    assert population_run.affordable(model, task, [None] * 9, population.TorchStack) == 7


def test_with_the_kernels_memory_holds_what_the_masks_keep(data, monkeypatch):
    (inputs, targets), _ = data
    task, model = Task(inputs, targets, recipe(), 0), mlp([36, 16, 3]).double()
    mask = fixed(Mask({"1.weight": torch.arange(16 * 36).view(16, 36) < 76}))
    # 76 + 16 + 48 + 3 parameters are kept of 643; the data are 110 * 36 numbers.
    each = 143 * (5 * 8 + 16) + 643 * (8 + 1)
    monkeypatch.setattr(
        population_run, "free_memory", lambda device: 2 * (each * 7.5 + 110 * 36 * 8)
    )
    assert population_run.affordable(model, task, [mask] * 9, population.KernelStack) == 7
    assert population_run.affordable(model, task, [mask] * 9, population.TorchStack) < 7


def test_progress_counts_epochs_of_candidates(data):
    seen = []
    train_population(
        MODELS["mlp of one"],
        [None] * 3,
        data[0],
        recipe(),
        range(3),
        validation=data[1],
        together=2,
        progress=lambda *step: seen.append(step),
    )
    assert seen == [(0, 6), (2, 6), (4, 6), (5, 6), (6, 6)]


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"seeds": [1]}, SettingError, "2 masks and 1 seeds"),
        ({"masks": [], "seeds": []}, SettingError, "0 masks"),
        ({"initial": [{}]}, SettingError, "1 initial weights for 2 masks"),
        ({"together": 0}, SettingError, "together = 0"),
        ({"threads": 0}, SettingError, "threads = 0"),
        ({"halving": Halving((1, 2))}, SettingError, "rung 2 .* give rungs below 2"),
        ({"arithmetic": "spares"}, UnknownNameError, "did you mean sparse"),
        ({"masks": [None, Mask({"1.weight": torch.ones(2, 2) > 0})]}, MaskError, r"\(2, 2\)"),
    ],
)
def test_bad_input_is_one_sentence(data, changes, error, sentence):
    values = {"masks": [None, None], "seeds": [0, 1]} | changes
    masks, seeds = values.pop("masks"), values.pop("seeds")
    factory = MODELS["mlp of one"]
    with pytest.raises(error, match=sentence):
        train_population(factory, masks, data[0], recipe(), seeds, validation=data[1], **values)


def test_halving_checks_its_numbers():
    assert [Halving((1,), 0.3).survivors(n) for n in (1, 3, 10)] == [1, 1, 3]
    assert Halving((1,), 0.07).survivors(100) == 7  # 0.07 * 100 is a little above 7
    for rungs in ((), (2, 1), (0, 1)):
        with pytest.raises(SettingError, match="ascending"):
            Halving(rungs)
    with pytest.raises(SettingError, match=r"keep 1\.0"):
        Halving((1,), 1.0)


def test_a_diverged_loss_counts_below_any_other():
    fine = Metrics(0.9, 0.3, 10)
    assert TrainedCandidate(0, None, fine, (0.5,), (0.9,)).score == 0.9
    assert TrainedCandidate(0, None, fine, (math.nan,), (0.9,)).score == -1.0
    assert TrainedCandidate(0, None, Metrics(0.9, math.inf, 10), (0.5,), (0.9,)).score == -1.0
    assert TrainedCandidate(0, None, fine, (0.5,), (0.9,), finite=False).score == -1.0


def test_what_the_kernels_cannot_take_goes_through_torch(data):
    for kind in ("convolutional", "attention"):
        factory = MODELS[kind]
        with pytest.raises(SettingError, match="use 'auto' or 'dense'"):
            train_population(
                factory,
                [None],
                data[0],
                recipe(),
                [0],
                validation=data[1],
                arithmetic="sparse",
            )
        found = train_population(factory, [None], data[0], recipe(), [0], validation=data[1])
        assert found.candidates[0].epochs == 2


def test_inputs_that_are_on_in_the_validation_set_alone_count(data):
    (inputs, targets), (others, answers) = data
    inputs = inputs.clone()
    inputs[:, :, 0] = 0.0  # never on in training, but in the validation set
    factory, masks = MODELS["mlp of one"], masks_for(MODELS["mlp of one"])
    found = train_population(
        factory,
        masks,
        (inputs, targets),
        recipe(),
        range(COUNT),
        validation=(others, answers),
        keep_weights=True,
        arithmetic="sparse",
    )
    for k, candidate in enumerate(found.candidates):
        model = train(
            initialise(factory, k).double(), inputs, targets, recipe(), mask=masks[k], seed=0
        ).model
        assert_equal_states(candidate.weights, model)
        assert candidate.metrics.accuracy == evaluate(model, others, answers).accuracy


def test_a_split_is_taken_as_it_is(data):
    (inputs, targets), (others, answers) = data
    parts = Split(inputs, targets, others, answers, others[:0], answers[:0], "holdout")
    factory, masks = MODELS["mlp of one"], masks_for(MODELS["mlp of one"])
    found = train_population(factory, masks, parts, recipe(), range(COUNT))
    same = train_population(factory, masks, data[0], recipe(), range(COUNT), validation=data[1])
    assert [c.losses for c in found.candidates] == [c.losses for c in same.candidates]
    assert [c.metrics for c in found.candidates] == [c.metrics for c in same.candidates]
    with pytest.raises(SettingError, match="nothing to be measured on"):
        train_population(factory, masks, data[0], recipe(), range(COUNT))

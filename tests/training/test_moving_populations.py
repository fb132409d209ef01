"""Populations whose masks move while they train, against the loop of one candidate."""

import gc
import weakref
from dataclasses import replace

import pytest
import torch
from torch import nn

from bogp.errors import SettingError
from bogp.graphs import generate
from bogp.masks import WEIGHT, Granularity, Mask
from bogp.sparsify import METHODS, Method, Mover, Moves, fixed, make_mover
from bogp.training import Halving, Recipe, initialise, mlp, population, train, train_population
from bogp.training.task import Task

STACKS = {"dense": population.TorchStack, "sparse": population.KernelStack}
EXAMPLES, BATCH, EPOCHS = 110, 32, 4
STEPS = EPOCHS * 4


def convolutional():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(36, 8),
        nn.ReLU(),
        nn.Linear(8, 3),
    )


def dropping():
    layers = (nn.Linear(36, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))
    return nn.Sequential(nn.Flatten(), *layers)


class Normalised(nn.Module):
    """Tokens through a residual layer with a layer norm, whose channels leave with their gains."""

    def __init__(self):
        super().__init__()
        self.embed, self.mix, self.head = nn.Linear(4, 8), nn.Linear(8, 8), nn.Linear(8, 3)
        self.norm = nn.LayerNorm(8)

    def forward(self, inputs):
        tokens = self.embed(inputs.flatten(1).unflatten(1, (9, 4)))
        return self.head(self.norm(tokens + self.mix(tokens).relu()).mean(1))


MODELS = {
    "perceptron": lambda: mlp([36, 16, 12, 3]),
    "convolutional": convolutional,
    "dropping": dropping,
    "normalised": Normalised,
}
WAYS = [(name, "dense") for name in MODELS] + [("perceptron", "sparse")]


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(150, 1, 6, 6, generator=generator, dtype=torch.float64)
    inputs[:, :, 2, :3] = 0.0  # inputs that are never on
    targets = inputs.flatten(1)[:, :3].argmax(1)
    return (inputs[:EXAMPLES], targets[:EXAMPLES]), (inputs[EXAMPLES:], targets[EXAMPLES:])


def recipe(**changes):
    return Recipe(**({"learning_rate": 0.01, "batch_size": BATCH, "epochs": EPOCHS} | changes))


def moving(name, *, granularity=WEIGHT, **moves):
    """Return a method that moves otherwise than its namesake."""
    method = METHODS[name]
    return replace(method, moves=replace(method.moves, **moves), granularity=granularity)


ASKED = {
    "gradual": (moving("gradual", every=3), 0.8),
    "set": (moving("set", every=2), 0.7),
    "rigl": (moving("rigl", every=5, end=1.0), 0.6),
    "falling and regrown": (moving("gradual", every=3, regrow=0.4, grow="gradient"), 0.7),
    "in a graph": (moving("gradual", every=2, end=0.6), 0.9),
    "by data": (Method("snip", "global", moves=Moves(every=4)), 0.7),
    "blocks": (moving("set", every=3, granularity=Granularity("block", 4), regrow=0.5), 0.5),
    "channels": (moving("gradual", every=4, granularity=Granularity("channel")), 0.5),
}
"""Movers by name: method and sparsity."""


def movers(factory, data, names=tuple(ASKED), steps=STEPS):
    """Return a mover for each name; each has a seed of its own."""
    (inputs, targets), _ = data
    model = initialise(factory, 0).double()
    return [
        make_mover(
            model,
            ASKED[name][0],
            ASKED[name][1],
            steps=steps,
            support=generate("uniform", 8, 12, 0) if name == "in a graph" else None,
            seed=20 + k,
            examples=(inputs[:40], targets[:40]),
        )
        for k, name in enumerate(names)
    ]


def fixed_mask(factory):
    """Return a mask that stays what it is."""
    generator = torch.Generator().manual_seed(9)
    shapes = {name: p.shape for name, p in factory().named_parameters() if p.dim() > 1}
    return Mask({n: torch.rand(s, generator=generator) < 0.4 for n, s in shapes.items()})


def trained(factory, masks, data, seeds=None, **settings):
    settings = {"keep_weights": True, "order_seed": 8, "threads": 1, "recipe": recipe()} | settings
    chosen = settings.pop("recipe")
    return train_population(
        factory, masks, data[0], chosen, seeds or range(len(masks)), validation=data[1], **settings
    ).candidates


def assert_same(ours, weights, losses, mask):
    assert ours.mask == mask
    assert ours.losses == pytest.approx(losses, abs=1e-10)
    assert ours.weights.keys() == weights.keys()
    for name, value in weights.items():
        torch.testing.assert_close(ours.weights[name], value, rtol=0, atol=1e-10)
    for name, layer in (mask or {}).items():
        assert (ours.weights[name][~layer] == 0).all()


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize(("name", "arithmetic"), WAYS)
def test_each_candidate_gets_what_it_gets_alone(data, name, arithmetic, optimizer):
    factory = MODELS[name]
    chosen = recipe(optimizer=optimizer, momentum=0.9 * (optimizer == "sgd"), weight_decay=0.01)
    masks = [fixed_mask(factory), *movers(factory, data), None]
    found = trained(factory, masks, data, recipe=chosen, arithmetic=arithmetic)
    for k, (ours, mask) in enumerate(zip(found, masks, strict=True)):
        model = initialise(factory, k).double()
        alone = train(model, *data[0], chosen, mask=mask, seed=8, validation=data[1])
        assert_same(ours, alone.model.state_dict(), alone.losses, alone.mask)
        assert ours.accuracies == alone.accuracies
        assert ours.ended == "whole"
    kept = [ours.mask.kept for ours in found[1:-1]]
    totals = [round((1 - s) * found[1].mask.total) for _, s in ASKED.values()]
    assert kept[:6] == totals[:6]
    assert len({ours.mask.fingerprint for ours in found[:-1]}) == len(masks) - 1


@pytest.mark.parametrize(("name", "arithmetic"), WAYS)
def test_counts_are_exact_at_every_update(data, name, arithmetic, monkeypatch):
    factory, moved, seen = MODELS[name], Mover.moved, []

    def watched(mover, step, model, mask, gradients=None):
        parameters = dict(model.named_parameters())
        assert all((parameters[n][~layer] == 0).all() for n, layer in mask.items() if step)
        assert (gradients is not None) == mover.wants_gradients(step)
        after = moved(mover, step, model, mask, gradients)
        if step in mover.plan:
            seen.append((mover, step))
            assert all((layer <= mover.support[n]).all() for n, layer in after.items())
            if mover.method.granularity == WEIGHT:
                assert after.kept == mover.plan[step].kept
        return after

    monkeypatch.setattr(Mover, "moved", watched)
    masks = movers(factory, data)
    trained(factory, [*masks, None], data, arithmetic=arithmetic)
    assert sorted(step for _, step in seen) == sorted(s for mover in masks for s in mover.plan)


@pytest.mark.parametrize("arithmetic", STACKS)
def test_a_mask_grows_by_the_gradient_of_the_last_step_before_it_moves(data, arithmetic):
    """No other candidate moves, so that nothing else halts before the step."""
    (mover,) = movers(MODELS["perceptron"], data, ("rigl",))
    (ours,) = trained(MODELS["perceptron"], [mover], data, arithmetic=arithmetic)
    model = initialise(MODELS["perceptron"], 0).double()
    alone = train(model, *data[0], recipe(), mask=mover, seed=8)
    assert_same(ours, alone.model.state_dict(), alone.losses, alone.mask)


@pytest.mark.parametrize("arithmetic", STACKS)
@pytest.mark.parametrize("together", [2, 9])
def test_halving_in_mid_schedule_changes_nothing_for_those_who_stay(data, arithmetic, together):
    factory = MODELS["perceptron"]
    masks = [fixed_mask(factory), *movers(factory, data), None]
    whole = trained(factory, masks, data, arithmetic=arithmetic)
    halving = Halving((1, 2, 3), 0.75)
    found = trained(factory, masks, data, arithmetic=arithmetic, halving=halving, together=together)
    assert [sum(one.epochs == n for one in found) for n in (1, 2, 3, 4)] == [2, 2, 1, 5]
    for ours, theirs, mover in zip(found[1:-1], whole[1:-1], masks[1:-1], strict=True):
        if ours.ended == "whole":
            assert_same(ours, theirs.weights, theirs.losses, theirs.mask)
            continue
        assert ours.losses == pytest.approx(theirs.losses[: ours.epochs], abs=1e-10)
        # It has the mask that it had then.
        done = [update.kept for step, update in mover.plan.items() if step <= 4 * ours.epochs]
        if mover.method.granularity == WEIGHT:
            assert ours.mask.kept == (done or [mover.support.kept])[-1]
        for name, layer in ours.mask.items():
            assert (ours.weights[name][~layer] == 0).all()


@pytest.mark.parametrize("arithmetic", STACKS)
def test_stacks_are_selected_and_joined_in_mid_schedule(data, arithmetic):
    """Rows leave and come together in another order; each goes on as it would have alone."""
    factory, kind = MODELS["perceptron"], STACKS[arithmetic]
    every = [fixed_mask(factory), *movers(factory, data), None]
    every = [fixed(mask) if isinstance(mask, Mask) else mask for mask in every]
    task = Task(*data[0], recipe(), 8, data[1])

    def begun(rows):
        models = [initialise(factory, row).double() for row in rows]
        return kind(models, [every[row] for row in rows], task)

    first, second = begun([0, 1, 2, 3, 4]), begun([5, 6, 7, 8])
    for stack in (first, second):
        stack.advance()
    rows = [5, 7, 8, 1, 3, 4]
    stack = second.select([0, 2, 3]).joined(first.select([1, 3, 4]))
    assert stack.masks[3] is first.masks[1]
    stack.advance()
    stack, rows = stack.select([0, 3, 5]), [rows[k] for k in (0, 3, 5)]
    for _ in range(EPOCHS - 2):
        stack.advance()
    for row, state, mask in zip(rows, stack.states(), stack.masks, strict=True):
        alone = train(
            initialise(factory, row).double(), *data[0], task.recipe, mask=every[row], seed=8
        )
        assert mask == alone.mask
        for name, value in alone.model.state_dict().items():
            torch.testing.assert_close(state[name], value, rtol=0, atol=1e-10)


@pytest.mark.parametrize("arithmetic", STACKS)
def test_patience_counts_once_the_mask_moves_no_more(data, arithmetic):
    factory, chosen = MODELS["perceptron"], recipe(epochs=8, patience=1, learning_rate=0.05)
    masks = movers(factory, data, ("gradual", "set", "rigl", "in a graph"), steps=8 * 4)
    masks.append(fixed_mask(factory))
    found = trained(factory, masks, data, recipe=chosen, arithmetic=arithmetic)
    assert "patience" in {one.ended for one in found[:4]}
    for k, (ours, mask) in enumerate(zip(found, masks, strict=True)):
        model = initialise(factory, k).double()
        alone = train(model, *data[0], chosen, mask=mask, seed=8, validation=data[1])
        assert ours.accuracies == alone.accuracies
        assert ours.mask == alone.mask
        if k < 4:
            assert ours.epochs >= -(-mask.last // 4) + 2 or ours.ended == "whole"


def test_what_goes_with_a_channel_is_held_too(data):
    """The gain of a layer norm, and the statistics that heed it."""
    (found,) = trained(Normalised, movers(Normalised, data, ("channels",)), data)
    gone = ~found.mask["mix.weight"].any(1)
    assert 0 < int(gone.sum()) < 8
    assert ((found.weights["norm.weight"] == 0) == gone).all()


def test_a_stack_that_is_let_go_takes_its_tensors_with_it(data):
    """A circle through the optimiser's hooks would keep them until the next collection."""
    factory = MODELS["perceptron"]
    models = [initialise(factory, k).double() for k in range(2)]
    chosen = movers(factory, data, ("gradual", "rigl"))
    gc.disable()
    try:
        stack = population.TorchStack(models, chosen, Task(*data[0], recipe(), 8, data[1]))
        stack.advance()
        kept = [weakref.ref(tensor) for tensor in stack.parameters.values()]
        other = stack.select([1])
        del stack
        assert [ref() for ref in kept] == [None] * len(kept)
        other.advance()
        assert other.masks[0].kept == chosen[1].plan[0].kept
    finally:
        gc.enable()


def test_a_plan_that_the_recipe_cannot_carry_out_is_one_sentence(data):
    factory = MODELS["perceptron"]
    late = movers(factory, data, ("gradual",), steps=100)
    with pytest.raises(SettingError, match=r"after step 69, .* 16 steps: .* steps = 16"):
        trained(factory, late, data)
    back = make_mover(initialise(factory, 0), METHODS["imp"], 0.8, steps=STEPS)
    with pytest.raises(SettingError, match="goes back to the weights of the beginning"):
        trained(factory, [back], data)


def test_memory_counts_the_gradients_and_what_a_move_takes(data):
    model, task = MODELS["perceptron"]().double(), Task(*data[0], recipe(), 8, data[1])
    falling, growing = movers(lambda: mlp([36, 16, 12, 3]), data, ("gradual", "rigl"))
    still = fixed(fixed_mask(MODELS["perceptron"]))
    weights = sum(p.numel() for p in model.parameters())
    shared, each = population.TorchStack.memory(model, [falling, still, None], task)
    assert population.TorchStack.memory(model, [still, growing], task) == (
        shared,
        each + 8 * weights,
    )
    sparse = population.KernelStack.memory
    dense = weights * (5 * 8 + 16)
    assert sparse(model, [falling], task)[1] == 2 * dense + weights * 9
    assert sparse(model, [None], task)[1] == dense + weights * 9
    kept = weights - growing.support.total + growing.plan[0].kept
    assert sparse(model, [growing], task)[1] == 2 * kept * (5 * 8 + 16) + weights * 9

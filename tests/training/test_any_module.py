"""Modules of every kind and targets of positions: alone, together, masked, frozen, measured."""

import copy
import math

import pytest
import torch
from torch import nn

from bogp.errors import DataError, RecipeError, SettingError
from bogp.masks import Mask
from bogp.sparsify import fixed
from bogp.training import (
    Recipe,
    evaluate,
    gpt,
    initialise,
    lenet_5,
    loop,
    mlp,
    model_factory,
    resnet,
    torch_stack,
    train,
    train_population,
    vit,
)
from bogp.training.checks import check_fit
from bogp.training.outputs import evaluation_batch
from bogp.training.task import Task
from bogp.training.torch_stack import TorchStack, vmap_agrees

DRAWS = torch.Generator().manual_seed(0)
IMAGES = torch.rand(70, 8, 8, generator=DRAWS, dtype=torch.float64)
LABELS = torch.randint(0, 3, (70,), generator=DRAWS)
TOKENS = torch.randint(0, 7, (70, 5), generator=DRAWS)
NEXT = (3 * TOKENS + 1) % 7
ROWS = torch.randn(70, 4, generator=DRAWS, dtype=torch.float64)


def dropping():
    layers = (nn.Linear(4, 8), nn.ReLU(), nn.Dropout(0.4), nn.Linear(8, 3))
    return nn.Sequential(*layers)


class Branching(nn.Module):
    """Looks at a number to decide, which vmap refuses."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, inputs):
        hidden = self.one(inputs)
        return self.two(hidden.relu() if hidden.mean() > 0 else hidden.tanh())


class Averaging(nn.Module):
    """Replaces a buffer in each forward pass of its training, which vmap would lose."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, inputs):
        logits = self.head(inputs)
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * logits.detach().mean(0)
        return logits - self.mean


KINDS = {
    "convolutions": (lambda: lenet_5((8, 8), 3), IMAGES, LABELS),
    "residual": (lambda: resnet(8, (8, 8), 3, width=2), IMAGES, LABELS),
    "attention": (lambda: vit((8, 8), 3, width=8, heads=2), IMAGES, LABELS),
    "packed": (lambda: vit((8, 8), 3, width=8, heads=2, attention="packed"), IMAGES, LABELS),
    "tokens": (lambda: gpt(7, 5, width=8, heads=2).double(), TOKENS, NEXT),
    "dropout": (dropping, ROWS, LABELS),
    "branching": (Branching, ROWS, LABELS),
    "averaging": (Averaging, ROWS, LABELS),
}


def recipe(**changes):
    return Recipe(**({"learning_rate": 0.01, "batch_size": 25, "epochs": 2} | changes))


def masks_for(model):
    """Return masks of all weights, of different densities, and none."""
    weights = {n: p for n, p in model.named_parameters() if p.dim() > 1}
    masks = []
    for k in (1, 2):
        draws = torch.Generator().manual_seed(k)
        masks.append(
            Mask({n: torch.rand(p.shape, generator=draws) < k / 3 for n, p in weights.items()})
        )
    return [*masks, None]


def together(kind, **settings):
    factory, inputs, targets = KINDS[kind]
    chosen = settings.pop("recipe", recipe(optimizer="adamw", weight_decay=0.1))
    return train_population(
        factory,
        masks_for(factory()),
        (inputs, targets),
        chosen,
        range(3),
        validation=(inputs[:30], targets[:30]),
        order_seed=4,
        keep_weights=True,
        threads=1,
        **settings,
    )


def alone(kind, k):
    factory, inputs, targets = KINDS[kind]
    chosen = recipe(optimizer="adamw", weight_decay=0.1)
    model = initialise(factory, k).double()
    mask = masks_for(factory())[k]
    held = (inputs[:30], targets[:30])
    return train(model, inputs, targets, chosen, mask=mask, seed=4, validation=held)


@pytest.mark.parametrize("kind", KINDS)
def test_three_together_are_three_alone_and_pruned_weights_are_zero(kind):
    found = together(kind)
    for k, candidate in enumerate(found.candidates):
        expected = alone(kind, k)
        assert candidate.losses == pytest.approx(expected.losses, abs=1e-7)
        assert candidate.accuracies == pytest.approx(expected.accuracies, abs=0.05)
        state = expected.model.state_dict()
        assert candidate.weights.keys() == state.keys()
        for name, value in state.items():
            # Biases before a normalisation, and those of keys, have a gradient of rounding alone.
            if "bias" not in name:
                torch.testing.assert_close(candidate.weights[name], value, rtol=0, atol=1e-6)
        for name, layer in (candidate.mask or {}).items():
            assert not candidate.weights[name][~layer].any()
            assert not state[name][~layer].any()
            assert candidate.weights[name][layer].all()


@pytest.mark.parametrize("kind", KINDS)
def test_exact_populations_leave_vmap_out_with_the_same_result(kind, monkeypatch):
    def refused(*_):
        raise AssertionError("vmap")

    monkeypatch.setattr(torch_stack, "vmap", refused)
    monkeypatch.setattr(torch_stack, "vmap_agrees", refused)
    found = together(kind, exact=True)
    for k, candidate in enumerate(found.candidates):
        expected = alone(kind, k)
        assert candidate.losses == pytest.approx(expected.losses, rel=1e-12)
        for name, value in expected.model.state_dict().items():
            if "bias" not in name:
                torch.testing.assert_close(candidate.weights[name], value, rtol=0, atol=1e-9)


def test_vmap_is_tried_and_taken_where_it_can():
    taken = {
        kind: vmap_agrees(factory().double(), inputs)
        for kind, (factory, inputs, _) in KINDS.items()
        if kind != "dropout"
    }
    assert taken["convolutions"]
    assert taken["residual"]
    assert not taken["branching"]
    assert not taken["averaging"]
    model = resnet(8, (8, 8), 3, width=2).double()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    vmap_agrees(model, IMAGES)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("kind", ["packed", "tokens"])
def test_neither_decay_nor_momentum_moves_a_pruned_weight(kind, optimizer, monkeypatch):
    made = []

    def noted(*arguments):
        made.append(make(*arguments))
        return made[-1]

    make = loop.make_optimizer
    monkeypatch.setattr(loop, "make_optimizer", noted)
    factory, inputs, targets = KINDS[kind]
    decay = {"optimizer": optimizer, "weight_decay": 0.1}
    chosen = recipe(**decay, **({"momentum": 0.9} if optimizer == "sgd" else {}))
    model = initialise(factory, 0).double()
    name = "token.weight" if kind == "tokens" else "blocks.0.attention.in_proj_weight"
    layer = torch.rand(model.get_parameter(name).shape, generator=torch.Generator()) < 0.5
    trained = train(model, inputs, targets, chosen, mask=Mask({name: layer}), seed=0).model
    weight = trained.get_parameter(name)
    assert not weight[~layer].any()
    assert not (weight[layer] == model.get_parameter(name)[layer]).any()
    if kind == "tokens":
        assert trained.head.weight is trained.token.weight
    moments = [value for value in made[0].state[weight].values() if value.shape == layer.shape]
    assert len(moments) == (1 if optimizer == "sgd" else 2)
    assert not any(value[~layer].any() for value in moments)
    pruned = TorchStack(
        [model, model], [fixed(Mask({name: layer})), None], Task(inputs, targets, chosen, 0)
    )
    pruned.advance()
    state = pruned.optimizer.state[pruned.parameters[name]]
    moments = [value[0] for value in state.values() if value.shape[1:] == layer.shape]
    assert moments
    assert not any(value[~layer].any() for value in moments)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_frozen_parameters_do_not_move_under_weight_decay(optimizer):
    def factory():
        model = gpt(7, 5, width=8, heads=2)
        model.token.requires_grad_(False)
        model.blocks[0].requires_grad_(False)
        # What is left of an earlier backward pass must not be stepped along.
        model.token.weight.grad = torch.ones_like(model.token.weight)
        return model

    chosen = recipe(optimizer=optimizer, weight_decay=0.5)
    start = initialise(factory, 0)
    trained = train(start, TOKENS, NEXT, chosen, seed=0).model.state_dict()
    found = train_population(
        factory, [None] * 2, (TOKENS, NEXT), chosen, [0, 0], validation=(TOKENS, NEXT),
        keep_weights=True, threads=1,
    )  # fmt: skip
    frozen = {name for name, p in start.named_parameters() if not p.requires_grad}
    for state in (trained, found.candidates[1].weights):
        for name, value in start.named_parameters():
            assert torch.equal(state[name], value) == (name in frozen)


def test_the_loss_of_tokens_is_the_mean_over_positions():
    model = gpt(7, 5, width=8, heads=2).double()
    found = train(model, TOKENS, NEXT, recipe(optimizer="sgd", batch_size=32), seed=3)
    reference, order = copy.deepcopy(model), torch.Generator().manual_seed(3)
    optimizer, losses = torch.optim.SGD(reference.parameters(), lr=0.01), []
    for _ in range(2):
        for rows in torch.randperm(70, generator=order).split(32):
            logs = reference(TOKENS[rows]).log_softmax(-1)
            each = -logs.gather(-1, NEXT[rows][..., None])
            optimizer.zero_grad()
            each.mean().backward()
            optimizer.step()
            losses.append(float(each.detach().sum()))
    assert found.losses == pytest.approx((sum(losses[:3]) / 350, sum(losses[3:]) / 350))
    for mine, theirs in zip(found.model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-10)


def test_metrics_count_positions():
    logits = torch.randn(6, 4, 3, generator=torch.Generator().manual_seed(0))
    targets = torch.randint(0, 3, (6, 4), generator=torch.Generator().manual_seed(1))
    found = evaluate(nn.Identity(), logits, targets, batch_size=4)
    assert found == evaluate(nn.Identity(), logits.flatten(0, 1), targets.flatten(), batch_size=16)
    assert found.count == 24
    assert found.accuracy == pytest.approx(float((logits.argmax(-1) == targets).double().mean()))
    ones = targets == 1
    right = (logits.argmax(-1) == 1) & ones
    assert found.per_class[1] == pytest.approx(int(right.sum()) / int(ones.sum()))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_other_types_of_numbers(dtype):
    inputs, targets = ROWS.to(dtype), ROWS[:, :3].argmax(1)
    factory = model_factory("mlp:16", 4, 3)
    chosen = recipe(epochs=15)
    alone = train(initialise(factory, 0).to(dtype), inputs, targets, chosen, seed=0)
    assert {p.dtype for p in alone.model.parameters()} == {dtype}
    metrics = evaluate(alone.model, inputs, targets)
    assert metrics.accuracy > 0.8
    # Probabilities are not rounded to the few digits that the logits have.
    wide = evaluate(nn.Identity(), alone.model(inputs).detach().float(), targets)
    assert metrics.loss == pytest.approx(wide.loss, rel=1e-6)
    assert metrics.calibration_error == pytest.approx(wide.calibration_error, rel=1e-5)
    found = train_population(
        factory,
        [None] * 2,
        (inputs, targets),
        chosen,
        range(2),
        validation=(inputs, targets),
        threads=1,
    )
    assert found.candidates[0].metrics.accuracy > 0.8


class Counting(nn.Module):
    """Changes buffers whenever it runs, one in place and one by another in its stead."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout())
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, inputs):
        self.calls += 1
        self.seen = self.seen + len(inputs)
        return self.inner(nn.functional.dropout(inputs))


def test_a_look_at_the_classes_changes_nothing_of_the_model():
    model = Counting().double().train()
    model.inner[1].eval()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    seen = model.seen
    assert check_fit(model, ROWS) == 3
    assert evaluation_batch(model, ROWS, 64) == 64
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.seen is seen
    assert torch.equal(state, torch.get_rng_state())
    evaluate(model, ROWS, LABELS)
    assert [m.training for m in model.modules()] == [True, True, True, False, True]


@pytest.mark.parametrize("spec", ["mlp:4", "resnet-8:width=2", "gpt:width=4"])
def test_a_model_that_cannot_take_the_inputs_is_told_by_their_shape(spec):
    shape = (8,) if spec.startswith("gpt") else (8, 8)
    model = model_factory(spec, shape, 3)()
    kind = type(model).__name__
    sentence = rf"{kind} cannot take inputs of shape \(1, 2, 3, 5\) and type torch.float32 \(.+\): "
    with pytest.raises(SettingError, match=sentence):
        check_fit(model, torch.rand(4, 2, 3, 5))


def test_targets_go_with_the_logits():
    model = gpt(7, 5, width=8, heads=2)
    chosen = recipe()
    with pytest.raises(SettingError, match=r"GPT gives \(1, 5, 7\) for .* targets .* \(70, 4\)"):
        train(model, TOKENS, NEXT[:, :4], chosen, seed=0)
    with pytest.raises(SettingError, match=r"validation targets have shape \(70,\)"):
        train(model, TOKENS, NEXT, chosen, seed=0, validation=(TOKENS, NEXT[:, 0]))
    with pytest.raises(DataError, match="label 7 of the training targets"):
        train(model, TOKENS, NEXT + 1, chosen, seed=0)
    with pytest.raises(DataError, match=r"evaluation targets have shape \(70, 3\)"):
        evaluate(mlp([4, 3]).double(), ROWS, nn.functional.one_hot(LABELS))
    with pytest.raises(DataError, match="no position"):
        evaluate(model, TOKENS, NEXT[:, :0])


def test_a_mini_batch_of_one_example_that_cannot_be_normalised_is_told_before():
    def factory():
        return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))

    sentence = "batch_size = 23 leaves a mini-batch of one of the 70 examples.*batch_size = 24, say"
    pair = (ROWS, LABELS)
    with pytest.raises(RecipeError, match=sentence):
        train(factory().double(), *pair, recipe(batch_size=23), seed=0)
    with pytest.raises(RecipeError, match=sentence):
        train_population(factory, [None], pair, recipe(batch_size=23), [0], validation=pair)
    with pytest.raises(RecipeError, match="give more of them"):
        train(factory().double(), ROWS[:1], LABELS[:1], recipe(), seed=0)
    train(factory().double(), *pair, recipe(batch_size=24), seed=0)
    train(mlp([4, 3]).double(), *pair, recipe(batch_size=23), seed=0)


def test_a_lazy_layer_is_told():
    model = nn.Sequential(nn.LazyLinear(3))
    with pytest.raises(SettingError, match=r"parameter '0.weight' of Sequential has no size yet"):
        train(model.double(), ROWS, LABELS, recipe(), seed=0)


def test_large_outputs_are_evaluated_in_smaller_batches_with_the_same_result():
    digits = torch.rand(2, 28, 28)
    # 16 maps of 28 x 28 are the largest output of a resnet, 6 of lenet-5.
    assert evaluation_batch(resnet(8, (28, 28), 10), digits, 4096) == 2**25 // (16 * 784)
    assert evaluation_batch(lenet_5((28, 28), 10), digits, 4096) == 4096
    assert evaluation_batch(mlp([784, 128, 10]), digits, 4096) == 4096
    assert evaluation_batch(nn.Flatten(), torch.rand(1, 3, 2048, 2048), 4096) == 2
    model = resnet(8, (8, 8), 3, width=2).double()
    whole, parts = (evaluate(model, IMAGES, LABELS, batch_size=b) for b in (None, 9))
    assert whole.accuracy == parts.accuracy
    assert math.isclose(whole.loss, parts.loss)

import copy
import math

import pytest
import torch
from torch import nn

from bogp.cores import torch_threads
from bogp.errors import MaskError
from bogp.masks import Mask, complete_mask
from bogp.training import Recipe, evaluate, initialise, mlp, train


@pytest.fixture
def problem():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(200, 12, generator=generator)
    targets = (inputs[:, 0] > 0).long() + 2 * (inputs[:, 1] > 0).long()
    model = initialise(lambda: mlp([12, 8, 4]), 0)
    mask = Mask({"1.weight": torch.rand(8, 12, generator=generator) < 0.5})
    return model, inputs, targets, mask


def reference(model, inputs, targets, recipe, mask, seed):
    """Train with the weights multiplied by the mask in the forward pass: another mechanism."""
    model = copy.deepcopy(model)
    weight, keep = model[1].weight, mask["1.weight"].float()
    kind = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[recipe.optimizer]
    optimizer = kind(model.parameters(), lr=recipe.learning_rate)
    generator = torch.Generator().manual_seed(seed)
    for _ in range(recipe.epochs):
        rows = torch.arange(len(targets))
        if recipe.batch_size:
            rows = torch.randperm(len(targets), generator=generator)
        for batch in rows.split(recipe.batch_size or len(targets)):
            hidden = nn.functional.linear(inputs[batch], weight * keep, model[1].bias).relu()
            loss = nn.functional.cross_entropy(model[3](hidden), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        weight.mul_(keep)
    return model


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("batch_size", [None, 32])
def test_training_equals_a_masked_forward_pass(problem, optimizer, batch_size):
    model, inputs, targets, mask = problem
    model, inputs = model.double(), inputs.double()
    recipe = Recipe(optimizer=optimizer, learning_rate=0.01, batch_size=batch_size, epochs=3)
    ours = train(model, inputs, targets, recipe, mask=mask, seed=7).model
    theirs = reference(model, inputs, targets, recipe, mask, 7)
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-10)


def test_pruned_weights_are_exactly_zero_and_the_rest_learn(problem):
    model, inputs, targets, mask = problem
    recipe = Recipe(learning_rate=0.01, batch_size=32, epochs=20)
    trained = train(model, inputs, targets, recipe, mask=mask, seed=0)
    keep = mask["1.weight"]
    assert (trained.model[1].weight[~keep] == 0).all()
    assert (trained.model[1].weight[keep] != model[1].weight[keep]).all()
    assert trained.losses[-1] < 0.7 * trained.losses[0]
    assert evaluate(trained.model, inputs, targets).accuracy > 0.8


def test_the_model_given_is_not_changed(problem):
    model, inputs, targets, mask = problem
    before = copy.deepcopy(model.state_dict())
    train(model, inputs, targets, Recipe(learning_rate=0.1, epochs=2), mask=mask, seed=0)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_same_seed_same_weights_and_global_state_untouched(problem):
    model, inputs, targets, mask = problem
    recipe = Recipe(learning_rate=0.01, batch_size=32, epochs=2)
    state = torch.get_rng_state()
    runs = [train(model, inputs, targets, recipe, mask=mask, seed=s).model for s in (3, 3, 4)]
    assert torch.equal(runs[0][1].weight, runs[1][1].weight)
    assert not torch.equal(runs[0][1].weight, runs[2][1].weight)
    initialise(lambda: mlp([3, 2]), 1)
    assert torch.equal(state, torch.get_rng_state())


def test_initialise_follows_the_seed():
    one, same, other = (initialise(lambda: mlp([3, 2]), s)[1].weight for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_divergence_is_reported_and_pruned_weights_stay_zero(problem):
    model, inputs, targets, mask = problem
    recipe = Recipe(optimizer="sgd", learning_rate=1e30, batch_size=32, epochs=3)
    trained = train(model, inputs, targets, recipe, mask=mask, seed=0)
    assert trained.diverged
    assert (trained.model[1].weight[~mask["1.weight"]] == 0).all()


def test_threads_are_set_inside_and_restored_after():
    before = torch.get_num_threads()
    with torch_threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_a_mask_that_does_not_fit_is_refused(problem):
    model, inputs, targets, _ = problem
    mask = complete_mask(mlp([13, 8, 4]), ("1.weight",))
    with pytest.raises(MaskError, match=r"\(8, 13\)"):
        train(model, inputs, targets, Recipe(learning_rate=0.1, epochs=1), mask=mask, seed=0)


def test_evaluate_counts_by_hand_and_in_any_batch_size():
    model = nn.Identity()
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 1.0]])
    targets = torch.tensor([0, 1, 1])
    metrics = evaluate(model, logits, targets, batch_size=2)
    assert metrics.accuracy == pytest.approx(2 / 3)
    assert metrics.loss == pytest.approx(float(nn.functional.cross_entropy(logits, targets)))
    assert metrics.count == 3


def test_classes_and_calibration_by_hand():
    # Probabilities of 0.9 and 0.6 for the guess, right in one of two and in both.
    strong, weak = float(torch.logit(torch.tensor(0.9))), float(torch.logit(torch.tensor(0.6)))
    logits = torch.tensor([[strong, 0.0], [0.0, strong], [weak, 0.0], [weak, 0.0]])
    metrics = evaluate(nn.Identity(), logits, torch.tensor([0, 0, 0, 0]), batch_size=3)
    assert metrics.per_class[0] == 0.75
    assert math.isnan(metrics.per_class[1])
    assert metrics.calibration_error == pytest.approx(abs(1.8 - 1) / 4 + abs(1.2 - 2) / 4)


def test_metrics_of_a_diverged_model_are_not_numbers_but_do_not_raise():
    logits = torch.full((3, 2), float("nan"))
    metrics = evaluate(nn.Identity(), logits, torch.tensor([0, 1, 1]))
    assert math.isnan(metrics.loss)
    assert 0.0 <= metrics.accuracy <= 1.0

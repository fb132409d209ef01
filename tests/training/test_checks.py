"""Data that do not fit, told in one sentence by the loop and by the population alike."""

import pytest
import torch
from torch import nn

from bogp.errors import DataError, SettingError, UnknownNameError
from bogp.training import Recipe, initialise, mlp, train, train_population

INPUTS = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
TARGETS = INPUTS[:, :3].argmax(1)
RECIPE = Recipe(learning_rate=0.01, batch_size=16, epochs=1)


def factory():
    return mlp([6, 5, 3])


def run(pair=(INPUTS, TARGETS), validation=(INPUTS, TARGETS), make=factory, recipe=RECIPE):
    return train_population(make, [None], pair, recipe, [0], validation=validation).candidates[0]


FAULTS = {
    "as many": (INPUTS, TARGETS[:30], "40 training inputs and 30 targets"),
    "none": (INPUTS[:0], TARGETS[:0], "training data hold no examples"),
    "real": (INPUTS, TARGETS.float(), r"type torch\.float32: give one class number"),
    "one-hot": (INPUTS, nn.functional.one_hot(TARGETS), r"shape \(40, 3\)"),
    "above": (INPUTS, TARGETS + 1, r"label 3 of the training targets is not in \[0, 3\)"),
    "ignored": (INPUTS, TARGETS.clone().fill_(-100), "label -100 of the training targets"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_data_that_do_not_fit(fault):
    inputs, targets, sentence = FAULTS[fault]
    with pytest.raises(DataError, match=sentence):
        run((inputs, targets))
    with pytest.raises(DataError, match=sentence):
        train(initialise(factory, 0), inputs, targets, RECIPE, seed=0)
    with pytest.raises(DataError, match=sentence.replace("training", "validation")):
        run(validation=(inputs, targets))


@pytest.mark.parametrize("kind", [torch.int32, torch.uint8, torch.int16, torch.int8])
def test_any_integers_are_targets(kind):
    assert run((INPUTS, TARGETS.to(kind))).losses == run().losses
    given = TARGETS.to(kind)
    losses = [
        train(initialise(factory, 0), INPUTS, targets, RECIPE, seed=0).losses
        for targets in (given, TARGETS)
    ]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(
    ("others", "sentence"),
    [(INPUTS.double(), "have type torch.float64"), (INPUTS[:, :5], r"have shape \(5,\)")],
)
def test_both_sets_of_data_are_alike(others, sentence):
    with pytest.raises(DataError, match=sentence):
        run(validation=(others, TARGETS))


def test_a_model_that_cannot_take_the_data():
    for model, inputs in ((factory, INPUTS[:, :5]), (factory, INPUTS.byte())):
        with pytest.raises(SettingError, match="Sequential cannot take inputs of shape"):
            run((inputs, TARGETS), (inputs, TARGETS), model)
    with pytest.raises(SettingError, match=r"Unflatten gives \(1, 3, 2\) for one example"):
        train(nn.Unflatten(1, (3, 2)), INPUTS, TARGETS, RECIPE, seed=0)


def test_a_model_with_nothing_to_train():
    def still():
        return factory().requires_grad_(False)

    with pytest.raises(SettingError, match="no parameter that requires a gradient"):
        run(make=still)


def test_a_recipe_may_be_a_name():
    assert run(recipe="calibrated").epochs == 3
    with pytest.raises(UnknownNameError, match="did you mean calibrated"):
        run(recipe="calibratd")

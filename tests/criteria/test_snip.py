"""SNIP against the closed form of one layer, a factor on each weight, and small differences."""

import pytest
import torch
from torch import nn
from torch.func import functional_call

from bogp.criteria import Context, snip
from bogp.masks import Mask


def test_one_layer_by_hand():
    # One example (1, 2) of class 0, logits (0, 0): p = (1/2, 1/2), dL/dW = (p - y) x'.
    model = nn.Linear(2, 2, bias=False)
    weights = torch.tensor([[2.0, -1.0], [4.0, -2.0]])
    model.weight.data.copy_(weights)
    mask = Mask({"weight": torch.ones(2, 2, dtype=torch.bool)})
    scores = snip(Context(model, mask, torch.tensor([[1.0, 2.0]]), torch.tensor([0])))
    # |2 * -1/2 * 1|, |-1 * -1/2 * 2|, |4 * 1/2 * 1|, |-2 * 1/2 * 2|
    assert scores["weight"].tolist() == [[1.0, 1.0], [2.0, 2.0]]


@pytest.mark.parametrize("dense", [1.0, 0.6])
def test_one_layer_in_closed_form(context, dense):
    given = context(nn.Linear(5, 3), (5,), dense=dense, names=("weight",))
    weight = given.model.weight.detach() * given.mask["weight"]
    share = (given.inputs @ weight.T + given.model.bias).softmax(1).detach()
    residual = share - nn.functional.one_hot(given.targets, 3)
    gradient = residual.T @ given.inputs / len(given.inputs)
    torch.testing.assert_close(snip(given)["weight"], (weight * gradient).abs())


def loss(given, factors):
    """The loss with a factor on each weight of the mask's layers, as a function of the factors."""
    parameters = dict(given.model.named_parameters())
    weights = {name: parameters[name] * factor for name, factor in factors.items()}
    buffers = {name: buffer.clone() for name, buffer in given.model.named_buffers()}
    logits = functional_call(given.model.train(), weights | buffers, (given.inputs,))
    return nn.functional.cross_entropy(logits, given.targets)


@pytest.mark.parametrize("layers", ["hidden", "all"])
def test_it_is_the_derivative_by_a_factor_on_each_weight(convolutional, context, layers):
    given = context(convolutional, (2, 6, 6), dense=0.7, layers=layers)
    factors = {name: layer.double().requires_grad_() for name, layer in given.mask.items()}
    slopes = torch.autograd.grad(loss(given, factors), list(factors.values()), allow_unused=True)
    scores = snip(given)
    for (name, layer), slope in zip(given.mask.items(), slopes, strict=True):
        wanted = torch.zeros(layer.shape, dtype=torch.float64) if slope is None else slope.abs()
        torch.testing.assert_close(scores[name], wanted * layer)


def test_it_is_what_the_loss_loses_with_a_little_of_a_weight(perceptron, context):
    given = context(perceptron, (5,), dense=0.8)
    scores, step = snip(given), 1e-5
    for name, layer in given.mask.items():
        for place in layer.nonzero()[:6].tolist():
            sides = []
            for sign in (1, -1):
                factors = {n: mask.double() for n, mask in given.mask.items()}
                factors[name][tuple(place)] += sign * step
                sides.append(float(loss(given, factors).detach()))
            slope = abs(sides[0] - sides[1]) / (2 * step)
            assert float(scores[name][tuple(place)]) == pytest.approx(slope, rel=1e-5, abs=1e-9)

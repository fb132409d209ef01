"""GraSP against the closed Hessian of one layer, torch's product, and small differences."""

import pytest
import torch
from torch import nn
from torch.autograd.functional import hvp
from torch.func import functional_call

from bogp.criteria import Context, grasp
from bogp.criteria.grasp import TEMPERATURE
from bogp.masks import Mask, choose_layers


def test_one_layer_by_hand():
    # One example x = (1, 2) of class 0, logits 0: p = 1/2, r = p - y = (-1/2, 1/2). g = r x' / T
    # and H g = (diag p - p p') r x' (x'x) / T^3 with (diag p - p p') r = r / 2 and x'x = 5.
    model = nn.Linear(2, 2, bias=False)
    model.weight.data.copy_(torch.tensor([[2.0, -1.0], [4.0, -2.0]]))
    mask = Mask({"weight": torch.ones(2, 2, dtype=torch.bool)})
    context = Context(model.double(), mask, torch.tensor([[1.0, 2.0]]).double(), torch.tensor([0]))
    scores = grasp(context)["weight"] * TEMPERATURE**3 / 5
    wanted = torch.tensor([[-0.5, 0.5], [1.0, -1.0]]).double()  # w * (r / 2) x'
    torch.testing.assert_close(scores, wanted)


@pytest.mark.parametrize("dense", [1.0, 0.6])
def test_one_layer_in_closed_form(context, dense):
    given = context(nn.Linear(5, 3), (5,), dense=dense, names=("weight",))
    layer = given.mask["weight"].double()
    weight = given.model.weight.detach() * layer
    share = ((given.inputs @ weight.T + given.model.bias) / TEMPERATURE).softmax(1).detach()
    residual = share - nn.functional.one_hot(given.targets, 3)
    inputs, count = given.inputs, len(given.inputs)
    gradient = layer * (residual.T @ inputs) / count / TEMPERATURE
    spread = torch.diag_embed(share) - share[:, :, None] * share[:, None, :]  # (N, 3, 3)
    hessian = torch.einsum("nab,ni,nj->aibj", spread, inputs, inputs) / count / TEMPERATURE**2
    product = torch.einsum("aibj,bj->ai", hessian, gradient)
    torch.testing.assert_close(grasp(given)["weight"], weight * product, rtol=1e-9, atol=0)


def flowing(given):
    """The weights that the gradient is of, zero outside the mask, and the mask of each."""
    parameters = dict(given.model.named_parameters())
    names = choose_layers(given.model, "all")
    whole = {name: torch.ones_like(parameters[name]) for name in names}
    masks = whole | {name: layer.double() for name, layer in given.mask.items()}
    return {name: parameters[name].detach() * masks[name] for name in names}, masks


def loss(given, weights):
    buffers = {name: buffer.clone() for name, buffer in given.model.named_buffers()}
    logits = functional_call(given.model.train(), weights | buffers, (given.inputs,))
    return nn.functional.cross_entropy(logits / TEMPERATURE, given.targets)


def slope(given, weights):
    """The gradient of the loss by each weight."""
    point = {name: value.clone().requires_grad_() for name, value in weights.items()}
    found = torch.autograd.grad(loss(given, point), list(point.values()), allow_unused=True)
    return {
        name: torch.zeros_like(weights[name]) if value is None else value
        for name, value in zip(weights, found, strict=True)
    }


@pytest.mark.parametrize("layers", ["hidden", "all"])
def test_it_is_torchs_hessian_vector_product(convolutional, context, layers):
    given = context(convolutional, (2, 6, 6), dense=0.7, layers=layers)
    weights, masks = flowing(given)
    gradient = {name: value * masks[name] for name, value in slope(given, weights).items()}
    _, product = hvp(
        lambda *point: loss(given, dict(zip(weights, point, strict=True))),
        tuple(weights.values()),
        tuple(gradient.values()),
    )
    scores = grasp(given)
    assert set(scores) == set(given.mask)
    for name, part in zip(weights, product, strict=True):
        if name in scores:
            torch.testing.assert_close(scores[name], weights[name] * part, rtol=1e-8, atol=1e-18)


def test_it_is_what_the_gradients_length_gains_by_a_little_of_a_weight(perceptron, context):
    # Half the derivative of |g|² by a factor on the weight; −2 times it is what pruning changes.
    given = context(perceptron, (5,), dense=0.8, layers="hidden")
    weights, masks = flowing(given)

    def flow(point):
        found = slope(given, point)
        return sum(float(((value * masks[name]) ** 2).sum()) for name, value in found.items())

    scores, step = grasp(given), 1e-4
    for name, layer in given.mask.items():
        largest = float(scores[name].abs().max())
        for place in layer.nonzero()[:8].tolist():
            sides = []
            for sign in (1, -1):
                point = {n: value.clone() for n, value in weights.items()}
                point[name][tuple(place)] *= 1 + sign * step
                sides.append(flow(point))
            half = (sides[0] - sides[1]) / (4 * step)
            score = float(scores[name][tuple(place)])
            assert score == pytest.approx(half, rel=1e-4, abs=1e-5 * largest)


def test_the_best_to_remove_go_first(perceptron, context):
    # Removing a weight of low score lengthens the gradient; of high score, shortens it.
    given = context(perceptron, (5,))
    weights, _ = flowing(given)

    def flow(point):
        return sum(float((value**2).sum()) for value in slope(given, point).values())

    scores = grasp(given)
    name = "4.weight"
    order = scores[name].flatten().argsort()
    changes = []
    for place in (order[0], order[-1]):
        point = {n: value.clone() for n, value in weights.items()}
        point[name].flatten()[place] *= 0.9
        changes.append(flow(point) - flow(weights))
    assert changes[0] > 0 > changes[1]

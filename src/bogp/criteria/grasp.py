"""GraSP: what the gradient's length would feel of a weight's absence, to first order."""

from __future__ import annotations

import torch
from torch import Tensor

from bogp.criteria.context import (
    Context,
    Criterion,
    Scores,
    examples_of,
    masked_copy,
    mean_loss,
    number_type,
    training_mode,
    weight_times_gradient,
)
from bogp.errors import SettingError
from bogp.masks import prunable_layers

TEMPERATURE = 200.0
"""What the authors' released code divides the logits by; the paper's text does not name it."""


def grasp(context: Context) -> Scores:
    """Return w · (Hg), the gradient flow that a weight holds up: gradient g, Hessian H of the loss.

    Wang et al. 2020 (arXiv 2002.07376), section 4: to first order, removing a weight changes the
    squared length of the gradient by 2 · (−w · Hg). They remove the weights whose −w · Hg is
    highest, since the gradient is longest without them; this score is the negative, so that the
    highest are kept. The loss is the cross-entropy of the logits over ``TEMPERATURE`` on the
    examples (the mean over all positions, where a model classifies each position of a sequence).
    The gradient g is by all weights of the network that can be pruned
    (:func:`bogp.prunable_layers`, no biases, as in their code), and zero where the mask holds a
    weight at zero. The network is in training mode (batch statistics), as in their code.

    Raises:
        SettingError: no examples, logits that do not fit the targets, or a module without a second
            derivative.
        MaskError: the mask does not fit the model.
    """
    inputs, targets = examples_of(context, "grasp")
    model, parameters = masked_copy(context, inputs.device, number_type(inputs))
    weights = {name: parameters[name] for name in context.mask}
    names = [layer.name for layer in prunable_layers(model)]
    flowing = {name: parameters[name] for name in names} | weights
    with training_mode(model, context.seed):
        loss = mean_loss(model(inputs), targets, "grasp", TEMPERATURE)
        gradients = torch.autograd.grad(
            loss, list(flowing.values()), create_graph=True, allow_unused=True
        )
        # The derivative of g · (g held fixed) is Hg.
        flow = loss.new_zeros(())
        for (name, weight), gradient in zip(flowing.items(), gradients, strict=True):
            if gradient is not None:
                fixed = gradient.detach()
                if name in context.mask:
                    fixed = fixed * context.mask[name].to(weight)
                flow = flow + (gradient * fixed).sum()
        products = _derivative(flow, list(weights.values()))
    return weight_times_gradient(weights, products)


GRASP = Criterion(
    "grasp",
    grasp,
    needs_data=True,
    help="w · Hg: what the flow of the loss's gradient gains by a weight",
    source="Wang et al. 2020, arXiv 2002.07376",
)


def _derivative(flow: Tensor, weights: list[Tensor]) -> tuple[Tensor | None, ...]:
    """Return the derivative of ``flow``, itself of first derivatives, by each weight."""
    if not flow.requires_grad:
        return (None,) * len(weights)  # no first derivative depends on a weight
    try:
        return torch.autograd.grad(flow, weights, allow_unused=True)
    except RuntimeError as error:
        reason = str(error).split("\n")[0]
        if "not implemented" not in reason and "double backward" not in reason:
            raise
        raise SettingError(
            f"criterion 'grasp' needs second derivatives, and a module of the model has none "
            f"({reason}): take 'snip', say"
        ) from error

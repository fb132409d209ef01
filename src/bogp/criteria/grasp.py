"""GraSP: what the gradient's length would feel of a weight's absence, to first order."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bogp.criteria.context import (
    Context,
    examples_of,
    filled,
    masked_copy,
    number_type,
    training_mode,
)
from bogp.masks import prunable

TEMPERATURE = 200.0
"""What the authors' released code divides the logits by; the paper's text does not name it."""


def grasp(context: Context) -> dict[str, Tensor]:
    """Return w · (Hg), the gradient flow that a weight holds up: gradient g, Hessian H of the loss.

    Wang et al. 2020 (arXiv 2002.07376), section 4: to first order, without a weight the
    squared length of the gradient changes by 2 · (−w · Hg). They remove the weights whose −w · Hg
    is highest, whose absence makes the gradient longest; ours is its negative, kept highest first.
    The loss is cross-entropy of the logits over ``TEMPERATURE``, on the examples, and g is that of
    all weights of the network (as in their code no biases), zero where the mask holds them at zero.
    The network is in training mode (batch statistics), as they have it.

    Raises:
        SettingError: no examples.
        MaskError: the mask does not fit the model.
    """
    inputs, targets = examples_of(context, "grasp")
    model, parameters = masked_copy(context, inputs.device, number_type(inputs))
    weights = {name: parameters[name] for name in context.mask}
    flowing = {name: parameters[name] for name in prunable(model, "all")} | weights
    with training_mode(model, context.seed):
        loss = nn.functional.cross_entropy(model(inputs) / TEMPERATURE, targets)
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
        products = torch.autograd.grad(flow, list(weights.values()), allow_unused=True)
    return {
        name: weight.detach() * filled(product, weight)
        for (name, weight), product in zip(weights.items(), products, strict=True)
    }

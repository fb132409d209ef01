"""SNIP: what the loss would feel of a weight's absence, to first order."""

from __future__ import annotations

import torch

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


def snip(context: Context) -> Scores:
    """Return connection sensitivity, |w · ∂L/∂w| on the examples, the loss L cross-entropy.

    Lee et al. 2019 (arXiv 1810.02340), section 4.1: with a factor c on each weight, all 1,
    ∂L/∂c = w · ∂L/∂w. Their division by the sum over all weights changes no order and is left out.
    The network is in training mode (batch statistics), as they train it. Where a model classifies
    each position of a sequence, L is the mean over all positions of all examples; a weight that
    several layers share is scored for all of its uses together.

    Raises:
        SettingError: no examples, or logits that do not fit the targets.
        MaskError: the mask does not fit the model.

    >>> from torch import nn
    >>> from bogp.masks import complete_mask
    >>> model = nn.Linear(2, 2, bias=False)
    >>> _ = model.weight.data.copy_(torch.tensor([[1.0, 0.0], [1.0, 2.0]]))
    >>> inputs, targets = torch.tensor([[1.0, 0.0]]), torch.tensor([0])
    >>> snip(Context(model, complete_mask(model, ("weight",)), inputs, targets))["weight"].tolist()
    [[0.5, 0.0], [0.5, 0.0]]
    """
    inputs, targets = examples_of(context, "snip")
    model, parameters = masked_copy(context, inputs.device, number_type(inputs))
    weights = {name: parameters[name] for name in context.mask}
    with training_mode(model, context.seed):
        loss = mean_loss(model(inputs), targets, "snip")
        gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
    found = weight_times_gradient(weights, gradients)
    return {name: score.abs() for name, score in found.items()}


SNIP = Criterion(
    "snip",
    snip,
    needs_data=True,
    help="connection sensitivity, |w · ∂L/∂w|: what the loss feels of a weight's absence",
    source="Lee et al. 2019, arXiv 1810.02340",
)

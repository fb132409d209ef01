"""SynFlow: how much of the flow from input to output runs through a weight, without data."""

from __future__ import annotations

import torch
from torch import nn

from bogp.criteria.context import (
    Context,
    Criterion,
    Scores,
    inputs_of,
    masked_copy,
    weight_times_gradient,
)
from bogp.criteria.flow import Flow, positive


def synflow(context: Context) -> Scores:
    """Return |w| · ∂R/∂|w|, the share of the flow R = 1ᵀ(∏|W|)1 that runs through a weight.

    Tanaka et al. 2020 (arXiv 2006.05467), equations 1 and 2: R is the sum of the outputs for an
    input of ones, weights replaced by their absolute values; of the inputs the shape alone is used.
    It is meant to be repeated as the mask shrinks (``SYNFLOW.steps`` times), because scored once it
    can empty a whole layer. Biases count as zero, so that every layer carries the same flow, R. The
    arithmetic is in double precision: R grows with the product of the layers' widths.

    The paper's networks have no other functions than ReLU. Here a function that is no product of
    weights is read as one (:mod:`bogp.criteria.flow`):

    - Batch normalisation only scales, and normalisation by a layer's own input (LayerNorm,
      GroupNorm, InstanceNorm, RMSNorm) is left out.
    - A bent or bounded activation (GELU, tanh, sigmoid) multiplies its input by output / input.
    - An embedding is a linear layer with an input of one for each word.
    - Attention's shares are in proportion to queries times keys instead of their exponentials.
      Queries, keys and values are three factors of a product, and each gets a third of its flow.
      Where a model calls softmax itself instead of torch's attention, each gets all of it.

    Raises:
        SettingError: no inputs to take the shape from.
        MaskError: the mask does not fit the model.

    >>> from bogp.masks import complete_mask
    >>> model = nn.Sequential(nn.Linear(2, 1), nn.Linear(1, 1))
    >>> _ = model[0].weight.data.copy_(torch.tensor([[-2.0, 1.0]]))
    >>> _ = model[1].weight.data.copy_(torch.tensor([[3.0]]))
    >>> mask = complete_mask(model, ("0.weight", "1.weight"))
    >>> {name: score.tolist() for name, score in synflow(Context(model, mask, torch.zeros(1, 2)))
    ...     .items()}
    {'0.weight': [[6.0, 3.0]], '1.weight': [[9.0]]}
    """
    example = inputs_of(context, "synflow")[:1]
    # Apple's devices have no double precision.
    device = torch.device("cpu") if example.device.type == "mps" else example.device
    model, parameters = masked_copy(context, device, torch.float64)
    _make_positive(model)
    dtype = torch.float64 if example.is_floating_point() else example.dtype
    ones = torch.ones_like(example, dtype=dtype, device=device)
    weights = {name: parameters[name] for name in context.mask}
    with torch.enable_grad(), Flow():
        flow = model.eval()(ones).sum()
    gradients = torch.autograd.grad(flow, list(weights.values()), allow_unused=True)
    return weight_times_gradient(weights, gradients)


SYNFLOW = Criterion(
    "synflow",
    synflow,
    needs_data=True,  # of which the shape alone is used
    steps=100,
    help="|w| · ∂R/∂|w|: the share of the flow from input to output that runs through a weight",
    source="Tanaka et al. 2020, arXiv 2006.05467",
)


def _make_positive(model: nn.Module) -> None:
    """Make a network's weights and buffers positive and its biases zero, in place."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.abs_()
            if name.endswith("bias"):
                parameter.zero_()
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.zero_()
            elif buffer.is_floating_point():
                buffer.copy_(positive(buffer))

"""Models whose channels the tests couple: bogp's own, with numbers that say something."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from bogp.coupling import channel_units
from bogp.masks import Mask, complete_mask, prunable_layers
from bogp.training import model_factory


def zoo(spec: str, shape: tuple[int, ...], seed: int) -> nn.Module:
    """Return a model of bogp's with random biases, gains and running statistics."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = model_factory(spec, shape, 10)()
        for name, value in (*model.named_parameters(), *model.named_buffers()):
            if value.ndim == 1:
                value.data = torch.rand_like(value) + 0.3 * ("var" in name)
    return model.eval()


def inputs(spec: str, shape: tuple[int, ...], seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    if spec.startswith("gpt"):
        return torch.randint(0, 10, (2, *shape), generator=generator)
    return torch.rand(2, *shape, generator=generator)


def names(model: nn.Module) -> tuple[str, ...]:
    return tuple(layer.name for layer in prunable_layers(model))


def magnitudes(model: nn.Module) -> dict[str, Tensor]:
    return {name: model.get_parameter(name).detach().abs() for name in names(model)}


def pruned(
    model: nn.Module, example: Tensor, share: float, scope: str, seed: int, multiple: int = 1
) -> Mask:
    """Let channels of ``model`` leave, and return the mask with all that goes with them."""
    support = complete_mask(model, names(model))
    units = channel_units(model, names(model), example, multiple=multiple)
    kept = round(share * support.total)
    mask = units.choose(magnitudes(model), kept, scope=scope, support=support, seed=seed)
    units.prepare(model)
    return units.with_carriers(mask)

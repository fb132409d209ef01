"""The weights of a network that can be pruned: bogp tells them by the type of their module."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn
from torch.nn.parameter import is_lazy

from bogp.errors import MaskError

KINDS = ("linear", "conv1d", "conv2d", "conv3d", "attention")
"""The kinds of layers that have weights to prune."""

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d


@dataclass(frozen=True)
class PrunableLayer:
    """One weight that can be pruned, and what its dimensions mean.

    Attributes:
        name: the parameter's name, ``"layer1.0.conv1.weight"`` say.
        module: the name of the module that holds it, ``"layer1.0.conv1"``.
        kind: one of ``KINDS``. ``"attention"`` stands for the projections of queries, keys and
            values in ``nn.MultiheadAttention``; its ``out_proj`` is a ``"linear"`` layer.
        shape: the weight's shape, (out, in / groups, *kernel), or (parts · out, in) in attention.
        groups: how many groups a convolution has; 1 for all other layers.
        parts: how many matrices are stacked along the outputs: 3 in a packed ``in_proj_weight``.
        stage: the part of the network that it belongs to, see :func:`prunable_layers`.
    """

    name: str
    module: str
    kind: str
    shape: tuple[int, ...]
    groups: int = 1
    parts: int = 1
    stage: str = "model"

    @property
    def weights(self) -> int:
        """Number of weights.

        >>> PrunableLayer("0.weight", "0", "conv2d", (8, 4, 3, 3)).weights
        288
        """
        return math.prod(self.shape)

    @property
    def outputs(self) -> int:
        """Number of output channels of each part: 64 for a packed weight of shape (192, 64)."""
        return self.shape[0] // self.parts

    @property
    def inputs(self) -> int:
        """Number of input channels of the module, in all groups of a convolution together."""
        return self.shape[1] * self.groups if len(self.shape) > 1 else 1


def prunable_layers(model: nn.Module, *, with_frozen: bool = False) -> tuple[PrunableLayer, ...]:
    """Return every weight of ``model`` that can be pruned, in the order of its parameters.

    These are the weights of ``nn.Linear``, ``nn.Conv1d``, ``nn.Conv2d`` and ``nn.Conv3d`` (grouped
    and depthwise ones too) and ``nn.MultiheadAttention``. A weight that several modules share is
    there once, under its first name. Embeddings are left out, and weights shared with one (a
    language model's head), transposed convolutions, recurrent layers, norms, biases, and parameters
    of no such module (position embeddings).

    The *stage* of a layer is the name of its module up to and including the first component that
    ends in a digit, or the whole name where no component does. Leading components that all layers
    have in common do not count, unless they are numbers.

    Args:
        model: any network.
        with_frozen: whether to return weights that are frozen (``requires_grad`` is False) too.

    Raises:
        MaskError: a weight is computed from other parameters (by ``torch.nn.utils.prune`` or a
            parametrisation), or has no shape yet.

    >>> block = lambda: nn.ModuleDict({"conv1": nn.Conv2d(4, 4, 3), "conv2": nn.Conv2d(4, 4, 3)})
    >>> parts = {"stem": nn.Conv2d(3, 4, 3), "fc": nn.Linear(4, 10)}
    >>> parts |= {f"layer{k}": nn.Sequential(block(), block()) for k in (1, 2)}
    >>> resnet = nn.ModuleDict({name: parts[name] for name in ("stem", "layer1", "layer2", "fc")})
    >>> list(dict.fromkeys(layer.stage for layer in prunable_layers(resnet)))
    ['stem', 'layer1', 'layer2', 'fc']
    >>> block = lambda: nn.ModuleDict({"attn": nn.MultiheadAttention(4, 2), "fc": nn.Linear(4, 4)})
    >>> vit = nn.ModuleDict({"blocks": nn.ModuleList([block(), block()]), "head": nn.Linear(4, 10)})
    >>> list(dict.fromkeys(layer.stage for layer in prunable_layers(vit)))
    ['blocks.0', 'blocks.1', 'head']
    >>> [layer.stage for layer in prunable_layers(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2)))]
    ['0', '1']
    """
    embedded = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, (nn.Embedding, nn.EmbeddingBag))
        for parameter in module.parameters(recurse=False)
    }
    seen: set[int] = set()
    found = []
    for path, module in model.named_modules():
        for attribute, kind, parts in _weights(module):
            name = f"{path}.{attribute}" if path else attribute
            weight = _parameter(module, attribute, name)
            if id(weight) in seen or id(weight) in embedded:
                continue
            seen.add(id(weight))
            groups = module.groups if isinstance(module, Convolution) else 1
            found.append((name, path, kind, tuple(weight.shape), groups, parts))
    stages = _stages([layer[1] for layer in found])
    return tuple(
        PrunableLayer(*layer, stages[layer[1]])
        for layer in found
        if with_frozen or model.get_parameter(layer[0]).requires_grad
    )


def _weights(module: nn.Module) -> Iterator[tuple[str, str, int]]:
    """Yield attribute, kind and parts of each weight of ``module`` itself."""
    if isinstance(module, nn.MultiheadAttention):
        if module._qkv_same_embed_dim:
            yield "in_proj_weight", "attention", 3
        else:
            for attribute in ("q_proj_weight", "k_proj_weight", "v_proj_weight"):
                yield attribute, "attention", 1
    elif isinstance(module, nn.Linear):
        yield "weight", "linear", 1
    elif isinstance(module, Convolution):
        yield "weight", f"conv{len(module.kernel_size)}d", 1


def _parameter(module: nn.Module, attribute: str, name: str) -> nn.Parameter:
    """Return the weight; raise MaskError where it is no plain parameter."""
    weight = module._parameters.get(attribute)
    if weight is None:
        if f"{attribute}_mask" in module._buffers:
            fix = (
                "is pruned by torch.nn.utils.prune already: take its mask with "
                "mask_from_torch_prune, then call torch.nn.utils.prune.remove"
            )
        else:
            fix = (
                "is computed from other parameters: remove its parametrisation first "
                "(torch.nn.utils.parametrize.remove_parametrizations)"
            )
        raise MaskError(f"{name!r} {fix}")
    if is_lazy(weight):
        raise MaskError(f"{name!r} has no shape yet: run the model on one input first")
    return weight


def _stages(modules: Sequence[str]) -> dict[str, str]:
    """Return the stage of each module, by name (see :func:`prunable_layers`)."""
    paths = {module: module.split(".") for module in modules}
    common = 0
    for parts in zip(*(path[:-1] for path in paths.values()), strict=False):
        if len(set(parts)) > 1 or parts[0].isdigit():
            break
        common += 1
    stages = {}
    for module, path in paths.items():
        ends = (k + 1 for k in range(common, len(path)) if path[k][-1:].isdigit())
        stages[module] = ".".join(path[: next(ends, len(path))]) or "model"
    return stages

"""torch's packed attention opened into linear layers, which can lose channels, and packed again.

``nn.MultiheadAttention`` keeps the projections of queries, keys and values in one weight, and wants
as many channels within its heads as it reads and gives. :class:`OpenAttention` computes the same
with a linear layer for each, of any widths.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from bogp.coupling.tracing import joined, recorded, tied_modules


@final
class OpenAttention(nn.Module):
    """Multi-head attention as four linear layers, called as ``nn.MultiheadAttention`` is.

    It gives no attention weights (``need_weights=False``).

    Attributes:
        q: the projection to queries, (H · E, in); k and v are those to keys and values, o is that
            of the output.
        heads: the number of heads, H.
        batch_first: whether inputs are (N, T, channels) and not (T, N, channels).
        dropout: the share of attention weights that training drops.
    """

    def __init__(self, packed: nn.MultiheadAttention) -> None:
        """Take the weights of ``packed``."""
        super().__init__()
        self.heads, self.batch_first = packed.num_heads, packed.batch_first
        self.dropout = packed.dropout
        weights: Any = packed.in_proj_weight.chunk(3)
        biases: Any = (None,) * 3 if packed.in_proj_bias is None else packed.in_proj_bias.chunk(3)
        self.q, self.k, self.v = map(linear_of, weights, biases)
        self.o = linear_of(packed.out_proj.weight, packed.out_proj.bias)
        self.train(packed.training)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = False,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, None]:
        """Return the outputs, shaped as the queries are, and None in place of the weights."""
        if not self.batch_first:
            query, key, value = query.transpose(0, 1), key.transpose(0, 1), value.transpose(0, 1)
        q = self.q(query).unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (N, H, T, E)
        k = self.k(key).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        v = self.v(value).unflatten(-1, (self.heads, -1)).transpose(1, 2)
        added = added_to_scores(attn_mask, key_padding_mask, self.heads)
        dropout = self.dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(q, k, v, added, dropout)
        found = self.o(mixed.transpose(1, 2).flatten(2))
        return (found if self.batch_first else found.transpose(0, 1)), None


@fx.wrap
def added_to_scores(mask: Tensor | None, padding: Tensor | None, heads: int) -> Tensor | None:
    """Return what masks add to the products of queries and keys, broadcast to (N, H, T, S).

    Args:
        mask: (T, S) or (N · H, T, S); True, or minus infinity, where a query must not look.
        padding: (N, S), the same for keys that no query may look at.
        heads: H.
    """
    found = None
    if mask is not None:
        found = _added(mask)
        if found.ndim == 3:
            found = found.view(-1, heads, *found.shape[1:])
    if padding is not None:
        hidden = _added(padding)[:, None, None]
        found = hidden if found is None else found + hidden
    return found


def _added(mask: Tensor) -> Tensor:
    if mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, device=mask.device).masked_fill(mask, float("-inf"))


def linear_of(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """Return a linear layer with copies of a weight (out, in) and of a bias (out,) or None."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    layer.weight = nn.Parameter(weight.detach().clone(), requires_grad=weight.requires_grad)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().clone(), requires_grad=bias.requires_grad)
    return layer


def open_attention(model: nn.Module, inputs: tuple[Tensor, ...]) -> nn.Module:
    """Return ``model`` with its packed attention opened, in place, where that changes nothing.

    One stays as it is that gives attention weights, has keys and values of other widths or adds
    some of its own, or shares its weights; all do if the model then cannot be run.
    """
    calls, tied = recorded(model, inputs), tied_modules(model)
    closed = {}
    for name, module in list(model.named_modules()):
        if type(module) is nn.MultiheadAttention and not {module, module.out_proj} & tied:
            args, kwargs = calls.get(module, ((), {}))
            weighs = args[4] if len(args) > 4 else kwargs.get("need_weights", True)
            if not weighs and _is_common(module):
                closed[name] = module
    opened = model
    for name, module in closed.items():
        opened = _with_module(opened, name, OpenAttention(module))
    try:
        recorded(opened, inputs)
    except Exception:  # a forward that asks for the class of its attention, say
        for name, module in closed.items():
            opened = _with_module(opened, name, module)
    return opened


def _with_module(model: nn.Module, name: str, module: nn.Module) -> nn.Module:
    """Return ``model`` with ``module`` at the name, in place; "" is the model itself."""
    if not name:
        return module
    model.set_submodule(name, module)
    return model


def _is_common(module: nn.MultiheadAttention) -> bool:
    hooks = module._forward_hooks or module._forward_pre_hooks
    added = module.bias_k is not None or module.add_zero_attn
    return module._qkv_same_embed_dim and not added and not hooks


def first_names(model: nn.Module) -> dict[str, str]:
    """Return the first name of each parameter, by each of its names."""
    firsts = {parameter: name for name, parameter in model.named_parameters()}
    return {name: firsts[p] for name, p in model.named_parameters(remove_duplicate=False)}


def packed_names(names: Mapping[str, str], model: nn.Module) -> dict[nn.Parameter, tuple[str, int]]:
    """Return the name of each parameter before attention was opened, and where it begins there.

    Args:
        names: the first name of each parameter before, by each of its names.
        model: the model with its attention opened.
    """
    found: dict[nn.Parameter, tuple[str, int]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        path, _, own = name.rpartition(".")
        above, _, part = path.rpartition(".")
        before, start = name, 0
        if isinstance(model.get_submodule(above), OpenAttention):
            if part == "o":
                before = joined(above, f"out_proj.{own}")
            else:
                before = joined(above, f"in_proj_{own}")
                start = "qkv".index(part) * len(parameter)
        found.setdefault(parameter, (names[before], start))
    return found


def opened_layers(layers: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Return layers of a mask by the names that weights have where attention is opened."""
    found: dict[str, Tensor] = {}
    for name, layer in layers.items():
        path, _, own = name.rpartition(".")
        above, _, last = path.rpartition(".")
        if own == "in_proj_weight" and isinstance(model.get_submodule(path), OpenAttention):
            parts = zip("qkv", layer.chunk(3), strict=True)
            found |= {joined(path, f"{part}.weight"): rows for part, rows in parts}
        elif last == "out_proj" and isinstance(model.get_submodule(above), OpenAttention):
            found[joined(above, f"o.{own}")] = layer
        else:
            found[name] = layer
    return found


def packed_layers(layers: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Return layers of a mask by the names that weights have once attention is packed again."""
    found = dict(layers)
    for path, module in model.named_modules():
        own = [joined(path, f"{part}.weight") for part in "qkvo"]
        if isinstance(module, nn.MultiheadAttention) and own[0] in found:
            *rows, output = (found.pop(name) for name in own)
            found[joined(path, "in_proj_weight")] = torch.cat(rows)
            found[joined(path, "out_proj.weight")] = output
    return found


def pack_attention(model: nn.Module) -> nn.Module:
    """Return ``model`` with attention packed again, in place, where its widths allow that."""
    for name, module in list(model.named_modules()):
        if isinstance(module, OpenAttention):
            widths = {part.weight.shape for part in (module.q, module.k, module.v, module.o)}
            width = module.o.out_features
            if widths == {(width, width)}:
                model = _with_module(model, name, _packed(module, width))
    return model


def _packed(opened: OpenAttention, width: int) -> nn.MultiheadAttention:
    parts = (opened.q, opened.k, opened.v)
    biased = opened.o.bias is not None
    packed = nn.MultiheadAttention(
        width,
        opened.heads,
        opened.dropout,
        biased,
        batch_first=opened.batch_first,
        device=opened.o.weight.device,
        dtype=opened.o.weight.dtype,
    )
    with torch.no_grad():
        packed.in_proj_weight.copy_(torch.cat([part.weight for part in parts]))
        packed.out_proj.weight.copy_(opened.o.weight)
        if biased:
            packed.in_proj_bias.copy_(torch.cat([part.bias for part in parts]))
            packed.out_proj.bias.copy_(opened.o.bias)
    packed.in_proj_weight.requires_grad = opened.q.weight.requires_grad
    return packed.train(opened.training)

"""How SynFlow reads functions that are not products of weights.

The flow of Tanaka et al. 2020 (arXiv 2006.05467) is a sum over paths of products of weights. A
function of another kind is read as a product too: y = x · (f(x) / x) with the quotient held fixed,
so that its output is the flow that leaves it, and no flow is lost on the way back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_BLOCKED = -1e4
"""A number below this is no flow: attention masks put one where nothing may pass."""


class Flow(TorchFunctionMode):
    """Within this context the functions of ``_READINGS`` are read as flow, all others as usual."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call ``func``, or the function that it is read as."""
        given, read = dict(kwargs or {}), _READINGS.get(func)
        if read is None:
            return func(*args, **given)
        if "input" in given:
            args = (given.pop("input"), *args)
        return read(func, *args, **given)


def positive(values: Tensor) -> Tensor:
    """Return absolute values, except of the numbers that block attention."""
    return torch.where(values > _BLOCKED, values.abs(), values)


def _unchanged(_func: object, flow: Tensor, *_: object, **__: object) -> Tensor:
    """Leave out a norm: it takes away the mean or length of its input, which measures the flow."""
    return flow


def _batch_norm(func: Callable[..., Tensor], flow: Tensor, *args: Any, **options: Any) -> Tensor:
    """Scale by running statistics; leave out a norm that uses those of its own input."""
    names = ("running_mean", "running_var", "weight", "bias", "training")
    given = dict(zip(names, args, strict=False)) | options
    own = given.get("training") or given.get("running_mean") is None
    return flow if own else func(flow, *args, **options)


def _bent(func: Callable[..., Tensor], flow: Tensor, *args: Any, **options: Any) -> Tensor:
    """Multiply by f(x) / x, since the slope of a bounded f would let nothing through."""
    with torch.no_grad():
        values = func(flow.clone(), *args, **options)  # a copy: it may work in place
        factor = torch.where(flow.abs() > 1e-30, values / flow, 0.0)
    return flow * factor


def _fixed(func: Callable[..., Tensor], *args: Any, **options: Any) -> Tensor:
    """Hold the result fixed, as the factor of a norm that a model writes out."""
    return func(*args, **options).detach()


def _embedding(_func: object, words: Tensor, weight: Tensor, *_: Any, **__: Any) -> Tensor:
    """Return what a linear layer would, with an input of one for each word of the vocabulary."""
    return weight.sum(0).expand(*words.shape, -1)


def _softmax(_func: object, flow: Tensor, dim: int = -1, *_: object, **__: object) -> Tensor:
    """Return shares in proportion to the numbers instead of their exponentials."""
    return _shares(flow, flow > _BLOCKED, dim)


def _shares(values: Tensor, allowed: Tensor, dim: int = -1) -> Tensor:
    """Return ``values`` over their sum, which is held fixed, and zero where they are not allowed.

    Where the sum is zero all shares are equal, as those of softmax are.
    """
    flow = torch.where(allowed, values, 0.0).clamp(min=0.0)
    total = flow.detach().sum(dim, keepdim=True)
    equal = allowed / allowed.sum(dim, keepdim=True).clamp(min=1)
    return torch.where(total > 0.0, flow / torch.where(total > 0.0, total, 1.0), equal.to(flow))


def _third(flow: Tensor) -> Tensor:
    """Return the same numbers; a third of their gradient goes back."""
    again = flow.view_as(flow)
    if again.requires_grad:
        again.register_hook(lambda gradient: gradient / 3.0)  # type: ignore[no-untyped-call]
    return again


def _attend(query: Tensor, key: Tensor, value: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
    """Return the values (..., L, E) mixed by shares (..., L, S) that are queries times keys.

    Queries, keys and values are three factors of one product. Each gets a third of the flow, so
    that the layers before them together get as much as has passed, like any other layer.
    """
    match = _third(query) @ _third(key).transpose(-2, -1)
    shares = _shares(match, allowed.expand_as(match))
    return shares @ _third(value), shares


def _scaled_dot_product(
    _func: object,
    query: Tensor,  # (..., L, D)
    key: Tensor,  # (..., S, D)
    value: Tensor,  # (..., S, E)
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    allowed = torch.ones(query.size(-2), key.size(-2), dtype=torch.bool, device=query.device)
    if is_causal:
        allowed = allowed.tril()
    if attn_mask is not None:
        allowed = allowed & (attn_mask if attn_mask.dtype == torch.bool else attn_mask > _BLOCKED)
    if enable_gqa:
        key = key.repeat_interleave(query.size(-3) // key.size(-3), -3)
        value = value.repeat_interleave(query.size(-3) // value.size(-3), -3)
    return _attend(query, key, value, allowed)[0]


def _multi_head(
    _func: object,
    query: Tensor,  # (L, N, E) or (L, E)
    key: Tensor,
    value: Tensor,
    _embedding_size: int,
    heads: int,
    packed: Tensor | None,  # (3 E, E)
    *rest: Any,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    """Return what ``nn.MultiheadAttention`` does, output and mean shares, without biases."""
    names = ("in_proj_bias", "bias_k", "bias_v", "add_zero_attn", "dropout_p", "out_proj_weight")
    options = dict(zip(names, rest, strict=False)) | options
    projections = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
    weights = packed.chunk(3) if packed is not None else [options[name] for name in projections]
    batched = query.dim() == 3
    parts = []
    for flow, weight in zip((query, key, value), weights, strict=True):
        made = functional.linear(flow if batched else flow.unsqueeze(1), weight)
        made = made.reshape(*made.shape[:2], heads, -1)
        parts.append(made.permute(1, 2, 0, 3))  # (N, heads, L, E / heads)
    allowed = _allowed(parts[0], parts[1], options)
    mixed, shares = _attend(parts[0], parts[1], parts[2], allowed)
    output = functional.linear(mixed.permute(2, 0, 1, 3).flatten(2), options["out_proj_weight"])
    mean = shares.mean(1) if options.get("need_weights", True) else None
    if batched:
        return output, mean
    return output.squeeze(1), None if mean is None else mean.squeeze(0)


def _allowed(query: Tensor, key: Tensor, options: Mapping[str, Any]) -> Tensor:
    """Return where queries may look, bool (N, heads, L, S); these masks say where they may not."""
    shape = (*query.shape[:3], key.size(2))
    allowed = torch.ones(shape, dtype=torch.bool, device=query.device)
    for name in ("attn_mask", "key_padding_mask"):
        mask = options.get(name)
        if mask is None:
            continue
        open_ = ~mask if mask.dtype == torch.bool else mask > _BLOCKED
        if name == "key_padding_mask":
            open_ = open_.reshape(-1, 1, 1, shape[3])  # (N, S)
        elif open_.dim() == 3:
            open_ = open_.reshape(shape)  # (N * heads, L, S)
        allowed = allowed & open_
    return allowed


def _functions(*names: str) -> set[Callable[..., Any]]:
    """Return torch's functions, functionals and methods of tensors with these names."""
    places = (torch, functional, Tensor)
    return {getattr(place, name) for place in places for name in names if hasattr(place, name)}


_READINGS: dict[Callable[..., Any], Callable[..., Any]] = {
    **dict.fromkeys(
        _functions(
            *("layer_norm", "rms_norm", "group_norm", "instance_norm", "local_response_norm"),
            *("normalize", "log_softmax"),
        ),
        _unchanged,
    ),
    **dict.fromkeys(
        _functions(
            *("tanh", "sigmoid", "hardtanh", "relu6", "hardsigmoid", "softsign", "logsigmoid"),
            *("gelu", "silu", "mish", "hardswish", "softplus"),
        ),
        _bent,
    ),
    **dict.fromkeys(_functions("softmax"), _softmax),
    **dict.fromkeys(_functions("rsqrt"), _fixed),
    functional.batch_norm: _batch_norm,
    functional.embedding: _embedding,
    functional.multi_head_attention_forward: _multi_head,
    functional.scaled_dot_product_attention: _scaled_dot_product,
}

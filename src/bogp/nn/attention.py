"""Attention whose projections hold and compute only the blocks that are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, final

import torch
from torch import Tensor, nn
from torch.nn import functional

from bogp.coupling.opened import added_to_scores, linear_of
from bogp.errors import SettingError
from bogp.nn.linear import GraphLinear

PARTS = ("query", "key", "value", "output")
"""The projections of an attention."""


def projections(layer: nn.MultiheadAttention) -> dict[str, nn.Linear]:
    """Return copies of an attention's projections as linear layers, by their names in ``PARTS``."""
    if layer._qkv_same_embed_dim:
        weights = list(layer.in_proj_weight.chunk(3))
    else:
        weights = [layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight]
    biases: list[Tensor | None] = [None, None, None]
    if layer.in_proj_bias is not None:
        biases = list(layer.in_proj_bias.chunk(3))
    weights.append(layer.out_proj.weight)
    biases.append(layer.out_proj.bias)
    return {
        name: linear_of(weight, bias)
        for name, weight, bias in zip(PARTS, weights, biases, strict=True)
    }


def projection_masks(
    layer: nn.MultiheadAttention, masks: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the mask of each projection that has one, by its name in ``PARTS``.

    Args:
        layer: the attention.
        masks: by the names of its parameters, ``in_proj_weight`` or ``q_proj_weight`` and so on,
            and ``out_proj.weight``.
    """
    names = ("q_proj_weight", "k_proj_weight", "v_proj_weight", "out_proj.weight")
    found = {part: masks[name] for part, name in zip(PARTS, names, strict=True) if name in masks}
    if layer._qkv_same_embed_dim and "in_proj_weight" in masks:
        found |= dict(zip(PARTS, masks["in_proj_weight"].chunk(3), strict=False))
    return found


@final
class GraphMultiheadAttention(nn.Module):
    """``nn.MultiheadAttention`` with projections of their own, each a graph layer or a dense one.

    Inputs, masks and outputs are as in ``nn.MultiheadAttention``; it has no added keys or values
    (``add_bias_kv``, ``add_zero_attn``).

    Args:
        parts: the projections ``query``, ``key``, ``value`` and ``output``.
        heads: how many heads there are.
        dropout: the share of attention weights that is dropped in training.
        batch_first: whether inputs are (batch, tokens, channels), not (tokens, batch, channels).
        packed: whether the dense attention keeps the first three projections in one weight.

    >>> dense = nn.MultiheadAttention(16, 2, batch_first=True)
    >>> mask = torch.block_diag(*[torch.ones(4, 4)] * 4) == 1
    >>> graph = GraphMultiheadAttention.from_dense(dense, {"out_proj.weight": mask})
    >>> type(graph.output).__name__, graph(*[torch.ones(2, 3, 16)] * 3)[0].shape
    ('GraphLinear', torch.Size([2, 3, 16]))
    """

    # What torch's encoder layer asks of an attention before it takes its own fused code.
    in_proj_bias = None
    _qkv_same_embed_dim = False

    def __init__(
        self,
        parts: Mapping[str, nn.Linear | GraphLinear],
        heads: int,
        *,
        dropout: float = 0.0,
        batch_first: bool = False,
        packed: bool = True,
    ) -> None:
        super().__init__()
        self.query, self.key, self.value, self.output = (parts[name] for name in PARTS)
        self.embed_dim, self.num_heads = self.query.out_features, heads
        self.dropout, self.batch_first, self.packed = dropout, batch_first, packed

    @classmethod
    def from_dense(
        cls, layer: nn.MultiheadAttention, masks: Mapping[str, Tensor], **settings: Any
    ) -> Self:
        """Return the attention that computes what ``layer`` does without what the masks prune.

        Args:
            layer: the dense attention, which is not changed.
            masks: by the names of its parameters; a projection without a mask stays dense.
            settings: ``rows``, ``costs`` and ``kind`` of :class:`GraphLinear`.

        Raises:
            MaskError: a mask does not keep whole blocks.
            SettingError: the attention adds keys or values.
        """
        parts: dict[str, nn.Linear | GraphLinear] = {**projections(layer)}
        for name, mask in projection_masks(layer, masks).items():
            parts[name] = GraphLinear.from_dense(projections(layer)[name], mask, **settings)
        return cls.of_parts(layer, parts)

    @classmethod
    def of_parts(
        cls, layer: nn.MultiheadAttention, parts: Mapping[str, nn.Linear | GraphLinear]
    ) -> Self:
        """Return an attention like ``layer`` with other projections.

        Raises:
            SettingError: the attention adds keys or values.
        """
        if layer.bias_k is not None or layer.add_zero_attn:
            raise SettingError(
                "an attention with add_bias_kv or add_zero_attn cannot be a graph layer: keep it "
                "dense"
            )
        found = cls(
            parts,
            layer.num_heads,
            dropout=layer.dropout,
            batch_first=layer.batch_first,
            packed=layer._qkv_same_embed_dim,
        )
        return found.train(layer.training)

    def to_dense(self) -> nn.MultiheadAttention:
        """Return ``nn.MultiheadAttention`` with the same weights, zeros for all other blocks."""
        parts = [
            part.to_dense() if isinstance(part, GraphLinear) else part
            for part in (self.query, self.key, self.value, self.output)
        ]
        weight = parts[0].weight
        found = nn.MultiheadAttention(
            self.embed_dim,
            self.num_heads,
            self.dropout,
            bias=parts[0].bias is not None,
            kdim=parts[1].in_features,
            vdim=parts[2].in_features,
            batch_first=self.batch_first,
            device=weight.device,
            dtype=weight.dtype,
        )
        with torch.no_grad():
            if found._qkv_same_embed_dim:
                found.in_proj_weight.copy_(torch.cat([part.weight for part in parts[:3]]))
            else:
                for name, part in zip("qkv", parts, strict=False):
                    found.get_parameter(f"{name}_proj_weight").copy_(part.weight)
            if found.in_proj_bias is not None:
                found.in_proj_bias.copy_(torch.cat([part.bias for part in parts[:3]]))
            found.out_proj.load_state_dict(parts[3].state_dict())
        return found.train(self.training)

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Return what ``nn.MultiheadAttention`` does: outputs, and attention weights if asked for.

        Raises:
            SettingError: ``is_causal`` is only a hint about a mask, and there is none.
        """
        if is_causal and attn_mask is None:
            raise SettingError("is_causal is a hint about attn_mask: give the mask, too")
        alone = query.ndim == 2  # one sequence, not a batch
        q, k, v = (
            self._heads(part(each), alone)
            for part, each in zip(
                (self.query, self.key, self.value), (query, key, value), strict=True
            )
        )
        if alone and key_padding_mask is not None:
            key_padding_mask = key_padding_mask[None]
        mask = added_to_scores(attn_mask, key_padding_mask, self.num_heads)
        mask = None if mask is None else mask.to(q.dtype)
        dropped = self.dropout if self.training else 0.0
        weights: Tensor | None = None
        if need_weights:
            scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
            weights = (scores if mask is None else scores + mask).softmax(-1)
            weights = functional.dropout(weights, dropped, training=dropped > 0.0)
            mixed = weights @ v
            weights = weights.mean(1) if average_attn_weights else weights
            weights = weights[0] if alone else weights
        else:
            mixed = functional.scaled_dot_product_attention(q, k, v, mask, dropped)
        tokens = mixed.transpose(1, 2).flatten(2)  # (N, tokens, channels)
        if alone:
            tokens = tokens[0]
        elif not self.batch_first:
            tokens = tokens.transpose(0, 1)
        return self.output(tokens), weights

    def _heads(self, tokens: Tensor, alone: bool) -> Tensor:
        """Return tokens as (N, heads, tokens, channels of a head)."""
        if alone:
            tokens = tokens[None]
        elif not self.batch_first:
            tokens = tokens.transpose(0, 1)
        split = tokens.reshape(*tokens.shape[:2], self.num_heads, -1)
        return split.transpose(1, 2)

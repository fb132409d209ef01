"""Channels that leave while a network trains: what is held is what compaction removes."""

from __future__ import annotations

import pytest
import torch
from coupled_models import inputs, zoo
from torch import nn

from bogp import Granularity, Method, Moves, Sparsifier
from bogp.coupling.norms import is_over_kept
from bogp.export import compact


@pytest.mark.parametrize(
    ("spec", "shape"),
    [
        ("mlp:12,9", (4, 4)),
        ("resnet-8:width=4", (8, 8)),
        ("vit:width=16,heads=2", (8, 8)),
        ("gpt:width=16,heads=2", (8,)),
    ],
)
def test_gradual_channels_train_to_a_narrower_network(spec: str, shape: tuple[int, ...]) -> None:
    model, x = zoo(spec, shape, 0).train(), inputs(spec, shape, 0)
    y = x if spec.startswith("gpt") else torch.tensor([1, 3])
    optimizer = torch.optim.AdamW(model.parameters(), 0.01, weight_decay=0.1)
    method = Method(
        "magnitude", "uniform", moves=Moves(every=2), granularity=Granularity("channel")
    )
    sparsifier = Sparsifier(model, optimizer, sparsity=0.6, method=method, steps=12, data=(x, y))
    kept = []
    for _ in range(12):
        loss = nn.functional.cross_entropy(model(x).flatten(0, -2), y.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        kept.append(sparsifier.mask.kept)
    mask = sparsifier.finish()
    assert kept == sorted(kept, reverse=True)
    assert len(set(kept)) > 2
    assert abs(mask.density - 0.4) < 0.06
    norms = [module for module in model.modules() if isinstance(module, nn.LayerNorm)]
    assert all(is_over_kept(norm) and bool((norm.weight == 0).any()) for norm in norms)
    found = compact(model, x, mask)
    assert found.difference < 1e-5
    assert found.parameters_after < 0.5 * found.parameters_before

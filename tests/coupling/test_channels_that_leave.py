"""Channels that leave while a network trains: what is held is what compaction removes."""

from __future__ import annotations

import pytest
import torch
from coupled_models import inputs, zoo
from torch import Tensor, nn

import bogp
from bogp import Granularity, Method, Moves, Recipe, Sparsifier
from bogp.coupling import compact
from bogp.coupling.norms import is_over_kept
from bogp.sparsify import make_mover
from bogp.training import evaluate, initialise, model_factory, train, train_population


def norms(model: nn.Module) -> list[nn.LayerNorm]:
    return [module for module in model.modules() if isinstance(module, nn.LayerNorm)]


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
    assert all(is_over_kept(norm) and (norm.weight == 0).any() for norm in norms(model))
    found = compact(model, x, mask)
    assert found.difference < 1e-5
    assert found.parameters_after < 0.5 * found.parameters_before


def images(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Ten classes of images, each bright at places of its own."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(count) % 10
    centres = torch.rand(10, 8, 8, generator=torch.Generator().manual_seed(9))
    return centres[targets] + 0.2 * torch.rand(count, 8, 8, generator=generator), targets


QUICK = Recipe(optimizer="sgd", learning_rate=0.05, batch_size=20, epochs=2)


@pytest.mark.parametrize("moves", [None, Moves(every=2)])
def test_what_prune_returns_is_what_was_measured(moves: Moves | None) -> None:
    granularity = Granularity("channel", multiple=4)
    method = Method("magnitude", "uniform", moves=moves, granularity=granularity)
    found = bogp.prune(
        "vit:width=8,heads=2,depth=1",
        images(60, 0),
        images(30, 1),
        images(30, 2),
        sparsity=0.6,
        method=method,
        recipe=QUICK,
        final_seeds=1,
        controls=False,
    )
    first = next(run for run in found.found.runs if run.name == "winner")
    assert evaluate(found.model, *images(30, 2)).accuracy == first.accuracy
    assert all(map(is_over_kept, norms(found.model)))
    small = compact(found.model, images(4, 3)[0], found.mask)
    assert small.mask is not None
    assert small.mask.density == 1.0
    assert small.model.norm.normalized_shape == (4,)


def test_a_population_gives_what_a_candidate_alone_gets() -> None:
    factory = model_factory("vit:width=8,heads=2,depth=1", (8, 8), 10)
    method = Method(
        "magnitude", "uniform", moves=Moves(every=2), granularity=Granularity("channel")
    )
    train_on, select_on = images(60, 0), images(30, 1)
    movers = [
        make_mover(
            initialise(factory, seed),
            method,
            sparsity,
            steps=6,
            examples=(train_on[0][:1], None),
            seed=seed,
        )
        for seed, sparsity in ((0, 0.4), (1, 0.7))
    ]
    together = train_population(
        factory, movers, train_on, QUICK, [0, 1], validation=select_on, keep_weights=True
    )
    for seed, (mover, candidate) in enumerate(zip(movers, together.candidates, strict=True)):
        alone = train(initialise(factory, seed), *train_on, QUICK, mask=mover, seed=0)
        assert candidate.mask == alone.mask
        assert candidate.weights is not None
        for name, value in alone.model.state_dict().items():
            torch.testing.assert_close(candidate.weights[name], value, atol=1e-4, rtol=1e-3)
        gains = candidate.weights["norm.weight"]
        assert 0 < int((gains == 0).sum()) < 8

"""Exact populations: the same bits whatever the threads, the memory and the company."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from bogp.errors import SettingError
from bogp.masks import Mask
from bogp.sparsify import METHODS, make_mover
from bogp.training import Halving, Recipe, mlp, population, train_population

COUNT = 6


def convolutional():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * 49, 10),
    )


def dropping():
    layers = (nn.Linear(196, 64), nn.ReLU(), nn.Dropout(0.2), nn.Linear(64, 10))
    return nn.Sequential(nn.Flatten(), *layers)


MODELS = {
    "perceptron": lambda: mlp([196, 64, 10]),
    "convolutional": convolutional,
    "dropping": dropping,
}


@pytest.fixture(scope="module")
def data():
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(500, 1, 14, 14, generator=generator)
    targets = torch.randint(0, 10, (500,), generator=generator)
    return (inputs[:300], targets[:300]), (inputs[300:], targets[300:])


def masks_of(factory):
    """Return masks of very different densities, two that move, and none."""
    shapes = {name: p.shape for name, p in factory().named_parameters() if p.dim() > 1}
    masks = []
    for k in range(COUNT - 1):
        generator = torch.Generator().manual_seed(k)
        density = (k + 1) / COUNT
        kept = {n: torch.rand(s, generator=generator) < density for n, s in shapes.items()}
        masks.append(Mask(kept))
    for k, (name, every) in {1: ("gradual", 3), 4: ("rigl", 4)}.items():
        method = replace(METHODS[name], moves=replace(METHODS[name].moves, every=every))
        masks[k] = make_mover(factory(), method, 0.8, steps=14, seed=k)
    return [*masks, None]


def trained(name, data, rows=range(COUNT), **settings):
    factory = MODELS[name]
    masks = masks_of(factory)
    chosen = {"exact": True, "keep_weights": True} | settings
    # A mini-batch for which torch is the faster way, where it may choose.
    given = Recipe(learning_rate=0.01, batch_size=48, epochs=2, **chosen.pop("recipe", {}))
    return train_population(
        factory, [masks[k] for k in rows], data[0], given, list(rows), validation=data[1], **chosen
    )


def bits(found):
    return [
        (
            one.metrics,
            one.mask and one.mask.fingerprint,
            one.losses,
            one.accuracies,
            one.ended,
            {name: value.numpy().tobytes() for name, value in one.weights.items()},
        )
        for one in found.candidates
    ]


@pytest.mark.parametrize("name", MODELS)
def test_neither_threads_nor_company_nor_memory_change_a_bit(name, data, monkeypatch):
    expected = bits(trained(name, data, threads=1))
    assert bits(trained(name, data, threads=2)) == expected
    assert bits(trained(name, data, rows=[5, 2, 0])) == [expected[k] for k in (5, 2, 0)]
    assert bits(trained(name, data, rows=[3])) == expected[3:4]
    monkeypatch.setattr("bogp.training.population_run.free_memory", lambda device: 3e6)
    assert bits(trained(name, data)) == expected


@pytest.mark.parametrize("name", MODELS)
def test_a_shortage_changes_no_bit(name, data, monkeypatch):
    """After the rung the stacks of the others are let go, and run again; then a group is halved."""
    halving = Halving((1,), 0.9)  # which stops nobody
    kind, settings, failing = population.TorchStack, {}, {7}
    if name == "perceptron":
        kind, settings, failing = population.KernelStack, {"together": 3}, {3, 4}
    expected = bits(trained(name, data))
    calls, advance = [], kind.advance

    def short(stack):
        calls.append(len(stack))
        if len(calls) in failing:
            raise MemoryError
        return advance(stack)

    monkeypatch.setattr(kind, "advance", short)
    assert bits(trained(name, data, halving=halving, **settings)) == expected
    rows = sum(size for k, size in enumerate(calls, 1) if k not in failing)
    assert rows > 2 * COUNT  # some ran again what they had run
    assert (2 in calls) == (name == "perceptron")


@pytest.mark.parametrize("name", MODELS)
def test_splits_change_no_bit_of_the_kernels_and_are_refused_of_torch(name, data):
    expected = bits(trained(name, data, together=1))
    if name == "perceptron":
        assert [bits(trained(name, data, together=k)) for k in (2, 4, 6)] == [expected] * 3
    else:
        with pytest.raises(SettingError, match="together = 4 rounds otherwise than one"):
            trained(name, data, together=4)


def test_the_recipe_s_threads_are_those_of_torch(data, monkeypatch):
    seen = []
    advance = population.TorchStack.advance

    def counted(stack):
        seen.append((torch.get_num_threads(), len(stack)))
        return advance(stack)

    monkeypatch.setattr(population.TorchStack, "advance", counted)
    trained("dropping", data, threads=1, recipe={"threads": 3})
    assert set(seen) == {(3, 1)}
    seen.clear()
    trained("dropping", data, threads=1, exact=False)
    assert set(seen) == {(1, COUNT)}


def test_the_kernels_are_taken_wherever_they_can(data, monkeypatch):
    """Whether they pay is a question of all masks together."""
    kinds = []
    for kind in (population.TorchStack, population.KernelStack):
        advance = kind.advance

        def counted(stack, advance=advance):
            kinds.append(type(stack).__name__)
            return advance(stack)

        monkeypatch.setattr(kind, "advance", counted)
    trained("perceptron", data, rows=[5])
    trained("perceptron", data, rows=[0])
    assert set(kinds) == {"KernelStack"}
    kinds.clear()
    trained("perceptron", data, rows=[5], exact=False)
    trained("perceptron", data, rows=[5], arithmetic="dense")
    assert set(kinds) == {"TorchStack"}


def test_halving_compares_them_and_changes_no_bit_of_those_it_leaves(data):
    whole = bits(trained("dropping", data))
    found = trained("dropping", data, halving=Halving((1,), 0.5))
    left = [k for k, one in enumerate(found.candidates) if one.ended == "whole"]
    assert len(left) == 3
    assert [bits(found)[k] for k in left] == [whole[k] for k in left]

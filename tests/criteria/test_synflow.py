"""SynFlow against the closed form of a chain, and the flow that each layer and unit conserves."""

import itertools

import pytest
import torch
from torch import nn

from bogp.criteria import Context, synflow
from bogp.masks import complete_mask, select


def chain(sizes, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = [[nn.Linear(*pair), nn.ReLU()] for pair in itertools.pairwise(sizes)]
        return nn.Sequential(*itertools.chain.from_iterable(layers))


@pytest.mark.parametrize("dense", [1.0, 0.6])
def test_a_chain_in_closed_form(context, dense):
    given = context(chain([4, 6, 5, 3]), (4,), dense=dense)
    weights = dict(given.model.named_parameters())
    first, second, third = (
        (weights[name].detach() * layer).abs() for name, layer in given.mask.items()
    )
    ones_in, ones_out = torch.ones(4).double(), torch.ones(3).double()
    wanted = [
        first * (ones_out @ third @ second)[:, None] * ones_in,
        second * (ones_out @ third)[:, None] * (first @ ones_in),
        third * ones_out[:, None] * (second @ first @ ones_in),
    ]
    for score, closed in zip(synflow(given).values(), wanted, strict=True):
        torch.testing.assert_close(score, closed)


def test_every_layer_and_every_unit_conserves_the_flow(context):
    # Tanaka et al. 2020, theorems 1 and 2.
    given = context(chain([4, 6, 5, 3]), (4,), dense=0.7)
    scores = list(synflow(given).values())
    total = scores[0].sum()
    for score in scores:
        torch.testing.assert_close(score.sum(), total)
    for before, after in itertools.pairwise(scores):
        torch.testing.assert_close(before.sum(1), after.sum(0))


def test_every_layer_of_a_convolutional_network_conserves_it(convolutional, context):
    given = context(convolutional.eval(), (2, 6, 6), names=("first.weight", "last.weight"))
    given.model.norm.running_mean.fill_(5.0)  # Statistics of earlier training only scale.
    given.model.norm.running_var.fill_(4.0)
    scores = synflow(given)
    torch.testing.assert_close(scores["first.weight"].sum(), scores["last.weight"].sum())
    assert (scores["last.weight"] > 0).all()


def test_data_and_biases_and_signs_do_not_matter(context):
    given = context(chain([5, 7, 3]), (5,))
    scores = synflow(given)
    with torch.no_grad():
        for parameter in given.model.parameters():
            parameter.mul_(-1 if parameter.dim() == 2 else 100)
    shape = torch.zeros(1, 5).double()
    again = synflow(Context(given.model, given.mask, shape))
    assert all(torch.equal(score, again[name]) for name, score in scores.items())


def test_a_deep_network_of_large_weights_does_not_overflow():
    model = chain([64] * 41)
    with torch.no_grad():
        for layer in model[::2]:
            layer.weight.fill_(10.0)  # R = 640^40 * 64, beyond single precision
    mask = complete_mask(model, tuple(n for n, p in model.named_parameters() if p.dim() == 2))
    scores = synflow(Context(model, mask, torch.zeros(1, 64)))
    assert all(bool(score.isfinite().all()) for score in scores.values())
    assert float(scores["0.weight"][0, 0]) == pytest.approx(640.0**40 * 64 / 64**2, rel=1e-9)


def test_scored_once_it_empties_the_wide_layer():
    # Each layer carries the same flow: a weight of the wide layer has a small share of it. Repeated
    # scoring is what prevents that (tested with the pruning rounds).
    model = chain([50, 40, 3])
    mask = complete_mask(model, ("0.weight", "2.weight"))
    once = select(synflow(Context(model, mask, torch.zeros(1, 50))), 60)
    assert int(once["0.weight"].sum()) == 0

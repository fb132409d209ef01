"""Every criterion with every scope and schedule, rewound or not: exact, nested, seeded masks."""

import copy
import dataclasses
import itertools
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from training_helpers import candidates, next_mask, split_of

from bogp.criteria import CRITERIA, Context, criterion
from bogp.errors import LayerCollapseWarning, SettingError
from bogp.keys import derive_seed
from bogp.masks import (
    SCHEDULES,
    SCOPES,
    Mask,
    choose_layers,
    complete_mask,
    densities,
)
from bogp.pipeline import prune_and_train, prune_and_train_population, rounds, scoring
from bogp.pipeline.scoring import EXAMPLES, FEWEST, scoring_examples
from bogp.sparsify import Method
from bogp.training import Recipe, Trained, gpt, initialise, vit

RECIPE = Recipe(learning_rate=0.02, batch_size=None, epochs=1)


class Small(nn.Module):
    """A convolution, a depthwise one, batch statistics and a linear layer: 36 + 24 + 48 weights."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.each = nn.Conv2d(4, 4, (2, 3), groups=4)
        self.last = nn.Linear(4, 12)
        self.out = nn.Linear(12, 4)

    def forward(self, inputs):
        hidden = self.norm(self.first(inputs.view(-1, 1, 4, 5))).relu()
        return self.out(self.last(self.each(hidden).flatten(1)).relu())


TOTAL = 36 + 24 + 48 + 48


def run(parts, method, sparsity, mask_seed=0, support=None):
    """The outcome, and the mask and the initial weights of each of its trainings.

    Training is a nudge to the kept weights: what it does to a mask is to change the scores.
    """
    seen, real = [], rounds.train

    def watched(model, *args, mask, seed, **options):
        mask = getattr(mask, "support", mask)  # of the mover that holds it
        first = {name: value.clone() for name, value in model.state_dict().items()}
        seen.append((mask, first))
        trained, generator = copy.deepcopy(model).eval(), torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, weight in trained.named_parameters():
                weight += 0.1 * torch.randn(weight.shape, generator=generator)
                weight *= mask.get(name, torch.tensor(1.0))
        return Trained(trained, (1.0,), mask=mask)

    rounds.train = watched
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", LayerCollapseWarning)
            outcome = prune_and_train(
                Small, parts, RECIPE, layers="all", sparsity=sparsity, method=method,
                mask_seed=mask_seed, support=support,
            )  # fmt: skip
    finally:
        rounds.train = real
    return outcome, seen


METHODS = st.builds(
    Method,
    st.sampled_from(sorted(set(CRITERIA) - {"synflow"})),  # a hundred times as slow: see below
    st.sampled_from(sorted(SCOPES)),
    st.sampled_from(sorted(SCHEDULES)),
    st.integers(1, 4),
    st.booleans(),
    st.booleans(),
)


@given(METHODS, st.floats(0.0, 0.99), st.integers(0, 2**32), st.booleans())
@settings(max_examples=12)
def test_every_combination_is_exact_nested_and_seeded(parts, method, sparsity, seed, bounded):
    support = None
    if bounded:  # a support of half of the weights, some more
        whole = complete_mask(Small(), tuple(choose_layers(Small(), "all")))
        generator = torch.Generator().manual_seed(seed)
        support = Mask(
            {n: torch.rand(layer.shape, generator=generator) < 0.6 for n, layer in whole.items()}
        )
        sparsity = max(sparsity, 1 - support.density + 0.01)
    outcome, seen = run(parts, method, sparsity, seed, support)
    kept = round((1 - sparsity) * TOTAL)
    assert outcome.mask.kept == kept
    assert outcome.epochs == len(seen)
    masks = [mask for mask, _ in seen]
    if kept > 0:
        assert len(seen) == method.trainings
        start = 1.0 if support is None else support.density
        counts = [round(d * TOTAL) for d in densities(method.schedule, start, kept / TOTAL,
                                                      method.rounds)]  # fmt: skip
        wanted = [round(start * TOTAL)] * method.pretrain + counts
        assert [mask.kept for mask in masks] == wanted
    for before, after in itertools.pairwise(masks):
        assert all(not (layer & ~before[name]).any() for name, layer in after.items())
    if support is not None:
        assert all(not (layer & ~support[name]).any() for name, layer in masks[0].items())
    if method.rewind:
        assert all(torch.equal(s[n], v) for _, s in seen[1:] for n, v in seen[0][1].items())
    again, _ = run(parts, method, sparsity, seed, support)
    assert again.mask == outcome.mask
    empty = [name for name, layer in outcome.mask.items() if not layer.any()]
    assert outcome.record().get("collapsed", []) == empty


@pytest.mark.parametrize("scope", sorted(SCOPES))
@pytest.mark.parametrize("schedule", ["cubic", "one_shot"])
def test_synflow_goes_with_all_of_them_too(parts, scope, schedule):
    method = Method("synflow", scope, schedule, 2, rewind=True)
    outcome, seen = run(parts, method, 0.8)
    assert [mask.kept for mask, _ in seen] == [
        round(d * TOTAL) for d in densities(schedule, 1.0, 31 / TOTAL, 2)
    ]
    assert outcome.collapsed == ()


@pytest.mark.parametrize("criterion", sorted(CRITERIA))
def test_a_population_records_what_one_alone_does(parts, criterion):
    method = Method(criterion, "global", "cubic", 2, rewind=True, pretrain=True)
    (found,) = prune_and_train_population(
        Small, parts, RECIPE, candidates([None], 0.7, [0], method), seeds=[0], layers="all",
        keep=True,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LayerCollapseWarning)
        outcome = prune_and_train(
            Small, parts, RECIPE, layers="all", sparsity=0.7, method=method, order_seed=0
        )
    assert found.mask == outcome.mask
    assert found.collapsed == outcome.collapsed


@pytest.mark.parametrize("name", sorted(set(CRITERIA) - {"random"}))
def test_units_in_another_order_are_pruned_in_that_order(parts, name):
    # Of no ties the mask goes with the weights, whatever the order of a hidden layer's units.
    model = initialise(Small, 3).double()
    parts = dataclasses.replace(parts, train_inputs=parts.train_inputs.double())
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    other = initialise(Small, 3).double()
    with torch.no_grad():
        other.last.weight.copy_(model.last.weight[order])
        other.last.bias.copy_(model.last.bias[order])
        other.out.weight.copy_(model.out.weight[:, order])
    whole = complete_mask(model, choose_layers(model, "all"))
    data = parts.train_inputs, parts.train_targets
    one, two = (criterion(name).score(Context(net, whole, *data)) for net in (model, other))
    torch.testing.assert_close(two["last.weight"], one["last.weight"][order])
    torch.testing.assert_close(two["out.weight"], one["out.weight"][:, order])
    torch.testing.assert_close(two["each.weight"], one["each.weight"])
    if CRITERIA[name].steps > 1:
        return  # weights that follow each other on the last path tie, up to rounding
    one, two = (
        next_mask(net, whole, Method(name, "global"), 60, 0, 1, parts) for net in (model, other)
    )
    assert torch.equal(two["last.weight"], one["last.weight"][order])
    assert torch.equal(two["out.weight"], one["out.weight"][:, order])
    assert torch.equal(two["each.weight"], one["each.weight"])


def test_a_collapse_is_told_once_and_recorded(parts):
    tiny = torch.zeros(4, 1, 3, 3)

    def factory():
        model = Small()
        with torch.no_grad():
            model.each.weight.mul_(1e-6)
            model.first.weight.mul_(1e-6)
        return model

    assert tiny.numel() == 36
    method = Method("magnitude", "global", rounds=2)
    with pytest.warns(LayerCollapseWarning) as said:
        outcome = prune_and_train(
            factory, parts, RECIPE, layers="all", sparsity=0.75, method=method, seed=1
        )
    assert outcome.collapsed == ("first.weight", "each.weight")
    assert [str(one.message) for one in said] == [
        "no weight is kept of 'first.weight', 'each.weight' at sparsity 0.75: nothing passes there "
        "any more, so take the scope 'erk' or 'uniform', the criterion 'synflow' or a lower "
        "sparsity"
    ]
    assert said[0].filename == __file__
    # A warning would be an error.
    (found,) = prune_and_train_population(
        factory, parts, RECIPE, candidates([None], 0.75, [0], method), seeds=[1], layers="all"
    )
    record = found.record()
    assert record["collapsed"] == ["first.weight", "each.weight"] == outcome.record()["collapsed"]
    for scope in ("erk", "uniform"):  # as the sentence says
        better = dataclasses.replace(method, scope=scope)
        fine = prune_and_train(factory, parts, RECIPE, layers="all", sparsity=0.75, method=better)
        assert "collapsed" not in fine.record()


def test_many_collapsed_layers_are_counted(parts):
    def deep():
        layers = [nn.Linear(20, 20) for _ in range(7)]
        with torch.no_grad():
            for layer in layers[:6]:
                layer.weight.mul_(1e-9)
        return nn.Sequential(*layers, nn.Linear(20, 4))

    with pytest.warns(LayerCollapseWarning, match=r"of '0.weight', .*, '3.weight' and 2 more at"):
        prune_and_train(
            deep, parts, RECIPE, layers="all", sparsity=0.9, method=Method("magnitude", "global")
        )


def sequences(count, length=6):
    """A split of token sequences, in which a token says what comes next."""
    tokens = torch.randint(9, (count, length + 1), generator=torch.Generator().manual_seed(0))
    inputs, targets = tokens[:, :-1], tokens[:, 1:]
    return split_of(inputs, targets)


def test_examples_of_sequences_are_a_seeded_draw():
    data, model = sequences(EXAMPLES + 500), gpt(9, 6, width=8, depth=1, heads=2)
    inputs, targets = scoring_examples(model, data, "snip", 3)
    assert inputs.shape == targets.shape == (EXAMPLES, 6)
    assert torch.equal(inputs[:, 1:], targets[:, :-1])  # row by row
    again, other = (scoring_examples(model, data, "grasp", seed)[0] for seed in (3, 4))
    assert torch.equal(again, inputs)
    assert not torch.equal(other, inputs)


def test_a_large_network_is_scored_on_fewer_examples(monkeypatch, parts):
    model, data = Small(), split_of(torch.randn(900, 20), torch.arange(900) % 4)
    assert len(scoring_examples(model, data, "snip", 0)[0]) == 900
    each = 4 * 6 + 4 * 6 + 4 + 12 + 4  # numbers that the layers put out for an example
    monkeypatch.setattr(scoring, "OUTPUTS", 200 * each + 1)
    inputs, targets = scoring_examples(model, data, "snip", 0)
    assert len(inputs) == 200
    assert torch.bincount(targets).tolist() == [50] * 4
    monkeypatch.setattr(scoring, "OUTPUTS", 1)
    assert len(scoring_examples(model, data, "snip", 0)[0]) == FEWEST


@pytest.mark.parametrize("attention", ["separate", "packed"])
@pytest.mark.parametrize("kind", ["vit", "gpt"])
def test_synflow_empties_no_layer_of_a_transformer(kind, attention):
    if kind == "vit":
        model = initialise(lambda: vit((4, 4), 3, width=8, heads=2, attention=attention), 0)
        data = split_of(torch.randn(20, 4, 4), torch.arange(20) % 3)
    else:
        model = initialise(lambda: gpt(9, 6, width=8, heads=2, attention=attention), 0)
        data = sequences(20)
    whole = complete_mask(model, choose_layers(model, "all"))
    kept = round(0.1 * whole.total)
    mask = next_mask(model, whole, Method("synflow", "global"), kept, 0, 1, data)
    assert mask.kept == kept
    assert all(layer.any() for layer in mask.values())


@pytest.mark.parametrize("name", ["snip", "synflow"])
def test_a_network_whose_last_layer_is_zero_is_one_sentence(parts, name):
    model = Small()
    nn.init.zeros_(model.out.weight)
    whole = complete_mask(model, ("first.weight", "each.weight"))
    with pytest.raises(SettingError, match=f"'{name}' scores each of the 60 weights 0, of 'first"):
        next_mask(model, whole, Method(name), 30, derive_seed(0, "mask"), 1, parts)
    for other in ("random", "magnitude", "grasp"):  # the gradient's gradient passes there
        assert next_mask(model, whole, Method(other), 30, 0, 1, parts).kept == 30
    with torch.no_grad():
        model.first.weight.zero_()
        model.each.weight.zero_()
    with pytest.raises(SettingError, match="'magnitude' scores each of the 60 weights 0"):
        next_mask(model, whole, Method("magnitude"), 30, 0, 1, parts)

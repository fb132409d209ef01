"""Rewinding and pretraining against the lottery ticket written out, alone and in populations."""

import dataclasses
from dataclasses import asdict
from functools import partial

import pytest
import torch
from torch import nn
from training_helpers import (
    Bomb,
    assert_weights_close,
    baseline,
    baseline_population,
    candidates,
    double_mlp,
    in_double,
)

from bogp.errors import RecipeError, SettingError, UnknownNameError
from bogp.keys import content_key, derive_seed
from bogp.masks import Mask, complete_mask
from bogp.pipeline import Candidate, prune_and_train, prune_and_train_population, rounds
from bogp.pipeline.first_mask import initial_seed
from bogp.pipeline.rounds import batch_seed
from bogp.sparsify import METHODS, Method
from bogp.sparsify.methods import check_method, inverted
from bogp.training import Halving, Recipe, initialise, train

RECIPE = Recipe(learning_rate=0.05, batch_size=None, epochs=3)
HIDDEN, OUTPUT = "1.weight", "3.weight"


class Normed(nn.Module):
    """A convolution with batch statistics, whose buffers training moves."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.last = nn.Linear(36, 4)

    def forward(self, inputs):
        return self.last(self.norm(self.conv(inputs.view(-1, 1, 4, 5))).relu().flatten(1))


def normed():
    return Normed().double()


@pytest.fixture(scope="module")
def parts(parts):
    return in_double(parts)


def trained_by_hand(model, keep, parts):
    """Full-batch Adam with the weights outside ``keep`` held at zero, in place."""
    weights = dict(model.named_parameters())
    optimizer = torch.optim.Adam(model.parameters(), lr=RECIPE.learning_rate)
    with torch.no_grad():
        for name, layer in keep.items():
            weights[name] *= layer
    for _ in range(RECIPE.epochs):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(parts.train_inputs), parts.train_targets).backward()
        for name, layer in keep.items():
            weights[name].grad *= layer
        optimizer.step()


def ticket(parts, sparsity, rounds, seed, *, pretrain, rewind):
    """Frankle & Carbin 2019, section 2: train, prune the smallest weights, reset, repeat."""
    model = initialise(double_mlp, derive_seed(seed, "initial weights"))
    begin = {name: value.clone() for name, value in model.state_dict().items()}
    weights = dict(model.named_parameters())
    keep = {name: torch.ones_like(weights[name]) for name in (HIDDEN, OUTPUT)}
    total = sum(layer.numel() for layer in keep.values())
    if pretrain:
        trained_by_hand(model, {}, parts)
    for number in range(1, rounds + 1):
        kept = round((1 - sparsity) ** (number / rounds) * total)
        size = {name: weights[name].detach().abs() * layer for name, layer in keep.items()}
        lowest = torch.cat([s.flatten() for s in size.values()]).sort().values[-kept]
        keep = {name: (s >= lowest).double() for name, s in size.items()}
        if rewind:
            model.load_state_dict(begin)
        trained_by_hand(model, keep, parts)
    return model, keep


@pytest.mark.parametrize("pretrain", [False, True])
@pytest.mark.parametrize("rewind", [False, True])
def test_it_is_the_lottery_ticket_written_out(parts, pretrain, rewind):
    method = Method("magnitude", "global", rounds=3, rewind=rewind, pretrain=pretrain)
    model, keep = ticket(parts, 0.75, 3, 3, pretrain=pretrain, rewind=rewind)
    shared = {"layers": "all", "sparsity": 0.75, "seed": 3}
    ours = prune_and_train(double_mlp, parts, RECIPE, method=method, **shared)
    for name, layer in keep.items():
        assert torch.equal(ours.mask[name], layer.bool())
    for mine, theirs in zip(ours.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-9)
    assert ours.epochs == RECIPE.epochs * method.trainings == RECIPE.epochs * (3 + pretrain)


def test_imp_and_gradual_are_these_methods(parts):
    model, keep = ticket(parts, 0.875, 5, 2, pretrain=True, rewind=True)
    ours = baseline("imp", double_mlp, parts, RECIPE, layers="all", sparsity=0.875, seed=2)
    assert all(torch.equal(ours.mask[name], layer.bool()) for name, layer in keep.items())
    torch.testing.assert_close(ours.model[1].weight, model[1].weight, rtol=0, atol=1e-9)
    gradual = baseline("iterative", double_mlp, parts, RECIPE, layers="all", sparsity=0.875, seed=2)
    assert gradual.mask != ours.mask
    assert METHODS["iterative"].schedule == "cubic"


def test_each_option_changes_the_result(parts):
    outcomes = {}
    for rewind in (False, True):
        for pretrain in (False, True):
            method = Method("magnitude", "global", "linear", 2, rewind, pretrain)
            outcomes[rewind, pretrain] = prune_and_train(
                double_mlp, parts, RECIPE, layers="all", sparsity=0.8, method=method
            )
    weights = [outcome.model[1].weight for outcome in outcomes.values()]
    assert not any(torch.equal(a, b) for k, a in enumerate(weights) for b in weights[:k])


def test_with_one_training_there_is_nothing_to_rewind_from(parts):
    shared = {"layers": "all", "sparsity": 0.8}
    one, other = (
        prune_and_train(
            double_mlp, parts, RECIPE, method=Method("magnitude", rewind=rewind), **shared
        )
        for rewind in (False, True)
    )
    assert one.mask == other.mask
    assert torch.equal(one.model[1].weight, other.model[1].weight)


def test_pretraining_is_what_dense_trains(parts):
    dense = baseline("dense", double_mlp, parts, RECIPE, seed=4)
    size = torch.cat([dense.model[k].weight.abs().flatten() for k in (1, 3)])
    lowest = size.sort().values[-77]  # of 384
    method = dataclasses.replace(METHODS["imp"], rounds=1)
    pruned = prune_and_train(
        double_mlp, parts, RECIPE, layers="all", sparsity=0.8, method=method, seed=4
    )
    for k, name in ((1, HIDDEN), (3, OUTPUT)):
        assert torch.equal(pruned.mask[name], dense.model[k].weight.abs() >= lowest)


def test_pretraining_stays_inside_the_support(parts):
    support = torch.rand(16, 20, generator=torch.Generator().manual_seed(0)) < 0.5
    method = Method("magnitude", "global", pretrain=True)
    outcome = prune_and_train(
        double_mlp, parts, RECIPE, layers="hidden", sparsity=0.8, method=method, support=support,
        seed=1,
    )  # fmt: skip
    model = initialise(double_mlp, initial_seed(1))
    data = parts.train_inputs, parts.train_targets
    inside = train(model, *data, RECIPE, mask=Mask({HIDDEN: support}), seed=batch_seed(1, 0)).model
    size = inside[1].weight.abs() * support
    assert torch.equal(outcome.mask[HIDDEN], size >= size.flatten().sort().values[-64])


def test_buffers_are_rewound_too(parts, monkeypatch):
    begun, real = [], rounds.train

    def watched(model, *args, **options):
        begun.append({name: value.clone() for name, value in model.state_dict().items()})
        return real(model, *args, **options)

    monkeypatch.setattr(rounds, "train", watched)
    method = Method("snip", "global", rounds=2, rewind=True, pretrain=True)
    outcome = prune_and_train(normed, parts, RECIPE, layers="all", sparsity=0.6, method=method)
    assert len(begun) == 3
    for state in begun[1:]:
        assert all(torch.equal(state[name], value) for name, value in begun[0].items())
    assert int(begun[0]["norm.num_batches_tracked"]) == 0
    assert int(outcome.model.norm.num_batches_tracked) == RECIPE.epochs  # of the last training


@pytest.mark.parametrize("make", [double_mlp, normed])
@pytest.mark.parametrize("method", ["imp", "iterative"])
def test_a_population_is_its_candidates_one_by_one(parts, make, method):
    method = dataclasses.replace(METHODS[method], rounds=2)
    seen = []
    found = prune_and_train_population(
        make, parts, RECIPE, candidates([None] * 2, 0.8, (7, 8), method), seeds=(4, 5),
        layers="all", order_seed=3, keep=True, progress=lambda *step: seen.append(step),
    )  # fmt: skip
    for k, one in enumerate(found):
        alone = prune_and_train(
            make, parts, RECIPE, layers="all", sparsity=0.8, method=method,
            mask_seed=7 + k, seed=4 + k, order_seed=3,
        )  # fmt: skip
        assert one.mask == alone.mask
        assert_weights_close(one, alone.model, atol=1e-8)
        assert one.epochs == alone.epochs == 3 * RECIPE.epochs
    assert (seen[0], seen[-1]) == ((0, 18), (18, 18))


def test_a_baseline_population_is_the_baseline(parts):
    shared = {"layers": "all", "sparsity": 0.8}
    (found,) = baseline_population(
        "imp", double_mlp, parts, RECIPE, seeds=(1,), order_seed=1, **shared
    )
    alone = baseline("imp", double_mlp, parts, RECIPE, seed=1, **shared)
    assert found.mask == alone.mask
    assert found.epochs == alone.epochs == 18


def test_halving_compares_those_of_equal_trainings_in_their_last(parts):
    recipe = Recipe(learning_rate=0.05, batch_size=None, epochs=2)
    methods = [Method("magnitude", rounds=2, pretrain=k < 3) for k in range(5)]
    asked = [Candidate(None, method, 0.5, k) for k, method in enumerate(methods)]
    found = prune_and_train_population(
        double_mlp,
        parts,
        recipe,
        asked,
        seeds=range(5),
        layers="hidden",
        halving=Halving((1,), 0.5),
    )
    spent = [one.epochs for one in found]
    assert sorted(spent[:3]) == [5, 6, 6]
    assert sorted(spent[3:]) == [3, 4]


def test_who_diverges_before_the_first_round_takes_part_in_none(parts):
    with pytest.raises(RecipeError, match="diverged before the first pruning round: lower the"):
        baseline("imp", partial(Bomb, 10), parts, RECIPE, sparsity=0.5, seed=10)
    found = prune_and_train_population(
        partial(Bomb, 10), parts, RECIPE, candidates([None] * 2, 0.5, (0, 1), METHODS["imp"]),
        seeds=(10, 11), layers="hidden", keep=True,
    )  # fmt: skip
    assert [one.diverged for one in found] == [True, False]
    assert [one.epochs for one in found] == [3, 18]
    assert found[0].mask.sparsity == 0.0


def test_the_record_of_a_method_has_all_its_fields():
    fields = {"criterion": "magnitude", "scope": "global", "schedule": "exponential", "rounds": 5}
    fields |= {"rewind": False, "pretrain": False}
    method = Method("magnitude", "global", rounds=5)
    assert method.record() == fields
    for option in ("rewind", "pretrain"):
        changed = dataclasses.replace(method, **{option: True})
        assert changed.record() == fields | {option: True}
    records = [method.record() for method in METHODS.values() if method is not None]
    # "magnitude" is another name of "glob1".
    assert len({content_key(record) for record in records}) == len(records) - 1
    still = [record for record in records if "moves" not in record]
    assert all(Method(**record).record() == record for record in still)
    assert [name for name, found in METHODS.items() if found and found.moves] == [
        *("gradual", "set", "rigl")
    ]
    assert set(asdict(method)) == {*fields, "moves", "granularity"}


@pytest.mark.parametrize(
    ("fields", "error", "words"),
    [
        ({"criterion": "snp"}, UnknownNameError, "unknown criterion 'snp': did you mean snip"),
        ({"scope": "globl"}, UnknownNameError, "unknown scope 'globl'"),
        ({"schedule": "cubik"}, UnknownNameError, "unknown schedule 'cubik': did you mean cubic"),
        ({"rounds": 0}, SettingError, "rounds = 0 of a method: give 1 or more"),
        ({"rounds": 2.5}, SettingError, "rounds = 2.5"),
        ({"rewind": "no"}, SettingError, "rewind = 'no' of a method: give True or False"),
        ({"pretrain": 2}, SettingError, "pretrain = 2"),
    ],
)
@pytest.mark.parametrize("sparsity", [0.5, 0.9999])
def test_a_method_is_checked_before_any_training(parts, fields, error, words, sparsity):
    method = Method(**({"criterion": "random"} | fields))
    # Checked also where nothing is kept, and a schedule therefore never asked.
    with pytest.raises(error, match=words):
        prune_and_train(double_mlp, parts, RECIPE, sparsity=sparsity, method=method)
    asked = [Candidate(None, each, sparsity, 1) for each in (Method("random"), method)]
    with pytest.raises(error, match=words):
        prune_and_train_population(
            double_mlp, parts, RECIPE, asked, seeds=(1, 2),
            progress=lambda *_: pytest.fail("trained"),
        )  # fmt: skip


def test_inverted_criteria_pass_and_all_named_methods_do():
    check_method(inverted(Method("snip")))
    with pytest.raises(UnknownNameError, match="'snp'"):
        inverted(Method("snp"))
    for method in METHODS.values():
        if method is not None:
            check_method(method)
    assert complete_mask(double_mlp(), (HIDDEN,)).kept == 320

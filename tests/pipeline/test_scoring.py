"""One pruning round: which examples are scored on, and criteria of several steps."""

import copy
import dataclasses
import functools
import pickle
import warnings

import pytest
import torch
from torch import nn
from training_helpers import baseline, baseline_population, candidates, next_mask, split_of

from bogp.cores import torch_threads
from bogp.criteria import CRITERIA, Context, Criterion, criterion, magnitude, synflow
from bogp.data import split
from bogp.errors import DataError, LayerCollapseWarning, MaskError, SettingError, SparsityError
from bogp.graphs import generate, random_mask
from bogp.keys import derive_seed
from bogp.masks import Mask, choose_layers, complete_mask, densities, select
from bogp.pipeline import prune_and_train, prune_and_train_population
from bogp.pipeline.scoring import EXAMPLES, scoring_examples
from bogp.sparsify import METHODS, Method, support_mask
from bogp.sparsify.methods import check_method, inverted
from bogp.training import Recipe, initialise, mlp, model_factory

FACTORY = model_factory("mlp:16", 20, 4)
DATA_METHODS = ["snip", "grasp", "synflow"]


@pytest.fixture(scope="module")
def many(toy):
    """A split of 3,000 examples in classes of 100 to 1,500; only its training data are good."""
    targets = torch.arange(4).repeat_interleave(torch.tensor([100, 400, 1000, 1500]))
    inputs = torch.randn(3000, 20, generator=torch.Generator().manual_seed(0))
    poison = torch.full((10, 20), float("nan"))
    found = split(toy, "holdout", seed=0)
    return dataclasses.replace(
        found,
        train_inputs=inputs,
        train_targets=targets,
        select_inputs=poison,
        report_inputs=poison,
    )


def network():
    model = initialise(FACTORY, 1)
    return model, complete_mask(model, choose_layers(model, "all"))


def test_examples_are_a_stratified_draw_of_the_training_data(many):
    model, _ = network()
    inputs, targets = scoring_examples(model, many, "snip", 3)
    assert len(inputs) == len(targets) == EXAMPLES
    shares = torch.bincount(targets).double()
    wanted = torch.bincount(many.train_targets).double() * EXAMPLES / 3000
    assert ((shares - wanted).abs() < 1).all()
    rows = (inputs[:, None, 0] == many.train_inputs[None, :, 0]).double().argmax(1)
    assert rows.unique().numel() == EXAMPLES
    assert torch.equal(many.train_inputs[rows], inputs)
    assert torch.equal(many.train_targets[rows], targets)
    again, _ = scoring_examples(model, many, "grasp", 3)
    other, _ = scoring_examples(model, many, "snip", 4)
    assert torch.equal(inputs, again)
    assert not torch.equal(inputs, other)


def test_few_examples_are_all_taken(parts):
    inputs, targets = scoring_examples(network()[0], parts, "snip", 3)
    assert torch.equal(inputs, parts.train_inputs)
    assert torch.equal(targets, parts.train_targets)


@pytest.mark.parametrize("name", DATA_METHODS)
def test_a_pruning_round_keeps_the_best_scores_on_its_examples(many, name):
    model, mask = network()
    found = next_mask(model, mask, METHODS[name], 100, 7, 1, many)
    assert found.kept == 100
    context = Context(model, mask, *scoring_examples(model, many, name, 7))
    if name != "synflow":
        assert found == select(criterion(name).score(context), 100)
    other = next_mask(model, mask, METHODS[name], 100, 8, 1, many)
    assert (found == other) == (name == "synflow")  # by its examples; synflow sees none


@pytest.mark.parametrize("name", DATA_METHODS)
def test_scores_do_not_depend_on_the_number_of_threads(many, name, monkeypatch):
    # Sums over more threads are rounded otherwise, which few masks show: so look at the threads.
    model, mask = network()
    masks, seen, found = [], set(), criterion(name)

    def watched(context):
        seen.add(torch.get_num_threads())
        return found.score(context)

    monkeypatch.setitem(CRITERIA, name, dataclasses.replace(found, score=watched))
    for threads in (1, 2):
        with torch_threads(threads):
            masks.append(next_mask(model, mask, METHODS[name], 100, 7, 1, many))
            assert torch.get_num_threads() == threads
    assert masks[0] == masks[1]
    assert seen == {1}


def test_synflow_shrinks_the_mask_a_hundred_times_and_trains_nothing(parts):
    assert {name: found.steps for name, found in CRITERIA.items() if found.steps > 1} == {
        "synflow": 100
    }
    model, mask = network()
    before = copy.deepcopy(model.state_dict())
    found = next_mask(model, mask, METHODS["synflow"], 20, 0, 1, parts)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    wanted = mask
    for density in densities("exponential", 1.0, 20 / mask.total, 100):
        context = Context(model, wanted, parts.train_inputs[:1])
        wanted = select(synflow(context), round(density * mask.total), support=wanted)
    assert found == wanted
    # Once is not enough: the wide layer goes first and whole.
    once = select(synflow(Context(model, mask, parts.train_inputs[:1])), 20)
    assert int(once["1.weight"].sum()) == 0
    assert int(found["1.weight"].sum()) > 0
    assert int(found["3.weight"].sum()) > 0


def test_synflow_begins_at_the_support(parts):
    model, _ = network()
    graph = generate("uniform", 12, 40, 2)
    support = support_mask(graph, model, choose_layers(model, "all"))
    found = next_mask(model, support, METHODS["synflow"], 60, 0, 1, parts)
    assert found.kept == 60
    assert all(not (layer & ~support[name]).any() for name, layer in found.items())
    assert next_mask(model, support, METHODS["synflow"], support.kept, 0, 1, parts) == support
    assert next_mask(model, support, METHODS["synflow"], 0, 0, 1, parts).kept == 0
    with pytest.raises(SparsityError, match=f"cannot keep {support.kept + 1} of"):
        next_mask(model, support, METHODS["synflow"], support.kept + 1, 0, 1, parts)


@pytest.mark.parametrize("name", DATA_METHODS)
def test_scores_are_of_the_network_inside_its_support(parts, name):
    # Weights outside the support count as zero: with other values there, nothing changes.
    model, mask = network()
    support = Mask({**mask, "1.weight": random_mask(16, 20, 0.5, 3)})
    found = next_mask(model, support, METHODS[name], 90, 0, 1, parts)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other[1].weight[~support["1.weight"]] = 50.0
    assert next_mask(other, support, METHODS[name], 90, 0, 1, parts) == found
    assert next_mask(other, mask, METHODS[name], 90, 0, 1, parts) != found


@pytest.mark.parametrize("name", DATA_METHODS)
def test_a_second_round_scores_the_trained_network(parts, tiny, name):
    twice = Method(name, "global", rounds=2)
    outcome = prune_and_train(FACTORY, parts, tiny, sparsity=0.9, layers="all", method=twice)
    single = prune_and_train(FACTORY, parts, tiny, sparsity=0.9, layers="all", method=METHODS[name])
    assert (outcome.epochs, single.epochs) == (2, 1)
    assert outcome.mask.kept == single.mask.kept == 38
    assert outcome.mask != single.mask


@pytest.mark.parametrize("scope", ["er", "erk", "uniform"])
def test_any_criterion_goes_with_any_scope(parts, tiny, scope):
    for name in DATA_METHODS:
        outcome = prune_and_train(
            FACTORY, parts, tiny, sparsity=0.5, layers="all", method=Method(name, scope)
        )
        counts = [int(layer.sum()) for layer in outcome.mask.values()]
        assert counts == ([160, 32] if scope == "uniform" else [128, 64])


def wide():
    return mlp([20, 100, 4])


@pytest.mark.parametrize("name", [*DATA_METHODS, "glob1", "erk"])
@pytest.mark.parametrize("emptied", [None, "1.weight", "3.weight"])
def test_an_emptied_layer_is_measured_and_recorded(parts, name, emptied):
    recipe = Recipe(learning_rate=0.01, batch_size=64, epochs=1)
    shared = {"sparsity": 0.999, "layers": "all", "method": METHODS[name]}
    support = None
    if emptied is not None:
        whole = complete_mask(wide(), ("1.weight", "3.weight"))
        support = Mask({**whole, emptied: torch.zeros_like(whole[emptied])})
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        outcome = prune_and_train(wide, parts, recipe, support=support, **shared)
    record = outcome.record()
    gone = [layer for layer, mask in outcome.mask.items() if not mask.any()]
    assert record.get("collapsed", []) == gone == list(outcome.collapsed)
    assert [w.category for w in said] == [LayerCollapseWarning] * bool(gone)
    assert all(layer in str(said[0].message) for layer in gone)
    assert outcome.mask.kept == 2
    assert 0.0 <= record["accuracy"] <= 1.0
    assert not outcome.diverged
    assert record["structure"]["sparsity"] == outcome.mask.sparsity
    if emptied is not None:  # what is kept in the other layer leads nowhere
        assert int(outcome.mask[emptied].sum()) == 0
        assert record["structure"]["effective_sparsity"] == 1.0
    # Of two weights left, the output depends on none unless they follow each other.
    empty = [layer for layer in outcome.mask.values() if not layer.any()]
    assert (record["structure"]["effective_sparsity"] == 1.0) or not empty


def test_a_population_with_emptied_layers_is_measured(parts):
    recipe = Recipe(learning_rate=0.01, batch_size=64, epochs=1)
    found = baseline_population(
        "snip", wide, parts, recipe, seeds=(1, 2), layers="all", sparsity=0.9999
    )
    assert [one.mask.kept for one in found] == [0, 0]
    for one in found:
        assert one.record()["collapsed"] == ["1.weight", "3.weight"]  # and no warning
        assert 0.0 <= one.record()["accuracy"] <= 1.0
        assert one.record()["structure"]["effective_sparsity"] == 1.0
        assert one.record()["structure"]["speed_up"] is None


@pytest.mark.parametrize("name", DATA_METHODS)
def test_a_convolutional_network_with_batch_statistics_is_pruned(name, tiny):
    def factory():
        return nn.Sequential(
            nn.Unflatten(1, (1, 4, 5)),
            nn.Conv2d(1, 6, 3),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(36, 4),
        )

    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(90, 20, generator=generator)
    targets = (inputs[:, 0] > 0).long()
    parts = dataclasses.replace(
        split_of(inputs, targets), select_inputs=inputs, select_targets=targets
    )
    shared = {"sparsity": 0.5, "layers": "all", "method": Method(name, "erk")}
    outcome = prune_and_train(factory, parts, tiny, **shared)
    assert [int(layer.sum()) for layer in outcome.mask.values()] == [24, 75]  # 13 to 40
    assert outcome.mask.kept == round(0.5 * (54 + 144))


def test_bad_input_is_one_sentence(parts):
    model, mask = network()
    with pytest.raises(SettingError, match="'snip' runs the network: give it data"):
        next_mask(model, mask, METHODS["snip"], 10, 0, 1)
    wrong = dataclasses.replace(parts, train_targets=parts.train_targets + 1)
    with pytest.raises(DataError, match="label 4 of the training targets"):
        next_mask(model, mask, METHODS["snip"], 10, 0, 1, wrong)
    narrow = dataclasses.replace(parts, train_inputs=parts.train_inputs[:, :9])
    for name in DATA_METHODS:
        with pytest.raises(SettingError, match=r"cannot take inputs of shape \(1, 9\)"):
            next_mask(model, mask, METHODS[name], 10, 0, 1, narrow)
    with torch.no_grad():
        model[1].weight.fill_(float("inf"))
    with pytest.raises(MaskError, match="NaN"):
        next_mask(model, mask, METHODS["grasp"], 10, 0, 1, parts)


def test_draws_of_earlier_records_keep_their_names(parts):
    model, mask = network()
    scores = criterion("random").score(Context(model, mask, seed=derive_seed(5, "scores", 2)))
    wanted = select(scores, 99, scope="uniform", seed=derive_seed(5, "select", 2))
    assert next_mask(model, mask, METHODS["random"], 99, 5, 2, parts) == wanted


def test_the_named_methods_run_as_baselines(parts, tiny):
    outcome = baseline("erk", FACTORY, parts, tiny, layers="all", sparsity=0.5, seed=2)
    assert [int(layer.sum()) for layer in outcome.mask.values()] == [128, 64]
    snip = baseline("snip", FACTORY, parts, tiny, layers="all", sparsity=0.5, seed=2)
    model = initialise(FACTORY, derive_seed(2, "initial weights"))
    mask = complete_mask(model, choose_layers(model, "all"))
    context = Context(model, mask, parts.train_inputs, parts.train_targets)
    assert snip.mask == select(criterion("snip").score(context), 192)


def largest(context):
    """A criterion of one's own: magnitude, which a mask can be compared with."""
    return magnitude(context)


def test_a_function_scores_wherever_a_name_does(parts, tiny):
    model, mask = network()
    named, own = Method("magnitude", "global"), Method(largest, "global")
    wanted = next_mask(model, mask, named, 100, 7, 1)
    assert next_mask(model, mask, own, 100, 7, 1, parts) == wanted
    alone = Method(Criterion("mine", largest), "global")
    assert next_mask(model, mask, alone, 100, 7, 1) == wanted
    with pytest.raises(
        SettingError, match=r"largest' runs the network: give it data .* needs_data"
    ):
        next_mask(model, mask, own, 100, 7, 1)
    asked = (candidates([None] * 2, 0.5, (3, 4), method) for method in (named, own))
    first, second = (
        prune_and_train_population(FACTORY, parts, tiny, each, seeds=(1, 2), layers="all")
        for each in asked
    )
    assert [one.fingerprint for one in first] == [one.fingerprint for one in second]
    assert None not in {one.fingerprint for one in first}


def test_the_record_of_a_function_is_its_name():
    assert Method(largest).record() == Method("random").record() | {
        "criterion": f"{__name__}.largest"
    }
    assert Method(magnitude).record() == Method("magnitude").record()
    assert Method(Criterion("mine", largest)).record()["criterion"] == "mine"
    assert inverted(Method(largest)).record()["criterion"] == f"inverted {__name__}.largest"
    assert pickle.loads(pickle.dumps(inverted(Method(largest)))) == inverted(Method(largest))
    for unnamed in (lambda context: magnitude(context), functools.partial(magnitude), 3):
        with pytest.raises(SettingError, match="has no name for records: give a name"):
            check_method(Method(unnamed))


@pytest.mark.parametrize("name", ["magnitude", "synflow"])
def test_an_inverted_criterion_keeps_the_lowest_scores(parts, name):
    model, mask = network()
    found = next_mask(model, mask, inverted(Method(name, "global")), 100, 7, 1, parts)
    wanted = mask
    steps = CRITERIA[name].steps
    for step, density in enumerate(densities("exponential", 1.0, 100 / mask.total, steps), 1):
        context = Context(model, wanted, parts.train_inputs[:1])
        scores = {layer: -score for layer, score in criterion(name).score(context).items()}
        ties = derive_seed(7, "select", 1, *([step] if steps > 1 else []))
        wanted = select(scores, round(density * mask.total), support=wanted, seed=ties)
    assert found == wanted

"""bogp.mask: one pruning round without training gives the mask that training would have."""

import copy
import warnings

import pytest
import torch
from torch import nn

import bogp
from bogp.criteria import Context, Criterion, magnitude, snip
from bogp.errors import (
    DataError,
    GraphError,
    LayerCollapseWarning,
    MaskError,
    SettingError,
    SparsityError,
    UnknownNameError,
)
from bogp.masks import complete_mask, select
from bogp.pipeline import prune_and_train
from bogp.pipeline.first_mask import initial_seed
from bogp.sparsify import METHODS, Method, support_mask
from bogp.training import Recipe, initialise, mlp

ONE_ROUND = [
    name
    for name, method in METHODS.items()
    if method is not None and method.trainings == 1 and method.moves is None
]
RECIPE = Recipe(learning_rate=0.01, batch_size=64, epochs=1)


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return mlp([20, 16, 4])


def factory():
    return mlp([20, 16, 4])


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("name", ONE_ROUND)
def test_it_is_the_mask_that_training_keeps(parts, toy, name, graph):
    support = bogp.generate("uniform", 12, 40, 2) if graph else None
    trained = prune_and_train(
        factory, parts, RECIPE, layers="all", sparsity=0.8, method=METHODS[name], support=support,
        mask_seed=7, seed=3,
    )  # fmt: skip
    begun = initialise(factory, initial_seed(3))
    before = copy.deepcopy(begun.state_dict())
    for data in (parts, toy):
        found = bogp.mask(begun, data, method=name, sparsity=0.8, support=support, seed=7)
        assert found == trained.mask
    assert all(torch.equal(value, before[key]) for key, value in begun.state_dict().items())
    other = bogp.mask(begun, parts, method=name, sparsity=0.8, support=support, seed=8)
    assert (other != found) == (name in ("random", "erk"))


@pytest.mark.parametrize("name", ["magnitude", "snip", "synflow"])
def test_it_is_the_mask_of_prune(name):
    generator = torch.Generator().manual_seed(1)
    pair = torch.randn(90, 6, generator=generator), torch.arange(90) % 3
    net = initialise(lambda: mlp([6, 12, 3]), 0)  # of no two equal scores, which a seed would order
    result = bogp.prune(
        net, pair, sparsity=0.7, method=name, recipe=RECIPE, final_seeds=1, controls=False
    )
    assert bogp.mask(net, pair, sparsity=0.7, method=name) == result.mask


def test_criteria_and_supports_are_what_they_are_elsewhere(model, parts):
    whole = complete_mask(model, ("1.weight", "3.weight"))
    context = Context(model, whole, parts.train_inputs, parts.train_targets)
    for scores in (magnitude, snip):
        wanted = select(scores(context), 77)
        for given in (scores, scores.__name__):
            method = Method(given, "global")
            found = bogp.mask(model, parts, sparsity=1 - 77 / 384, method=method)
            assert found == wanted
    graph = bogp.generate("uniform", 16, 60, 1)
    bound = support_mask(graph, model, ("1.weight",))
    inside = bogp.mask(model, sparsity=0.6, support=graph, layers=["1.weight"])
    assert inside == bogp.mask(model, sparsity=0.6, support=bound, layers="hidden")
    assert inside.kept == 128
    assert not bool((inside["1.weight"] & ~bound["1.weight"]).any())


def test_an_applied_mask_prunes_the_model(model):
    pruned = copy.deepcopy(model)
    found = bogp.mask(pruned, sparsity=0.5)
    found.apply(pruned)
    assert bogp.mask(pruned, sparsity=0.5) == found
    assert sum(int((pruned.get_parameter(name) == 0).sum()) for name in found) == 192


@pytest.mark.parametrize("name", ["glob5", "unif5", "imp", "iterative"])
def test_methods_that_train_are_refused(model, name):
    with pytest.raises(SettingError, match=f"'{name}' trains the network .*: call bogp.prune"):
        bogp.mask(model, method=name)


def test_what_cannot_be_is_refused(model, parts):
    with pytest.raises(SettingError, match="trains the network before the first"):
        bogp.mask(model, method=Method("magnitude", pretrain=True))
    with pytest.raises(UnknownNameError, match="unknown method 'glob': did you mean glob5"):
        bogp.mask(model, method="glob")
    with pytest.raises(UnknownNameError, match="unknown scope 'all'"):
        bogp.mask(model, method=Method("magnitude", "all"))
    with pytest.raises(SettingError, match="'snip' runs the network: give it data"):
        bogp.mask(model, method="snip")
    with pytest.raises(DataError, match="label 4 of the training targets"):
        bogp.mask(mlp([20, 16, 4]), (torch.rand(60, 20), torch.arange(60) % 5), method="snip")
    with pytest.raises(SparsityError, match="sparsity 1"):
        bogp.mask(model, sparsity=1.0)
    with pytest.raises(SparsityError, match="keeps 0 weights for 2 layers"):
        bogp.mask(model, sparsity=0.999)
    with pytest.raises(SparsityError, match="has 135 of the 384 weights"):
        bogp.mask(model, sparsity=0.1, support=bogp.generate("uniform", 16, 20, 1))
    with pytest.raises(GraphError, match="nodes"):
        bogp.mask(model, support=bogp.generate("uniform", 32, 60, 1))
    with pytest.raises(MaskError, match=r"no parameter '2\.weight'"):
        bogp.mask(model, layers=["2.weight"])
    broken = nn.Linear(4, 3)
    broken.weight.data[0, 0] = torch.nan
    with pytest.raises(MaskError, match="NaN"):
        bogp.mask(broken)


def one_number(context):
    return 3


def one_row(context):
    return {name: torch.ones(4) for name in context.mask}


def one_layer(context):
    return {"3.weight": torch.ones(4, 16)}


@pytest.mark.parametrize(
    ("function", "given"), [(one_number, "3"), (one_row, r"\(4,\)"), (one_layer, "None")]
)
def test_scores_that_are_none_of_the_weights_are_one_sentence(function, given):
    method = bogp.Method(Criterion(function.__name__, function))
    wanted = rf"criterion '{function.__name__}' gives {given} as the scores of '1.weight', whose"
    with pytest.raises(SettingError, match=wanted):
        bogp.mask(mlp([20, 16, 4]), method=method)


def test_an_emptied_layer_is_said():
    net = mlp([20, 16, 4])
    with torch.no_grad():
        net[3].weight.mul_(1e-6)
    with pytest.warns(LayerCollapseWarning, match=r"no weight is kept of '3\.weight'") as said:
        found = bogp.mask(net, sparsity=0.9)
    assert said[0].filename == __file__
    assert not found["3.weight"].any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert bogp.mask(net, sparsity=0.9, method="erk")["3.weight"].any()

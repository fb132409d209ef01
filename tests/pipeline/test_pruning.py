import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from training_helpers import baseline, double_mlp, in_double

from bogp.errors import (
    GraphError,
    LayerCollapseWarning,
    MaskError,
    RecipeError,
    SettingError,
    SparsityError,
    UnknownNameError,
)
from bogp.graphs import RelationalGraph, generate, graph_to_mask, random_mask
from bogp.keys import derive_seed
from bogp.masks import Mask
from bogp.pipeline import prune_and_train
from bogp.pipeline.first_mask import draw_mask
from bogp.sparsify import BASELINES, GRAPH, METHODS, Method, support_mask
from bogp.training import Recipe, initialise, model_factory

SIZES = {"hidden": 16 * 20, "all": 16 * 20 + 4 * 16}
HIDDEN, OUTPUT = "1.weight", "3.weight"
FACTORY = model_factory("mlp:16", 20, 4)
FULL_BATCH = Recipe(learning_rate=0.05, batch_size=None, epochs=4)


def zeros(outcome):
    """Return the number of zero weights in the layers that the mask prunes."""
    weights = dict(outcome.model.named_parameters())
    return sum(int((weights[name] == 0).sum()) for name in outcome.mask)


@pytest.mark.parametrize("layers", ["hidden", "all"])
@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method])
@pytest.mark.parametrize("sparsity", [0.0, 0.37, 0.9])
def test_sparsity_is_exact_in_mask_and_weights(parts, tiny, layers, name, sparsity):
    outcome = baseline(name, FACTORY, parts, tiny, layers=layers, sparsity=sparsity, seed=1)
    kept = round((1 - sparsity) * SIZES[layers])
    assert (outcome.mask.total, outcome.mask.kept) == (SIZES[layers], kept)
    grown = METHODS[name].moves is not None and METHODS[name].moves.regrows
    pruned = SIZES[layers] - kept
    assert zeros(outcome) >= pruned if grown else zeros(outcome) == pruned  # they begin at zero
    assert outcome.epochs == METHODS[name].trainings
    assert outcome.epochs == (6 if name in ("imp", "iterative") else 5 if name[-1] == "5" else 1)
    assert outcome.selected.count == len(parts.select_targets)
    if name.startswith("unif") and layers == "all":
        for layer in outcome.mask.values():
            assert abs(int(layer.sum()) - (1 - sparsity) * layer.numel()) <= 1


def literal(parts, layers, sparsity, scope, rounds, mask_recipe, seed):
    """The paper's §6.2 written out: prune by magnitude, train, and again."""
    model = initialise(double_mlp, derive_seed(seed, "initial weights"))
    names = [HIDDEN] if layers == "hidden" else [HIDDEN, OUTPUT]
    weights = {name: dict(model.named_parameters())[name] for name in names}
    keep = {name: torch.ones_like(weight) for name, weight in weights.items()}
    total = sum(weight.numel() for weight in weights.values())
    for number in range(1, rounds + 1):
        kept = round((1 - sparsity) ** (number / rounds) * total)
        size = {name: weight.detach().abs() * keep[name] for name, weight in weights.items()}
        if scope == "global":
            threshold = torch.cat([s.flatten() for s in size.values()]).sort().values[-kept]
            keep = {name: (s >= threshold).double() for name, s in size.items()}
        else:
            left = kept
            for name, s in size.items():
                count = left if name == names[-1] else round(kept * s.numel() / total)
                left -= count
                keep[name] = (s >= s.flatten().sort().values[-count]).double()
        optimizer = torch.optim.Adam(model.parameters(), lr=mask_recipe.learning_rate)
        with torch.no_grad():
            for name in names:
                weights[name] *= keep[name]
        for _ in range(mask_recipe.epochs):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(parts.train_inputs), parts.train_targets).backward()
            for name in names:
                weights[name].grad *= keep[name]
            optimizer.step()
    return model, keep


@pytest.mark.parametrize("name", list(BASELINES))
@pytest.mark.parametrize("layers", ["hidden", "all"])
def test_baselines_are_the_papers_loop_written_out(parts, name, layers):
    parts = in_double(parts)
    scope = "global" if name.startswith("glob") else "uniform"
    model, keep = literal(parts, layers, 0.8, scope, int(name[-1]), FULL_BATCH, seed=3)
    ours = baseline(name, double_mlp, parts, FULL_BATCH, layers=layers, sparsity=0.8, seed=3)
    assert list(ours.mask) == list(keep)
    for layer in keep:
        assert torch.equal(ours.mask[layer], keep[layer].bool())
    for mine, theirs in zip(ours.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize("rounds", ["1", "5"])
def test_in_one_layer_global_and_uniform_are_the_same_run(parts, tiny, rounds):
    one, other = (
        baseline(f"{scope}{rounds}", FACTORY, parts, tiny, sparsity=0.7, seed=2)
        for scope in ("glob", "unif")
    )
    assert one.mask == other.mask
    for mine, theirs in zip(one.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_in_two_layers_they_are_not(parts, tiny):
    one, other = (
        baseline(name, FACTORY, parts, tiny, layers="all", sparsity=0.7, seed=2)
        for name in ("glob1", "unif1")
    )
    assert one.mask != other.mask


def test_five_rounds_prune_otherwise_than_one(parts, tiny):
    one, five = (
        baseline(name, FACTORY, parts, tiny, sparsity=0.7, seed=2) for name in ("glob1", "glob5")
    )
    assert one.mask != five.mask


def test_same_seed_same_result_and_each_seed_its_own_part(parts, tiny):
    shared = {"sparsity": 0.8, "method": GRAPH, "layers": "hidden"}
    runs = {
        pair: prune_and_train(FACTORY, parts, tiny, mask_seed=pair[0], seed=pair[1], **shared)
        for pair in ((0, 0), (0, 1), (1, 0))
    }
    again = prune_and_train(FACTORY, parts, tiny, mask_seed=0, seed=0, **shared)
    first = runs[0, 0]
    assert again.record() | {"seconds": 0} == first.record() | {"seconds": 0}
    assert torch.equal(again.model[1].weight, first.model[1].weight)
    assert runs[0, 1].mask == first.mask
    assert not torch.equal(runs[0, 1].model[1].weight, first.model[1].weight)
    assert runs[1, 0].mask != first.mask


@given(st.integers(0, 2**32), st.sampled_from([0.5, 0.8]), st.sampled_from(["hidden", "all"]))
@settings(max_examples=25, deadline=None)
def test_a_graphs_mask_lies_inside_the_graph(seed, sparsity, layers):
    graph = generate("uniform", 12, 50, seed)
    mask = draw_mask(FACTORY, layers=layers, sparsity=sparsity, support=graph, mask_seed=seed)
    assert mask.kept == round((1 - sparsity) * SIZES[layers])
    assert not (mask[HIDDEN] & ~graph_to_mask(graph, 16, 20)).any()


def test_a_graph_at_its_density_is_its_own_mask():
    graph = generate("uniform", 10, 20, 0)
    whole = graph_to_mask(graph, 16, 20)
    sparsity = 1 - int(whole.sum()) / whole.numel()
    drawn = [
        draw_mask(FACTORY, layers="hidden", sparsity=sparsity, support=graph, mask_seed=seed)
        for seed in (0, 1)
    ]
    assert torch.equal(drawn[0][HIDDEN], whole)
    assert drawn[0] == drawn[1]


def test_a_layer_too_narrow_for_the_graph_gets_a_plain_random_mask():
    graph = generate("uniform", 12, 40, 0)
    drawn = torch.stack(
        [
            draw_mask(FACTORY, layers="all", sparsity=0.75, support=graph, mask_seed=seed)[OUTPUT]
            for seed in range(200)
        ]
    ).double()
    assert torch.equal(drawn.sum((1, 2)), torch.full((200,), 16.0).double())
    often = drawn.mean(0)  # 0.25 each; standard error 0.031
    assert (often - 0.25).abs().max() < 5 * 0.031


@pytest.mark.parametrize("layers", ["hidden", "all"])
@pytest.mark.parametrize("kind", ["graph", "tensor", "mask", "none"])
def test_draw_mask_is_the_mask_that_training_uses(parts, tiny, layers, kind):
    layer = random_mask(16, 20, 0.5, 3)
    support = {
        "graph": generate("uniform", 12, 50, 4),
        "tensor": layer,
        "mask": Mask({HIDDEN: layer}),
        "none": None,
    }[kind]
    shared = {"layers": layers, "sparsity": 0.7, "support": support, "mask_seed": 9}
    drawn = draw_mask(FACTORY, **shared)
    outcome = prune_and_train(FACTORY, parts, tiny, seed=5, **shared)
    assert outcome.mask == drawn
    assert outcome.record()["mask"] == drawn.fingerprint
    if kind in ("tensor", "mask"):
        assert not (drawn[HIDDEN] & ~layer).any()


def test_the_dense_network_has_no_mask(parts, tiny):
    outcome = baseline("dense", FACTORY, parts, tiny, seed=0)
    record = outcome.record()
    assert outcome.mask is None
    assert (record["mask"], record["sparsity"], record["epochs"]) == (None, 0.0, 1)
    assert (outcome.model[1].weight != 0).all()


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5, float("nan")])
def test_a_sparsity_out_of_range_is_refused(parts, tiny, sparsity):
    with pytest.raises(SparsityError, match=r"is not in \[0, 1\)"):
        prune_and_train(FACTORY, parts, tiny, layers="hidden", sparsity=sparsity)


def test_a_support_too_sparse_is_refused_in_numbers(parts, tiny):
    ring = RelationalGraph(torch.eye(16))
    shared = {"layers": "hidden", "sparsity": 0.5, "support": ring}
    with pytest.raises(SparsityError, match=r"has 20 of the 320 .* sparsity 0.5 keeps 160"):
        prune_and_train(FACTORY, parts, tiny, **shared)
    with pytest.raises(SparsityError, match="has 20 of the 320"):
        prune_and_train(FACTORY, parts, tiny, method=Method("magnitude", rounds=3), **shared)


def test_a_graph_larger_than_every_layer_is_refused(parts, tiny):
    shared = {"layers": "hidden", "sparsity": 0.5, "support": RelationalGraph(torch.eye(17))}
    with pytest.raises(GraphError, match="17 nodes do not fit a layer of 16 outputs"):
        prune_and_train(FACTORY, parts, tiny, **shared)


def test_a_mask_of_another_model_is_refused():
    model = FACTORY()
    with pytest.raises(MaskError, match=r"fits none of the layers .*\(16, 20\)"):
        support_mask(random_mask(9, 9, 0.5, 0), model, (HIDDEN,))
    with pytest.raises(MaskError, match=r"\(9, 9\)"):
        support_mask(Mask({HIDDEN: random_mask(9, 9, 0.5, 0)}), model, (HIDDEN,))


def test_unknown_names_are_refused(parts, tiny):
    with pytest.raises(UnknownNameError, match="did you mean glob5"):
        baseline("glob55", FACTORY, parts, tiny, sparsity=0.5)
    with pytest.raises(SettingError, match="'glob5' needs a sparsity"):
        baseline("glob5", FACTORY, parts, tiny)
    with pytest.raises(MaskError, match="'hiden' is unknown"):
        baseline("glob5", FACTORY, parts, tiny, layers="hiden", sparsity=0.5)
    with pytest.raises(UnknownNameError, match="criterion"):
        prune_and_train(FACTORY, parts, tiny, sparsity=0.5, method=Method("magnitud"))
    assert set(METHODS) == {
        *("dense", "narrower", "random", "glob1", "glob5", "unif1", "unif5"),
        *("magnitude", "snip", "grasp", "synflow", "erk", "imp", "iterative"),
        *("gradual", "set", "rigl"),
    }
    assert list(BASELINES) == ["glob1", "glob5", "unif1", "unif5"]  # the paper's


def test_divergence_between_rounds_is_an_error_and_after_the_last_a_result(parts):
    wild = Recipe(optimizer="sgd", learning_rate=1e30, batch_size=64, epochs=2)
    with pytest.raises(RecipeError, match="diverged in pruning round 1 of 5"):
        baseline("glob5", FACTORY, parts, wild, sparsity=0.5)
    outcome = baseline("glob1", FACTORY, parts, wild, sparsity=0.5)
    assert outcome.diverged
    assert outcome.record()["loss"] is None


def test_nothing_left_to_keep_is_one_round(parts, tiny):
    with pytest.warns(LayerCollapseWarning, match="no weight is kept of '1.weight'"):
        outcome = baseline("glob5", FACTORY, parts, tiny, sparsity=0.9999)
    assert (outcome.mask.kept, outcome.epochs) == (0, 1)
    wild = Recipe(optimizer="sgd", learning_rate=1e30, batch_size=64, epochs=2)
    with pytest.warns(LayerCollapseWarning):
        assert baseline("glob5", FACTORY, parts, wild, sparsity=0.9999).diverged  # its last round

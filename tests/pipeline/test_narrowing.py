"""The narrower network beside the dense one: which it is, and that it is trained as the others."""

import copy

import pytest
import torch
from training_helpers import comparable

import bogp
from bogp.data import from_datasets
from bogp.errors import SettingError, SparsityError
from bogp.keys import derive_seed
from bogp.masks import complete_mask
from bogp.pipeline import (
    Candidate,
    PopulationTrainer,
    TrainingTask,
    known_candidate,
    own_model,
    prune_and_train_population,
)
from bogp.pipeline.narrowing import (
    MULTIPLY_ADDS,
    WEIGHTS,
    narrower_for_mask,
    narrower_for_sparsity,
)
from bogp.pipeline.shared_data import shared_data
from bogp.sparsify import Method
from bogp.training import Recipe, initialise, model_factory, structure
from bogp.training.structure import multiply_adds

RECIPE = Recipe(learning_rate=0.01, batch_size=64, epochs=2)
SNIP = Method("snip", "global")


@pytest.fixture(scope="module")
def source(toy):
    with shared_data(toy) as (_, found):
        yield found


def images(count, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 8, 8, generator=generator), torch.arange(count) % 3


@pytest.fixture(scope="module")
def pictures():
    return from_datasets(images(24, 0), images(12, 1), images(12, 2))


@pytest.mark.parametrize("order_seed", [None, 5])
def test_candidates_of_other_networks_are_trained_as_by_trainers_of_those(source, order_seed):
    """Three networks in one task, in turns; what each gives is that of its own trainer."""
    models = [None, "mlp:3", "mlp:5", "mlp:3", None]
    chosen = [
        Candidate(None, SNIP, 0.5, k) if model is None else Candidate(model=model)
        for k, model in enumerate(models)
    ]
    seeds, steps = (1, 2, 3, 4, 5), []
    task = TrainingTask(tuple(chosen), seeds, order_seed, report=True, keep=True)
    trainer = PopulationTrainer("mlp:16", "all", RECIPE, "holdout", source)
    found = trainer(task, progress=lambda *step: steps.append(step))
    assert [len(one.weights["1.weight"]) for one in found] == [16, 3, 5, 3, 16]
    for model, candidate, seed, result in zip(models, chosen, seeds, found, strict=True):
        own = PopulationTrainer(model or "mlp:16", "all", RECIPE, "holdout", source)
        alone = Candidate() if model else candidate
        (wanted,) = own(TrainingTask((alone,), (seed,), order_seed, report=True, keep=True))
        assert comparable([result]) == comparable([wanted])
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)
    assert {every for _, every in steps} == {5 * 2}
    assert steps[-1] == (10, 10)


def test_a_population_of_one_function_refuses_another_network(parts):
    with pytest.raises(SettingError, match="network 'mlp:3' and this population"):
        prune_and_train_population(
            model_factory("mlp:16", 20, 4), parts, RECIPE, [Candidate(model="mlp:3")], seeds=[0]
        )


def test_the_method_needs_a_network_and_says_so():
    assert known_candidate("narrower", 0.9, 3, "mlp:3") == Candidate(model="mlp:3")
    assert known_candidate("dense", 0.9, 3, "mlp:3") == Candidate()
    with pytest.raises(SettingError, match="'narrower' needs the narrower network"):
        known_candidate("narrower", 0.9, 3)


def test_as_many_weights_as_a_mask_of_the_sparsity_keeps(toy):
    found = narrower_for_sparsity("mlp:100", toy, "all", 0.9)
    assert (found.spec, found.weights) == ("mlp:10", 240)
    assert narrower_for_sparsity("mlp:100", toy, "hidden", 0.75).weights == 500
    with pytest.raises(SparsityError, match=r"1\.5"):
        narrower_for_sparsity("mlp:100", toy, "all", 1.5)


def test_weights_and_multiply_adds_of_a_mask_ask_for_two_networks(pictures):
    """Early convolutions meet each weight at many places: where they are kept, more is computed."""
    model = initialise(model_factory("resnet-8", (8, 8), 3), 0)
    first = complete_mask(model, ("conv1.weight", "layer1.0.conv1.weight", "layer3.0.conv2.weight"))
    kept = bogp.Mask({n: layer & (not n.startswith("layer3")) for n, layer in first.items()})
    found = narrower_for_mask("resnet-8", pictures, kept)
    assert list(found) == [WEIGHTS, MULTIPLY_ADDS]
    dense, masked = multiply_adds(model, kept, pictures.train_inputs[:1])
    assert masked == dense - 4 * 9 * 64 * 64  # that layer's maps have 2 x 2 places
    near = [initialise(model_factory(f"resnet-8:width={k}", (8, 8), 3), 0) for k in range(1, 17)]
    needed = [multiply_adds(each, {}, pictures.train_inputs[:1])[0] for each in near]
    assert found[MULTIPLY_ADDS].multiply_adds == min(needed, key=lambda n: abs(n - masked))
    # Of these three layers' weights alone the first of the two has as many.
    own = [sum(p.numel() for n, p in each.named_parameters() if n in kept) for each in near]
    assert found[WEIGHTS].weights == min(own, key=lambda n: abs(n - kept.kept))
    # A perceptron multiplies once for each weight.
    perceptron = initialise(model_factory("mlp:16", (8, 8), 3), 0)
    whole = complete_mask(perceptron, ("1.weight", "3.weight"))
    half = bogp.Mask(
        {n: layer & (torch.arange(len(layer)) % 2 == 0)[:, None] for n, layer in whole.items()}
    )
    assert list(narrower_for_mask("mlp:16", pictures, half)) == [WEIGHTS]


def pruned(toy, **changes):
    how = {"sparsity": 0.8, "method": "snip", "final_seeds": 2, "recipe": RECIPE, "controls": False}
    return bogp.prune("mlp:16", toy, **(how | changes))


def test_prune_trains_it_beside_the_dense_network_on_the_same_seeds(toy):
    result = pruned(toy)
    beside = result.found.comparisons
    assert [entry.name for entry in beside] == [WEIGHTS]
    assert str(result.found.narrower[WEIGHTS]) == "mlp:3, 72 weights, 72 multiply-adds"
    runs = [run for run in result.found.runs if run.name == WEIGHTS]
    for number, run in enumerate(runs):
        seed = derive_seed(0, "final", number)
        (alone,) = prune_and_train_population(
            model_factory("mlp:3", toy.shape, 4),
            bogp.split(toy, "holdout", seed=0),
            RECIPE,
            [Candidate(None, Method("random"), 0.0)],
            seeds=[seed],
            order_seed=derive_seed(0, "final order", number),
            report=True,
        )
        assert run.accuracy == alone.reported.accuracy
        assert run.epochs == RECIPE.epochs
    assert sum(result.found.epochs.values()) == 2 * 3 * RECIPE.epochs  # pruned, dense, narrower
    assert result.record()["narrower"][WEIGHTS]["spec"] == "mlp:3"
    (_, _, table) = result.summary()
    assert [row[0] for row in table.rows] == ["dense", WEIGHTS]
    assert "narrower, equal weights: mlp:3, 72 weights" in table.notes[0]


def test_a_second_seed_goes_on_with_the_network_of_the_first(toy, tmp_path):
    study = tmp_path / "study.db"
    pruned(toy, study=study, final_seeds=1)
    later = pruned(toy, study=study)
    assert later.record()["comparisons"] == pruned(toy).record()["comparisons"]


def test_all_seeds_train_the_networks_of_the_first_seeds_mask(toy, monkeypatch):
    asked = []

    def noted(source, dataset, mask):
        asked.append(mask.fingerprint)
        return narrower_for_mask(source, dataset, mask)

    monkeypatch.setattr(own_model, "narrower_for_mask", noted)
    result = pruned(toy)
    winners = [run.mask for run in result.found.runs if run.name == "winner"]
    assert len(set(winners)) == 2  # SNIP looks at the initial weights, which are each seed's own
    assert set(asked) == {winners[0]}
    assert len(asked) == 3


def test_it_is_trained_as_often_as_the_winner(toy):
    result = pruned(toy, method="glob5", final_seeds=1)
    assert [run.epochs for run in result.found.runs] == [5 * RECIPE.epochs] * 3


def test_a_search_has_it_too_above_random_search_and_the_controls(toy):
    result = pruned(toy, method=None, trials=4, controls=True, final_seeds=1)
    names = [entry.name for entry in result.found.comparisons]
    assert names[:2] == [WEIGHTS, "random search's winner"]
    assert len(names) > 2


def test_of_a_model_of_ones_own_there_is_none_and_the_reason_is_said(toy):
    model = initialise(model_factory("mlp:16", toy.shape, 4), 0)
    how = {"sparsity": 0.8, "method": "snip", "final_seeds": 1, "recipe": RECIPE, "controls": False}
    result = bogp.prune(copy.deepcopy(model), toy, **how)
    assert result.found.narrower == {}
    assert "'Sequential' is none of them" in result.found.left_out["narrower network"]
    (_, _, table) = result.summary()
    assert ["narrower network", "does not apply", "", "–"] in table.texts()
    assert structure(model, result.mask, toy.train_inputs[:1]).sparsity == result.mask.sparsity

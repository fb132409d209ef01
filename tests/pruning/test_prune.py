import copy
import importlib
import json
import sys

import pytest
import torch
from torch import nn

import bogp
from bogp.errors import (
    BogpError,
    DataError,
    LayerCollapseWarning,
    MaskError,
    RecipeError,
    SettingError,
    SparsityError,
    StudyError,
    UnknownNameError,
)
from bogp.pruning import standard_recipe
from bogp.training import evaluate

QUICK = bogp.Recipe(learning_rate=0.02, batch_size=32, epochs=2)


def blobs(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Three classes of points in 12 dimensions, each near its own corner."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(count) % 3
    centres = 2.0 * torch.eye(3, 12)
    return centres[targets] + 0.5 * torch.randn(count, 12, generator=generator), targets


TRAIN, VAL, TEST = blobs(240, 0), blobs(90, 1), blobs(90, 2)


def make() -> nn.Module:
    return bogp.mlp([12, 16, 16, 3])


def network() -> nn.Module:
    from bogp.training import initialise

    return initialise(make, 5)


def run(model=None, **changes):
    settings = {"sparsity": 0.8, "final_seeds": 2, "recipe": QUICK} | changes
    if "method" not in settings:
        settings.setdefault("trials", 4)
    return bogp.prune(network() if model is None else model, TRAIN, VAL, TEST, **settings)


@pytest.fixture(scope="module")
def found():
    return run()


def test_the_model_is_pruned_exactly_trained_and_the_users_is_untouched() -> None:
    model = network()
    before, mode = copy.deepcopy(model.state_dict()), model.training
    result = run(model, method="snip", controls=False)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert model.training == mode
    assert type(result.model) is type(model)
    weights = dict(result.model.named_parameters())
    total = sum(weights[name].numel() for name in result.mask)
    assert result.mask.kept == round(0.2 * total)
    for name, layer in result.mask.items():
        assert (weights[name][~layer] == 0).all()
        assert not torch.equal(weights[name], before[name] * layer)  # trained
    assert not result.model.training


def test_a_search_finds_what_a_random_mask_does_not(found) -> None:
    assert found.search is not None
    assert len(found.search.trials) >= 4
    assert found.pruned.estimate > 0.5
    names = {entry.name for entry in found.found.comparisons}
    assert "random search's winner" in names
    assert "dense" not in names
    assert found.lead.estimate == pytest.approx(found.pruned.estimate - found.dense.estimate)


def test_the_returned_network_is_the_first_that_was_reported(found) -> None:
    first = next(run for run in found.found.runs if run.name == "winner")
    measured = evaluate(found.model, *TEST)
    assert measured.accuracy == pytest.approx(first.accuracy, abs=1e-12)
    assert found.mask.fingerprint == first.mask
    assert evaluate(found.model, *VAL).accuracy == pytest.approx(first.selected, abs=1e-12)


def test_the_same_seed_gives_the_same_network(found) -> None:
    again = run()
    assert again.mask == found.mask
    assert again.record() == found.record()
    for name, value in found.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name])
    assert run(seed=1).record()["pruned"] != found.record()["pruned"]


def test_results_do_not_depend_on_workers(found) -> None:
    other = run(workers=2)
    assert other.record() == found.record()
    assert other.mask == found.mask
    for name, value in found.model.state_dict().items():
        assert torch.equal(value, other.model.state_dict()[name])


def test_a_study_goes_on_and_refuses_other_settings(found, tmp_path) -> None:
    study = tmp_path / "study.db"
    seen = []
    first = run(study=study, name="mine")
    assert first.record() == found.record()
    again = run(study=study, name="mine", on_trial=seen.append)
    assert seen == []
    # The study holds the mask and not the weights: the network is trained once more, to the bit.
    record = again.record()
    assert record["epochs"].pop("the network that is returned") == QUICK.epochs
    assert record == found.record()
    for name, value in found.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name])
    with pytest.raises(StudyError, match="sparsit"):
        run(study=study, name="mine", sparsity=0.7)
    with pytest.raises(StudyError, match="model"):
        run(make, study=study, name="mine")


def test_a_function_draws_new_weights_for_each_seed() -> None:
    fresh = run(make, method="random", final_seeds=3)
    assert fresh.given is None
    assert "re-initialisation" in {entry.name for entry in fresh.found.comparisons}
    given = run(method="random", final_seeds=3)
    assert given.given == pytest.approx(evaluate(network(), *TEST).accuracy)
    # From given weights there are no others to begin with.
    assert "re-initialisation" in given.found.left_out


@pytest.mark.parametrize("share", ["stage", "layer"])
def test_layers_may_have_a_graph_each(share) -> None:
    result = run(graph_per=share, criteria=("magnitude",), final_seeds=1)
    assert result.mask.kept == round(0.2 * (12 * 16 + 16 * 16 + 16 * 3))
    assert result.search.settings["graph_per"] == share


def test_layers_are_chosen_by_kind_and_name() -> None:
    result = run(method="magnitude", skip_last=True, exclude="1.*", controls=False)
    assert list(result.mask) == ["3.weight"]
    assert result.mask.kept == round(0.2 * 256)


def test_methods_prune_in_rounds_with_the_schedule_they_have() -> None:
    method = bogp.Method("magnitude", "global", schedule="cubic", rounds=3, pretrain=True)
    result = run(method=method, final_seeds=1, controls=False)
    runs = [run for run in result.found.runs if run.name == "winner"]
    assert runs[0].epochs == 4 * QUICK.epochs
    assert result.record()["how"] == "magnitude global, 3 rounds, cubic, pretrain"


@pytest.mark.parametrize(
    ("name", "dense"), [("glob5", 5), ("iterative", 6), ("imp", 1), ("snip", 1)]
)
def test_what_stands_beside_trains_as_often(name, dense) -> None:
    result = run(make, method=name, final_seeds=1)
    epochs = {run.name: run.epochs for run in result.found.runs}
    assert epochs["dense"] == dense * QUICK.epochs
    for control in ("layerwise shuffle", "re-initialisation", "equal layer densities", "ERK"):
        assert epochs[control] == epochs["winner"]


def test_a_search_of_several_rounds_has_a_dense_network_of_as_many_trainings() -> None:
    result = run(rounds=3, criteria=("magnitude",), final_seeds=1, controls=False)
    epochs = {run.name: run.epochs for run in result.found.runs}
    assert epochs == {"winner": 3 * QUICK.epochs, "dense": 3 * QUICK.epochs}


class Switched(nn.Module):
    """Two networks of one class and equal weights: what they compute is another thing."""

    def __init__(self, skip: bool) -> None:
        super().__init__()
        self.skip, self.body = skip, network()

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.body(inputs * 0.1 if self.skip else inputs)


def test_a_study_does_not_go_on_with_another_network(tmp_path, monkeypatch) -> None:
    study = tmp_path / "study.db"
    given = {"study": study, "name": "mine", "method": "magnitude", "controls": False}
    run(Switched(False), **given)
    with pytest.raises(StudyError, match="fingerprint"):
        run(Switched(True), **given)
    with pytest.raises(StudyError, match="controls = False, not True"):
        run(Switched(False), **(given | {"controls": True}))
    with pytest.raises(StudyError, match="recipe"):
        run(Switched(False), **(given | {"recipe": QUICK.model_copy(update={"epochs": 3})}))
    with pytest.raises(StudyError, match="layers"):
        run(Switched(False), **given, skip_last=True)
    # The same text may make another network by now.
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "edited_model", raising=False)
    source = "import bogp\n\n\ndef make():\n    return bogp.mlp([12, {}, 3])\n"
    own = given | {"study": tmp_path / "own.db"}
    for width, refused in ((16, False), (8, True)):
        (tmp_path / "edited_model.py").write_text(source.format(width))
        sys.modules.pop("edited_model", None)
        importlib.invalidate_caches()
        if refused:
            with pytest.raises(StudyError, match="model_fingerprint"):
                run("edited_model:make", **own)
        else:
            run("edited_model:make", **own)


def test_nodes_are_those_of_each_group() -> None:
    wide = nn.Sequential(*(nn.Linear(12, 12) for _ in range(3)), nn.Linear(12, 3))
    asked = run(wide, graph_per="layer", nodes=4, final_seeds=1, controls=False, trials=2)
    assert asked.search.settings["nodes"] == 4
    supports = asked.found.links
    if supports is not None:
        assert supports.shape == (12, 12)  # three graphs of 4 nodes, side by side


def test_global_randomness_is_left_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    run(make, method="snip", final_seeds=1)
    assert torch.equal(torch.rand(3), expected)


def test_an_emptied_layer_is_warned_of_and_reported() -> None:
    model = network()
    with torch.no_grad():
        model[5].weight.mul_(1e-3)
    with pytest.warns(LayerCollapseWarning, match=r"'5.weight' at sparsity"):
        result = run(model, method="magnitude", controls=False, final_seeds=1)
    assert result.collapsed == ("5.weight",)
    assert "No weight is kept of 5.weight" in " ".join(result.summary()[0].notes)


def test_files_hold_the_model_the_mask_and_the_numbers(found, tmp_path) -> None:
    path = found.save(tmp_path / "pruned.safetensors", {"note": "for the test"})
    loaded, mask = bogp.load_model(network(), path)
    assert mask == found.mask
    inputs = TEST[0][:5]
    assert torch.equal(loaded.eval()(inputs), found.model(inputs))
    from bogp.masks import read_model

    notes = read_model(path).metadata
    assert notes["note"] == "for the test"
    assert json.loads(notes["test_accuracy"])["estimate"] == found.pruned.estimate
    assert notes["settings_key"] == found.key
    page = found.report(tmp_path / "report.html").read_text()
    for words in ("dense, trained alike", "layerwise shuffle", "1.weight", found.key):
        assert words in page
    assert "http-equiv" in page
    assert json.loads(json.dumps(found.record()))["kept"] == found.mask.kept


def test_a_summary_says_what_an_engineer_asks(found) -> None:
    rows = {row[0]: row[1] for row in found.summary()[0].rows}
    assert rows["weights kept"] == f"{found.mask.kept} of {found.mask.total} in 3 layers"
    assert rows["test accuracy, pruned"].startswith(f"{found.pruned.estimate:.4f}")
    assert "points" in " ".join(rows)


SHARED = network()


class OnlyEvaluates(nn.Linear):
    """A module whose forward fails in training."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        if self.training:
            raise ValueError("no training here")
        return super().forward(inputs)


class Detached(nn.Linear):
    """A module whose output carries no gradient."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return super().forward(inputs).detach()


def test_a_diverged_training_is_an_error() -> None:
    wild = bogp.Recipe(learning_rate=1e38, batch_size=32, epochs=2, optimizer="sgd", momentum=0.9)
    for method in ("snip", "imp", "glob5"):
        with pytest.raises(RecipeError, match="diverged: lower the learning rate from 1e"):
            run(method=method, recipe=wild, final_seeds=1, controls=False)


def nan_model() -> nn.Module:
    model = network()
    with torch.no_grad():
        model[3].weight[0, 0] = float("nan")
    return model


def frozen_model() -> nn.Module:
    return network().requires_grad_(False)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"sparsity": 1.3}, SparsityError, "1.3 is not in"),
        ({"sparsity": 0.999}, SparsityError, "3 layers"),
        ({"model": nan_model()}, MaskError, r"'3.weight' is NaN"),
        ({"model": frozen_model()}, MaskError, "frozen|requires"),
        (
            {"model": nn.Sequential(nn.Flatten(), nn.ReLU())},
            BogpError,
            "nothing|no weight|no layer",
        ),
        ({"model": 3}, SettingError, "torch.nn.Module"),
        ({"model": nn.Linear(7, 3)}, SettingError, "cannot take inputs of shape"),
        ({"model": nn.Linear(12, 2)}, DataError, r"label 2 of the training targets"),
        ({"method": "magnitud"}, UnknownNameError, "did you mean magnitude"),
        ({"method": 3}, SettingError, "method 3 is none"),
        ({"method": bogp.Method("snip", "globa")}, UnknownNameError, "did you mean global"),
        ({"method": "snip", "rounds": 5}, SettingError, r"rounds = \(5,\) is of a search"),
        (
            {"method": "snip", "graph_per": "stage"},
            SettingError,
            "graph_per = 'stage' is of a search",
        ),
        ({"model": lambda: SHARED}, SettingError, "one Sequential twice"),
        ({"model": OnlyEvaluates(12, 3)}, SettingError, "cannot be trained .no training here"),
        ({"model": Detached(12, 3)}, SettingError, "must carry gradients"),
        ({"model": network().double()}, SettingError, r"torch.float64: .*model.float\(\)"),
        ({"sparsity": "0.9"}, SettingError, "sparsity = '0.9': it should be a valid number"),
        ({"seed": "a"}, SettingError, "seed = 'a': it should be a valid integer"),
        ({"recipe": {"epochs": 2}}, RecipeError, "recipe: learning_rate is not given"),
        ({"recipe": 2}, RecipeError, "give a bogp.Recipe"),
        ({"final_seeds": 1.5}, SettingError, "final_seeds = 1.5: it should be a valid integer"),
        ({"model": nn.LazyLinear(3)}, MaskError, "no shape yet: run the model on one input"),
        ({"include": "conv*"}, MaskError, "'conv\\*'"),
        ({"types": "conv9d"}, UnknownNameError, "conv9d"),
        ({"graph_per": "block"}, UnknownNameError, "block"),
        ({"criteria": ("snap",)}, UnknownNameError, "snap"),
        ({"final_seeds": 0}, SettingError, "final_seeds = 0: it should be greater"),
        ({"trials": 0}, SettingError, "trials = 0"),
        ({"nodes": 64}, SettingError, "graph of 64 nodes"),
        ({"device": "cuda:99"}, SettingError, "cuda:99"),
        ({"recipe": "best"}, BogpError, "best"),
    ],
)
def test_bad_input_is_one_sentence(changes, error, words) -> None:
    with pytest.raises(error, match=words) as caught:
        run(**changes)
    assert "\n" not in str(caught.value)


def test_data_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="shape"):
        bogp.prune(network(), TRAIN, (VAL[0][:, :5], VAL[1]))
    with pytest.raises(SettingError, match="a dataset by name says all its parts"):
        bogp.prune(network(), "digits", VAL)
    with pytest.raises(DataError, match="label -1"):
        bogp.prune(network(), (TRAIN[0], TRAIN[1] - 1), VAL, TEST)


def test_the_standard_recipe_trains_about_as_many_steps_on_any_data() -> None:
    assert standard_recipe(193).batch_size == 65  # no batch of one
    for examples in (500, 3_000, 12_000, 50_000):
        recipe = standard_recipe(examples)
        steps = recipe.epochs * recipe.steps(examples)
        assert recipe.epochs in (3, 30) or 1_500 <= steps < 1_500 + recipe.steps(examples)

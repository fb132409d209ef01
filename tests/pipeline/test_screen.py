"""Screening a database in populations."""

import pytest
import training_helpers
from scipy import stats
from training_helpers import timeless

from bogp.errors import DatabaseError, SettingError, StudyError
from bogp.keys import derive_seed
from bogp.pipeline import prune_and_train, rounds
from bogp.training import Recipe, model_factory

RECIPE = Recipe(learning_rate=0.01, batch_size=64, epochs=3)
SETTINGS = {
    "sparsity": 0.8,
    "graphs": 10,
    "population": 4,
    "model": "mlp:16",
    "layers": "hidden",
    "recipe": RECIPE,
}


def screen(database, data, **changes):
    return training_helpers.screen(database, data, **(SETTINGS | changes))


@pytest.fixture(scope="module")
def whole(graphs, toy):
    return screen(graphs, toy)


def test_every_graph_is_trained_as_it_would_be_alone(whole, graphs, parts):
    assert len({trial.point["graph"] for trial in whole.trials}) == 10
    for trial in whole.trials[:3]:
        graph, found = trial.point["graph"], trial.record
        alone = prune_and_train(
            model_factory("mlp:16", 20, 4),
            parts,
            RECIPE,
            layers="hidden",
            sparsity=0.8,
            support=graphs.record(graph).graph,
            mask_seed=derive_seed(0, "mask", graph),
            seed=derive_seed(0, "screened", graph),
            order_seed=derive_seed(0, "order"),
        )
        assert found["mask"] == alone.mask.fingerprint
        # Single precision, sums in another order: the loss agrees to what that leaves.
        assert found["loss"] == pytest.approx(alone.selected.loss, rel=1e-3)
        assert trial.value == found["accuracy"]
        assert trial.value == pytest.approx(alone.selected.accuracy, abs=0.03)
        assert len(found["losses"]) == len(found["accuracies"]) == 3
        assert found["losses"] == pytest.approx(alone.losses, rel=1e-3)
    accuracies = [trial.value for trial in whole.trials]
    assert accuracies == sorted(accuracies, reverse=True)
    assert (whole.epochs, whole.full_epochs) == (30, 30)


def test_early_and_final_accuracy_are_correlated_over_all(whole):
    found = whole.correlations()
    assert [correlation.count for correlation in found] == [10, 10]
    final = [trial.record["accuracies"][-1] for trial in whole.trials]
    for epoch, correlation in enumerate(found):
        early = [trial.record["accuracies"][epoch] for trial in whole.trials]
        assert correlation.rho == pytest.approx(stats.spearmanr(early, final).statistic)


def test_patience_is_not_a_rung(graphs, toy):
    patient = RECIPE.model_copy(update={"epochs": 12, "patience": 1, "learning_rate": 0.05})
    found = screen(graphs, toy, recipe=patient)
    ended = {trial.record["ended"] for trial in found.trials}
    assert "patience" in ended
    assert "rung" not in ended
    accuracies = [trial.value for trial in found.trials]
    assert accuracies == sorted(accuracies, reverse=True)
    longer = [len(trial.record["accuracies"]) > 1 for trial in found.trials]
    assert [c.count for c in found.correlations()][:1] == [sum(longer)]


def test_rungs_spend_less_and_rank_survivors_first(graphs, toy, whole):
    halved = screen(graphs, toy, rungs=(1, 2))
    full = {trial.point["graph"]: trial.record["accuracies"] for trial in whole.trials}
    assert {trial.point["graph"] for trial in halved.trials} == set(full)
    # Populations of 4, 4 and 2: two, two and one go on, then one of each.
    assert halved.epochs == 10 + 5 + 3
    stopped = [trial.stopped for trial in halved.trials]
    assert stopped == [False] * 3 + [True] * 7
    for trial in halved.trials:
        own = trial.record["accuracies"]
        assert own == full[trial.point["graph"]][: len(own)]
    assert halved.correlations() == ()


def test_a_study_goes_on_where_it_stopped(graphs, toy, whole, tmp_path, monkeypatch):
    trained, original = [], rounds.train_population

    def counted(factory, masks, *rest, **options):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(len(masks))
        return original(factory, masks, *rest, **options)

    monkeypatch.setattr(rounds, "train_population", counted)
    study = tmp_path / "screen.db"
    with pytest.raises(KeyboardInterrupt):
        screen(graphs, toy, study=study)
    trained.clear()
    seen = []
    resumed = screen(graphs, toy, study=study, progress=lambda *step: seen.append(step))
    assert trained == [2]
    assert timeless(resumed.trials) == timeless(whole.trials)
    assert resumed.seconds > 0  # those of the populations before it was stopped count too
    assert seen == sorted(seen)
    assert (seen[0], seen[-1]) == ((8, 10), (10, 10))
    with pytest.raises(StudyError, match=r"survivors = 0\.5, not 0\.25"):
        screen(graphs, toy, study=study, survivors=0.25)


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"graphs": 21}, SettingError, "21 graphs are more than the 20"),
        ({"graphs": 0}, SettingError, "graphs = 0"),
        ({"population": 0}, SettingError, "population = 0"),
        ({"rungs": (1, 3)}, SettingError, "a rung after 3 of 3 epochs stops nothing early"),
        ({"rungs": (0,)}, SettingError, "rungs = 0"),
        ({"sparsity": 0.7}, DatabaseError, r"no graphs of sparsity 0\.7"),
        ({"rung": 1}, SettingError, "no setting 'rung'"),
        ({"survivors": 1.0}, SettingError, "survivors = 1.0"),
        ({"workers": 0}, SettingError, "workers = 0"),
    ],
)
def test_bad_input_leaves_no_study(graphs, toy, tmp_path, changes, error, sentence):
    with pytest.raises(error, match=sentence):
        screen(graphs, toy, study=tmp_path / "study.db", **changes)
    assert list(tmp_path.iterdir()) == []

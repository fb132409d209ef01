"""Screening a database in populations."""

import pytest
from scipy import stats

from bogp.data import split
from bogp.errors import DatabaseError, SettingError, StudyError
from bogp.keys import derive_seed
from bogp.pipeline import populations, prune_and_train, screen
from bogp.training import Recipe, model_factory

RECIPE = Recipe(learning_rate=0.01, batch_size=64, epochs=3)
SETTINGS = {"sparsity": 0.8, "graphs": 10, "population": 4, "model": "mlp:16", "recipe": RECIPE}


@pytest.fixture(scope="module")
def whole(graphs, toy):
    return screen(graphs, toy, **SETTINGS)


def test_every_graph_is_trained_as_it_would_be_alone(whole, graphs, toy):
    assert len({graph.graph for graph in whole.graphs}) == 10
    for found in whole.graphs[:3]:
        alone = prune_and_train(
            model_factory("mlp:16", 20, 4),
            split(toy, "holdout", seed=0),
            RECIPE,
            sparsity=0.8,
            support=graphs.record(found.graph).graph,
            mask_seed=derive_seed(0, "mask", found.graph),
            seed=derive_seed(0, "screened", found.graph),
            order_seed=derive_seed(0, "order"),
        )
        assert found.mask == alone.mask.fingerprint
        # Single precision, sums in another order: the loss agrees to what that leaves.
        assert found.loss == pytest.approx(alone.selected.loss, rel=1e-3)
        assert found.accuracy == pytest.approx(alone.selected.accuracy, abs=0.03)
        assert len(found.losses) == len(found.accuracies) == 3
    accuracies = [graph.accuracy for graph in whole.graphs]
    assert accuracies == sorted(accuracies, reverse=True)
    assert (whole.epochs, whole.full_epochs) == (30, 30)


def test_early_and_final_accuracy_are_correlated_over_all(whole):
    found = whole.correlations()
    assert [correlation.count for correlation in found] == [10, 10]
    final = [graph.accuracies[-1] for graph in whole.graphs]
    for epoch, correlation in enumerate(found):
        early = [graph.accuracies[epoch] for graph in whole.graphs]
        assert correlation.rho == pytest.approx(stats.spearmanr(early, final).statistic)


def test_patience_is_not_a_rung(graphs, toy):
    patient = RECIPE.model_copy(update={"epochs": 12, "patience": 1, "learning_rate": 0.05})
    found = screen(graphs, toy, **(SETTINGS | {"recipe": patient}))
    ended = {graph.ended for graph in found.graphs}
    assert "patience" in ended
    assert "rung" not in ended
    accuracies = [graph.accuracy for graph in found.graphs]
    assert accuracies == sorted(accuracies, reverse=True)
    longer = [len(graph.accuracies) > 1 for graph in found.graphs]
    assert [c.count for c in found.correlations()][:1] == [sum(longer)]


def test_rungs_spend_less_and_rank_survivors_first(graphs, toy, whole):
    halved = screen(graphs, toy, rungs=(1, 2), **SETTINGS)
    assert {graph.graph for graph in halved.graphs} == {graph.graph for graph in whole.graphs}
    # Populations of 4, 4 and 2: two, two and one go on, then one of each.
    assert halved.epochs == 10 + 5 + 3
    stopped = [graph.stopped for graph in halved.graphs]
    assert stopped == [False] * 3 + [True] * 7
    full = {graph.graph: graph.accuracies for graph in whole.graphs}
    for graph in halved.graphs:
        assert graph.accuracies == full[graph.graph][: len(graph.accuracies)]
    assert halved.correlations() == ()


def test_a_study_goes_on_where_it_stopped(graphs, toy, whole, tmp_path, monkeypatch):
    trained, original = [], populations.train_population

    def counted(factory, masks, *rest, **options):
        if len(trained) == 2:
            raise KeyboardInterrupt
        trained.append(len(masks))
        return original(factory, masks, *rest, **options)

    monkeypatch.setattr(populations, "train_population", counted)
    study = tmp_path / "screen.db"
    with pytest.raises(KeyboardInterrupt):
        screen(graphs, toy, study=study, **SETTINGS)
    trained.clear()
    seen = []
    resumed = screen(graphs, toy, study=study, progress=lambda *step: seen.append(step), **SETTINGS)
    assert trained == [2]
    assert resumed.graphs == whole.graphs
    assert resumed.seconds > 0  # those of the populations before it was stopped count too
    assert seen[:2] == [(12, 30), (24, 30)]
    assert seen[-1] == (30, 30)
    with pytest.raises(StudyError, match=r"keep = 0\.5, not 0\.25"):
        screen(graphs, toy, study=study, keep=0.25, **SETTINGS)


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"graphs": 21}, SettingError, "21 graphs are more than the 20"),
        ({"graphs": 0}, SettingError, "graphs = 0"),
        ({"population": 0}, SettingError, "population = 0"),
        ({"rungs": (2, 1)}, SettingError, "ascending"),
        ({"sparsity": 0.7}, DatabaseError, r"no graphs of sparsity 0\.7"),
        ({"rung": 1}, SettingError, "no setting 'rung'"),
    ],
)
def test_bad_input_leaves_no_study(graphs, toy, tmp_path, changes, error, sentence):
    with pytest.raises(error, match=sentence):
        screen(graphs, toy, study=tmp_path / "study.db", **(SETTINGS | changes))
    assert list(tmp_path.iterdir()) == []

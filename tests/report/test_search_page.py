import math
import re
from dataclasses import replace

import pytest

import bogp
from bogp.analysis import Interval, Winner
from bogp.controls import CONTROLS
from bogp.database import GraphDatabase
from bogp.errors import OutputError
from bogp.report.search_page import search_sections, write_search_report
from bogp.report.search_tables import (
    alpha_table,
    change_table,
    comparison_table,
    found_tables,
    front_table,
    leader_table,
    noise_table,
    winner_name,
    winner_table,
)
from bogp.settings.search import SearchSettings
from bogp.training import Recipe

TINY = Recipe(learning_rate=0.05, batch_size=64, epochs=2)
SHARED = {"model": "mlp:16", "recipe": TINY, "batch": 6, "population": 6}


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "graphs.db"
    shape = {"nodes": 12, "shape": (16, 64), "sparsities": (0.5, 0.9), "graphs": 12}
    with GraphDatabase.build(path, **shape) as built:
        yield built


@pytest.fixture(scope="module")
def found(database):
    return bogp.search(
        database, "digits",
        SearchSettings(sparsity=0.9, layers="all", trials=12, final_seeds=2, **SHARED),
    )  # fmt: skip


@pytest.fixture(scope="module")
def front(database):
    settings = SearchSettings(pareto=True, trials=8, final_seeds=1, **SHARED)
    return bogp.search(database, "digits", settings)


def cells(table):
    return {row[0]: row[1:] for row in table.rows}


def test_the_winner_from_its_selected_value_to_the_sealed_test(found):
    rows = {name: cell for name, (cell,) in cells(winner_table(found)).items()}
    evidence = found.evidence
    assert rows["winner"] == winner_name(found)
    assert rows["best trial, validation split"] == f"{evidence.selected:.4f} (chosen: optimistic)"
    assert rows["posterior"].startswith(f"{evidence.posterior[0]:.4f} ± ")
    assert rows["test set, fresh seeds"].startswith(f"{evidence.sealed.estimate:.4f} [")
    for winner in (evidence.shrunken, evidence.conditional):
        if winner:
            assert rows[f"corrected ({winner.method})"].startswith(
                f"{winner.corrected.estimate:.4f}"
            )
    notes = " ".join(winner_table(found).notes)
    assert f"{sum(found.epochs.values()):,} in all" in notes
    for name, epochs in found.epochs.items():
        assert f"{name} {epochs:,}" in notes


def test_every_control_is_in_the_table_or_said_not_to_apply(found):
    table = comparison_table(found)
    assert set(cells(table)) == {*CONTROLS, "random search's winner"}
    for name, why in found.evidence.left_out.items():
        assert cells(table)[name][0] == "does not apply"
        assert f"{name} does not apply: {why}." in table.notes
    changed = change_table(found)
    assert {row[-1] for row in changed.rows} == {"yes"}
    assert cells(changed)["re-initialisation"][:2] == ("0 %", "100 %")


def test_the_variance_between_candidates_and_seeds(found):
    if found.evidence.components is None:
        pytest.skip("no candidate of this search was trained twice")
    table = noise_table(found)
    parts = found.evidence.components
    (between,) = cells(table)["SD between candidates"]
    assert between.startswith(f"{100 * parts.between_sd:.2f} pp")
    assert f"{parts.values} trials that ended whole, of {parts.groups}" in table.notes[-1]
    assert found.evidence.runner_up in table.notes[0]


def test_the_best_candidates_are_by_mean_over_whole_trials(found):
    table = leader_table(found)
    means = [row[1] for row in table.rows]
    assert means == sorted(means, reverse=True)
    whole = [trial for trial in found.trials if not trial.stopped]
    candidates = {trial.point["index"] for trial in whole}
    assert len(table.rows) == min(10, len(candidates))
    if len(candidates) <= 10:
        assert sum(row[2] for row in table.rows) == len(whole)


def test_effective_sparsity_stands_beside_the_nominal_one(found, front):
    """It is the mean over the trainings of a candidate, from their records."""
    value = found.best.record["structure"]["effective_sparsity"]
    assert value > found.best.record["sparsity"]  # at a tenth some weight is on no path
    assert cells(winner_table(found))["its effective sparsity"] == (f"{value:.4f}",)
    unknown = replace(found.best, record={**found.best.record, "structure": None})
    assert cells(winner_table(replace(found, best=unknown)))["its effective sparsity"] == ("–",)
    (own,) = (row for row in leader_table(found).rows if row[0] == winner_name(found))
    index = found.best.point["index"]
    means = [
        trial.record["structure"]["effective_sparsity"]
        for trial in found.trials
        if trial.point["index"] == index and not trial.stopped
    ]
    assert own[3] == pytest.approx(sum(means) / len(means))
    for row, entry in zip(front_table(front).rows, front.front, strict=True):
        assert row[0] == f"{entry.point.sparsity:g}"
        assert row[1] >= entry.point.sparsity - 1e-3


def test_the_page_holds_all_of_it_and_asks_for_nothing(found, database, tmp_path):
    path = write_search_report(tmp_path / "report.html", found, database, "bogp search graphs.db")
    page = path.read_text()
    headings = [section.heading for section in search_sections(found, database)]
    assert headings[:2] == ["Result", "Random search and controls"]
    assert headings[-2:] == ["The winner's graph and mask", "Training spent"]
    assert all(f">{heading}<" in page.replace("&#39;", "'") for heading in headings)
    assert "bogp search graphs.db" in page
    assert found.key in page
    assert page.count("data:image/svg+xml;base64,") == 5
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    again = write_search_report(tmp_path / "again.html", found, database, "bogp search graphs.db")
    assert again.read_text() == page


def named(result, database):
    figures = [each for section in search_sections(result, database) for each in section.figures]
    return {each.name: each.figure for each in figures if each.name}


def test_figures_by_name(found, front, database):
    assert set(named(found, database)) == {"course", "support", "controls", "winner"}
    assert set(named(front, database)) == {"front", "hypervolume"}


def test_nothing_is_said_that_a_search_does_not_know(found, database):
    """Without fresh seeds, replicates, or a whole trial of the winner."""
    bare = replace(
        found.evidence, selected=math.nan, shrunken=None, conditional=None, fresh=None,
        sealed=None, components=None, runner_up=None, comparisons=(), runs=(), left_out={},
    )  # fmt: skip
    result = replace(found, evidence=bare, random_trials=())
    rows = cells(winner_table(result))
    assert rows["best trial, validation split"] == ("– (no trial of it ended whole)",)
    assert "test set, fresh seeds" not in rows
    headings = [section.heading for section in search_sections(result, database)]
    assert "Candidates against seeds" not in headings
    assert noise_table(result) is None
    assert change_table(result) is None
    assert set(named(result, database)) == {"course", "support", "winner"}


def test_a_corrected_estimate_has_no_count_of_seeds(found):
    """Its count is of candidates: n=16 would read as sixteen seeds."""
    winner = Winner(0, 0.9, Interval(0.89, 0.87, 0.91, 16), "hybrid")
    result = replace(found, evidence=replace(found.evidence, shrunken=winner, conditional=None))
    assert cells(winner_table(result))["corrected (hybrid)"] == ("0.8900 [0.8700, 0.9100]",)


def test_a_trade_off_is_a_front_with_its_alphas(front, database, tmp_path):
    assert [t.title for t in found_tables(front)] == [
        "Trade-off, 8 trials",
        "The same front by alpha",
    ]
    rows = front_table(front).rows
    assert [row[0] for row in rows] == [f"{entry.point.sparsity:g}" for entry in front.front]
    for alpha, sparsity, accuracy, value in alpha_table(front).rows:
        best = front.at(float(alpha))
        assert (sparsity, accuracy) == (f"{best.point.sparsity:g}", best.sealed.estimate)
        every = [e.posterior[0] + float(alpha) * e.point.sparsity for e in front.front]
        assert value == pytest.approx(max(every))
    assert [section.heading for section in search_sections(front, database)] == [
        "The front",
        "The paper's f2 from the same front",
        "Hypervolume over trials",
        "Training spent",
    ]
    page = write_search_report(tmp_path / "front.html", front, database).read_text()
    assert page.count("data:image/svg+xml;base64,") == 3


def test_the_hypervolume_is_level_between_batches(front, database):
    (axes,) = named(front, database)["hypervolume"].axes
    course = axes.lines[0].get_ydata().tolist()
    volumes = front.hypervolumes["search"]
    assert course == [volumes[0]] * 7 + [volumes[1]] or course[-1] == volumes[-1]
    assert len(course) == len(front.trials) == 8


@pytest.mark.filterwarnings("ignore::bogp.errors.ConstantPropertyWarning")
def test_the_paper_s_engine_has_a_report_too(database, tmp_path):
    settings = SearchSettings(
        engine="paper", sparsity=0.9, trials=2, final_seeds=1, model="mlp:16", recipe=TINY,
        properties=("clustering", "eigenvector_centrality"),
    )  # fmt: skip
    result = bogp.search(database, "digits", settings)
    page = write_search_report(tmp_path / "paper.html", result, database).read_text()
    assert "Engine paper, 2 trials" in page
    assert page.count("data:image/svg+xml;base64,") == 2


def test_a_report_that_cannot_be_written_is_refused(found, database, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        write_search_report(tmp_path / "file" / "report.html", found, database)

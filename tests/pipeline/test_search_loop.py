import contextlib
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training_helpers import search

import bogp
from bogp.database.rows import insert
from bogp.engines import Proposal
from bogp.errors import (
    BogpError,
    ConstantPropertyWarning,
    DatabaseError,
    GraphError,
    MaskError,
    SettingError,
    SparsityError,
    StudyError,
    UnknownNameError,
)
from bogp.graphs import RelationalGraph, graph_to_mask
from bogp.pipeline import rounds
from bogp.pipeline.fetch import fetch, fetched_again
from bogp.study import Study
from bogp.study.reading import read_storage

PAIR = ("clustering", "eigenvector_centrality")


def run(database, data, tiny, **changes):
    settings = {
        "engine": "paper",
        "trials": 3,
        "final_seeds": 2,
        "sparsity": 0.8,
        "model": "mlp:16",
        "layers": "hidden",
        "properties": PAIR,
        "recipe": tiny,
    }
    return search(database, data, **(settings | changes))


def plain(result):
    """Return everything of a result but the time that it took."""
    trials = [(t.number, t.point, t.value, {**t.record, "seconds": 0}) for t in result.trials]
    return trials, result.best.number, result.mask, result.finals, result.key


@pytest.fixture(scope="module")
def unbroken(graphs, toy, tiny):
    return run(graphs, toy, tiny)


def test_a_search_is_what_it_says(unbroken, graphs):
    assert [trial.number for trial in unbroken.trials] == [0, 1, 2]
    for trial in unbroken.trials:
        record = trial.record
        fetched = graphs.record(record["graph"])
        (nearest,) = graphs.nearest(trial.point["vector"], sparsity=0.8)
        assert (fetched.id, record["score"]) == (nearest.id, nearest.score)
        assert record["proposed"] == trial.point["vector"]
        assert record["fetched"] == {name: fetched.properties[name] for name in PAIR}
        assert record["sparsity"] == pytest.approx(1 - 64 / 320)
        assert trial.value == record["accuracy"]
    assert unbroken.best.value == max(trial.value for trial in unbroken.trials)
    support = graph_to_mask(graphs.record(unbroken.best.record["graph"]).graph, 16, 20)
    assert not (unbroken.mask["1.weight"] & ~support).any()
    assert unbroken.mask.fingerprint == unbroken.best.record["mask"]
    assert len({final.seed for final in unbroken.finals}) == 2


def test_the_same_seed_gives_the_same_search_and_another_another(graphs, toy, tiny, unbroken):
    assert plain(run(graphs, toy, tiny)) == plain(unbroken)
    assert plain(run(graphs.path, toy, tiny)) == plain(unbroken)
    other = run(graphs, toy, tiny, seed=1)
    assert other.key != unbroken.key
    assert other.trials[0].point != unbroken.trials[0].point


def test_a_study_goes_on_with_more_trials_and_more_seeds(
    graphs, toy, tiny, unbroken, tmp_path, monkeypatch
):
    study = tmp_path / "study.db"
    told = []
    run(graphs, toy, tiny, study=study, trials=2, final_seeds=0)
    first = run(graphs, toy, tiny, study=study, final_seeds=1, on_trial=told.append)
    assert [trial.number for trial in told] == [2]
    assert first.finals == unbroken.finals[:1]
    seeds, train = [], rounds.train
    monkeypatch.setattr(rounds, "train", lambda *a, **k: seeds.append(k["seed"]) or train(*a, **k))
    ticks = []
    whole = run(graphs, toy, tiny, study=study, progress=lambda *pair: ticks.append(pair))
    assert plain(whole) == plain(unbroken)
    assert len(seeds) == 1  # the second final seed, and nothing else
    assert (ticks[0], ticks[-1]) == ((3, 5), (5, 5))
    again = run(graphs, toy, tiny, study=study, progress=lambda *pair: ticks.append(pair))
    assert plain(again) == plain(unbroken)
    assert len(seeds) == 1
    assert ticks[-1] == (5, 5)
    fewer = run(graphs, toy, tiny, study=study, trials=1, final_seeds=0)
    assert plain(fewer)[0] == plain(unbroken)[0][:1]


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from conftest import TINY, make_toy
from test_search_loop import run
from bogp.study import Study

def die_after(name, count):
    whole, calls = getattr(Study, name), []
    def call(self, *given, **named):
        result = whole(self, *given, **named)
        calls.append(name)
        if name == "note" and not given[0].startswith("final "):
            calls.pop()
        if len(calls) == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(Study, name, call)

for name, count in (("begin", 1), ("finish", 2), ("begin", 1), ("note", 1)):
    child = os.fork()
    if child == 0:
        die_after(name, count)
        run(Path(sys.argv[2]), make_toy(), TINY, study=sys.argv[3])
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_a_killed_search_goes_on_as_if_it_had_not_been(graphs, toy, tiny, unbroken, tmp_path):
    """Killed while a trial runs, just after one is told, again, and between the final seeds."""
    study = tmp_path / "study.db"
    arguments = [str(Path(__file__).parent), str(graphs.path), str(study)]
    told = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments], capture_output=True, text=True, check=True
    )
    assert told.stdout.split() == [str(-signal.SIGKILL)] * 4, told.stderr
    told = []
    assert plain(run(graphs, toy, tiny, study=study, on_trial=told.append)) == plain(unbroken)
    assert told == []


def test_a_search_in_use_is_refused(graphs, toy, tiny, tmp_path):
    study = tmp_path / "study.db"
    run(graphs, toy, tiny, study=study, trials=1, final_seeds=0)
    with pytest.raises(StudyError, match="made with seed = 0, not 1"):
        run(graphs, toy, tiny, study=study, seed=1)

    def meanwhile(trial):
        run(graphs, toy, tiny, study=study)

    with pytest.raises(StudyError, match="in use"):
        run(graphs, toy, tiny, study=study, on_trial=meanwhile)


@pytest.mark.parametrize("engine", ["paper", "random"])
def test_with_alpha_the_value_is_accuracy_plus_alpha_times_sparsity(graphs, toy, tiny, engine):
    result = run(graphs, toy, tiny, sparsity=None, alpha=0.5, engine=engine, trials=6)
    for trial in result.trials:
        drawn = graphs.record(trial.record["graph"]).sparsity
        assert drawn == trial.record["database_sparsity"]
        assert trial.record["sparsity"] == pytest.approx(drawn)
        assert trial.value == pytest.approx(trial.record["accuracy"] + 0.5 * drawn, abs=1e-12)
    assert {trial.record["database_sparsity"] for trial in result.trials} <= {0.5, 0.8}
    assert result.best.value == max(trial.value for trial in result.trials)


def test_engine_random_takes_the_graphs_it_asked_for(graphs, toy, tiny):
    result = run(graphs, toy, tiny, engine="random", trials=4, final_seeds=0)
    assert [t.point["graph_id"] for t in result.trials] == [
        t.record["graph"] for t in result.trials
    ]
    assert len({trial.record["graph"] for trial in result.trials}) == 4
    assert {graphs.record(trial.record["graph"]).sparsity for trial in result.trials} == {0.8}


def test_holdout_opens_the_test_set_for_the_winner_alone(
    graphs, toy, mislabelled, tiny, unbroken, monkeypatch
):
    assert unbroken.settings["protocol"] == "holdout"
    other = run(graphs, mislabelled, tiny)
    assert plain(other)[0] == plain(unbroken)[0]
    assert other.mask == unbroken.mask
    assert [f.seed for f in other.finals] == [f.seed for f in unbroken.finals]
    assert [f.accuracy for f in other.finals] != [f.accuracy for f in unbroken.finals]
    # And by what the evaluation is given:
    seen, whole = [], rounds.evaluate

    def spy(model, inputs, targets):
        seen.append(inputs.data_ptr() == toy.test_inputs.data_ptr())
        return whole(model, inputs, targets)

    monkeypatch.setattr(rounds, "evaluate", spy)
    run(graphs, toy, tiny)
    assert seen == [False] * 3 + [False, True] * 2


def test_protocol_paper_selects_on_the_test_set(graphs, toy, mislabelled, tiny):
    ours, theirs = (
        run(graphs, data, tiny, protocol="paper", trials=1, final_seeds=1)
        for data in (toy, mislabelled)
    )
    assert ours.best.record["examples"] == len(toy.test_targets)
    assert ours.best.value != theirs.best.value
    assert ours.best.record["mask"] == theirs.best.record["mask"]


WRONG = {
    "neither": ({"sparsity": None}, SettingError, "give one of a sparsity .*: 0 are given"),
    "both": ({"alpha": 0.5}, SettingError, "give one of a sparsity .*: 2 are given"),
    "alpha": ({"sparsity": None, "alpha": float("nan")}, SettingError, "alpha = nan: it"),
    "kappa": ({"kappa": -1.0}, SettingError, "kappa = -1.0: it should be"),
    "trials": ({"trials": 0}, SettingError, "trials = 0: it should be"),
    "finals": ({"final_seeds": -1}, SettingError, "final_seeds = -1: it should"),
    "sparsity": ({"sparsity": 1.2}, SparsityError, r"1\.2 is not in \[0, 1\)"),
    "not held": ({"sparsity": 0.3}, DatabaseError, "no graphs of sparsity 0.3: choose from 0.5"),
    "setting": ({"metrik": "l1"}, SettingError, "no setting 'metrik'"),
    "engine": ({"engine": "papr"}, UnknownNameError, "did you mean paper"),
    "property": ({"properties": ("clusterin",)}, UnknownNameError, "did you mean clustering"),
    "metric": ({"metric": "cosin"}, UnknownNameError, "did you mean cosine"),
    "scale": ({"scale": "rae"}, UnknownNameError, "did you mean raw"),
    "metric, random": ({"metric": "l3", "engine": "random"}, UnknownNameError, "metric 'l3'"),
    "recipe": ({"recipe": "writen"}, UnknownNameError, "did you mean written"),
    "protocol": ({"protocol": "holdot"}, UnknownNameError, "did you mean holdout"),
    "layers": ({"layers": "hiden"}, MaskError, "'hiden' is unknown"),
    "model": ({"model": "cnn"}, SettingError, "model 'cnn' is unknown"),
    "narrow": ({"model": "mlp:8"}, GraphError, "12 nodes do not fit a layer of 8 outputs"),
    "constant": ({"properties": ("degree_centrality",)}, SettingError, "are constant"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_setting_is_refused_before_there_is_a_study(graphs, toy, tiny, tmp_path, case):
    changes, error, text = WRONG[case]
    with pytest.raises(error, match=text):
        run(graphs, toy, tiny, study=tmp_path / "study.db", **changes)
    assert list(tmp_path.iterdir()) == []


def test_an_incomplete_database_is_refused(toy, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("bogp.database.build.COMMIT_SECONDS", 0.0)

    def stop(done, total):
        if done:
            raise KeyboardInterrupt

    shape = {"nodes": 12, "shape": (16, 20), "sparsities": (0.5, 0.8), "graphs": 3000}
    with pytest.raises(KeyboardInterrupt):
        bogp.GraphDatabase.build(tmp_path / "graphs.db", **shape, progress=stop)
    with pytest.raises(DatabaseError, match=r"holds \d+ of 6000 graphs: run its build again"):
        run(tmp_path / "graphs.db", toy, tiny, sparsity=0.5)


def test_more_trials_than_graphs_keep_what_was_trained(toy, tiny, tmp_path):
    shape = {"nodes": 12, "shape": (16, 20), "sparsities": (0.8,), "graphs": 2}
    study = tmp_path / "study.db"
    with bogp.GraphDatabase.build(tmp_path / "few.db", **shape) as few:
        with pytest.raises(BogpError, match="all 2 graphs are evaluated: ask for fewer"):
            run(few, toy, tiny, engine="random", study=study)
        told = []
        run(few, toy, tiny, engine="random", study=study, trials=2, on_trial=told.append)
    assert told == []


def test_stored_masks_are_what_is_trained(toy, tiny, tmp_path):
    shape = {"nodes": 4, "shape": (16, 20), "sparsities": (0.8,), "graphs": 3}
    with bogp.GraphDatabase.build(tmp_path / "m.db", family="random_mask", **shape) as masks:
        with pytest.warns(ConstantPropertyWarning) as warned:
            result = run(masks, toy, tiny, engine="random", trials=1, final_seeds=0)
        stored = masks.record(result.best.record["graph"]).mask
    assert torch.equal(result.mask["1.weight"], stored)
    assert [str(warning.message).split(" is ")[0] for warning in warned] == list(PAIR)


def test_a_trial_that_fails_is_tried_again(graphs, toy, tiny, unbroken, tmp_path, monkeypatch):
    study, calls, finish = tmp_path / "study.db", [], Study.finish

    def interrupted(self, *given, **named):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return finish(self, *given, **named)

    monkeypatch.setattr(Study, "finish", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(graphs, toy, tiny, study=study)
    assert plain(run(graphs, toy, tiny, study=study)) == plain(unbroken)


def test_synthesis_brings_masks_nearer_to_what_was_proposed(graphs, toy, tiny, unbroken):
    found = run(graphs, toy, tiny, fetch="synthesize")
    assert found.key != unbroken.key
    ranges = graphs.coverage(0.8, PAIR)
    for trial in found.trials:
        record = trial.record
        start = graphs.record(record["graph"])
        made = RelationalGraph.from_packed(bytes.fromhex(record["made"]), graphs.nodes)
        assert made.edges == start.edges
        described = bogp.properties(made.adjacency[None], PAIR)
        assert record["fetched"] == pytest.approx({n: described[n][0] for n in PAIR})

        def distance(values, proposed=trial.point["vector"]):
            gaps = [
                (values[n] - proposed[n]) / (ranges[n].maximum - ranges[n].minimum) for n in PAIR
            ]
            return sum(gap**2 for gap in gaps)

        assert distance(record["fetched"]) <= distance(start.properties) + 1e-12
    best = found.best.record
    made = RelationalGraph.from_packed(bytes.fromhex(best["made"]), graphs.nodes)
    assert not (found.mask["1.weight"] & ~graph_to_mask(made, 16, 20)).any()
    assert found.mask.fingerprint == best["mask"]
    assert any(
        t.record["made"] != graphs.record(t.record["graph"]).graph.packed().hex()
        for t in found.trials
    )


def test_what_is_recorded_of_a_made_graph_is_its_own(tmp_path):
    names = bogp.PAPER_FIVE
    with bogp.GraphDatabase.build(
        tmp_path / "g.db", nodes=20, sparsities=(0.88,), graphs=40, names=names
    ) as database:
        settings = bogp.SearchSettings(engine="paper", sparsity=0.88, properties=names)
        components = set()
        for number in range(12):
            vector = database.record(number).properties | {"clustering": 0.02 * number}
            found = fetch("synthesize")(database, settings, Proposal(vector))
            described = bogp.properties([found.support], names)
            assert found.vector == {name: float(described[name][0]) for name in names}
            again = fetched_again(database, settings, found.record())
            assert (again.support, again.mask_seed) == (found.support, found.mask_seed)
            start = database.record(found.graph_id).properties["cycle_rank"]
            components.add(found.vector["cycle_rank"] - start)
    assert components != {0.0}  # swaps did join or part some


def test_a_database_of_several_sparsities_needs_one_named(graphs):
    with pytest.raises(SettingError, match="choose one"):
        bogp.synthesize({"clustering": 0.3}, start=graphs)
    with pytest.raises(UnknownNameError):
        bogp.synthesize({"clusterin": 0.3}, start=graphs, sparsity=0.8)


def test_a_synthesising_study_resumes_to_the_same_end(graphs, toy, tiny, tmp_path):
    whole = run(graphs, toy, tiny, fetch="synthesize")
    study = tmp_path / "study.db"
    run(graphs, toy, tiny, fetch="synthesize", study=study, trials=1)
    assert plain(run(graphs, toy, tiny, fetch="synthesize", study=study)) == plain(whole)


def test_random_masks_cannot_be_synthesised_from(toy, tiny, tmp_path):
    path = tmp_path / "masks.db"
    bogp.GraphDatabase.build(
        path, nodes=8, shape=(16, 20), sparsities=(0.8,), graphs=6, family="random_mask"
    ).close()
    with pytest.raises(SettingError, match="holds masks"):
        run(path, toy, tiny, fetch="synthesize")
    with pytest.raises(UnknownNameError, match="did you mean synthesize"):
        run(path, toy, tiny, fetch="synthesise")


def test_synthesis_starts_from_a_database(graphs):
    target = {"clustering": 0.4, "eigenvector_centrality": 0.27}
    found = bogp.synthesize(target, start=graphs, sparsity=0.8, seed=1)
    (nearest,) = graphs.nearest(target, metric="l2", scale="standardised", sparsity=0.8)
    assert found.start == graphs.record(nearest.id).graph
    assert found.graph.edges == found.start.edges
    again = bogp.synthesize(target, start=graphs.path, sparsity=0.8, seed=1)
    assert again.graph == found.graph
    assert abs(found.achieved["clustering"] - 0.4) <= abs(nearest.vector["clustering"] - 0.4)
    with pytest.raises(SettingError, match="edges 30 is given beside a graph database"):
        bogp.synthesize(target, start=graphs, edges=30)


def test_a_finished_study_gives_no_other_mask_than_the_one_that_was_trained(
    graphs, toy, tiny, tmp_path
):
    """Also where the checksums were made to agree with the change."""
    study, path = tmp_path / "study.db", tmp_path / "graphs.db"
    shutil.copy(graphs.path, path)
    options = {"trials": 1, "final_seeds": 0, "study": study}
    found = run(str(path), toy, tiny, **options)
    assert found.best.record["mask"] == found.mask.fingerprint
    assert plain(run(str(path), toy, tiny, **options)) == plain(found)
    before = [read_storage(study)]
    for reseal, said in ((False, "is corrupt or truncated"), (True, "gives another mask than")):
        shutil.copy(graphs.path, path)
        with contextlib.closing(sqlite3.connect(path)) as db, db:
            rows = db.execute("SELECT block, adjacency, masks, checksum FROM wiring").fetchall()
            db.execute("DELETE FROM wiring")
            size = len(rows[0][1]) // graphs.reader.entries()[0].graphs
            rows = [(n, _turned(blob, size), masks, crc) for n, blob, masks, crc in rows]
            if reseal:
                insert(db, "wiring", [row[:-1] for row in rows])
            else:
                db.executemany("INSERT INTO wiring VALUES (?, ?, ?, ?)", rows)
        with pytest.raises(BogpError, match=said):
            run(str(path), toy, tiny, **options)
        before.append(read_storage(study))
    assert before[0] == before[1] == before[2]


def _turned(blob, size):
    """Return the packed graphs of a block, each in the place of the one before it."""
    return blob[size:] + blob[:size]

import json
from dataclasses import replace
from pathlib import Path

import pytest
from scipy import stats

from bogp.data import load_dataset
from bogp.replication import replications
from bogp.replication.models import (
    ENTRIES,
    METHODS,
    lead_table,
    leads,
    long_table,
    model_table,
    model_tables,
    models_jobs,
    models_publication,
    models_setup,
)
from bogp.replication.publish import publish
from bogp.replication.replications import REPLICATIONS, train
from bogp.replication.setup import Inputs, Run, Setup

FIRST, SECOND = ENTRIES[:2]


def made_up(tmp_path, own=(0.96, 0.97, 0.95)):
    """Return records that no network made: SynFlow is best, and empties a layer on one seed."""
    setup = models_setup(Setup(tmp_path, seeds=3), quick=False)
    setup = replace(setup, entries=(FIRST, SECOND), sparsities=(0.5, 0.9))
    records = {}

    def add(kind, entry, seed, sparsity, value, more, **fields):
        shared = {"model": entry.model, "sparsity": sparsity, "seed": seed}
        result = {"reported": [value], **more}
        records[f"{len(records)}"] = {"kind": kind, "fields": shared | fields, "result": result}

    for entry in setup.entries:
        for seed in (2, 0, 1):
            add("methods", entry, seed, None, 0.98, {}, name="dense")
            for number, name in enumerate(METHODS):
                for s in setup.sparsities:
                    empty = {"collapsed": ["a"]} if (name, s, seed) == ("synflow", 0.9, 1) else {}
                    value = 0.9 + number / 100 - seed / 1000
                    add("methods", entry, seed, s, value, empty, name=name)
            add("prune", entry, seed, 0.9, own[seed], {})
    return Run(setup, Inputs({}), records)


def test_the_lead_is_over_the_best_criterion_and_paired_by_seed(tmp_path):
    run = made_up(tmp_path)
    found = leads(run)
    assert list(found) == [FIRST.label, SECOND.label]
    lead = found[FIRST.label]
    assert lead.rival == METHODS["synflow"]
    rival = [0.95, 0.949, 0.948]
    low, high = stats.ttest_rel([0.96, 0.97, 0.95], rival).confidence_interval(0.95)
    assert (lead.interval.low, lead.interval.high) == pytest.approx((low, high))
    row = lead_table(run, found).texts()[0]
    assert row[:2] == [FIRST.label, "SynFlow, global"]
    assert row[2].startswith("1.10 [")
    assert row[3] == "not told apart"
    ahead = made_up(tmp_path, own=(0.97, 0.969, 0.9681))
    assert lead_table(ahead, leads(ahead)).rows[0][3] == "above"
    behind = made_up(tmp_path, own=(0.93, 0.929, 0.9281))
    assert lead_table(behind, leads(behind)).rows[0][3] == "below"


def test_the_table_of_a_model(tmp_path):
    shown = model_table(made_up(tmp_path), FIRST)
    cells = {row[0]: row[1:] for row in shown.texts()}
    assert list(shown.headings) == ["method", "s = 0.5", "s = 0.9"]
    assert cells["dense (s = 0)"] == ["0.9800 ± 0.0000", "–"]
    assert cells["random, uniform"][0].startswith("0.8990 ± ")
    assert cells["bogp.prune, search"][0] == "–"
    assert "3 epochs, batches of 256, adam at 0.003 (constant)" in shown.notes[0]
    assert shown.notes[1] == ("A layer without a kept weight: SynFlow, global at s = 0.9 (1 seed).")


def test_every_accuracy_is_a_row_of_values(tmp_path):
    rows = long_table(made_up(tmp_path)).rows
    assert len(rows) == 2 * 3 * (1 + 2 * len(METHODS) + 1)
    assert rows[0] == (FIRST.label, "mnist", "dense", None, 0, 0.98)
    assert (SECOND.label, "mnist", "bogp.prune, search", 0.9, 1, 0.97) in rows


def test_the_committed_records_are_those_that_the_table_asks_for(tmp_path):
    setup = models_setup(Setup(tmp_path), quick=False)
    small = [entry for entry in setup.entries if entry.data == "digits"]
    setup = replace(setup, entries=tuple(small))
    wanted = models_jobs(setup, Inputs({"digits": load_dataset("digits")}))
    path = Path(__file__).parents[2] / "docs" / "replication" / "models" / "records.jsonl"
    held = {json.loads(line)["key"] for line in path.read_text().splitlines()}
    assert len(wanted) == 4 * 5 * 20
    assert {job.key for job in wanted} <= held


def test_records_without_effective_sparsities_have_no_table_of_them(tmp_path):
    run = made_up(tmp_path)
    assert [table.title for table in model_tables(run, FIRST)] == [model_table(run, FIRST).title]
    for record in run.records.values():
        if record["fields"].get("name") == "snip":
            values = [0.5 + record["fields"]["sparsity"] / 2]
            record["result"]["effective_sparsity"] = values
        if record["fields"].get("name") == "erk":
            record["result"]["effective_sparsity"] = [0.9, None]
    _, table = model_tables(run, FIRST)
    cells = {row[0]: row[1:] for row in table.texts()}
    assert cells["SNIP, global"] == ["0.7500", "0.9500"]
    assert cells["random, ERK"] == cells["magnitude, global"] == ["–", "–"]


def test_quick_is_one_network_of_each_kind(tmp_path):
    setup = models_setup(Setup(tmp_path), quick=True)
    assert [entry.label for entry in setup.entries] == ["LeNet-300-100", "LeNet-5", "ViT"]
    assert {entry.data for entry in setup.entries} == {"digits"}
    assert {entry.recipe.epochs for entry in setup.entries} == {1}
    assert (setup.seeds, setup.trials, setup.sparsities) == (2, 4, (0.9,))


def test_a_small_run_has_every_cell_and_is_published(tmp_path, run_here, monkeypatch):
    setup = models_setup(Setup(tmp_path, seeds=1), quick=True)
    setup = replace(setup, entries=setup.entries[:1], trials=2)
    monkeypatch.setattr(replications, "run_jobs", run_here)
    run = train(REPLICATIONS["models"], setup)
    assert set(run.records) == {job.key for job in models_jobs(run.setup, run.inputs)}
    report, shown = publish(run, models_publication(run), "bogp reproduce models")
    assert [table.title for table in shown] == [
        "bogp.prune against the best criterion",
        "LeNet-300-100 on digits",
        "LeNet-300-100: effective sparsity",
    ]
    sparse = {row[0]: row[1] for row in shown[2].rows}
    assert set(sparse) == {row.label for row in METHODS.values()} | {"bogp.prune, search"}
    assert all(0.89 < value <= 1.0 for value in sparse.values())
    assert shown[1].title in report.read_text()
    assert len((tmp_path / "models.csv").read_text().splitlines()) == 1 + 8
    assert "](leads.svg)" in (tmp_path / "results.md").read_text()

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats

from bogp.data import load_dataset
from bogp.database import GraphDatabase
from bogp.errors import SettingError, SparsityError
from bogp.replication import comparison, replications
from bogp.replication.methods import (
    BASELINES,
    CONTROL,
    RANDOM_MASKS,
    SEARCH,
    SPARSITIES,
    control_table,
    lead_table,
    leads,
    method_table,
    methods_jobs,
    methods_publication,
    methods_setup,
    rows_of,
)
from bogp.replication.publish import publish
from bogp.replication.replications import REPLICATIONS, setup_of, train
from bogp.replication.request import ReproduceSettings
from bogp.replication.setup import Inputs, Run, Setup
from bogp.replication.trainings import method_job, methods_job, run_job, search_job
from bogp.training import Recipe

TINY = Recipe(learning_rate=0.05, batch_size=64, epochs=1)


def made_up(tmp_path, own, other, rivals, sparsities=(0.9,), layers="all"):
    """Return a comparison of records that no network made: name → (seed,) accuracies."""
    seeds = len(own)
    setup = methods_setup(Setup(tmp_path, data="made up", seeds=seeds), quick=False)
    setup = replace(setup, sparsities=sparsities, readings=(layers,))
    records = {}

    def add(kind, seed, sparsity, result, **fields):
        where = "hidden" if fields.get("name") == "dense" else layers
        fields = {"layers": where, "sparsity": sparsity, "seed": seed, **fields}
        records[f"{len(records)}"] = {"kind": kind, "fields": fields, "result": result}

    for seed in reversed(range(seeds)):  # the order of the records is not that of the seeds
        for sparsity in sparsities:
            found = {"finals": [own[seed]] * 3, "random_finals": [other[seed]] * 3}
            spent = {"search": 100, "random search": 110, "fresh seeds and controls": 9}
            controls = {"ERK": [own[seed] - 0.01] * 3} if seed else {}
            result = {**found, "controls": controls, "epochs": spent}
            add("search", seed, sparsity, result, engine="pool")
            for name in (*BASELINES, "random"):
                reported = [rivals.get(name, rivals["erk"])[seed]] * 3
                add("methods", seed, sparsity, {"reported": reported}, name=name)
        add("methods", seed, None, {"reported": [0.97] * 3}, name="dense")
    return Run(setup, Inputs({"made up": SimpleNamespace(name="made up")}), records)


def judge(run, layers):
    return comparison.judge(leads(run, layers), layers)


def values(run, row, layers, sparsity):
    return row.values(run.records, layers=layers, sparsity=sparsity)


OWN = [0.951, 0.955, 0.950, 0.953, 0.956]
RIVALS = {
    "snip": [0.944, 0.949, 0.945, 0.946, 0.949],
    "grasp": [0.999, 0.900, 0.900, 0.900, 0.900],  # the best of one seed is not the best
    "erk": [0.930, 0.931, 0.929, 0.930, 0.930],
}


def test_the_lead_is_over_the_highest_mean_and_paired_by_seed(tmp_path):
    other = [0.950, 0.953, 0.951, 0.952, 0.955]
    run = made_up(tmp_path, OWN, other, RIVALS)
    assert values(run, SEARCH, "all", 0.9) == pytest.approx(OWN)
    assert values(run, CONTROL, "all", 0.9) == pytest.approx(other)
    (lead,) = leads(run, "all").values()
    assert lead.rival == BASELINES["snip"]
    (row,) = lead_table(run, "all").rows
    assert row[2] == lead.interval
    for interval, rival in ((row[2], RIVALS["snip"]), (row[3], other)):
        reference = stats.ttest_rel(OWN, rival).confidence_interval(0.95)
        assert interval.estimate == pytest.approx(np.mean(OWN) - np.mean(rival))
        assert (interval.low, interval.high) == pytest.approx(reference)


@pytest.mark.parametrize(
    ("own", "below", "above"),
    [
        (OWN, "holds", "holds"),
        ([value - 0.002 for value in RIVALS["snip"]], "does not hold", "does not hold"),
        ([0.944, 0.9500, 0.944, 0.947, 0.949], "holds", "inconclusive"),  # 0.02 pp, wide
        ([value + 0.0002 for value in RIVALS["snip"]], "holds", "does not hold"),  # too little
        (OWN[:1], "inconclusive", "inconclusive"),  # one seed has no interval
    ],
)
def test_the_verdicts(tmp_path, own, below, above):
    own = [value + 1e-6 * (-1) ** k for k, value in enumerate(own)]
    first, second = judge(made_up(tmp_path, own, own, RIVALS), "all")
    assert (first.holds, second.holds) == (below, above)
    assert "SNIP" in first.statistic or len(own) == 1
    assert "s >= 0.9" in second.claim


def test_one_sparsity_below_is_enough_and_low_ones_are_not_judged_as_high(tmp_path):
    worse = [value - 0.002 for value in RIVALS["snip"]]
    run = made_up(tmp_path, OWN, OWN, RIVALS, sparsities=(0.3, 0.9))
    for record in run.records.values():
        if record["kind"] == "search" and record["fields"]["sparsity"] == 0.3:
            record["result"]["finals"] = [worse[record["fields"]["seed"]] + 1e-6] * 3
    first, second = judge(run, "all")
    assert (first.holds, second.holds) == ("does not hold", "holds")
    assert "below at 1 of 2 sparsities; worst at s = 0.3" in first.statistic
    low = replace(run, setup=replace(run.setup, sparsities=(0.3,)))
    assert len(judge(low, "all")) == 1


def test_with_one_layer_the_same_runs_stand_for_two_methods(tmp_path):
    run = made_up(tmp_path, OWN, OWN, RIVALS, layers="hidden")
    rows = rows_of({**BASELINES, **RANDOM_MASKS}, "hidden")
    cells = {name: values(run, row, "hidden", 0.9) for name, row in rows.items()}
    assert cells["unif1"] == cells["glob1"]
    assert cells["erk"] == cells["random"] != cells["snip"]
    assert rows["unif1"].label == "Unif₁"
    assert rows_of(BASELINES, "all") == BASELINES


def test_the_tables_say_what_they_are(tmp_path):
    run = made_up(tmp_path, OWN, OWN, RIVALS, sparsities=(0.9, 0.95))
    shown = method_table(run, "all")
    cells = {row[0]: row for row in shown.texts()}
    assert cells["dense (s = 0)"][1:] == ["0.9700 ± 0.0000", "–"]
    half = stats.sem(OWN) * stats.t.ppf(0.975, 4)
    assert cells["BoGP, engine pool"][1] == f"{np.mean(OWN):.4f} ± {half:.4f}"
    assert "5 seeds, each the mean of 3 networks" in shown.notes[0]
    assert "(100 epochs on average, random search 110)" in shown.notes[0]
    ahead = lead_table(run, "all")
    assert ahead.rows[0][:2] == ("0.9", "SNIP")
    assert ahead.rows[0][2].estimate == pytest.approx(0.0064)
    assert ahead.texts()[0][2].startswith("0.64 [")  # points
    (row,) = control_table(run, "all").texts()
    assert row[0] == "ERK"
    assert row[1] == "+1.00 ± 0.00 (4)"  # of four seeds: it did not apply to the first


def test_the_default_is_all_eight_sparsities_and_the_database_has_them(tmp_path):
    setup = methods_setup(Setup(tmp_path), quick=False)
    assert setup.sparsities == SPARSITIES
    assert set(SPARSITIES) <= set(setup.database_sparsities)
    assert (setup.trials, setup.graphs, setup.nodes) == (64, 1000, 128)
    assert setup.narrowed([0.98], ["all"]).sparsities == (0.98,)
    quick = methods_setup(Setup(tmp_path), quick=True)
    assert (quick.trials, quick.seeds, quick.sparsities) == (20, 2, (0.3, 0.9))
    with pytest.raises(SparsityError, match=r"choose from 0\.15"):
        setup.narrowed([0.99], ())
    asked = ReproduceSettings(what="methods", out=tmp_path, trials=7, quick=True)
    assert setup_of(asked).trials == 7
    assert asked.command.startswith("bogp reproduce methods --seeds 5 --recipe calibrated --quick ")
    with pytest.raises(SettingError, match="trials = 0"):
        ReproduceSettings(what="methods", trials=0)


@pytest.fixture(scope="module")
def snip_search(tmp_path_factory):
    """A search among SNIP inside graphs denser than the mask, and SNIP alone on the same seed."""
    folder = tmp_path_factory.mktemp("paired")
    dataset = load_dataset("digits")
    shared = {"model": "mlp:16", "layers": "hidden", "protocol": "holdout", "recipe": TINY}
    shared |= {"data": "digits", "seed": 4, "sparsity": 0.9}
    shape = {"nodes": 12, "shape": (16, 64), "sparsities": (0.5,), "graphs": 10}
    with GraphDatabase.build(folder / "graphs.db", **shape) as database:
        inputs = Inputs({"digits": dataset}, database)
        pool = search_job(inputs, trials=3, finals=2, criteria=("snip",), **shared)
    alone = methods_job(inputs, "snip", runs=2, **shared)
    steps = []
    found = [
        run_job(job, folder, lambda *step: steps.append(step))["result"] for job in (pool, alone)
    ]
    assert steps[-1] == (alone.trainings, alone.trainings) == (2, 2)
    assert (pool.trainings, pool.trainings) in steps
    return found


def test_a_method_is_trained_on_the_fresh_seeds_of_the_search(snip_search):
    """Else the two would not be paired: SNIP on all weights is a control of the winner, or it."""
    search, alone = snip_search
    complete = search["winner"]["graph"] is None
    inside = search["finals"] if complete else search["controls"]["no support"]
    assert inside == alone["reported"]


def test_a_record_is_json_and_counts_all_training(snip_search):
    search, alone = snip_search
    assert json.loads(json.dumps(search)) == search
    assert search["winner"]["criterion"] == "snip"
    assert len(search["finals"]) == len(search["random_finals"]) == 2
    assert alone["epochs"] == {"methods": 2}
    assert set(search["epochs"]) == {"search", "random search", "fresh seeds and controls"}


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory, run_here):
    setup = Setup(tmp_path_factory.mktemp("quick"), data="digits", seeds=1)
    setup = methods_setup(setup, quick=True).narrowed([0.9], ["hidden"])
    setup = replace(setup, trials=3, width=16, nodes=12, graphs=10)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(replications, "run_jobs", run_here)
        return train(REPLICATIONS["methods"], setup)


def test_a_quick_run_has_every_cell_and_is_published(quick_run):
    folder = quick_run.setup.out
    wanted = methods_jobs(quick_run.setup, quick_run.inputs)
    assert {job.key for job in wanted} == set(quick_run.records)
    rows = rows_of({**BASELINES, **RANDOM_MASKS}, "hidden")
    for row in (*rows.values(), SEARCH, CONTROL):
        assert len(values(quick_run, row, "hidden", 0.9)) == 1, row.label
    assert quick_run.inputs.database.family == "mixed"
    assert quick_run.inputs.database.sparsities == quick_run.setup.database_sparsities
    report, shown = publish(quick_run, methods_publication(quick_run), "bogp reproduce methods")
    page, text = report.read_text(), (folder / "results.md").read_text()
    *tables, judged = shown
    for each in tables:
        assert each.to_markdown() in text
        assert each.title in page
    assert judged.headings == ("claim", "verdict", "interval")
    assert len((folder / "methods.csv").read_text().splitlines()) == 1 + 9
    assert {v["holds"] for v in json.loads((folder / "verdicts.json").read_text())} <= {
        "inconclusive"
    }
    for stem in ("methods-hidden", "leads-hidden"):
        assert (folder / f"{stem}.png").stat().st_size > 10_000
        assert f"{stem}.svg" in text


def test_the_narrower_network_is_the_dense_one_of_its_own_name(tmp_path):
    """Of 16 hidden units, with 74 weights each, two have the tenth that a mask would keep."""
    inputs = Inputs({"digits": load_dataset("digits")})
    shared = {"layers": "all", "protocol": "holdout", "recipe": TINY, "data": "digits", "seed": 4}
    for make, more in ((method_job, {}), (methods_job, {"runs": 2})):
        narrow = make(inputs, "narrower", model="mlp:16", sparsity=0.9, **more, **shared)
        assert narrow.fields["narrower"] == "mlp:2"
        dense = make(inputs, "dense", model="mlp:2", sparsity=None, **more, **shared)
        first, second = (
            run_job(job, tmp_path, lambda done, total: None)["result"] for job in (narrow, dense)
        )
        assert {**first, "seconds": 0} == {**second, "seconds": 0}

import dataclasses
from collections import Counter
from pathlib import Path

import pytest
import torch
from scipy import stats

from bogp.analysis import Interval
from bogp.data import Dataset, Split, load_dataset
from bogp.replication.dynamics import (
    CHANNELS,
    ENTRIES,
    KINDS,
    PERCEPTRON,
    WITHIN,
    dynamics_jobs,
    dynamics_setup,
    equal_widths,
    gradual,
    support_of,
    treatments,
)
from bogp.replication.dynamics_claims import by_or_more, verdicts
from bogp.replication.dynamics_publication import dynamics_publication
from bogp.replication.dynamics_rows import (
    DENSE_ROW,
    GRADUAL,
    chosen,
    lead_over,
    support_row,
    support_rows,
    training_of,
)
from bogp.replication.dynamics_tables import (
    best_support_table,
    long_table,
    network_table,
    shuffled_table,
    widths_table,
)
from bogp.replication.one_training import shuffled, train_one, training_job
from bogp.replication.publish import publish
from bogp.replication.setup import Entry, Inputs, Run, Setup
from bogp.training import Recipe

SEEDS = 3


@pytest.fixture(scope="module")
def blanks():
    """Datasets of the shapes of MNIST and of the digits, which jobs are named after."""

    def blank(name, side):
        inputs, targets = torch.zeros(10, side, side), torch.arange(10)
        return Dataset(name, inputs, targets, inputs, targets, classes=10)

    return Inputs({"mnist": blank("mnist", 28), "digits": blank("digits", 8)})


@pytest.fixture(scope="module")
def jobs(blanks):
    setup = dynamics_setup(Setup(Path(), seeds=SEEDS), quick=False)
    return dynamics_jobs(setup, blanks)


def made_up_accuracy(fields):
    """Return an accuracy on the test set, and what the validation set adds to it."""
    support, seed = fields["support"], fields["seed"]
    value = {
        "dense": 0.979,
        "gradual": 0.975,
        "gradual blocks 8": 0.974,
        "gradual blocks 16": 0.9735,
        "SNIP": 0.96,
        CHANNELS: 0.974,
        "narrower": 0.966,
    }.get(fields["name"], 0.95)
    if support is not None:
        value = 0.970 if support["kind"] == "BA" or fields["shuffled"] else 0.975
        value += {("ring", 0.4): 0.006, ("WS 0.1", 0.25): 0.007}.get(
            (support["kind"], support["density"]), 0.0
        ) * (not fields["shuffled"])
    noise = ((7 * seed + len(str(support or fields["name"]))) % 5) / 10_000
    ring = support is not None and (support["kind"], support["density"]) == ("ring", 0.4)
    return value + noise + (fields["epochs"] == 12) / 100, 0.002 if ring else 0.0


@pytest.fixture(scope="module")
def run(jobs, blanks, tmp_path_factory):
    """Records that no network made: inside WS 0.1 (0.25) is best on the test set alone."""
    records = {}
    for job in jobs:
        test, more = made_up_accuracy(job.fields)
        sparsity = job.fields["sparsity"] or 0.0
        result = {
            "seconds": 1.0,
            "accuracy": test + more,
            "reported": test,
            "epochs": job.fields["epochs"],
            "sparsity": sparsity,
            "effective_sparsity": None if job.fields["model"] == "vit" else sparsity + 0.001,
            "weights": 7,
        }
        if job.fields["name"] == "SNIP" and sparsity == 0.98 and job.fields["seed"] == 1:
            result["collapsed"] = ["a"]
        if job.fields["support"]:
            number = list(KINDS).index(job.fields["support"]["kind"])
            place = {"clustering": number / 10, "average_shortest_path_length": 2.0 + number}
            result["properties"] = place
        records[job.key] = {"key": job.key, "kind": job.kind, "fields": job.fields} | {
            "result": result
        }
    setup = dynamics_setup(Setup(tmp_path_factory.mktemp("made"), seeds=SEEDS), quick=False)
    return Run(setup, blanks, records)


def test_there_are_as_many_jobs_as_can_be_run(jobs):
    count = Counter(
        (job.fields["model"], job.fields["epochs"], job.fields["shuffled"]) for job in jobs
    )
    assert count == {
        ("mlp:512,512", 4, False): 125 * SEEDS,
        ("mlp:512,512", 4, True): 13 * SEEDS,
        ("mlp:512,512", 12, False): 9 * SEEDS,
        ("resnet-8", 15, False): 65 * SEEDS,
        ("vit", 15, False): 65 * SEEDS,
    }
    assert 5 * (125 + 13 + 3 * 9) == 825  # in trainings of the perceptron's four epochs


def test_every_row_trains_for_the_same_number_of_epochs(jobs):
    for job in jobs:
        method = job.fields["method"] or {"rounds": 1, "pretrain": False}
        each = job.fields["recipe"]["epochs"]
        assert each * (method["rounds"] + method["pretrain"]) == job.fields["epochs"]
    assert treatments(4)["lottery ticket"].trainings == 4
    assert treatments(15)["magnitude, several rounds"].trainings == 5


def test_what_the_claims_rest_on_comes_first(jobs):
    names = [job.fields["name"] for job in jobs]
    assert names[:SEEDS] == ["dense"] * SEEDS
    assert max(job.fields["epochs"] for job in jobs[: names.index("RigL")]) == 12
    zoo = [job.fields["model"] != PERCEPTRON.model for job in jobs]
    assert zoo == sorted(zoo)
    moved = [job.fields["shuffled"] for job in jobs if job.fields["model"] == PERCEPTRON.model]
    assert moved == sorted(moved)


def test_channels_stand_beside_the_network_of_the_same_widths(jobs, blanks):
    pairs = equal_widths(PERCEPTRON, blanks)
    assert list(pairs.values()) == [f"mlp:{h},{h}" for h in (79, 110, 140, 200)]
    assert [round(1 - sparsity, 2) for sparsity in pairs] == [0.10, 0.15, 0.2, 0.3]
    for sparsity, network in pairs.items():
        both = {
            job.fields["name"]: job.fields for job in jobs if job.fields["sparsity"] == sparsity
        }
        assert set(both) == {CHANNELS, "narrower"}
        assert both["narrower"]["network"] == network
        assert {fields["layers"] for fields in both.values()} == {"all"}


def test_quick_is_small(tmp_path):
    setup = dynamics_setup(Setup(tmp_path), quick=True)
    assert {entry.data for entry in setup.entries} == {"digits"}
    assert (setup.seeds, setup.sparsities) == (1, (0.9,))
    assert setup.narrowed([0.95], []).sparsities == (0.95,)
    assert dynamics_setup(Setup(tmp_path), quick=False).entries == ENTRIES


def test_one_training_keeps_the_weights_that_its_fields_say():
    inputs = Inputs({"digits": load_dataset("digits")})
    entry = Entry("", "mlp:32,32", "digits", Recipe(learning_rate=0.01, batch_size=64, epochs=2))
    shared = {"layers": "hidden", "seed": 3}
    ring = support_of(entry, "ring", 0.4)
    within = training_job(
        inputs, entry, name="a", method=gradual(), sparsity=0.9, support=ring, **shared
    )
    found = train_one(within)
    total = 64 * 32 + 32 * 32
    assert found["weights"] == round(0.1 * total)
    assert found["sparsity"] == 1 - found["weights"] / total
    assert found["sparsity"] <= found["effective_sparsity"] < 1
    # Rings of 16 nodes, 2.7 neighbours on each side: 0.6 is the clustering of a ring of 4 or 6.
    assert 0.5 < found["properties"]["clustering"] < 0.7
    again = train_one(within)
    assert {**again, "seconds": 0} == {**found, "seconds": 0}
    moved = train_one(dataclasses.replace(within, fields={**within.fields, "shuffled": True}))
    assert moved["mask"] != found["mask"]
    dense = train_one(training_job(inputs, entry, name="dense", **shared))
    assert (dense["weights"], dense["sparsity"]) == (total, 0.0)
    narrow = training_job(inputs, entry, name="n", network="mlp:4,4", sparsity=0.9, **shared)
    small = train_one(narrow)
    assert (small["weights"], small["sparsity"]) == (64 * 4 + 16, 1 - (64 * 4 + 16) / total)


def test_pixels_are_shuffled_alike_in_all_parts():
    images = torch.arange(12.0).view(3, 2, 2)
    targets = torch.zeros(3, dtype=torch.int64)
    parts = Split(images, targets, images[1:], targets[1:], images[:1], targets[:1], "holdout")
    moved = shuffled(parts, seed=1)
    assert torch.equal(moved.select_inputs, moved.train_inputs[1:])
    assert torch.equal(moved.report_inputs, moved.train_inputs[:1])
    assert moved.train_inputs.shape == (3, 2, 2)
    assert not torch.equal(moved.train_inputs, images)
    assert torch.equal(moved.train_inputs.flatten(1).sort(1).values, images.flatten(1))
    assert not torch.equal(shuffled(parts, seed=2).train_inputs, moved.train_inputs)


def test_validation_chooses_and_the_test_set_reports(run):
    entry = run.setup.entries[0]
    where = {**training_of(entry), "sparsity": 0.9}
    best = chosen(run, support_rows(entry), **where)
    assert best.label == "gradual inside ring (0.4)"
    highest = support_row(entry, "WS 0.1", 0.25).values(run.records, **where)
    assert min(highest) > max(best.values(run.records, **where))  # on the test set alone
    lead = lead_over(run, best, GRADUAL, **where)
    ours, theirs = (row.values(run.records, **where) for row in (best, GRADUAL))
    low, high = stats.ttest_rel(ours, theirs).confidence_interval(0.95)
    assert (lead.low, lead.high) == pytest.approx((low, high))
    assert lead_over(run, best, DENSE_ROW, **where).estimate == pytest.approx(
        sum(ours) / SEEDS - sum(DENSE_ROW.values(run.records, **training_of(entry))) / SEEDS
    )
    rows = {(row[0], row[1]): row for row in best_support_table(run, entry).rows}
    assert rows["0.9", 4][2:4] == ("gradual inside ring (0.4)", 15)
    assert rows["0.8", 4][3] == 3
    assert rows["0.95", 12][3] == 3


def test_the_table_of_a_network(run):
    entry, _, vit = run.setup.entries
    shown = network_table(run, entry)
    cells = {row[0]: row[1:] for row in shown.texts()}
    assert list(shown.headings)[:4] == ["row", "epochs", "s = 0.8", "s = 0.8: nominal / effective"]
    assert cells["dense"][0] == "4"
    assert cells["dense"][1].startswith("0.979")
    assert cells["dense"][3:] == ["–"] * 6
    assert cells["SNIP"][3].startswith("0.960")
    assert cells["SNIP"][4] == "0.900 / 0.901"
    assert "gradual, every layer alike" not in cells
    assert WITHIN not in " ".join(cells)
    assert "A layer without a kept weight: SNIP at s = 0.98 (1 seed)." in shown.notes
    zoo = {row[0]: row[1:] for row in network_table(run, vit).texts()}
    assert zoo["gradual inside ring (0.25)"][1].startswith("0.975")
    assert zoo["gradual inside ring (0.25)"][3].startswith("0.975")
    assert zoo["gradual, every layer alike"][4] == "0.900 / –"


def test_shuffled_pixels_and_equal_widths_have_their_leads(run):
    entry = run.setup.entries[0]
    rows = {(row[0], row[1]): row for row in shuffled_table(run, entry).texts()}
    assert len(rows) == 2 + 9
    assert rows["gradual inside ring (0.4)", "0.9"][4].startswith("0.6")
    assert rows["gradual inside ring (0.4)", "0.9"][5].startswith("-0.5")
    widths = widths_table(run, entry).texts()
    assert [row[:3] for row in widths] == [
        ["79", "0.103", "4"],
        ["110", "0.149", "4"],
        ["140", "0.196", "4"],
        ["200", "0.297", "4"],
    ]
    assert all(row[-1].startswith("0.8") for row in widths)


def test_each_claim_has_the_verdict_of_its_rule(run):
    found = {verdict.claim: verdict for verdict in verdicts(run)}
    assert len(found) == 14
    words = Counter(verdict.holds for verdict in found.values())
    assert words == {"holds": 13, "does not hold": 1}
    narrower = found["Learned blocks are above the narrower network by 1.5 points at s = 0.95"]
    assert narrower.holds == "does not hold"
    assert narrower.statistic == "mean lead +0.80 pp"
    assert "gradual blocks 8, the best of 6 rows of blocks" in narrower.detail
    best = found[
        "Gradual pruning inside the best graph is above it without a graph by 0.3 points at s = 0.9"
    ]
    assert "inside ring (0.4), the best of 15" in best.detail
    longer = "A tenth of the weights, inside the best graph, is above the dense network after"
    assert found[f"{longer} 4 epochs"].holds == "holds"
    shuffled_pixels = [v for claim, v in found.items() if "vanishes" in claim]
    assert [v.holds for v in shuffled_pixels] == ["holds", "holds"]


@pytest.mark.parametrize(
    ("mean", "low", "high", "word"),
    [
        (0.010, 0.001, 0.019, "holds"),
        (0.012, -0.001, 0.025, "inconclusive"),
        (0.008, 0.004, 0.012, "inconclusive"),
        (0.005, 0.001, 0.009, "does not hold"),
        (0.030, None, None, "inconclusive"),
    ],
)
def test_by_so_many_points_or_more(mean, low, high, word):
    assert by_or_more(Interval(mean, low, high, 5), 0.01) == word


def test_all_of_it_is_published(run):
    report, shown = publish(run, dynamics_publication(run), "bogp reproduce dynamics")
    assert shown[0].title == "MLP 784-512-512-10 on mnist"
    page = (report.parent / "results.md").read_text()
    for name in ("accuracy", "supports"):
        assert f"]({name}.svg)" in page
        assert (report.parent / f"{name}.png").stat().st_size > 10_000
    lines = (report.parent / "dynamics.csv").read_text().splitlines()
    assert len(lines) == 1 + len(run.records) == 1 + len(long_table(run).rows)

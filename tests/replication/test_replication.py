import csv
import json
import re
from dataclasses import replace

import pytest

from bogp.errors import SettingError, SparsityError, UnknownNameError
from bogp.replication.publish import publish
from bogp.replication.replications import REPLICATIONS, setup_of, train
from bogp.replication.request import ReproduceSettings
from bogp.replication.setup import Setup

CLAIMS = (
    "Accuracy varies highly",
    "Optimisation beats random masks",
    "Accuracy is a monotonic function of clustering",
    "Fetching by cosine beats L1",
    "Fetching by cosine beats L2",
    "BoGP is on par",
    "A larger α trades accuracy",
    "The five chosen properties",
)
TABLES = ("table1", "table2", "variance", "fig5", "fig6", "fig7", "fig8", "fig8-fixed")
PICTURES = ("table1-hidden", "table1-all", "table2", "fig5", "fig6", "fig7", "fig8", "fig8-fixed")


def published(what, run):
    """Publish a run as the command would, and return the tables that it shows."""
    one = REPLICATIONS[what]
    return publish(run, one.publication(run), f"bogp reproduce {what}")[1]


@pytest.fixture(scope="module")
def replicated(tmp_path_factory):
    """All of the paper, at a size between a toy and `quick`, on digits; published once."""
    setup = Setup(tmp_path_factory.mktemp("all"), data="digits").quick()
    run = train(REPLICATIONS["all"], replace(setup, trials=2, graphs=20, width=32, nodes=16))
    return run, published("all", run)


def test_every_file_is_there(replicated):
    run, _ = replicated
    out = run.setup.out
    files = {file.name for file in out.iterdir()}
    assert {f"{stem}.{kind}" for stem in TABLES for kind in ("csv", "json")} <= files
    assert {f"{stem}.{kind}" for stem in PICTURES for kind in ("png", "svg")} <= files
    assert {"report.html", "results.md", "verdicts.csv", "verdicts.json", "records.jsonl"} <= files
    for file in out.iterdir():
        if file.suffix == ".png":
            assert file.read_bytes().startswith(b"\x89PNG")
        if file.suffix == ".svg":
            assert "</svg>" in file.read_text()
    assert not [name for name in files if name.startswith(".")]


def test_each_claim_of_the_paper_has_its_verdict(replicated):
    run, _ = replicated
    judged = json.loads((run.setup.out / "verdicts.json").read_text())
    for claim in CLAIMS:
        assert any(verdict["claim"].startswith(claim) for verdict in judged), claim
    page = (run.setup.out / "report.html").read_text()
    assert all(verdict["statistic"] and verdict["interval"] for verdict in judged)
    assert page.count('class="badge ') == len(judged)


def test_the_csv_has_the_numbers_of_the_records(replicated):
    run, _ = replicated
    with (run.setup.out / "table1.csv").open() as file:
        rows = list(csv.DictReader(file))
    # A sparsity has four searches' rows (two where random search does not stand beside), four
    # baselines, and there is the dense network.
    assert len(rows) == 1 + (4 + 4) * 2 + (2 + 4) * 2
    (row,) = [
        r
        for r in rows
        if (r["method"], r["layers pruned"], float(r["sparsity"])) == ("unif5", "all", 0.9)
    ]
    found = [
        r["result"]["accuracy"]
        for r in run.records.values()
        if r["kind"] == "method"
        and (r["fields"]["name"], r["fields"]["layers"], r["fields"]["sparsity"])
        == ("unif5", "all", 0.9)
    ]
    assert len(found) == 2
    assert float(row["ours"]) == pytest.approx(sum(found) / 2, abs=1e-9)
    assert float(row["paper"]) == 0.950
    with (run.setup.out / "fig5.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 21 * 2


def test_the_report_opens_offline(replicated):
    out = replicated[0].setup.out
    page = (out / "report.html").read_text()
    assert re.findall(r"""(?:src|href|action)\s*=\s*["']?(?!data:|#)[^"'\s>]+""", page) == []
    assert re.findall(r"url\(\s*[\"']?(?!data:|#)[a-z/]", page) == []
    assert "@import" not in page
    assert "<script src" not in page
    for stem in PICTURES:
        assert f"]({stem}.svg)" in (out / "results.md").read_text()


def test_searches_and_baselines_are_of_one_setup(replicated):
    run, tables = replicated
    recorded = (run.setup.out / "records.jsonl").read_text().splitlines()
    assert len(recorded) == len(run.records)
    prints = {r["fields"]["dataset"]["fingerprint"] for r in run.records.values()}
    assert prints == {run.dataset.fingerprint}
    assert any(table.title.startswith("Verdicts") for table in tables)


def test_again_trains_nothing_and_writes_the_same(replicated):
    run, tables = replicated
    out = run.setup.out
    before = {f.name: f.read_bytes() for f in out.iterdir() if f.is_file()}
    ticks = []
    again = train(REPLICATIONS["all"], run.setup, training=lambda *pair: ticks.append(pair))
    assert {done for done, _ in ticks} == {total for _, total in ticks}
    assert again.records == run.records
    shown = published("all", again)
    assert [t.rows for t in shown] == [t.rows for t in tables]
    after = {f.name: f.read_bytes() for f in out.iterdir() if f.is_file()}
    assert after.keys() == before.keys()
    for name, content in before.items():
        if name.endswith((".csv", ".json", ".jsonl", ".md")):
            assert after[name] == content, name


def test_a_part_alone_is_published_from_the_same_records(replicated):
    run, _ = replicated
    ticks = []
    part = train(REPLICATIONS["fig6"], run.setup, training=lambda *pair: ticks.append(pair))
    assert ticks[0] == ticks[-1] == (42, 42)
    assert published("fig6", part) == []
    assert "Figure 6" in (run.setup.out / "report.html").read_text()


@pytest.mark.parametrize(
    ("asked", "error", "sentence"),
    [
        ({"what": "tabel1"}, UnknownNameError, "did you mean table1"),
        ({"what": "table1", "trials": 3}, SettingError, "--trials 3 goes with methods and models"),
        ({"what": "models", "layers": ("all",)}, SettingError, "models has its own"),
        ({"what": "models", "sparsities": (0.9,)}, SettingError, "models has its own"),
        ({"what": "table1", "sparsities": (0.5,)}, SparsityError, "choose from 0.15"),
        ({"what": "table1", "layers": ("hiden",)}, UnknownNameError, "did you mean hidden"),
        ({"what": "table1", "recipe": "calibratd"}, UnknownNameError, "did you mean calibrated"),
        ({"what": "table1", "seeds": 0}, SettingError, "seeds = 0: it should be greater"),
        ({"what": "table1", "workers": 0}, SettingError, "workers = 0: it should be greater"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_before_anything_is_built(
    tmp_path, asked, error, sentence
):
    with pytest.raises(error, match=sentence):
        setup_of(ReproduceSettings(out=tmp_path, data="digits", **asked))
    assert list(tmp_path.iterdir()) == []


def test_a_command_asks_for_the_same_again(tmp_path):
    asked = ReproduceSettings(
        what="table1", out=tmp_path / "a b", recipe="written", seeds=1, sparsities=(0.3, 0.9),
        layers=("hidden",), data="digits",
    )  # fmt: skip
    assert asked.command == (
        "bogp reproduce table1 --seeds 1 --recipe written --sparsity 0.3 --sparsity 0.9 "
        f"--layers hidden --data digits --out '{tmp_path}/a b'"
    )
    models = ReproduceSettings(what="models", out=tmp_path, trials=4)
    assert models.command == f"bogp reproduce models --seeds 5 --trials 4 --out {tmp_path}"


def test_graphs_of_a_small_dataset_have_a_node_a_feature(tmp_path):
    setup = Setup(tmp_path, data="digits", database_sparsities=(0.9,), sparsities=(0.9,), graphs=2)
    run = train(REPLICATIONS["fig8"], setup)
    assert (run.inputs.database.nodes, run.setup.nodes) == (64, 64)
    assert run.inputs.database.shape == (128, 64)

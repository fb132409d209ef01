import csv

import pytest

from bogp.replication import replications
from bogp.replication.demo import demo_setup

ROWS = [
    "BoGP, engine pool",
    "random search",
    "Glob₁",
    "Unif₁",
    "SNIP",
    "dense (nothing pruned)",
    "Glob₅ (5 × training)",
    "engine paper",
    "engine random",
]


@pytest.fixture(scope="module")
def shown(tmp_path_factory, run_here):
    """The report and the table of the demo on digits, its jobs in this process."""
    folder = tmp_path_factory.mktemp("demo")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(replications, "run_jobs", run_here)
        setup = demo_setup(folder, "digits", trials=4, graphs=6, workers=1)
        return replications.make(replications.DEMO, setup, "bogp demo")


def test_the_table_has_every_method_beside_the_search(shown):
    rows = {row[0]: row for row in shown[1][0].rows}
    assert list(rows) == ROWS
    assert all(row[1].count == 3 for row in rows.values())
    assert rows["Glob₅ (5 × training)"][3] == "15"
    assert rows["SNIP"][3] == "3"
    own, snip = rows["BoGP, engine pool"][1].estimate, rows["SNIP"][1].estimate
    assert rows["SNIP"][2].startswith(f"{100 * (own - snip):+.2f} [")
    assert rows["engine paper"][2] is None  # its winner was trained on other seeds


def test_the_report_has_the_evidence_and_the_pictures_are_files(shown):
    page, folder = shown[0].read_text(), shown[0].parent
    for heading in (
        "What there is to beat",
        "Random search and controls",
        "The paper&#39;s engine",
    ):
        assert f">{heading}</a></h2>" in page
    stems = {path.stem for path in folder.glob("*.png")}
    assert {"course", "support", "controls", "winner", "paper"} <= stems
    with (folder / "results.csv").open() as file:
        assert [row["method"] for row in csv.DictReader(file)] == ROWS

import json
import math

from bogp.analysis import Interval
from bogp.cli.found import print_found, summary
from bogp.pipeline import Evidence, SearchResult
from bogp.study import FinishedTrial

POINT = {
    "graph": 3, "support": 0.5, "criterion": "snip", "scope": "global", "rounds": 1,
    "sparsity": 0.9, "index": 7,
}  # fmt: skip
SETTINGS = {"engine": "pool", "protocol": "holdout", "alpha": None, "pareto": False}


def result(**changes):
    trial = FinishedTrial(
        number=0, point=POINT, value=0.5, record={"accuracy": 0.5, "sparsity": 0.9}, batch=0,
        position=0,
    )  # fmt: skip
    evidence = Evidence(
        selected=math.nan, posterior=(0.9, 0.01), shrunken=None, conditional=None, fresh=None,
        sealed=Interval(0.91, None, None, 1), components=None, runner_up=None, comparisons=(),
        left_out={"ERK": "one layer"}, runs=(),
    )  # fmt: skip
    fields = {"evidence": evidence, "epochs": {"search": 1200}, **changes}
    return SearchResult(SETTINGS, (trial,), trial, None, (), **fields)


def test_what_is_no_number_is_null():
    text = json.dumps(summary(result(epochs={"search": math.inf})), allow_nan=False)
    found = json.loads(text)
    assert found["evidence"]["selected"] is None
    assert found["evidence"]["posterior"] == [0.9, 0.01]
    assert found["epochs"] == {"search": None}
    assert found["best"] == {
        "trial": 0, "number": 0, "value": 0.5, "stopped": False, "point": POINT, "accuracy": 0.5,
        "sparsity": 0.9,
    }  # fmt: skip


def test_the_tables_on_the_screen_and_where_the_files_are(capsys, tmp_path):
    print_found(result(), [tmp_path / "mask"], tmp_path / "report.html")
    shown = capsys.readouterr().out
    assert "no trial of it ended whole" in shown
    assert "0.9100 (n=1)" in shown
    assert "search 1,200; 1,200 in all" in shown
    assert "ERK does not apply: one layer." in shown
    assert f"mask written to {tmp_path / 'mask'}" in shown
    assert shown.endswith(f"report: {tmp_path / 'report.html'}\n")

import json
import pickle
import subprocess
import sys
from dataclasses import replace

import filelock
import pytest

from bogp.data import load_dataset
from bogp.database import GraphDatabase
from bogp.errors import (
    DataError,
    OutputError,
    StudyError,
    UnknownNameError,
    WorkerLostError,
)
from bogp.replication.jobs import Job
from bogp.replication.plan import five_node_graphs
from bogp.replication.records import Row, pick, read_records, record_line, run_jobs
from bogp.replication.setup import Inputs
from bogp.replication.trainings import method_job, network_job, search_job
from bogp.training import Recipe

TINY = Recipe(learning_rate=0.01, batch_size=64, epochs=1)
SHARED = {"model": "mlp:16", "layers": "hidden", "protocol": "paper", "recipe": TINY}
SHARED |= {"data": "digits"}


def line(key):
    return record_line({"key": key, "result": {"accuracy": 0.5, "text": "é"}}).rstrip()


def test_no_file_holds_no_records(tmp_path):
    assert read_records(tmp_path / "none.jsonl") == {}


def test_records_are_read_whatever_is_left_of_the_last_line(tmp_path):
    path = tmp_path / "records.jsonl"
    whole = f"{line('a')}\n\n{line('b')}\n".encode()
    path.write_bytes(whole)
    assert list(read_records(path)) == ["a", "b"]
    last = line("c").encode()
    for length in range(len(last)):
        path.write_bytes(whole + last[:length])
        assert list(read_records(path)) == ["a", "b"]
    path.write_bytes(whole + last)
    assert list(read_records(path)) == ["a", "b", "c"]


@pytest.mark.parametrize("torn", ['{"key": "x", "res', "[1, 2]", '{"kind": "x"}', "7", '"key"'])
def test_a_line_in_the_middle_that_is_no_record_is_refused(tmp_path, torn):
    path = tmp_path / "records.jsonl"
    path.write_text(f"{line('a')}\n{torn}\n{line('b')}\n")
    with pytest.raises(DataError, match=r"line 2 of .*records\.jsonl' is not a record"):
        read_records(path)


@pytest.mark.parametrize("change", [(b"0.5", b"0.6"), (b"}\n", b"}\x0b"), (b"accur", b"\xffccur")])
def test_a_record_that_is_not_what_was_written_is_refused(tmp_path, change):
    path = tmp_path / "records.jsonl"
    path.write_bytes(f"{line('a')}\n".encode().replace(*change))
    with pytest.raises(DataError, match=r"line 1 of .*records\.jsonl' is not a record"):
        read_records(path)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Two searches, two baselines and a network on digits."""
    path = tmp_path_factory.mktemp("work") / "graphs.db"
    dataset = load_dataset("digits")
    shape = {"nodes": 12, "shape": (16, 64), "sparsities": (0.8,), "graphs": 20}
    with GraphDatabase.build(path, **shape) as database:
        inputs = Inputs({"digits": dataset}, database)
        settings = {"engine": "paper", "trials": 2, "finals": 1, "sparsity": 0.8, **SHARED}
        searches = [search_job(inputs, seed=seed, **settings) for seed in (0, 1)]
    methods = [
        method_job(inputs, name, sparsity=0.8, seed=0, **SHARED) for name in ("glob5", "random")
    ]
    network = network_job(
        inputs,
        data="digits",
        graph=five_node_graphs()[3].packed().hex(),
        atlas=3,
        nodes=5,
        rounds=3,
        width=16,
        seed=0,
        protocol="paper",
        recipe=TINY,
    )
    return [*searches, *methods, network]


def elsewhere(jobs, data):
    """Return the jobs with their dataset in another place, which is not part of their key."""
    return [replace(job, data=data) for job in jobs]


def timeless(record):
    result = {name: value for name, value in record["result"].items() if name != "seconds"}
    if "trials" in result:
        result["trials"] = [{**trial, "seconds": 0} for trial in result["trials"]]
    return record | {"result": result}


@pytest.fixture(scope="module")
def alone(work, tmp_path_factory):
    """The folder and the records of all the jobs on one worker."""
    folder, ticks = tmp_path_factory.mktemp("alone"), []
    records = run_jobs(work, folder, workers=1, progress=lambda *pair: ticks.append(pair))
    return folder, records, ticks


def test_every_job_has_its_record_on_disk(work, alone):
    folder, records, ticks = alone
    assert list(records) == [job.key for job in work]
    assert read_records(folder / "records.jsonl") == records
    for job in work:
        assert records[job.key]["kind"] == job.kind
        assert records[job.key]["fields"] == json.loads(json.dumps(dict(job.fields)))
    total = 3 + 3 + 5 + 1 + 1
    assert (ticks[0], ticks[-1]) == ((0, total), (total, total))
    assert [done for done, _ in ticks] == sorted(done for done, _ in ticks)


def test_results_do_not_depend_on_the_workers(work, alone, tmp_path):
    two = run_jobs(work, tmp_path, workers=2)
    assert {key: timeless(record) for key, record in two.items()} == {
        key: timeless(record) for key, record in alone[1].items()
    }


def test_what_is_recorded_is_not_run_again(work, alone):
    folder, records, _ = alone
    before = (folder / "records.jsonl").read_bytes()
    again = run_jobs(elsewhere(work, "no such dataset")[::-1], folder, workers=2)
    assert again == records
    assert list(again) == [job.key for job in work[::-1]]
    assert (folder / "records.jsonl").read_bytes() == before
    assert run_jobs([], folder, workers=2) == {}


@pytest.mark.parametrize("kept", [0, 1])
def test_a_torn_line_is_run_again_and_leaves_no_trace(work, alone, tmp_path, kept):
    """Also where the torn line is the file's only one."""
    jobs = work[2:4]
    stored = [record_line(alone[1][job.key]) for job in jobs]
    path = tmp_path / "records.jsonl"
    path.write_text("".join(stored[:kept]) + stored[kept][:40])
    records = run_jobs(jobs, tmp_path, workers=1)
    assert [timeless(r) for r in records.values()] == [timeless(alone[1][j.key]) for j in jobs]
    assert read_records(path) == records


def test_a_second_process_is_refused(work, tmp_path):
    path = tmp_path / "records.jsonl"
    with (
        filelock.FileLock(f"{path}.lock"),
        pytest.raises(StudyError, match="in use by another process: wait for it"),
    ):
        run_jobs(work, tmp_path, workers=1)
    assert not path.exists()


def test_a_job_that_fails_raises_its_own_error_and_keeps_the_others(work, alone, tmp_path):
    path = tmp_path / "records.jsonl"
    good = work[3]
    wrong = dict(good.fields) | {"name": "glob55"}
    jobs = [good, Job("method", wrong, 0, "digits")]  # The shorter of the two comes last.
    with pytest.raises(UnknownNameError, match="did you mean glob5"):
        run_jobs(jobs, tmp_path, workers=1)
    (kept,) = read_records(path).values()
    assert timeless(kept) == timeless(alone[1][good.key])
    assert run_jobs(elsewhere([good], "nowhere"), tmp_path, workers=1) == {good.key: kept}


def test_a_worker_that_is_killed_is_one_sentence(work, tmp_path, monkeypatch):
    """As the system does to a process for which there is no memory."""
    source = "import os, signal\n\ndef data():\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    (tmp_path / "deadly.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WorkerLostError, match=r"killed by signal 9.*run it again, with fewer"):
        run_jobs(elsewhere(work[3:], "deadly:data"), tmp_path, workers=1)


def test_a_folder_that_cannot_be_is_refused(work, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        run_jobs(work, tmp_path / "file" / "out", workers=1)


KILLED = """
import os, pickle, signal, sys
from pathlib import Path
from bogp.replication.records import read_records, run_jobs

def kill(done, total):
    if read_records(folder / "records.jsonl"):
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    jobs, folder = pickle.loads(Path(sys.argv[1]).read_bytes())
    run_jobs(jobs, folder, workers=1, progress=kill)
"""


def test_a_killed_run_goes_on_as_if_it_had_not_been(work, alone, tmp_path):
    path = tmp_path / "records.jsonl"
    given = (work, tmp_path)
    (tmp_path / "given").write_bytes(pickle.dumps(given))
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    told = subprocess.run([sys.executable, str(script), str(tmp_path / "given")], check=False)
    assert told.returncode == -9
    before = read_records(path)
    assert 0 < len(before) < len(work)
    # Its worker ends by itself; until then it holds the study that it was at.
    with filelock.FileLock(f"{path}.lock", timeout=30):
        pass
    for lock in (tmp_path / "work" / "studies").glob("*.lock"):
        with filelock.FileLock(lock, timeout=60):
            pass
    records = run_jobs(*given, workers=2)
    assert {key: records[key] for key in before} == before
    assert [timeless(r) for r in records.values()] == [timeless(r) for r in alone[1].values()]


def test_a_row_is_the_mean_of_each_seed_in_their_order():
    records = {
        f"{kind} {seed} {layers}": {
            "kind": kind,
            "fields": {"name": "snip", "seed": seed, "layers": layers},
            "result": {"one": seed / 10, "several": [seed, seed + 1]},
        }
        for kind in ("method", "search")
        for seed in (10, 9, 0)
        for layers in ("all", "hidden")
    }
    row = Row("SNIP", "method", "several", {"name": "snip"})
    assert row.values(records, layers="all") == [0.5, 9.5, 10.5]
    assert replace(row, number="one").values(records, layers="all") == [0, 0.9, 1.0]
    assert replace(row, fields={"name": "grasp"}).values(records) == []
    # What distinguishes the row goes before what is asked of all rows.
    dense = replace(row, fields={"layers": "hidden"})
    assert dense.values(records, layers="all") == [0.5, 9.5, 10.5]
    assert [r["fields"]["seed"] for r in pick(records, "search", layers="all")] == [0, 9, 10]

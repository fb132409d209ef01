import json
import pickle
import subprocess
import sys
from pathlib import Path

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
from bogp.replication.jobs import Job, Place, method_job, network_job, search_job
from bogp.replication.plan import five_node_graphs
from bogp.replication.runner import read_records, run_jobs
from bogp.training import Recipe

TINY = Recipe(learning_rate=0.01, batch_size=64, epochs=1)
SHARED = {"model": "mlp:16", "layers": "hidden", "protocol": "paper", "recipe": TINY}


def line(key):
    return json.dumps({"key": key, "result": {"accuracy": 0.5, "text": "é"}}, ensure_ascii=False)


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


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Two searches, two baselines and a network on digits, and where they find their inputs."""
    folder = tmp_path_factory.mktemp("work")
    dataset = load_dataset("digits")
    shape = {"nodes": 12, "shape": (16, 64), "sparsities": (0.8,), "graphs": 20}
    with GraphDatabase.build(folder / "graphs.db", **shape) as database:
        searches = [
            search_job(database, dataset, trials=2, finals=1, sparsity=0.8, seed=s, **SHARED)
            for s in (0, 1)
        ]
    methods = [
        method_job(dataset, name, sparsity=0.8, seed=0, **SHARED) for name in ("glob5", "random")
    ]
    graph = five_node_graphs()[3]
    network = network_job(
        dataset,
        graph=graph.packed().hex(),
        atlas=3,
        nodes=5,
        rounds=3,
        width=16,
        seed=0,
        protocol="paper",
        recipe=TINY,
    )
    return [*searches, *methods, network], folder / "graphs.db"


def place(work, folder):
    return Place("digits", folder / "studies", work[1])


def timeless(record):
    result = {name: value for name, value in record["result"].items() if name != "seconds"}
    if "trials" in result:
        result["trials"] = [{**trial, "seconds": 0} for trial in result["trials"]]
    return record | {"result": result}


@pytest.fixture(scope="module")
def alone(work, tmp_path_factory):
    """The folder and the records of all the jobs on one worker."""
    folder, ticks = tmp_path_factory.mktemp("alone"), []
    path = folder / "records.jsonl"
    records = run_jobs(
        work[0], place(work, folder), path, workers=1, progress=lambda *pair: ticks.append(pair)
    )
    return folder, records, ticks


def test_every_job_has_its_record_on_disk(work, alone):
    folder, records, ticks = alone
    assert list(records) == [job.key for job in work[0]]
    assert read_records(folder / "records.jsonl") == records
    for job in work[0]:
        assert records[job.key]["kind"] == job.kind
        assert records[job.key]["fields"] == json.loads(json.dumps(dict(job.fields)))
    total = 3 + 3 + 5 + 1 + 1
    assert (ticks[0], ticks[-1]) == ((0, total), (total, total))
    assert [done for done, _ in ticks] == sorted(done for done, _ in ticks)


def test_results_do_not_depend_on_the_workers(work, alone, tmp_path):
    two = run_jobs(work[0], place(work, tmp_path), tmp_path / "records.jsonl", workers=2)
    assert {key: timeless(record) for key, record in two.items()} == {
        key: timeless(record) for key, record in alone[1].items()
    }


def test_what_is_recorded_is_not_run_again(work, alone, tmp_path):
    folder, records, _ = alone
    before = (folder / "records.jsonl").read_bytes()
    nowhere = Place("no such dataset", tmp_path / "studies")
    again = run_jobs(work[0][::-1], nowhere, folder / "records.jsonl", workers=2)
    assert again == records
    assert list(again) == [job.key for job in work[0][::-1]]
    assert (folder / "records.jsonl").read_bytes() == before
    assert run_jobs([], nowhere, folder / "records.jsonl", workers=2) == {}


@pytest.mark.parametrize("kept", [0, 1])
def test_a_torn_line_is_run_again_and_leaves_no_trace(work, alone, tmp_path, kept):
    """Also where the torn line is the file's only one."""
    jobs = work[0][2:4]
    stored = [json.dumps(alone[1][job.key]) + "\n" for job in jobs]
    path = tmp_path / "records.jsonl"
    path.write_text("".join(stored[:kept]) + stored[kept][:40])
    records = run_jobs(jobs, place(work, tmp_path), path, workers=1)
    assert [timeless(r) for r in records.values()] == [timeless(alone[1][j.key]) for j in jobs]
    assert read_records(path) == records


def test_a_second_process_is_refused(work, tmp_path):
    path = tmp_path / "records.jsonl"
    with (
        filelock.FileLock(f"{path}.lock"),
        pytest.raises(StudyError, match="in use by another process: wait for it"),
    ):
        run_jobs(work[0], place(work, tmp_path), path, workers=1)
    assert not path.exists()


def test_a_job_that_fails_raises_its_own_error_and_keeps_the_others(work, alone, tmp_path):
    path = tmp_path / "records.jsonl"
    good = work[0][3]
    wrong = dict(good.fields) | {"name": "glob55"}
    jobs = [good, Job("method", wrong, 0)]  # The shorter of the two comes last.
    with pytest.raises(UnknownNameError, match="did you mean glob5"):
        run_jobs(jobs, place(work, tmp_path), path, workers=1)
    (kept,) = read_records(path).values()
    assert timeless(kept) == timeless(alone[1][good.key])
    assert run_jobs([good], Place("nowhere", tmp_path / "s"), path, workers=1) == {good.key: kept}


def test_a_worker_that_is_killed_is_one_sentence(work, tmp_path, monkeypatch):
    """As the system does to a process for which there is no memory."""
    source = "import os, signal\n\ndef data():\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    (tmp_path / "deadly.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    there = Place("deadly:data", tmp_path / "studies", work[1])
    with pytest.raises(WorkerLostError, match=r"killed by signal 9.*run it again, with fewer"):
        run_jobs(work[0][3:], there, tmp_path / "records.jsonl", workers=1)


def test_a_folder_that_cannot_be_is_refused(work, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError):
        run_jobs(work[0], place(work, tmp_path), tmp_path / "file" / "r.jsonl", workers=1)


KILLED = """
import os, pickle, signal, sys
from pathlib import Path
from bogp.replication import runner

def kill(done, total):
    if runner.read_records(path):
        os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    jobs, place, path = pickle.loads(Path(sys.argv[1]).read_bytes())
    runner.run_jobs(jobs, place, path, workers=1, progress=kill)
"""


def test_a_killed_run_goes_on_as_if_it_had_not_been(work, alone, tmp_path):
    path = tmp_path / "records.jsonl"
    given = (work[0], place(work, tmp_path), path)
    (tmp_path / "given").write_bytes(pickle.dumps(given))
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    told = subprocess.run([sys.executable, str(script), str(tmp_path / "given")], check=False)
    assert told.returncode == -9
    before = read_records(path)
    assert 0 < len(before) < len(work[0])
    # Its worker ends by itself; until then it holds the study that it was at.
    with filelock.FileLock(f"{path}.lock", timeout=30):
        pass
    for lock in Path(tmp_path / "studies").glob("*.lock"):
        with filelock.FileLock(lock, timeout=60):
            pass
    records = run_jobs(*given, workers=2)
    assert {key: records[key] for key in before} == before
    assert [timeless(r) for r in records.values()] == [timeless(r) for r in alone[1].values()]

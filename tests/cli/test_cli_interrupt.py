import os
import signal
import subprocess
import sys

import pytest

from bogp.cli import main
from bogp.database import GraphDatabase

# A test run in the background of a script ignores Ctrl-C, and so would what it starts.
HEED = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
COMMAND = [sys.executable, "-c", f"{HEED}; from bogp.cli import main; main()"]
MAKE = "bogp.replication.replications.make"
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}  # a busy machine makes threads wait on threads

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def interrupted(words, sign, folder):
    """Run a command, send it SIGINT once a line with ``sign`` is out; return status and lines."""
    with subprocess.Popen(
        [*COMMAND, *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=folder,
        env=ONE_THREAD,
        text=True,
        start_new_session=True,
    ) as process:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if sign in line:
                process.send_signal(signal.SIGINT)
                break
        lines += process.stderr.readlines()
        status = process.wait(timeout=120)
    assert "Traceback" not in "".join(lines)
    return status, lines


def test_an_interrupted_build_says_how_to_go_on_and_leaves_a_database(tmp_path):
    words = ["database", "build", "g.db", "--nodes", "24", "-s", "0.5", "--graphs", "100000"]
    status, lines = interrupted(words, "building", tmp_path)
    assert status == 130
    assert lines[-1] == (
        "stopped: the graphs so far are in g.db, and the same command goes on from there\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["g.db"]
    with GraphDatabase.open(tmp_path / "g.db") as opened:
        assert not opened.complete


def test_an_interrupted_search_goes_on_as_if_unbroken(tmp_path):
    GraphDatabase.build(
        tmp_path / "g.db", nodes=8, shape=(8, 64), sparsities=(0.6,), graphs=40
    ).close()
    words = ["search", "g.db", "-s", "0.6", "--data", "digits", "--model", "mlp:8"]
    words += ["--engine", "random", "--final-seeds", "0"]
    long = [*words, "--study", "s.db", "-n", "40", "--recipe", "written"]
    status, lines = interrupted(long, "trial 1:", tmp_path)
    assert status == 130
    assert lines[-1] == (
        "stopped: the finished trials are in s.db, and the same command goes on from there\n"
    )
    resumed = [*long, "-n", "2"]
    done = subprocess.run(
        [*COMMAND, *resumed], cwd=tmp_path, env=ONE_THREAD, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "trial 1:" not in done.stderr


@pytest.mark.parametrize(
    ("words", "place", "said"),
    [
        (
            ["search", "{g}", "-s", "0.5", "--data", "digits"],
            "bogp.pipeline.search",
            "the finished trials are in study.db",
        ),
        (
            ["baseline", "dense", "--data", "digits"],
            "bogp.pipeline.workers.open_workers",
            "run it again",
        ),
        (
            ["demo", "--data", "digits", "--out", "o"],
            "bogp.replication.replications.make",
            "is in o, and",
        ),
        (["reproduce", "fig8", "--out", "o"], "bogp.replication.replications.make", "is in o, and"),
        (["data", "show", "digits"], "bogp.data.load_dataset", "`bogp data show digits` again"),
        (["list"], "bogp.cli.names.print_json", "nothing was kept"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_every_command_says_what_an_interrupt_left(
    words, place, said, tmp_path, capsys, monkeypatch
):
    def stop(*arguments, **options):
        raise KeyboardInterrupt

    graphs = tmp_path / "g.db"
    GraphDatabase.build(graphs, nodes=4, sparsities=(0.5,), graphs=2).close()
    monkeypatch.setattr(place, stop)
    with pytest.raises(SystemExit) as end:
        main([word.format(g=graphs) for word in words] + ["--json"] * (words[0] == "list"))
    out, err = capsys.readouterr()
    assert end.value.code == 130
    assert out == ""
    assert err.splitlines()[-1].startswith("stopped: ")
    assert said in err.splitlines()[-1]


def test_a_closed_pipe_is_no_error(tmp_path):
    GraphDatabase.build(tmp_path / "g.db", nodes=4, sparsities=(0.5,), graphs=300).close()
    command = "; ".join(
        [
            "import sys, time",
            "from bogp.cli import main",
            "time.sleep(0.5)",
            "main(['database', 'show', 'g.db', '--rows', '300', '--json', '--quiet'])",
        ]
    )
    with subprocess.Popen(
        [sys.executable, "-c", command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""

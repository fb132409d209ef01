"""A study that is killed at random moments ends as an unbroken one does."""

import json
import os
import signal
import subprocess
import sys

import pytest

from bogp.database import GraphDatabase

KILLS = 20

# Forked from a process that has loaded everything and computed nothing (what OpenMP has begun does
# not survive a fork), a start costs little.
SCRIPT = """
import json, os, pickle, random, signal, sys, time
import bogp
from bogp.data import load_dataset
from bogp.database import GraphDatabase
from bogp.pipeline import PopulationTrainer, finals, loop, pool
from bogp.study import Study
from bogp.study.reading import read_storage
from bogp.training import Recipe

place, study, kills = sys.argv[1], sys.argv[2], int(sys.argv[3])
data = load_dataset("digits")
recipe = Recipe(learning_rate=0.003, batch_size=256, epochs=2)


def search(**options):
    settings = bogp.SearchSettings(
        sparsity=0.8, model="mlp:16", layers="hidden", recipe=recipe, trials=10, batch=3,
        population=2, pool=60, final_seeds=2,
    )
    return bogp.search(place, data, settings, retries=1000, **options)


def plain(result):
    trials = [
        [t.arm, t.number, t.point, t.value, t.stopped, {**t.record, "seconds": 0}]
        for t in (*result.trials, *result.random_trials)
    ]
    spent = {name: n for name, n in result.epochs.items() if not name.startswith("lost")}
    evidence = result.evidence
    return {
        "trials": trials,
        "winner": result.best.point,
        "mask": result.mask.fingerprint,
        "finals": [vars(run) for run in evidence.runs],
        "numbers": [evidence.selected, evidence.posterior, evidence.sealed.estimate],
        "epochs": spent,
    }


def telling(owner, name, label, after=False):
    # Writes what begins, or has ended, to the pipe.
    inner = getattr(owner, name)

    def call(*given, **named):
        found = inner(*given, **named) if after else None
        os.write(events, f"{label}\\n".encode())
        return found if after else inner(*given, **named)

    setattr(owner, name, call)


def killed(reached, wanted, further, delay):
    # Fork a run; once ``reached`` trainings are done (None: the finals have begun) kill it so many
    # seconds after ``further`` more events called ``wanted``, or some trainings later.
    global events
    reading, events = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        telling(pool.PoolStrategy, "ask", "asking")
        telling(loop.Arm, "_tell", "telling")
        telling(PopulationTrainer, "__call__", "training")
        telling(finals._OneSeed, "run", "finals")
        telling(Study, "open_batch", "writing")
        telling(Study, "begin", "writing")
        telling(Study, "finish", "told", after=True)
        telling(Study, "note", "writing")
        arm_run = loop.Arm.run
        loop.Arm.run = lambda own, *given: (
            os.write(events, f"arm {own.name}\\n".encode()), arm_run(own, *given)
        )
        try:
            search(study=study, progress=lambda done, _: os.write(events, f"{done}\\n".encode()))
        finally:
            os._exit(0)
    os.close(events)
    place, label, due, left = "before", "start", False, further
    with os.fdopen(reading) as lines:
        for line in lines:
            word = line.strip()
            if word.isdigit():
                due = due or (reached is not None and int(word) >= reached)
                if reached is not None and int(word) >= reached + 4:
                    break
            elif word.startswith("arm ") or word == "finals":
                place = word.removeprefix("arm ")
                if place == "finals" and reached is not None:
                    break
                due = due or place == "finals"
            else:
                label = word
                left -= due and label == wanted
                if left < 0:
                    break
        time.sleep(delay)
        os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return [place, label, code]


def forked(work):
    # Return what ``work`` does in a process of its own.
    reading, writing = os.pipe()
    if os.fork() == 0:
        try:
            os.close(reading)
            with os.fdopen(writing, "wb") as file:
                pickle.dump(work(), file)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        found = pickle.load(file)
    os.wait()
    return found


def last():
    result = search(study=study)
    return plain(result), [n for name, n in result.epochs.items() if name.startswith("lost")]


unbroken = forked(lambda: plain(search()))
count = len(unbroken["trials"]) + 2
draw = random.Random(0)
LABELS = ("writing", "training", "asking", "told", "telling")
ends = []
for k in range(kills):
    final = k >= kills - 4
    wanted = LABELS[k % (2 if final else 5)]
    reached = None if final else k * (count - 2) // (kills - 4)
    further = 0 if wanted == 'told' else draw.randrange(2)
    ends.append(killed(reached, wanted, further, 0.03 * draw.random() * (k % 2)))
whole, lost = forked(last)
stored = read_storage(study).study(None)
print(json.dumps({
    "ends": ends,
    "unbroken": unbroken,
    "whole": whole,
    "lost": lost,
    "ended": {
        name: [[t.batch, t.position] for t in one.attempts if t.state in ("ended", "stopped")]
        for name, one in stored.arms.items()
    },
    "states": sorted({t.state for one in stored.arms.values() for t in one.attempts}),
    "asked": {name: one.asked for name, one in stored.arms.items()},
}))
"""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kill")
    with GraphDatabase.build(
        folder / "graphs.db", nodes=16, shape=(16, 64), sparsities=(0.5, 0.8), graphs=20
    ):
        pass
    words = [str(folder / "graphs.db"), str(folder / "study.db"), str(KILLS)]
    told = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


def test_every_run_was_killed_and_in_all_phases(outcome):
    assert [code for _, _, code in outcome["ends"]] == [-signal.SIGKILL] * KILLS
    assert {place for place, _, _ in outcome["ends"]} >= {"search", "random", "finals"}
    assert {label for _, label, _ in outcome["ends"]} == {
        "asking", "writing", "training", "telling", "told",
    }  # fmt: skip


def test_it_ends_as_the_unbroken_one(outcome):
    assert outcome["whole"] == outcome["unbroken"]


def test_no_trial_is_lost_and_none_doubled(outcome):
    assert outcome["asked"]["search"] == 10
    for name, places in outcome["ended"].items():
        assert len(places) == len({tuple(place) for place in places}) == outcome["asked"][name]
    assert "running" not in outcome["states"]
    # What the kills cost is in the open.
    assert "failed" in outcome["states"]
    assert outcome["lost"][0] > 0

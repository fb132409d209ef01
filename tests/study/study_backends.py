"""What the tests of studies share: every kind of storage, and studies to put there."""

import contextlib
import time

from optuna.storages import InMemoryStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend

from bogp.study.records import PlannedTrial
from bogp.study.study import Study

SETTINGS = {"seed": 1, "properties": ("a", "b"), "alpha": None, "recipe": {"epochs": 3}}
SPACE = {"p": (0.0, 1.0), "rounds": (1, 5), "criterion": ("random", "snip")}

# One that can be opened again each; those that are no file are held by a lease, not by a lock.
BACKENDS = {
    "file": lambda folder: folder / "study.db",
    "shared": lambda folder: f"sqlite+pysqlite:///file:{folder / 'shared.db'}?uri=true",
    "journal": lambda folder: JournalStorage(JournalFileBackend(str(folder / "study.log"))),
    "memory": lambda folder: InMemoryStorage(),
}


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self, now=1e9):
        self.now = now

    def __call__(self):
        return self.now


def opened(storage, settings=SETTINGS, **options):
    return Study(storage, settings, **({"space": SPACE} | options))


def asked(count, start=0):
    return [
        PlannedTrial(
            {"graph": start + place, "nested": {"x": [1, None]}},
            {"p": place / (count + 1), "rounds": 1 + place % 5, "criterion": "snip"},
        )
        for place in range(count)
    ]


def run(study, batch, positions=None, **options):
    """Run positions of a batch, all that are missing by default."""
    positions = study.missing(batch) if positions is None else positions
    study.begin(batch, positions)
    return [study.finish(batch, place, *told(batch, place), **options) for place in positions]


def told(batch, place):
    return value(batch, place), {"accuracy": value(batch, place), "epochs": 3, "list": [1.5, None]}


def value(batch, place):
    return 0.5 + batch.number / 8 + place / 128


@contextlib.contextmanager
def abandoned(storage, **options):
    """Open a study, and leave it as a process that was killed leaves it."""
    study = opened(storage, **options)
    try:
        yield study
    finally:
        study._stop.set()
        if study._renewing.is_alive():
            study._renewing.join()
        study._closed = True
        study._opened.close()


def work(storage, pace=0.0, began=lambda: None):
    """Run a whole study of two arms in populations of two, or what is left of it."""
    with opened(storage, retries=1000) as study:
        for batch in study.batches():
            _populations(study, batch, pace, began)
        while len(study.batches()) < 4:
            more = asked(4, 10 * len(study.batches()))
            _populations(study, study.open_batch("search", more, {"x": 0.5}), pace, began)
        other = study.batches("random") or (study.open_batch("random", asked(2)),)
        _populations(study, other[0], pace, began)


def _populations(study, batch, pace, began):
    missing = study.missing(batch)
    for start in range(0, len(missing), 2):
        population = missing[start : start + 2]
        study.begin(batch, population)
        began()
        time.sleep(pace)  # the training
        for place in population:
            study.finish(batch, place, *told(batch, place), steps=(0.25,))

"""Bit flips and overwritten pages in every kind of file that bogp writes and reads again.

    python tests/faults/damage.py --flips 1000 --seed 1

prints a table: how much damage was done, and how much of it was noticed (a sentence that names the
file), harmless (the same answer as before: a byte that nobody reads), silent (another answer
without a word) or something else than a sentence. It ends with status 1 unless the last two are 0.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bogp.database import GraphDatabase, import_table
from bogp.errors import BogpError
from bogp.export.sparse import load_sparse, save_sparse
from bogp.masks import Mask, load_mask, load_model, save_mask, save_model
from bogp.replication.records import read_records, record_line
from bogp.study import PlannedTrial, Study
from bogp.study.reading import read_storage
from bogp.training import initialise, mlp

PAGE = 4096
OUTCOMES = ("noticed", "harmless", "SILENT", "no sentence")


@dataclass(frozen=True)
class Kind:
    """A kind of file: what makes one, what reads all of it, and its share of the damage."""

    make: Callable[[Path], object]
    read: Callable[[Path], Any]
    share: float


def _database(path: Path) -> None:
    settings = {"nodes": 16, "sparsities": (0.4, 0.8), "graphs": 150, "seed": 3}
    GraphDatabase.build(path, **settings, parameters={"pilot": 32}, threads=1).close()


def _imported(path: Path) -> None:
    table = path.with_suffix(".csv")
    rows = [f"{3 * k},0.5,{k / 7},{k},{k / 3}" for k in range(1, 900)]
    table.write_text("\n".join(["id,sparsity,clustering,accuracy,loss", *rows]))
    import_table(path, table).close()


def _read_database(path: Path) -> Any:
    with GraphDatabase.open(path) as opened:
        ids, vectors = opened.vectors(opened.names)
        records = [(r.id, r.seed, r.edges, r.packed, r.parameters) for r in opened.records()]
        measured = [opened.measured(name)[1].tolist() for name in opened.measured_names]
        plan = repr(opened.plan)
        return plan, ids.tolist(), vectors.tolist(), records, measured, len(opened)


def _study(path: Path) -> None:
    space = {"p": (0.0, 1.0), "criterion": ("random", "snip")}
    with Study(path, {"engine": "pool", "seed": 1}, space=space) as study:
        study.note("command", {"data": "mnist"})
        for arm in ("search", "random"):
            asked = [
                PlannedTrial({"graph": k, "of": [arm]}, {"p": k / 9, "criterion": "snip"})
                for k in range(4)
            ]
            batch = study.open_batch(arm, asked, {"hyper": [0.25, 0.5]})
            study.begin(batch, range(4))
            for place in range(3):
                record = {"accuracy": 0.5 + place / 8, "epochs": 3, "mask": "0123abcd"}
                study.finish(batch, place, record["accuracy"], record, steps=(0.25, 0.5))
            study.fail(batch, 3, "the worker was lost")


def _read_study(path: Path) -> Any:
    found = read_storage(path)
    found.require_sound()
    return found


def _pruned() -> tuple[torch.nn.Module, Mask]:
    model = initialise(lambda: mlp([24, 32, 10]), 1)
    generator = torch.Generator().manual_seed(0)
    weights = {name: w for name, w in model.named_parameters() if w.dim() == 2}
    layers = {n: torch.rand(w.shape, generator=generator) < 0.3 for n, w in weights.items()}
    mask = Mask(layers)
    mask.apply(model)
    return model, mask


def _shown(model: torch.nn.Module | None, mask: Mask) -> Any:
    states = [{} if model is None else model.state_dict(), mask]
    return [{name: tensor.tolist() for name, tensor in state.items()} for state in states]


def _records(path: Path) -> None:
    rows = [
        {
            "key": f"{k:016x}",
            "kind": "method",
            "fields": {"seed": k},
            "result": {"accuracy": k / 99},
        }
        for k in range(60)
    ]
    path.write_text("".join(map(record_line, rows)))


KINDS: dict[str, Kind] = {
    "graph database": Kind(_database, _read_database, 0.22),
    "imported database": Kind(_imported, _read_database, 0.18),
    "study": Kind(_study, _read_study, 0.08),
    "mask": Kind(
        lambda path: save_mask(_pruned()[1], path), lambda path: _shown(None, load_mask(path)), 0.12
    ),
    "model": Kind(
        lambda path: save_model(*_pruned(), path),
        lambda path: _shown(*load_model(_pruned()[0], path)),
        0.15,
    ),
    "sparse model": Kind(
        lambda path: save_sparse(*_pruned(), path),
        lambda path: _shown(*load_sparse(_pruned()[0], path)),
        0.15,
    ),
    "records": Kind(_records, read_records, 0.1),
}


def injure(content: bytes, rng: np.random.Generator, damage: str) -> bytes:
    """Return ``content`` with one bit flipped, or a page overwritten.

    In the place of the page there is noise, nothing but zeros, or another page.
    """
    changed = bytearray(content)
    if damage == "flip":
        place = int(rng.integers(8 * len(content)))
        changed[place // 8] ^= 1 << place % 8
        return bytes(changed)
    size = min(PAGE, max(64, len(content) // 8))
    start, other = (size * int(k) for k in rng.integers(-(-len(content) // size), size=2))
    length = min(size, len(content) - start)
    fillings = (rng.bytes(length), bytes(length), content[other : other + length])
    filling = fillings[int(rng.integers(2 if other == start else 3))]
    changed[start : start + len(filling)] = filling
    return bytes(changed)


def hammer(kind: Kind, damage: str, count: int, seed: int) -> Counter[str]:
    """Return how often damage to files of a kind was noticed, harmless, silent or a traceback."""
    rng, outcomes = np.random.default_rng(seed), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file.db"
        kind.make(path)
        content, before = path.read_bytes(), kind.read(path)
        for _ in range(count):
            for beside in (*path.parent.glob("file.db-*"), *path.parent.glob(".file.db*")):
                beside.unlink()
            changed = injure(content, rng, damage)
            path.write_bytes(changed)
            outcomes[_outcome(kind, path, before)] += 1
    return outcomes


def _outcome(kind: Kind, path: Path, before: Any) -> str:
    try:
        return "harmless" if kind.read(path) == before else "SILENT"
    except BogpError as error:
        said = str(error)
        return "noticed" if str(path) in said and "\n" not in said else "no sentence"
    except Exception:
        return "no sentence"


def run(flips: int, seed: int) -> int:
    """Print the table of the module's docstring; return what was silent or no sentence."""
    print(f"| file | damage | injected | {' | '.join(OUTCOMES)} |")
    print(f"| :--- | :--- |{' ---: |' * (1 + len(OUTCOMES))}")
    every, started = Counter[str](), time.monotonic()
    for number, (name, kind) in enumerate(KINDS.items()):
        for damage, share in (("flip", 1.0), ("page", 0.25)):
            count = round(flips * kind.share * share)
            found = hammer(kind, damage, count, seed + number)
            every.update(found)
            cells = " | ".join(str(found[outcome]) for outcome in OUTCOMES)
            print(f"| {name} | {damage} | {count} | {cells} |", flush=True)
    cells = " | ".join(str(every[outcome]) for outcome in OUTCOMES)
    print(f"| **all** | | {every.total()} | {cells} |")
    print(f"{time.monotonic() - started:.0f} s, seed {seed}", file=sys.stderr)
    return every["SILENT"] + every["no sentence"]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(1 if run(given.flips, given.seed) else 0)

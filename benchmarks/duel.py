"""Which engine finds the best mask: `paper`, `random` or `pool`, on pools whose best is known.

A pool is 2,000 masks with five properties each. Every mask has a true accuracy, a smooth function
of its properties with a standard deviation of 0.3 percentage points over the pool, and an
evaluation adds normal noise of 0.2 points: what `seed SD` and between-graph SD were measured to
be. Five kinds of pool, so that the result does not hinge on one:

- `gp`: made-up properties of unlike scales, some whole numbers, mildly correlated; the accuracy is
  a draw of a Gaussian process with a length scale of 6 standard deviations of a property: smooth.
- `rough`: the same with a length scale of 2.2, so that two masks at the typical distance correlate
  by 1/e and there are several optima; 25 noisy values cannot tell much of it.
- `bowl`: the same properties; a quadratic bowl in two of them, three are irrelevant.
- `ridge`: the same; the accuracy falls with the squared distance from a plane that is oblique to
  all properties, plus the product of two of them.
- `graphs`: the properties of 2,000 real graphs of the family `mixed` (64 nodes, density 0.25),
  skewed and correlated as they are, under a draw of the process of `gp`.

Each engine evaluates 25 masks: the same five random ones and twenty of its own choice. The k-th
evaluation of a mask has the same noise for every engine. `paper` proposes a property vector by the
upper confidence bound (kappa 5) and takes the nearest mask by raw cosine; like `random`, which
never takes a mask twice, it recommends the mask of the best single value seen, as the paper does.
`pool` recommends by posterior mean; it runs as it comes, with its other acquisitions, and told the
noise that it otherwise estimates. Regret: true accuracy of the best mask of the pool less that of
the recommended one.

The goal: the mean regret of `pool` is below a quarter of that of the better of the other two. It
is judged for each kind and for the mean over kinds, with paired bootstrap intervals over seeds.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bogp.analysis import Interval, bootstrap_interval, mean_interval
from bogp.cores import available_cores
from bogp.database.neighbours import Vectors
from bogp.engines.paper import ENGINES, Observation, Proposal, Space
from bogp.engines.pool import PoolSearch
from bogp.files import write_atomic
from bogp.graphs import describe
from bogp.graphs.mixed import draw_mixed
from bogp.graphs.pilot import pilot_size, run_pilot
from bogp.keys import derive_seed
from bogp.types import Floats

Evaluate = Callable[[int], float]

START, BUDGET = 5, 25
SPREAD, NOISE = 0.3, 0.2  # percentage points
BASE = 95.0
GOAL = 0.25
NODES, DENSITY = 64, 0.25
NAMES = (
    "clustering",
    "average_shortest_path_length",
    "eigenvector_centrality",
    "edge_connectivity",
    "degree_assortativity",
)
RANGES = ((0.05, 0.6), (1.6, 3.5), (0.05, 0.12), (0.0, 14.0), (-0.5, 0.5))
KINDS = ("gp", "rough", "bowl", "ridge", "graphs")
RIVALS = ("paper", "random")
OURS: dict[str, dict[str, Any]] = {
    "pool": {},
    "pool ucb": {"acquisition": "ucb"},
    "pool thompson": {"acquisition": "thompson"},
    "pool, noise known": {"noise": NOISE / 100},
}
CONTENDERS = (*RIVALS, *OURS)


@dataclass(frozen=True)
class Pool:
    """The property vectors of the masks and their true accuracies in percent."""

    vectors: Floats  # (N, 5)
    truth: Floats  # (N,)


@dataclass(frozen=True)
class Job:
    """One engine on one pool."""

    kind: str
    seed: int
    engine: str
    size: int


@dataclass(frozen=True)
class Result:
    """What came of a job: regret in percentage points, seconds a suggestion, (mask, value) seen."""

    job: Job
    regret: float
    seconds: float
    seen: tuple[tuple[int, float], ...]

    @property
    def distinct(self) -> int:
        """How many masks were evaluated."""
        return len({index for index, _ in self.seen})


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=20, help="pools of each kind")
    parser.add_argument("--size", type=int, default=2000, help="masks in a pool")
    parser.add_argument("--kind", action="append", choices=KINDS, help="default: all")
    parser.add_argument("--engine", action="append", choices=CONTENDERS, help="default: all")
    parser.add_argument("--workers", type=int, default=available_cores(), help="processes")
    parser.add_argument(
        "--quick", action="store_true", help="3 seeds, and pool by its default alone"
    )
    parser.add_argument("--json", type=Path, help="file for every single regret")
    given = parser.parse_args(arguments)
    seeds = min(given.seeds, 3) if given.quick else given.seeds
    engines = given.engine or ((*RIVALS, "pool") if given.quick else CONTENDERS)
    kinds = tuple(given.kind or KINDS)
    jobs = [
        Job(kind, seed, name, given.size)
        for seed in range(seeds)
        for kind in kinds
        for name in engines
    ]
    console, started = Console(width=140), time.perf_counter()
    results = list(run(jobs, given.workers))
    regrets = gathered(results)
    console.print(table(regrets, results))
    judged = judge(regrets)
    for place, by_engine in judged.items():
        for name, ratio in by_engine.items():
            console.print(sentence(name, place, ratio), highlight=False)
    console.print(f"{len(jobs)} searches in {time.perf_counter() - started:.0f} s")
    if given.json:
        content = {
            "results": [asdict(result) for result in results],
            "ratios": {
                place: {name: asdict(ratio) for name, ratio in by_engine.items()}
                for place, by_engine in judged.items()
            },
        }
        write_atomic(given.json, json.dumps(content, indent=1) + "\n")


def run(jobs: Sequence[Job], workers: int) -> Iterator[Result]:
    """Yield the result of each job in order; they do not depend on the number of workers."""
    if workers < 2:
        yield from map(search, jobs)
        return
    # One thread each: twice as many threads as cores would take turns, and slow all of them.
    os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as executor:
        yield from executor.map(search, jobs)


def search(job: Job) -> Result:
    """Run one engine for its 25 evaluations."""
    pool = make_pool(job.kind, job.seed, job.size)
    seed = derive_seed(job.seed, "duel", job.kind)
    noise = np.random.default_rng(derive_seed(seed, "noise")).normal(0, NOISE, (job.size, BUDGET))
    order = np.random.default_rng(derive_seed(seed, "start")).permutation(job.size)
    seen: list[tuple[int, float]] = []

    def evaluate(index: int) -> float:
        # The noise belongs to the mask and to how often it was evaluated, not to the engine.
        before = sum(index == other for other, _ in seen)
        seen.append((index, float(pool.truth[index] + noise[index, before]) / 100))
        return seen[-1][1]

    started = time.perf_counter()
    if job.engine == "random":
        chosen = single_best([(index, evaluate(index)) for index in order[:BUDGET].tolist()])
    elif job.engine == "paper":
        chosen = paper(pool, order[:START].tolist(), evaluate, seed)
    else:
        chosen = ours(pool, order[:START].tolist(), evaluate, seed, **OURS[job.engine])
    seconds = (time.perf_counter() - started) / (BUDGET - START)
    assert len(seen) == BUDGET
    return Result(job, float(pool.truth.max() - pool.truth[chosen]), seconds, tuple(seen))


def paper(pool: Pool, start: Sequence[int], evaluate: Evaluate, seed: int) -> int:
    """Return the mask of the best single value that the paper's engine saw."""
    ids = np.arange(len(pool.vectors), dtype=np.int64)
    space, lookup = Space(ids, NAMES, pool.vectors), Vectors(pool.vectors)
    values, seen = [], []
    for index in start:
        vector = dict(zip(NAMES, pool.vectors[index].tolist(), strict=True))
        values.append((index, evaluate(index)))
        seen.append(Observation(Proposal(vector), values[-1][1]))
    while len(values) < BUDGET:
        proposal = ENGINES["paper"](space, seen, seed, 5.0)
        target = [proposal.vector[name] for name in NAMES]
        index = int(lookup.nearest(target, "cosine", "raw")[0][0])
        values.append((index, evaluate(index)))
        seen.append(Observation(proposal, values[-1][1]))
    return single_best(values)


def ours(pool: Pool, start: Sequence[int], evaluate: Evaluate, seed: int, **settings: Any) -> int:
    """Return what the pool engine recommends."""
    engine = PoolSearch(pool.vectors, seed=seed, initial=start, **settings)
    for _ in range(BUDGET):
        (index,) = engine.ask()
        engine.tell(index, evaluate(index))
    return engine.recommend()


def single_best(values: Sequence[tuple[int, float]]) -> int:
    return max(values, key=lambda pair: pair[1])[0]


@functools.lru_cache(maxsize=2)  # jobs of one pool follow each other
def make_pool(kind: str, seed: int, size: int) -> Pool:
    """Return the pool of a kind and a seed."""
    rng = np.random.default_rng(derive_seed(seed, "pool", kind))
    vectors = graph_vectors(seed, size) if kind == "graphs" else made_up_vectors(rng, size)
    values = FUNCTIONS[kind](standardised(vectors), rng)
    return Pool(vectors, BASE + SPREAD * (values - values.mean()) / values.std())


def standardised(vectors: Floats) -> Floats:
    return (vectors - vectors.mean(axis=0)) / vectors.std(axis=0)


def made_up_vectors(rng: np.random.Generator, size: int) -> Floats:
    """Return properties of unlike ranges, correlated by about 0.3; edge connectivity is whole."""
    shared = rng.normal(size=(size, 1))
    normal = np.sqrt(0.3) * shared + np.sqrt(0.7) * rng.normal(size=(size, len(NAMES)))
    place = np.argsort(np.argsort(normal, axis=0), axis=0) / (size - 1)  # ranks: evenly spread
    low, high = np.array(RANGES).T
    vectors = low + (high - low) * place
    vectors[:, 3] = np.round(vectors[:, 3])
    return vectors


def graph_vectors(seed: int, size: int) -> Floats:
    """Return the properties of graphs as a database of the family ``mixed`` would hold them."""
    edges = round(DENSITY * NODES * (NODES - 1) / 2)
    chosen = run_pilot(NODES, edges, seed, pilot_size(size, NODES)).settings(0, size, size)
    rows = draw_mixed(NODES, edges, chosen.seeds, chosen.kinds, chosen.values)
    described = describe(rows, NAMES, threads=1)
    return np.asarray(described, dtype=np.float64)


SMOOTH, ROUGH = 6.0, 5.0**0.5
"""Length scales in standard deviations of a property."""


def correlation(x: Floats, length: float) -> Floats:
    """Return exp(-d² / 2 length²) of standardised points (N, D)."""
    squares = (x**2).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares - 2 * x @ x.T, 0.0)
    return np.exp(-distances / (2 * length**2))


def gaussian_process(x: Floats, rng: np.random.Generator, length: float = SMOOTH) -> Floats:
    """Return a draw of a Gaussian process of that correlation, by its eigenvectors."""
    values, vectors = np.linalg.eigh(correlation(x, length))
    # The smallest eigenvalues are rounding, of either sign.
    return vectors @ (np.sqrt(np.maximum(values, 0.0)) * rng.normal(size=len(x)))


def bowl(x: Floats, rng: np.random.Generator) -> Floats:
    """Return minus the squared distance, in two columns, from a mask of the pool."""
    columns = rng.choice(x.shape[1], 2, replace=False)
    centre = x[rng.integers(len(x)), columns]
    return -((x[:, columns] - centre) ** 2).sum(axis=1)


def ridge(x: Floats, rng: np.random.Generator) -> Floats:
    """Return minus the squared distance from an oblique plane, plus a product of two columns."""
    normal = rng.normal(size=x.shape[1])
    along = x @ (normal / np.linalg.norm(normal))
    first, second = rng.choice(x.shape[1], 2, replace=False)
    return -((along - along[rng.integers(len(x))]) ** 2) + x[:, first] * x[:, second]


def rough(x: Floats, rng: np.random.Generator) -> Floats:
    """Return a draw of the rougher process."""
    return gaussian_process(x, rng, ROUGH)


FUNCTIONS = {
    "gp": gaussian_process,
    "rough": rough,
    "bowl": bowl,
    "ridge": ridge,
    "graphs": gaussian_process,
}


def gathered(results: Sequence[Result]) -> dict[str, dict[str, Floats]]:
    """Return kind → engine → regrets by seed; ``all`` is each seed's mean over kinds."""
    kinds = dict.fromkeys(result.job.kind for result in results)
    engines = dict.fromkeys(result.job.engine for result in results)
    found = {
        kind: {
            name: np.array(
                [r.regret for r in results if (r.job.kind, r.job.engine) == (kind, name)]
            )
            for name in engines
        }
        for kind in kinds
    }
    together = {name: np.mean([found[kind][name] for kind in kinds], axis=0) for name in engines}
    return found | {"all": together}


def judge(regrets: dict[str, dict[str, Floats]]) -> dict[str, dict[str, Interval]]:
    """Return kind → variant of the pool engine → its regret over that of the better rival."""
    judged: dict[str, dict[str, Interval]] = {}
    for place, by_engine in regrets.items():
        rivals = [by_engine[name] for name in RIVALS if name in by_engine]
        if rivals:
            judged[place] = {
                name: bootstrap_interval(
                    by_engine[name], *rivals, statistic=ratio, seed=0, paired=True
                )
                for name in OURS
                if name in by_engine
            }
    return judged


def ratio(own: Floats, *rivals: Floats, axis: int = -1) -> Floats:
    """Return the mean regret over the lowest mean regret of the rivals."""
    return own.mean(axis=axis) / np.min([rival.mean(axis=axis) for rival in rivals], axis=0)


def sentence(name: str, place: str, found: Interval) -> str:
    """Return the verdict on one claim."""
    where = "over all kinds" if place == "all" else f"on {place}"
    bounds = "" if found.low is None else f" [{found.low:.2f}, {found.high:.2f}]"
    verdict = "holds" if found.estimate < GOAL else "does NOT hold"
    return (
        f"{name} {where}: regret {found.estimate:.2f}{bounds} of the better rival's; "
        f"below a quarter: {verdict}"
    )


def table(regrets: dict[str, dict[str, Floats]], results: Sequence[Result]) -> Table:
    """Return mean regret of each engine on each kind with its 95 % interval."""
    seeds = len(next(iter(regrets["all"].values())))
    drawn = Table(title=f"mean regret in percentage points at {BUDGET} evaluations, {seeds} seeds")
    for column in ("engine", *regrets, "distinct", "seconds each"):
        drawn.add_column(column, justify="left" if column == "engine" else "right")
    for name in regrets["all"]:
        cells = []
        for by_engine in regrets.values():
            found = mean_interval(by_engine[name])
            half = "" if found.high is None else f" ± {found.high - found.estimate:.3f}"
            cells.append(f"{found.estimate:.3f}{half}")
        own = [result for result in results if result.job.engine == name]
        distinct = f"{np.mean([result.distinct for result in own]):.1f}"
        seconds = f"{np.median([result.seconds for result in own]):.2f}"
        drawn.add_row(name, *cells, distinct, seconds)
    return drawn


if __name__ == "__main__":
    main()

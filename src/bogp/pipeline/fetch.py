"""From a proposal to a graph: the nearest of the database, or one made to measure from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bogp.database import GraphDatabase, GraphRecord
from bogp.engines import Proposal
from bogp.errors import SettingError, UnknownNameError
from bogp.graphs import RelationalGraph, properties
from bogp.graphs.synthesis import synthesize
from bogp.keys import derive_seed
from bogp.settings.search import SearchSettings
from bogp.sparsify import Support


@dataclass(frozen=True)
class Fetched:
    """The graph that a proposal led to.

    Attributes:
        graph_id: its number in the database, or that of the graph it was made from.
        sparsity: the share of the layer's weights to prune.
        support: the graph, or the mask that was stored with it.
        vector: its properties.
        score: similarity or distance of the stored graph to the proposal; None where the proposal
            named a graph.
        mask_seed: of the draw that brings the graph's mask to the exact sparsity.
        made: the graph as ``RelationalGraph.packed`` gives it, in hexadecimal, where it is not in
            the database.
    """

    graph_id: int
    sparsity: float
    support: Support
    vector: Mapping[str, float]
    score: float | None
    mask_seed: int
    made: str | None = None

    def record(self) -> dict[str, Any]:
        """Return what a trial's record keeps of it."""
        kept = {
            "graph": self.graph_id,
            "database_sparsity": self.sparsity,
            "score": self.score,
            "fetched": dict(self.vector),
        }
        return kept if self.made is None else kept | {"made": self.made}


_FIXED = ("degree_centrality", "cycle_rank")

Fetch = Callable[[GraphDatabase, SearchSettings, Proposal], Fetched]


def nearest(database: GraphDatabase, settings: SearchSettings, proposal: Proposal) -> Fetched:
    """Return the graph that the proposal names, or the one nearest to its vector (algorithm 2)."""
    record, score = _stored(database, settings, proposal)
    return _as_it_is(record, settings, score)


def synthesised(database: GraphDatabase, settings: SearchSettings, proposal: Proposal) -> Fetched:
    """Return a graph made from the nearest one by edge swaps towards the proposal's vector.

    What the edge count fixes (degree centrality and, but for the number of components, the cycle
    rank) and what is constant in the database at that sparsity is left out of the target. A
    proposal that names a graph gets that graph.

    Raises:
        SettingError: the database holds masks (family ``random_mask``), which are not graphs to be
            changed.
    """
    record, score = _stored(database, settings, proposal)
    if proposal.graph_id is not None:
        return _as_it_is(record, settings, score)
    if record.mask is not None:
        raise SettingError(
            "fetch 'synthesize' changes graphs, and a database of family 'random_mask' holds "
            "masks: use fetch 'nearest' or build another database"
        )
    ranges = database.coverage(record.sparsity, settings.properties)
    varying = [n for n in settings.properties if not ranges[n].constant and n not in _FIXED]
    if not varying:
        return _as_it_is(record, settings, score)
    made = synthesize(
        {name: proposal.vector[name] for name in varying if name in proposal.vector},
        start=record.graph,
        scale={name: ranges[name].maximum - ranges[name].minimum for name in varying},
        seed=derive_seed(settings.seed, "synthesis", record.id),
    )
    packed = made.graph.packed().hex()
    # Swaps may change what was left out of the target: the cycle rank with the components, say.
    described = properties([made.graph], settings.properties)
    vector = {name: float(values[0]) for name, values in described.items()}
    seed = derive_seed(settings.seed, "mask", packed)
    return Fetched(record.id, record.sparsity, made.graph, vector, score, seed, packed)


FETCHES: dict[str, Fetch] = {"nearest": nearest, "synthesize": synthesised}
"""Name → how a proposal becomes a graph."""


def fetch(name: str) -> Fetch:
    """Return the way of fetching of that name.

    Raises:
        UnknownNameError: there is none.
    """
    if name not in FETCHES:
        raise UnknownNameError("fetch", name, FETCHES)
    return FETCHES[name]


def fetched_again(
    database: GraphDatabase, settings: SearchSettings, kept: Mapping[str, Any]
) -> Fetched:
    """Return what a trial fetched, from its record."""
    record = database.record(kept["graph"])
    again = _as_it_is(record, settings, kept["score"])
    if "made" not in kept:
        return again
    graph = RelationalGraph.from_packed(bytes.fromhex(kept["made"]), database.nodes)
    seed = derive_seed(settings.seed, "mask", kept["made"])
    return Fetched(
        record.id, record.sparsity, graph, kept["fetched"], kept["score"], seed, kept["made"]
    )


def _stored(
    database: GraphDatabase, settings: SearchSettings, proposal: Proposal
) -> tuple[GraphRecord, float | None]:
    if proposal.graph_id is not None:
        return database.record(proposal.graph_id), None
    (found,) = database.nearest(
        proposal.vector, metric=settings.metric, scale=settings.scale, sparsity=settings.sparsity
    )
    return database.record(found.id), found.score


def _as_it_is(record: GraphRecord, settings: SearchSettings, score: float | None) -> Fetched:
    return Fetched(
        record.id,
        record.sparsity,
        record.graph if record.mask is None else record.mask,
        {name: record.properties[name] for name in settings.properties},
        score,
        derive_seed(settings.seed, "mask", record.id),
    )

"""Wirings of every kind that graph layers are tested with."""

from __future__ import annotations

from collections.abc import Callable

import networkx as nx
import numpy as np
import torch
from hypothesis import strategies as st

from bogp.nn import Blocks

TOLERANCES = {
    torch.float64: 1e-12,
    torch.float32: 1e-5,
    torch.float16: 2e-2,
    torch.bfloat16: 1e-1,
}
"""How far outputs of about 1 may be from those of the dense layer."""


def ring(nodes: int, seed: int) -> np.ndarray:
    return _of_graph(nx.circulant_graph(nodes, range(1, 2 + seed % 2)))


def small_world(nodes: int, seed: int) -> np.ndarray:
    return _of_graph(nx.watts_strogatz_graph(nodes, 4, 0.15, seed=seed))


def random(nodes: int, seed: int) -> np.ndarray:
    return _of_graph(nx.gnp_random_graph(nodes, 0.3, seed=seed))


def with_empty_rows(nodes: int, seed: int) -> np.ndarray:
    wiring = random(nodes, seed)
    wiring[[0, nodes // 2] if seed % 2 else [-1]] = False
    wiring[:, 1 if seed % 2 else -1] = False
    return wiring


def bipartite(nodes: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((nodes, nodes // 2 + 1)) < 0.4


def one_block(nodes: int, seed: int) -> np.ndarray:
    wiring = np.zeros((nodes, nodes), dtype=bool)
    wiring[seed % nodes, (seed // 2) % nodes] = True
    return wiring


def no_block(nodes: int, seed: int) -> np.ndarray:
    return np.zeros((nodes, nodes), dtype=bool)


WIRINGS: dict[str, Callable[[int, int], np.ndarray]] = {
    "ring": ring,
    "small world": small_world,
    "random": random,
    "with empty rows": with_empty_rows,
    "bipartite": bipartite,
    "one block": one_block,
    "no block": no_block,
}


def _of_graph(graph: nx.Graph) -> np.ndarray:
    return (nx.to_numpy_array(graph) > 0) | np.eye(len(graph), dtype=bool)


def sizes(nodes: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Channels of each node: all equal, the first with one more, or any."""
    return st.one_of(
        st.integers(1, 9).map(lambda size: (size,) * nodes),
        st.tuples(st.integers(1, 6), st.integers(0, nodes)).map(
            lambda drawn: tuple(drawn[0] + (node < drawn[1]) for node in range(nodes))
        ),
        st.lists(st.integers(1, 6), min_size=nodes, max_size=nodes).map(tuple),
    )


@st.composite
def blocks(draw: st.DrawFn, kind: str) -> Blocks:
    wiring = WIRINGS[kind](draw(st.integers(5, 12)), draw(st.integers(0, 99)))
    return Blocks(wiring, draw(sizes(wiring.shape[0])), draw(sizes(wiring.shape[1])))

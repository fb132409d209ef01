"""The leading eigenvector by Lanczos' method: its parts, and where it hands over."""

import networkx as nx
import numba
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st
from property_oracles import stack, union

from bogp.graphs import GENERATORS, generate
from bogp.graphs.kernels import compiled as kernels
from bogp.graphs.kernels import spectra
from bogp.graphs.kernels.bits import pack
from bogp.graphs.kernels.compiled import add_where, compiled


@compiled
def product(graph, vector, result):
    for column in range(graph.shape[1]):
        add_where(graph, column, vector, result)


@pytest.mark.parametrize("nodes", [1, 5, 64, 65, 200])
def test_a_matrix_of_bits_times_a_vector(nodes):
    rng = np.random.default_rng(nodes)
    joined = np.triu(rng.random((nodes, nodes)) < 0.3, 1)
    joined |= joined.T
    rows = pack(joined[None])[0]
    vector, result = rng.normal(size=64 * rows.shape[1]), np.full(64 * rows.shape[1], 9.0)
    product(rows, vector, result)
    np.testing.assert_allclose(result[:nodes], joined @ vector[:nodes], atol=1e-12)
    assert not result[nodes:].any()


def test_where_the_highest_bit_comes_first_words_are_turned(monkeypatch):
    """As on a machine of that byte order: what is read backwards there is read backwards here."""
    monkeypatch.setattr(kernels, "_HIGH_FIRST", True)
    turned = numba.njit(product.py_func)
    joined = np.random.default_rng(0).random((64, 64)) < 0.3
    rows = np.packbits(joined, axis=1, bitorder="little").view(np.uint64)
    vector, result = np.arange(64.0), np.empty(64)
    turned(rows, vector, result)
    np.testing.assert_array_equal(result, (vector @ joined)[::-1])


@settings(max_examples=80)
@given(st.integers(0, 9999), st.integers(1, 40), st.sampled_from([0.0, 1e-13, 1.0]))
def test_the_leading_pair_of_a_tridiagonal_matrix(seed, size, weakest):
    """Also where an entry beside the diagonal is nearly nothing: a pole next to a root."""
    rng = np.random.default_rng(seed)
    alpha, beta = rng.uniform(0, 3, size), rng.uniform(0.1, 2, size)
    beta[rng.integers(size)] *= weakest
    values, vectors = scipy.linalg.eigh_tridiagonal(alpha, beta[:-1])
    top, share, last = spectra._leading(alpha, beta, size, alpha[0], 10.0)
    assert top == pytest.approx(values[-1], abs=1e-13) or share < 1e-20
    if size > 1 and values[-1] - values[-2] > 1e-3 and vectors[0, -1] ** 2 > 1e-6:
        assert share == pytest.approx(vectors[0, -1] ** 2, rel=1e-9)
        assert last == pytest.approx(abs(vectors[-1, -1]), abs=1e-9)
    for line in rng.uniform(-3, 7, 5):
        assert spectra._count_above(alpha, beta, size, line) == (values > line).sum()


def test_a_root_beside_which_there_is_a_pole():
    """The search for the eigenvalue starts where its slope is 1e31."""
    graph = union(nx.empty_graph(1), nx.complete_graph(3), nx.empty_graph(2))
    assert spectra._lanczos(pack(stack([graph]))) == pytest.approx([0.5])


@pytest.mark.parametrize("nodes", [24, 70])
def test_full_decomposition_agrees(nodes):
    adjacency = np.stack(
        [
            generate(family, nodes, m, seed).adjacency
            for family in sorted(set(GENERATORS) - {"mixed"})
            for seed, m in enumerate([nodes // 2, nodes, 3 * nodes, nodes * nodes // 4])
        ]
    )
    found = spectra.leading_shares(pack(adjacency))
    bare = adjacency & ~np.eye(nodes, dtype=bool)
    np.testing.assert_allclose(found, [spectra._decomposed(a) for a in bare], rtol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_hardly_any_graph_is_decomposed(seed):
    """A ring of 128 nodes is the slowest of the usual ones: a handful of eigenvalues are close."""
    graphs = [nx.connected_watts_strogatz_graph(128, 4, p, seed=seed) for p in (0.01, 0.1, 0.5)]
    shares = spectra._lanczos(pack(stack(graphs)))
    assert not np.isnan(shares).any()


def test_parts_that_nearly_tie_are_told_apart_or_shared():
    """Their eigenvalues differ by a share of 5e-10 here, by nothing there."""
    near = union(nx.lollipop_graph(8, 4), nx.lollipop_graph(8, 6))
    same = union(nx.lollipop_graph(8, 4), nx.lollipop_graph(8, 4))
    rows = pack(stack([near]))
    assert np.isnan(spectra._lanczos(rows)).all()
    larger = np.linalg.eigh(nx.to_numpy_array(nx.lollipop_graph(8, 6)))[1][:, -1]
    assert spectra.leading_shares(rows) == pytest.approx(larger.sum() ** 2 / 26)
    vector = np.linalg.eigh(nx.to_numpy_array(nx.lollipop_graph(8, 4)))[1][:, -1]
    found = spectra.leading_shares(pack(stack([same])))
    assert found == pytest.approx(2 * vector.sum() ** 2 / 24, abs=1e-12)

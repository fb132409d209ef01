import inspect
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from property_oracles import IGRAPH, NETWORKX, assert_agree, expected, nasty, stack, union

from bogp.errors import GraphError, SettingError, UnknownNameError
from bogp.graphs import (
    CANDIDATES,
    GENERATORS,
    PAPER_FIVE,
    PROPERTIES,
    RelationalGraph,
    describe,
    find_property,
    generate,
    properties,
    property_vectors,
)
from bogp.graphs.graph_batch import GraphBatch
from bogp.graphs.kernels.bits import pack
from bogp.graphs.property_vectors import constant_columns

NUMPY_FAMILIES = sorted(set(GENERATORS) - {"mixed"})
ATLAS = nx.graph_atlas_g()[1:]


def check(adjacency, names=PROPERTIES, oracle=NETWORKX):
    assert_agree(properties(adjacency, names), expected(adjacency, names, oracle))


@pytest.mark.parametrize("nodes", range(1, 8))
def test_all_graphs_of_up_to_seven_nodes(nodes):
    """With the null graph, which has no properties, these are the 1,253 of the atlas."""
    check(stack([g for g in ATLAS if len(g) == nodes]))


@pytest.mark.parametrize("family", NUMPY_FAMILIES)
@pytest.mark.parametrize("nodes", [16, 40])
def test_every_family(family, nodes):
    pairs = nodes * (nodes - 1) // 2
    edges = [nodes // 2, 2 * nodes, pairs // 4, pairs // 2, 9 * pairs // 10]
    adjacency = np.stack([generate(family, nodes, m, seed=m).adjacency for m in edges])
    check(adjacency, oracle=IGRAPH)


@pytest.mark.parametrize("name", sorted(nasty()))
def test_graphs_of_long_paths_narrow_cuts_and_ties(name):
    adjacency = stack([nasty()[name]])
    check(adjacency, oracle=NETWORKX if adjacency.shape[1] < 30 else IGRAPH)


def test_the_two_oracles_agree():
    graphs = [g for name, g in nasty().items() if len(g) < 20]
    for graph in graphs:
        adjacency = stack([graph])
        wanted = expected(adjacency, PROPERTIES, NETWORKX)
        assert_agree(expected(adjacency, PROPERTIES, IGRAPH), wanted)


@st.composite
def made_graphs(draw):
    """Draw a graph of 1 to 140 nodes: uniform, ring-like, bipartite, two parts, two lumps."""
    nodes = draw(st.integers(1, 140))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    density = draw(st.sampled_from([0.0, 0.02, 0.05, 0.1, 0.3, 0.6, 0.95, 1.0]))
    kind = draw(st.sampled_from(["uniform", "ring", "bipartite", "two parts", "equal", "barbell"]))
    joined = np.triu(rng.random((nodes, nodes)) < density, 1)
    apart = np.abs(np.subtract.outer(np.arange(nodes), np.arange(nodes)))
    half = np.arange(nodes) < nodes // 2
    across = half[:, None] != half[None, :]
    if kind == "ring":
        width = draw(st.integers(1, 4))
        near = np.triu(np.minimum(apart, nodes - apart) <= width, 1)
        joined = near ^ (joined & (rng.random((nodes, nodes)) < 0.02))
    elif kind == "bipartite":
        joined &= across
    elif kind == "two parts":
        joined &= ~across
    elif kind == "equal":
        middle = nodes // 2
        joined[middle : 2 * middle, middle : 2 * middle] = joined[:middle, :middle]
        joined[:, 2 * middle :] = False
        joined &= ~across
    elif kind == "barbell":
        joined = np.triu(~across, 1) & (rng.random((nodes, nodes)) < 0.9)
        bridges = draw(st.integers(1, 6))
        joined[rng.integers(0, nodes, bridges), rng.integers(0, nodes, bridges)] = True
    joined = joined | joined.T
    if draw(st.booleans()):
        joined |= np.diag(rng.random(nodes) < 0.5)
    return joined


@settings(max_examples=35)
@given(made_graphs())
def test_made_graphs_of_up_to_140_nodes(adjacency):
    check(adjacency[None], oracle=IGRAPH)


@settings(max_examples=60)
@given(made_graphs(), st.integers(0, 99))
def test_relabelling_and_self_loops_change_nothing(adjacency, seed):
    bare = adjacency & ~np.eye(len(adjacency), dtype=bool)
    order = np.random.default_rng(seed).permutation(len(adjacency))
    found = properties(np.stack([bare, adjacency, bare[np.ix_(order, order)]]), PROPERTIES)
    for name, values in found.items():
        # A matrix whose rows change places has its eigenvalues rounded differently.
        near = 1e-9 if "spectral" in name or name.startswith(("alg", "ram")) else 1e-10
        assert values[0] == values[1], name
        assert values[2] == pytest.approx(values[0], abs=near), name


ODD = {
    "degree_centrality": (1.0, 0.0),
    "eigenvector_centrality": (1.0, 0.5),
    "components": (1.0, 4.0),
}


@pytest.mark.parametrize("name", PROPERTIES)
def test_one_node_and_edgeless_graphs(name):
    one, edgeless = ODD.get(name, (0.0, 0.0))
    for loop in (0, 1):
        single = np.full((2, 1, 1), bool(loop))
        assert properties(single, [name])[name].tolist() == [one, one]
        bare = np.eye(4, dtype=bool)[None] * bool(loop)
        assert properties(bare, [name])[name].tolist() == [edgeless]


def test_equal_components_share_the_eigenvector():
    """Any split is a leading eigenvector; only the even one is the same for every labelling."""
    two = union(nx.complete_graph(4), nx.complete_graph(4))
    unequal = union(nx.complete_graph(4), nx.complete_graph(3))
    found = properties(stack([two]), "eigenvector_centrality")["eigenvector_centrality"]
    assert found == pytest.approx([8**-0.5])
    found = properties(stack([unequal]), "eigenvector_centrality")["eigenvector_centrality"]
    assert found == pytest.approx([4 * 0.5 / 7])


def test_spectra_that_are_known_in_closed_form():
    """Of circulant, bipartite and complete graphs; Brouwer & Haemers (2012), section 1.4."""
    names = ["algebraic_connectivity", "spectral_gap", "spectral_radius", "ramanujan_gap"]
    turn = 2 * np.cos(2 * np.pi / 9)
    cases = [
        (nx.complete_graph(9), [9, 9, 8, 2 * 7**0.5 - 1]),
        (nx.cycle_graph(9), [2 - turn, 2 - turn, 2, 2 - 2 * np.cos(np.pi / 9)]),
        (nx.complete_bipartite_graph(3, 6), [3, 18**0.5, 18**0.5, 2 * 3**0.5 - 18**0.5]),
        (nx.star_graph(8), [1, 8**0.5, 8**0.5, 2 * (7 / 9) ** 0.5 - 8**0.5]),
        (union(nx.path_graph(2), nx.empty_graph(7)), [0, 1, 1, -1]),
    ]
    found = properties(stack([graph for graph, _ in cases]), names)
    wanted = np.array([values for _, values in cases])
    np.testing.assert_allclose(np.column_stack(list(found.values())), wanted, atol=1e-12)


def test_names():
    adjacency = np.zeros((0, 5, 5), dtype=bool)
    assert tuple(properties(adjacency)) == PAPER_FIVE
    assert len(CANDIDATES) == 9
    assert set(PROPERTIES) == set(NETWORKX) == set(IGRAPH)
    assert list(properties(adjacency, ["transitivity", "clustering"])) == [
        "transitivity",
        "clustering",
    ]
    assert properties(adjacency, ()) == {}
    with pytest.raises(UnknownNameError, match="unknown property 'clusterin': did you mean clust"):
        properties(adjacency, ["clusterin"])
    with pytest.raises(UnknownNameError, match="unknown property 'clusterin': did you mean clust"):
        describe(pack(adjacency), ["clusterin"])


def test_the_page_has_the_table_of_the_docstrings():
    """Docstrings are the source: where this fails, put the table that it prints into the page."""
    lines = ["| name | what it is | more |", "|---|---|---|"]
    for name, found in PROPERTIES.items():
        text = inspect.getdoc(found.values).partition(">>>")[0]
        more = " ".join(text.split("\n\n", 1)[1].split())
        what = found.help.replace("|", r"\|")
        lines.append(f"| `{name}` | {what} | {more} |")
    table = "\n".join(lines)
    page = Path(__file__).parents[2] / "docs" / "properties.md"
    assert table in page.read_text(encoding="utf-8"), f"docs/properties.md lacks:\n{table}"


# Batches, streams and threads -----------------------------------------------------------------


def sample(count=11, nodes=20):
    return np.stack([generate("ws_flex", nodes, 2 * nodes, s).adjacency for s in range(count)])


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(property_vectors, "_CHUNK", 3 * 20)


def test_threads_and_batches_change_no_bit(small_chunks):
    adjacency = sample()
    alone = np.array([list(properties(g[None], PROPERTIES).values()) for g in adjacency])
    for threads in (1, 2, None):
        found = properties(adjacency, PROPERTIES, threads=threads)
        assert (alone[:, :, 0] == np.array(list(found.values())).T).all()
        assert (describe(pack(adjacency), PROPERTIES, threads) == alone[:, :, 0]).all()


def test_a_stream_of_stacks_or_graphs_is_one_stack(small_chunks):
    adjacency = sample()
    wanted = properties(adjacency)
    graphs = [RelationalGraph(matrix) for matrix in adjacency]
    for stream in (
        lambda: graphs,
        lambda: iter(graphs),
        lambda: [adjacency[:1], adjacency[1:9], adjacency[9:9], adjacency[9:]],
        lambda: (matrix[None] for matrix in adjacency),
        lambda: adjacency.tolist(),
        lambda: list(adjacency),
        lambda: [torch.from_numpy(adjacency)],
    ):
        for threads in (1, 2):
            found = properties(stream(), threads=threads)
            assert {name: values.tolist() for name, values in found.items()} == {
                name: values.tolist() for name, values in wanted.items()
            }
    assert [len(values) for values in properties(iter(()), "girth").values()] == [0]


def mean_core_number(graph):
    """Return the mean core number of the nodes."""
    return np.mean(list(nx.core_number(graph.to_networkx()).values()))


def test_a_function_of_a_graph_stands_for_a_name(small_chunks):
    adjacency = sample()
    wanted = [mean_core_number(RelationalGraph(matrix)) for matrix in adjacency]
    for threads in (1, 2):
        found = properties(adjacency, ["girth", mean_core_number], threads)
        assert list(found) == ["girth", "mean_core_number"]
        assert found["mean_core_number"].tolist() == wanted
    assert properties(adjacency, mean_core_number)["mean_core_number"].tolist() == wanted
    assert describe(pack(adjacency), [mean_core_number])[:, 0].tolist() == wanted
    assert find_property(mean_core_number).help == "the mean core number of the nodes"
    assert properties(adjacency[:0], mean_core_number)["mean_core_number"].shape == (0,)


def test_one_graph_is_a_batch_of_one():
    graph = RelationalGraph(sample(1)[0])
    for adjacency in (graph, [graph]):
        found = properties(adjacency, "clustering")["clustering"]
        assert found.tolist() == properties(sample(1), "clustering")["clustering"].tolist()


def test_a_stream_is_taken_piece_by_piece(small_chunks):
    """Of a long stream only the chunks under way are held: 3 graphs each, few a thread."""
    adjacency = sample(1)
    drawn, described = 0, 0

    def graphs():
        nonlocal drawn
        for _ in range(60):
            drawn += 1
            yield RelationalGraph(adjacency[0])

    whole = property_vectors._vectors

    def watched(batch, names):
        nonlocal described
        assert drawn - described <= 3 * (2 * 2 + 3)
        described += batch.graphs
        return whole(batch, names)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(property_vectors, "_vectors", watched)
        assert len(properties(graphs(), "girth", threads=2)["girth"]) == 60
    assert described == 60


def test_errors_name_the_graph_of_the_whole_stream(small_chunks):
    wrong = sample()
    wrong[7, 0, 1] ^= True
    for threads in (1, 2):
        with pytest.raises(GraphError, match="graph 7 is not symmetric"):
            properties(wrong, threads=threads)
        with pytest.raises(GraphError, match="graph 7 is not symmetric"):
            properties((g[None] for g in wrong), threads=threads)
    with pytest.raises(GraphError, match="graph 11 has 6 nodes where those before have 20"):
        properties([sample(), sample(2, 6)])
    with pytest.raises(SettingError, match="threads 0 is below 1"):
        properties(sample(), threads=0)


def test_describe_refuses_what_is_not_packed():
    with pytest.raises(GraphError, match=r"rows of shape \(2, 5, 5\) and type bool hold no graphs"):
        describe(np.zeros((2, 5, 5), dtype=bool), ["girth"])
    with pytest.raises(GraphError, match="hold no graphs"):
        describe(np.zeros((2, 65, 1), dtype=np.uint64), ["girth"])


def test_describe_takes_read_only_and_strided_rows():
    rows = pack(sample())
    wanted = describe(rows, PAPER_FIVE)
    rows.setflags(write=False)
    assert (describe(rows, PAPER_FIVE) == wanted).all()
    assert (describe(rows[::2], PAPER_FIVE) == wanted[::2]).all()


@pytest.mark.parametrize("nodes", [0, 1, 6])
def test_an_empty_batch_gives_empty_arrays(nodes):
    found = properties(np.zeros((0, nodes, nodes), dtype=bool), PROPERTIES)
    assert all(values.shape == (0,) for values in found.values())


def test_input_is_left_alone_and_may_be_a_tensor():
    adjacency = np.ones((2, 5, 5), dtype=bool)
    found = properties(adjacency, PROPERTIES)
    assert adjacency.all()
    tensor = properties(torch.from_numpy(adjacency), PROPERTIES)
    assert all((tensor[name] == values).all() for name, values in found.items())


@pytest.mark.parametrize(
    ("adjacency", "message"),
    [
        (np.zeros((4, 4)), r"add one with adjacency\[None\]"),
        (np.zeros((2, 4, 3)), r"\(2, 4, 3\) holds no graphs"),
        (np.zeros(4), "holds no graphs"),
        (3, "holds 3"),
        ((np.zeros((4, 4)) for _ in range(2)), r"add one with adjacency\[None\]"),
        (np.zeros((2, 0, 0)), "at least 1 node"),
        (np.full((1, 2, 2), 2), "holds 2"),
        (np.triu(np.ones((1, 3, 3))), "graph 0 is not symmetric"),
    ],
)
def test_bad_arrays_are_refused(adjacency, message):
    with pytest.raises(GraphError, match=message):
        properties(adjacency)


def test_only_what_is_asked_for_is_computed():
    batch = GraphBatch.of(np.ones((2, 6, 6), dtype=bool))
    PROPERTIES["degree_centrality"].values(batch)
    assert {"triangles", "distances"}.isdisjoint(vars(batch))
    PROPERTIES["clustering"].values(batch)
    assert "distances" not in vars(batch)


def test_graphs_of_2048_nodes():
    """Rows of 32 words: a ring of known numbers, and one with many shortcuts against scipy."""
    ring = np.zeros((2048, 2048), dtype=bool)
    ring[np.arange(2048), (np.arange(2048) + 1) % 2048] = True
    ring |= ring.T
    names = ("girth", "components", "edge_connectivity", "diameter", "eigenvector_centrality")
    found = {name: float(v[0]) for name, v in properties(ring[None], names).items()}
    assert found == {
        "girth": 2048,
        "components": 1,
        "edge_connectivity": 2,
        "diameter": 1024,
        "eigenvector_centrality": pytest.approx(2048**-0.5),
    }
    rng = np.random.default_rng(0)
    dense = np.triu(rng.random((2048, 2048)) < 0.05, 1)
    dense |= dense.T
    names = ("triangles", "average_shortest_path_length", "edge_connectivity", "minimum_degree")
    found = {name: float(v[0]) for name, v in properties(dense[None], names).items()}
    single = dense.astype(np.float32)
    two = single @ single
    assert found["triangles"] == np.sum(two * single, dtype=np.float64) / 6
    near = (two > 0) | dense
    apart = np.where(dense, 1, np.where(near, 2, 3))[~np.eye(2048, dtype=bool)]
    assert (single @ two > 0).all()
    assert found["average_shortest_path_length"] == pytest.approx(apart.mean(), abs=1e-12)
    assert found["edge_connectivity"] == found["minimum_degree"] == dense.sum(axis=1).min()


def test_constant_columns():
    assert constant_columns(np.array([[8.6e-288], [0.0]])).all()  # its variance would be 0
    vectors = np.array([[0.1, 0.0, 1e-8, -4.0], [0.1 + 1e-16, 0.0, 2e-8, -4.0]])
    np.testing.assert_array_equal(constant_columns(vectors), [True, True, False, True])
    np.testing.assert_array_equal(constant_columns(vectors[:0]), [False] * 4)
    base = np.array([1.0, 1.0 + 2e-9, 5.0])
    near = np.column_stack([base * f for f in (0.0, 1.0)] + [1 + base * 4.9e-10, 1 + base * 2e-10])
    assert constant_columns(near).tolist() == [True, False, False, True]

import math

import networkx as nx
import numpy as np
import pytest
import torch

from bogp.database import (
    ALL_PROPERTIES,
    FAMILIES,
    PAPER_SPARSITIES,
    GraphDatabase,
    nearest,
)
from bogp.errors import (
    ConstantPropertyWarning,
    DatabaseError,
    GraphError,
    OutputError,
    SettingError,
    SparsityError,
    UnknownNameError,
)
from bogp.graphs import PAPER_FIVE, PROPERTIES
from bogp.graphs.generators import generate, random_mask
from bogp.graphs.relational import edges_for_sparsity, mask_to_graph
from bogp.keys import derive_seed

SMALL = {
    "nodes": 10,
    "sparsities": (0.6, 0.3),
    "graphs": 7,
    "shape": (16, 20),
    "family": "uniform",
}


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    path = tmp_path_factory.mktemp("database") / "graphs.db"
    with GraphDatabase.build(path, **SMALL) as built:
        yield built


def test_the_plan_is_recorded(database):
    assert (database.nodes, database.shape, database.family) == (10, (16, 20), "uniform")
    assert (database.seed, database.names) == (0, ALL_PROPERTIES)
    assert database.sparsities == (0.3, 0.6)
    assert len(database) == database.expected == 14
    assert database.complete
    with GraphDatabase.open(database.path) as again:
        assert again.plan == database.plan


def test_defaults(tmp_path):
    assert PAPER_SPARSITIES == (0.15, 0.30, 0.45, 0.60, 0.75, 0.90)
    assert set(PAPER_FIVE) < set(ALL_PROPERTIES)
    assert set(PROPERTIES) - set(ALL_PROPERTIES) == {"cycle_length"}  # girth's other name
    assert {"mixed", "uniform", "random_mask"} < set(FAMILIES)
    with GraphDatabase.build(tmp_path / "g.db", nodes=6, graphs=2) as built:
        assert (built.family, built.names) == ("mixed", ALL_PROPERTIES)
        assert built.sparsities == PAPER_SPARSITIES
        assert (built.shape, built.seed) == ((6, 6), 0)


def test_a_record_is_made_again_from_its_seed(database):
    for graph_id in (0, 6, 7, 13):
        record = database.record(graph_id)
        k = graph_id % 7
        assert record.sparsity == (0.3 if graph_id < 7 else 0.6)
        assert record.seed == derive_seed(0, "uniform", 10, record.sparsity, k)
        assert record.edges == edges_for_sparsity(10, record.sparsity, 16, 20)
        assert record.graph == generate("uniform", 10, record.edges, record.seed)
        assert record.graph.edges == record.edges
        assert record.graph.packed() == record.packed
        assert (record.id, record.family, record.parameters) == (graph_id, "uniform", {})
        assert record.mask is None


def test_properties_are_networkx_numbers_of_the_stored_graph(database):
    ids, vectors = database.vectors(("clustering", "cycle_rank", "edge_connectivity"))
    for graph_id, vector in zip(ids, vectors, strict=True):
        graph = database.record(int(graph_id)).graph.to_networkx()
        rank = graph.number_of_edges() - 10 + nx.number_connected_components(graph)
        expected = [nx.average_clustering(graph), rank, nx.edge_connectivity(graph)]
        np.testing.assert_allclose(vector, expected, atol=1e-12)


def test_vectors_by_name_and_sparsity(database):
    ids, everything = database.vectors(database.names)
    np.testing.assert_array_equal(ids, np.arange(14))
    assert ids.dtype == np.int64
    assert everything.dtype == np.float64
    assert everything.shape == (14, len(ALL_PROPERTIES))
    for row in range(14):
        assert list(database.record(row).properties) == list(database.names)
        assert list(database.record(row).properties.values()) == everything[row].tolist()
    np.testing.assert_array_equal(database.vectors()[1], database.vectors(PAPER_FIVE)[1])
    some_ids, some = database.vectors(["transitivity", "clustering"], sparsity=0.6)
    np.testing.assert_array_equal(some_ids, np.arange(7, 14))
    columns = [database.names.index("transitivity"), database.names.index("clustering")]
    np.testing.assert_array_equal(some, everything[7:, columns])
    some[:] = -1.0  # a caller's copy
    assert (database.vectors()[1] >= -1e-9).all()


def test_nearest_is_fetch_over_the_chosen_graphs(database):
    target = {"edge_connectivity": 3.0, "clustering": 0.4}
    found = database.nearest(target, metric="l2", scale="standardised", count=3, sparsity=0.6)
    ids, vectors = database.vectors(tuple(target), 0.6)
    rows, scores = nearest(vectors, [3.0, 0.4], "l2", "standardised", 3)
    assert [n.id for n in found] == ids[rows].tolist()
    assert [n.score for n in found] == scores.tolist()
    assert [n.vector for n in found] == [dict(zip(target, vectors[r], strict=True)) for r in rows]
    own = database.record(4).properties
    assert database.nearest(own, metric="l1")[0].score == 0.0
    with pytest.raises(UnknownNameError, match="'clusterin': did you mean clustering"):
        database.nearest({"clusterin": 0.2})
    with pytest.raises(SettingError, match="names no property"):
        database.nearest({})


def test_a_cosine_search_over_constant_properties_is_a_tie(database):
    target = {"degree_centrality": 0.5}
    assert [n.id for n in database.nearest(target, count=3, sparsity=0.6)] == [7, 8, 9]
    standardised = database.nearest(target, scale="standardised", count=1, sparsity=0.6)
    assert standardised[0].score == 0.0


def test_coverage_and_constants(database):
    _, vectors = database.vectors(("clustering",), 0.6)
    reach = database.coverage(0.6, ["clustering"])["clustering"]
    assert (reach.minimum, reach.maximum) == (vectors.min(), vectors.max())
    assert (reach.median, reach.sd) == (np.median(vectors), vectors.std())
    assert not reach.constant
    dead = database.coverage(0.6)["degree_centrality"]
    assert (dead.constant, dead.sd) == (True, 0.0)
    assert "degree_centrality" in database.constant(sparsity=0.6)
    assert "clustering" not in database.constant(sparsity=0.6)
    assert "degree_centrality" not in database.constant()  # over both sparsities it varies
    assert database.constant(["clustering"], 0.6) == ()


def test_each_constant_property_is_warned_of_by_name(database):
    edges = edges_for_sparsity(10, 0.6, 16, 20)
    with pytest.warns(ConstantPropertyWarning) as caught:
        names = database.warn_constant(("degree_centrality", "clustering"), 0.6)
    assert names == ("degree_centrality",)
    assert [str(warning.message) for warning in caught] == [
        f"degree_centrality is {2 * edges / 90:.4g} in all 7 graphs at sparsity 0.6: "
        "it tells the search nothing there"
    ]
    assert database.warn_constant(("clustering",)) == ()  # and, under this suite, no warning


def test_what_is_not_there_is_refused(database):
    with pytest.raises(UnknownNameError, match="unknown property 'girt'"):
        database.vectors(["girt"])
    with pytest.raises(DatabaseError, match=r"no graphs of sparsity 0.5: choose from 0.3, 0.6"):
        database.vectors(sparsity=0.5)
    with pytest.raises(SparsityError, match=r"sparsity 1\.5 is not in"):
        database.vectors(sparsity=1.5)
    with pytest.raises(DatabaseError, match=r"graph 14 is not in .* from 0 to 13"):
        database.record(14)
    with pytest.raises(DatabaseError, match="graph -1 is not in"):
        database.record(-1)


def test_a_database_without_the_five_searches_what_it_has(tmp_path):
    with GraphDatabase.build(tmp_path / "g.db", **SMALL, names=("transitivity",)) as built:
        assert built.select_names() == ("transitivity",)
        assert built.vectors()[1].shape == (14, 1)
    with GraphDatabase.build(
        tmp_path / "h.db", **SMALL, names=("girth", "clustering", "degree_centrality")
    ) as built:
        assert built.select_names() == ("degree_centrality", "clustering")


def test_random_masks_are_stored_and_made_again_from_their_seeds(tmp_path):
    settings = SMALL | {"shape": (16, 30), "sparsities": (0.9, 0.98), "family": "random_mask"}
    with GraphDatabase.build(tmp_path / "m.db", **settings) as built:
        kept = {0.9: 48, 0.98: 10}
        for graph_id in range(len(built)):
            record = built.record(graph_id)
            mask = record.mask
            assert mask.dtype == torch.bool
            assert mask.shape == (16, 30)
            assert int(mask.sum()) == kept[record.sparsity]
            assert torch.equal(mask, random_mask(16, 30, record.sparsity, record.seed))
            assert record.graph == mask_to_graph(mask, 10)
            assert record.edges == record.graph.edges
        assert len({built.record(k).edges for k in range(7)}) > 1  # the masks decide


@pytest.mark.parametrize(
    ("setting", "error", "sentence"),
    [
        ({"sparsities": (0.5, 1.0)}, SparsityError, "sparsity 1.0 is not in"),
        ({"sparsities": (-0.1,)}, SparsityError, "sparsity -0.1 is not in"),
        ({"sparsities": ()}, SettingError, r"sparsities = \(\): .* at least 1 item"),
        ({"names": ()}, SettingError, r"names = \(\): .* at least 1 item"),
        ({"graphs": 0}, SettingError, "graphs = 0: it should be greater than or equal to 1"),
        ({"nodes": 0}, GraphError, "0 nodes cannot exist"),
        ({"nodes": 17}, GraphError, "17 nodes do not fit .* 16x20: give at most 16 nodes"),
        ({"family": "unifrm"}, UnknownNameError, r"family 'unifrm': did you mean uniform\?"),
        ({"names": ("clusterin",)}, UnknownNameError, "property 'clusterin': did you mean"),
        ({"family": "random_mask", "parameters": {"p": 1}}, SettingError, "takes no parameters"),
        ({"parameters": {"p": float("nan")}}, SettingError, "cannot be recorded"),
        ({"parameters": {"p": object()}}, SettingError, "cannot be recorded"),
        ({"family": "random_mask", "shape": (9, 20)}, GraphError, "at most 9 nodes"),
        ({"family": "mixed", "parameters": {"p": 0.5}}, UnknownNameError, "mixed .* 'p'"),
        ({"family": "mixed", "parameters": {"pilot": 0}}, SettingError, "pilot of 0"),
        (
            {"family": "mixed", "parameters": {"pilot": "many"}},
            SettingError,
            "pilot of 'many' graphs: give a whole",
        ),
        (
            {"family": "mixed", "parameters": {"pilot": math.nan}},
            SettingError,
            "pilot of nan graphs: give a whole",
        ),
        (
            {"family": "mixed", "parameters": {"pilot": math.inf}},
            SettingError,
            "pilot of inf graphs: give a whole",
        ),
        ({"nodes": 8.7}, SettingError, r"nodes = 8\.7: it should be a valid integer"),
        ({"nodes": math.nan}, SettingError, "nodes = nan: it should be a .*"),
        ({"graphs": 3.9}, SettingError, r"graphs = 3\.9: it should be a valid integer"),
        ({"graphs": "3"}, SettingError, "graphs = '3': it should be a valid integer"),
        ({"seed": 0.5}, SettingError, r"seed = 0\.5: it should be a valid integer"),
        ({"shape": (16.5, 20)}, SettingError, r"shape = 16\.5: it should be a valid integer"),
        ({"names": "clusterin"}, UnknownNameError, "property 'clusterin': did you mean clust"),
        ({"family": "mixed", "parameters": {"version": 99}}, SettingError, "version 99"),
        ({"family": "ws_flex", "parameters": {"q": 1}}, UnknownNameError, "parameter 'q'"),
        ({"family": "ws_flex", "parameters": {"p": 7.0}}, GraphError, r"p 7.0 is not in"),
    ],
)
def test_a_bad_setting_leaves_no_file(tmp_path, setting, error, sentence):
    with pytest.raises(error, match=sentence):
        GraphDatabase.build(tmp_path / "g.db", **(SMALL | setting))
    assert list(tmp_path.iterdir()) == []


def test_a_mixed_graph_is_made_again_from_its_record(tmp_path):
    settings = SMALL | {"family": "mixed", "graphs": 60, "names": ("clustering", "triangles")}
    with GraphDatabase.build(tmp_path / "g.db", **settings, parameters={"pilot": 512}) as built:
        kinds = set()
        for record in built.records():
            assert record.family == "mixed"
            assert record.edges == edges_for_sparsity(10, record.sparsity, 16, 20)
            again = generate("mixed", 10, record.edges, record.seed, **record.parameters)
            assert again == record.graph
            assert built.record(record.id) == record
            kinds.add(record.parameters["kind"])
        assert len(kinds) > 5
        reach = built.coverage(0.6, ["clustering"])["clustering"]
    with GraphDatabase.build(tmp_path / "u.db", **(settings | {"family": "uniform"})) as uniform:
        plain = uniform.coverage(0.6, ["clustering"])["clustering"]
    assert reach.maximum - reach.minimum > 1.3 * (plain.maximum - plain.minimum)


def test_parameters_are_recorded_with_their_defaults(tmp_path):
    settings = SMALL | {"family": "stochastic_block"}
    with GraphDatabase.build(tmp_path / "g.db", **settings, parameters={"blocks": 2.0}) as built:
        record = built.record(3)
    assert record.parameters == {"blocks": 2, "contrast": 8.0}
    assert record.graph == generate(
        "stochastic_block", 10, record.edges, record.seed, **record.parameters
    )
    same = {"blocks": 2, "contrast": 8}
    GraphDatabase.build(tmp_path / "g.db", **settings, parameters=same).close()
    with pytest.raises(DatabaseError, match=r'"contrast":8\.0}, not .*"contrast":3.0'):
        GraphDatabase.build(tmp_path / "g.db", **settings, parameters=same | {"contrast": 3})


def test_one_name_or_sparsity_may_stand_alone(tmp_path):
    one = SMALL | {"names": "clustering", "sparsities": 0.5, "nodes": 10.0}
    with GraphDatabase.build(tmp_path / "g.db", **one) as built:
        assert (built.names, built.sparsities, built.nodes) == (("clustering",), (0.5,), 10)
        assert built.vectors("clustering")[1].shape == (7, 1)
        with pytest.raises(UnknownNameError, match="'girth'"):
            built.vectors("girth")
    many = SMALL | {"names": ["clustering"], "sparsities": [0.5]}
    GraphDatabase.build(tmp_path / "g.db", **many).close()  # the same plan


def test_sparsities_are_sorted_and_each_once(tmp_path):
    settings = SMALL | {"sparsities": [0.9, 0.5, 0.90]}
    with GraphDatabase.build(tmp_path / "g.db", **settings) as built:
        assert built.sparsities == (0.5, 0.9)
        assert built.expected == 14


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OutputError, match="cannot write to folder"):
        GraphDatabase.build(tmp_path / "file" / "g.db", **SMALL)
    with GraphDatabase.build(tmp_path / "new" / "deep" / "g.db", **SMALL) as built:
        assert built.complete


def test_a_closed_database_says_so(tmp_path):
    built = GraphDatabase.build(tmp_path / "g.db", **SMALL)
    built.close()
    built.close()
    acts = (
        lambda: len(built),
        built.vectors,
        lambda: built.record(0),
        lambda: list(built.records()),
        lambda: list(built.batches()),
        lambda: built.measured_names,
    )
    for act in acts:
        with pytest.raises(DatabaseError, match="is closed: open it again"):
            act()

import dataclasses
import itertools
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bogp import SearchSettings
from bogp.data import Dataset
from bogp.database import GraphDatabase
from bogp.errors import SparsityError, UnknownNameError
from bogp.graphs import RelationalGraph, graph_to_mask
from bogp.replication import plan
from bogp.replication.jobs import Job
from bogp.replication.one_training import training_job
from bogp.replication.paper import paper_jobs
from bogp.replication.setup import Entry, Inputs, Setup
from bogp.replication.trainings import (
    KINDS,
    graph_job,
    method_job,
    methods_job,
    prune_job,
    search_job,
)
from bogp.sparsify import METHODS
from bogp.training import Recipe, relational_network

RECIPE = Recipe(learning_rate=0.01, batch_size=64, epochs=1)
SHARED = {"model": "mlp:16", "layers": "hidden", "protocol": "paper", "recipe": RECIPE}
SHARED |= {"data": "blank"}


@pytest.fixture(scope="module")
def searched(tmp_path_factory, blank):
    """The blank dataset and a small database."""
    path = tmp_path_factory.mktemp("plan") / "graphs.db"
    with GraphDatabase.build(path, nodes=8, sparsities=(0.5,), graphs=2) as built:
        yield Inputs({"blank": blank}, built)


def other(value):
    """Return a value that is not ``value``, of its kind where it has one."""
    if isinstance(value, bool) or value is None:
        return "other"
    if isinstance(value, (int, float)):
        return value + 1
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, dict):
        name = sorted(value)[0]
        return value | {name: other(value[name])}
    return [*value, "more"]


def leaves(value, path=()):
    """Return the paths of all values inside the fields of a job."""
    if not isinstance(value, dict) or not value:
        return [path]
    return [leaf for name in value for leaf in leaves(value[name], (*path, name))]


def changed(value, path):
    if not path:
        return other(value)
    return value | {path[0]: changed(value[path[0]], path[1:])}


def every_kind(inputs):
    wiring = {"family": "uniform", "nodes": 8, "edges": 12, "graph_seed": 3, "properties": ["x"]}
    wanted = {"trials": 3, "finals": 1, "sparsity": 0.5}
    entry = Entry("", "mlp:8", "blank", RECIPE)
    support = {
        "kind": "a",
        "family": "ws_flex",
        "nodes": 8,
        "density": 0.5,
        "parameters": {"p": 0.1},
    }
    moving = {"method": METHODS["gradual"], "sparsity": 0.5, "support": support}
    return [
        search_job(inputs, engine="paper", **wanted, **SHARED),
        search_job(inputs, **wanted, **SHARED),
        method_job(inputs, "glob5", sparsity=0.5, seed=1, **SHARED),
        method_job(inputs, "dense", sparsity=None, seed=1, **SHARED),
        method_job(inputs, "narrower", sparsity=0.5, seed=1, **SHARED),
        methods_job(inputs, "glob5", sparsity=0.5, seed=1, runs=2, **SHARED),
        prune_job(inputs, sparsity=0.5, seed=1, trials=3, **SHARED),
        graph_job(inputs, sparsity=0.5, seed=1, **wiring, **SHARED),
        plan.network_jobs(Setup(None, data="blank", figure_seeds=1), inputs)[0],
        training_job(inputs, entry, name="within", layers="hidden", seed=1, **moving),
    ]


def test_a_key_changes_with_every_field_at_every_depth(searched):
    assert {job.kind for job in every_kind(searched)} == set(KINDS)
    for job in every_kind(searched):
        for path in leaves(dict(job.fields)):
            assert Job(job.kind, changed(dict(job.fields), path), 1).key != job.key, path
        assert Job("other", job.fields, 1).key != job.key
        # What it costs and where it finds its inputs is no setting.
        assert Job(job.kind, job.fields, 99, "elsewhere", Path("other.db")).key == job.key


def test_a_search_job_holds_every_setting_of_a_search(searched):
    wanted = {"trials": 3, "finals": 1, "sparsity": 0.5}
    pool, paper = (
        search_job(searched, engine=engine, **wanted, **SHARED) for engine in ("pool", "paper")
    )
    settings = {field.name for field in dataclasses.fields(SearchSettings)} - {"final_seeds"}
    held = set(pool.fields) | set(paper.fields)
    assert settings | {"dataset", "database", "finals"} == held
    assert dict(paper.fields["recipe"]) == RECIPE.model_dump()
    assert (paper.trainings, pool.trainings) == (4, 7)  # random search stands beside engine pool


@given(st.dictionaries(st.text(max_size=5), st.integers() | st.floats(-9, 9) | st.text()))
def test_a_key_does_not_depend_on_the_order_of_fields(fields):
    backwards = dict(reversed(list(fields.items())))
    assert Job("graph", fields, 1).key == Job("graph", backwards, 1).key


def test_keys_do_not_depend_on_the_process(inputs, small):
    code = """
import torch
from pathlib import Path
from bogp import SearchSettings
from bogp.data import Dataset
from bogp.replication import plan
from bogp.replication.setup import Inputs, Setup
inputs, targets = torch.zeros(4, 16), torch.tensor([0, 1, 0, 1])
blank = Dataset("blank", inputs, targets, inputs[:2], targets[:2], classes=2)
setup = Setup(Path("elsewhere"), data="blank", seeds=1, workers=7, width=16)
for job in plan.network_jobs(setup, Inputs({"blank": blank})): print(job.key)
"""
    told = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONHASHSEED": "5"},
        capture_output=True,
        text=True,
        check=True,
    )
    setup = dataclasses.replace(small, figure_seeds=10)
    assert told.stdout.split() == [job.key for job in plan.network_jobs(setup, inputs)]


def test_the_same_numbers_under_another_fingerprint_are_another_job(blank):
    inputs, targets = torch.ones(4, 16), torch.tensor([0, 1, 0, 1])
    ones = Dataset("blank", inputs, targets, inputs[:2], targets[:2], classes=2)
    keys = {
        method_job(Inputs({"blank": d}), "glob1", sparsity=0.5, seed=0, **SHARED).key
        for d in (blank, ones)
    }
    assert len(keys) == 2


def test_the_five_node_graphs_are_the_connected_ones_each_once():
    graphs = [graph.to_networkx() for graph in plan.five_node_graphs()]
    assert all(g.number_of_nodes() == 5 and nx.is_connected(g) for g in graphs)
    assert not any(nx.is_isomorphic(a, b) for a, b in itertools.combinations(graphs, 2))
    # OEIS A001349 and, by edges from 4 to 10, A054924.
    assert len(graphs) == 21
    edges = Counter(g.number_of_edges() for g in graphs)
    assert [edges[m] for m in range(4, 11)] == [3, 5, 5, 4, 2, 1, 1]


def test_relabelling_keeps_the_graph_and_follows_the_seed():
    path = RelationalGraph(np.eye(5, k=1) + np.eye(5, k=-1))
    drawn = [plan.relabelled(path, seed) for seed in range(12)]
    assert all(nx.is_isomorphic(g.to_networkx(), path.to_networkx()) for g in drawn)
    assert len(set(drawn)) > 5
    assert plan.relabelled(path, 3) == drawn[3]


def test_networks_wire_all_three_hidden_layers_alike(blank, inputs, small):
    jobs = plan.network_jobs(small, inputs)
    assert len({job.key for job in jobs}) == len(jobs) == 21 * 3
    graphs = plan.five_node_graphs()
    for job in jobs:
        fields = job.fields
        graph = RelationalGraph.from_packed(bytes.fromhex(fields["graph"]), 5)
        assert nx.is_isomorphic(graph.to_networkx(), graphs[fields["atlas"]].to_networkx())
        assert fields["rounds"] == 3
    _, mask = relational_network(graph, 3, 16, blank.features, blank.classes)
    assert len(mask) == 3
    for layer in mask.values():
        assert torch.equal(layer, graph_to_mask(graph, 16, 16))


def test_the_plan_of_table_1(small, searched):
    jobs = paper_jobs("table1", small, searched)
    assert len({job.key for job in jobs}) == len(jobs)
    count = Counter(
        (job.kind, job.fields.get("name", job.fields.get("engine")), job.fields["layers"])
        for job in jobs
    )
    cells = 2 * 5  # sparsities × seeds
    assert count == {
        ("method", "dense", "hidden"): 5,
        ("method", "glob1", "hidden"): cells,
        ("method", "glob5", "hidden"): cells,
        **{("method", name, "all"): cells for name in ("glob1", "glob5", "unif1", "unif5")},
        ("search", "paper", "hidden"): cells,
        ("search", "random", "hidden"): cells,  # beside the first reading only
        ("search", "paper", "all"): cells,
    }
    assert {job.fields["protocol"] for job in jobs} == {"paper"}


def test_all_is_more_than_its_parts(small, searched):
    parts = ("table1", "table2", "fig5", "fig6", "fig7", "fig8")
    keys = {part: {job.key for job in paper_jobs(part, small, searched)} for part in parts}
    assert keys["fig5"] == keys["fig6"] == keys["fig7"]
    assert keys["fig8"] == set()
    assert len(keys["table2"]) == 3 * 5
    every = [job.key for job in paper_jobs("all", small, searched)]
    assert len(set(every)) == len(every)
    assert set().union(*keys.values()) < set(every)


def test_searches_by_l1_and_l2_differ_from_table_1_in_the_metric_alone(small, searched):
    table = {
        (j.fields["sparsity"], j.fields["seed"]): dict(j.fields)
        for j in plan.table1_jobs(small, searched)
        if j.fields.get("engine") == "paper" and j.fields["layers"] == "hidden"
    }
    jobs = plan.metric_jobs(small, searched)
    assert Counter(job.fields["metric"] for job in jobs) == {"l1": 10, "l2": 10}
    for job in jobs:
        place = job.fields["sparsity"], job.fields["seed"]
        assert dict(job.fields) | {"metric": "cosine"} == table[place]


def test_variances_repeat_each_graph_on_each_seed(inputs, small):
    jobs = plan.variance_jobs(small, inputs)
    graphs = Counter((j.fields["graph"], j.fields["sparsity"]) for j in jobs)
    assert set(graphs.values()) == {5}
    assert {j.fields["family"] for j in jobs} == set(plan.MIXED)
    assert len({j.fields["seed"] for j in jobs}) == len(jobs)


def test_a_setup_is_narrowed_to_what_is_replicated(tmp_path):
    with pytest.raises(UnknownNameError, match="hidden"):
        Setup(tmp_path).narrowed((), ("hiden",))
    with pytest.raises(SparsityError, match=r"0\.5 is not replicated: choose from 0\.15"):
        Setup(tmp_path).narrowed([0.5], ())
    narrow = Setup(tmp_path).narrowed([0.9, 0.3, 0.9], ["all"])
    assert (narrow.sparsities, narrow.readings) == ((0.3, 0.9), ("all",))
    assert Setup(tmp_path).narrowed((), ()) == Setup(tmp_path)


def test_the_papers_sizes_are_the_default_and_quick_is_less(tmp_path):
    whole = Setup(tmp_path)
    assert (whole.trials, whole.graphs, whole.width, whole.data) == (20, 1000, 128, "mnist")
    assert whole.sparsities == (0.15, 0.30, 0.45, 0.60, 0.75, 0.90)
    assert whole.alphas == (0.1, 0.15, 0.25, 0.5, 0.75, 0.9)
    less = whole.quick()
    assert less.trials * less.graphs * less.seeds < whole.trials * whole.graphs * whole.seeds / 50
    assert set(less.sparsities) < set(whole.sparsities)
    assert (less.out, less.data, less.recipe_name) == (whole.out, whole.data, whole.recipe_name)

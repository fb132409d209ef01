from dataclasses import replace

import pytest
import torch

from bogp.database import store
from bogp.keys import content_key
from bogp.replication import setup
from bogp.replication.paper import UNIFORM

ROWS = [
    ("nodes", "128"),
    ("shape", "[128,784]"),
    ("sparsities", "[0.15,0.3,0.45,0.6,0.75,0.9,0.95,0.98]"),
    ("graphs", "1000"),
    ("family", '"uniform"'),
    ("seed", "0"),
    (
        "names",
        '["degree_centrality","clustering","edge_connectivity","eigenvector_centrality",'
        '"cycle_rank","average_shortest_path_length","transitivity","betweenness_centrality",'
        '"closeness_centrality","cycle_length"]',
    ),
    ("parameters", "{}"),
]
"""The database's plan in every record that is committed: the key of each hashes it."""


class Stop(Exception):  # noqa: N818  (it is no error)
    pass


def test_the_plan_of_the_database_is_that_of_the_committed_records(tmp_path, blank, monkeypatch):
    wide = {"train_inputs": torch.zeros(4, 784), "test_inputs": torch.zeros(2, 784)}
    mnist = replace(blank, **wide)
    planned = []

    def plan_only(path, plan, progress, threads):
        planned.append(plan)
        raise Stop

    monkeypatch.setattr(setup, "load_dataset", lambda name: mnist)
    monkeypatch.setattr(store, "build_file", plan_only)
    with pytest.raises(Stop):
        setup.prepare(setup.Setup(tmp_path), UNIFORM)
    assert planned[0].rows() == ROWS
    assert content_key(dict(planned[0].rows())) == "288048cc2a61a771"

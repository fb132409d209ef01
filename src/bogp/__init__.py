"""Bayes-optimal neural network pruning using relational graph properties.

The names below are the library; everything else may change between versions. Each is imported
when it is first asked for: torch takes seconds to import, and ``bogp --help`` needs none of it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bogp.data import Dataset as Dataset
    from bogp.data import from_datasets as from_datasets
    from bogp.data import load_dataset as load_dataset
    from bogp.data import split as split
    from bogp.database import GraphDatabase as GraphDatabase
    from bogp.engines import ParetoSearch as ParetoSearch
    from bogp.engines import PoolSampler as PoolSampler
    from bogp.engines import PoolSearch as PoolSearch
    from bogp.errors import BogpError as BogpError
    from bogp.export import compact as compact
    from bogp.export import export_model as export_model
    from bogp.export import to_onnx as to_onnx
    from bogp.graphs import PAPER_FIVE as PAPER_FIVE
    from bogp.graphs import PROPERTIES as PROPERTIES
    from bogp.graphs import RelationalGraph as RelationalGraph
    from bogp.graphs import edges_for_sparsity as edges_for_sparsity
    from bogp.graphs import generate as generate
    from bogp.graphs import graph_to_mask as graph_to_mask
    from bogp.graphs import mask_to_graph as mask_to_graph
    from bogp.graphs import properties as properties
    from bogp.graphs import random_mask as random_mask
    from bogp.graphs.synthesis import Synthesis as Synthesis
    from bogp.masks import Granularity as Granularity
    from bogp.masks import Mask as Mask
    from bogp.masks import PrunableLayer as PrunableLayer
    from bogp.masks import choose_layers as choose_layers
    from bogp.masks import load_mask as load_mask
    from bogp.masks import load_model as load_model
    from bogp.masks import mask_from_torch_prune as mask_from_torch_prune
    from bogp.masks import prunable_layers as prunable_layers
    from bogp.masks import read_mask as read_mask
    from bogp.masks import save_mask as save_mask
    from bogp.masks import save_model as save_model
    from bogp.masks import select as select
    from bogp.masks import with_torch_prune as with_torch_prune
    from bogp.nn import Blocks as Blocks
    from bogp.nn import GraphConv1d as GraphConv1d
    from bogp.nn import GraphConv2d as GraphConv2d
    from bogp.nn import GraphLinear as GraphLinear
    from bogp.nn import GraphMultiheadAttention as GraphMultiheadAttention
    from bogp.nn import to_graph as to_graph
    from bogp.pipeline import Candidate as Candidate
    from bogp.pipeline import Evidence as Evidence
    from bogp.pipeline import FunctionTrainer as FunctionTrainer
    from bogp.pipeline import ModelAnalysis as ModelAnalysis
    from bogp.pipeline import SearchResult as SearchResult
    from bogp.pipeline import TrainingResult as TrainingResult
    from bogp.pipeline import analyze as analyze
    from bogp.pipeline import known_candidate as known_candidate
    from bogp.pipeline import mask as mask
    from bogp.pipeline import prune_and_train as prune_and_train
    from bogp.pipeline import prune_and_train_population as prune_and_train_population
    from bogp.pipeline import screen as screen
    from bogp.pipeline import search as search
    from bogp.pipeline import synthesize as synthesize
    from bogp.pruning import PruneResult as PruneResult
    from bogp.pruning import prune as prune
    from bogp.settings.database import DatabaseSettings as DatabaseSettings
    from bogp.settings.prune import PruneSettings as PruneSettings
    from bogp.settings.search import ScreenSettings as ScreenSettings
    from bogp.settings.search import SearchSettings as SearchSettings
    from bogp.sparsify import DrawnGraph as DrawnGraph
    from bogp.sparsify import Method as Method
    from bogp.sparsify import Moves as Moves
    from bogp.sparsify import Sparsifier as Sparsifier
    from bogp.training import Halving as Halving
    from bogp.training import Recipe as Recipe
    from bogp.training import evaluate as evaluate
    from bogp.training import mlp as mlp
    from bogp.training import relational_network as relational_network
    from bogp.training import structure as structure
    from bogp.training import train as train
    from bogp.training import train_population as train_population

# The same names for the interpreter as above for type checkers; a test compares the two.
_HOMES = {
    name: home
    for home, names in {
        "bogp.data": "Dataset from_datasets load_dataset split",
        "bogp.database": "GraphDatabase",
        "bogp.errors": "BogpError",
        "bogp.export": "compact export_model to_onnx",
        "bogp.graphs": "PAPER_FIVE PROPERTIES RelationalGraph edges_for_sparsity generate "
        "graph_to_mask mask_to_graph properties random_mask",
        "bogp.graphs.synthesis": "Synthesis",
        "bogp.masks": "Granularity Mask PrunableLayer choose_layers load_mask load_model "
        "mask_from_torch_prune prunable_layers read_mask save_mask save_model select "
        "with_torch_prune",
        "bogp.nn": "Blocks GraphConv1d GraphConv2d GraphLinear GraphMultiheadAttention to_graph",
        "bogp.pipeline": "Candidate Evidence FunctionTrainer ModelAnalysis "
        "SearchResult TrainingResult analyze known_candidate mask prune_and_train "
        "prune_and_train_population screen search synthesize",
        "bogp.pruning": "PruneResult prune",
        "bogp.settings.database": "DatabaseSettings",
        "bogp.settings.prune": "PruneSettings",
        "bogp.settings.search": "ScreenSettings SearchSettings",
        "bogp.sparsify": "DrawnGraph Method Moves Sparsifier",
        "bogp.engines": "ParetoSearch PoolSampler PoolSearch",
        "bogp.training": "Halving Recipe evaluate mlp relational_network structure train "
        "train_population",
    }.items()
    for name in names.split()
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bogp' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})

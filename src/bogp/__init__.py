"""Bayes-optimal neural network pruning using relational graph properties.

The names below are the library; everything else may change between versions.
"""

from bogp.data import Dataset as Dataset
from bogp.data import load_dataset as load_dataset
from bogp.data import split as split
from bogp.database import GraphDatabase as GraphDatabase
from bogp.errors import BogpError as BogpError
from bogp.graphs import PAPER_FIVE as PAPER_FIVE
from bogp.graphs import PROPERTIES as PROPERTIES
from bogp.graphs import RelationalGraph as RelationalGraph
from bogp.graphs import edges_for_sparsity as edges_for_sparsity
from bogp.graphs import generate as generate
from bogp.graphs import graph_to_mask as graph_to_mask
from bogp.graphs import mask_to_graph as mask_to_graph
from bogp.graphs import properties as properties
from bogp.graphs import random_mask as random_mask
from bogp.masks import Mask as Mask
from bogp.masks import load_mask as load_mask
from bogp.masks import save_mask as save_mask
from bogp.masks import select as select
from bogp.pipeline import Method as Method
from bogp.pipeline import SearchResult as SearchResult
from bogp.pipeline import SearchSettings as SearchSettings
from bogp.pipeline import baseline as baseline
from bogp.pipeline import prune_and_train as prune_and_train
from bogp.pipeline import search as search
from bogp.training import Recipe as Recipe
from bogp.training import evaluate as evaluate
from bogp.training import mlp as mlp
from bogp.training import relational_network as relational_network
from bogp.training import train as train

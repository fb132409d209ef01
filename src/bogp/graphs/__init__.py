"""Relational graphs: masks, generators and properties."""

from bogp.graphs.generators import GENERATORS as GENERATORS
from bogp.graphs.generators import Generator as Generator
from bogp.graphs.generators import find_generator as find_generator
from bogp.graphs.generators import generate as generate
from bogp.graphs.generators import random_mask as random_mask
from bogp.graphs.property_vectors import CANDIDATES as CANDIDATES
from bogp.graphs.property_vectors import PAPER_FIVE as PAPER_FIVE
from bogp.graphs.property_vectors import PROPERTIES as PROPERTIES
from bogp.graphs.property_vectors import Property as Property
from bogp.graphs.property_vectors import describe as describe
from bogp.graphs.property_vectors import find_property as find_property
from bogp.graphs.property_vectors import properties as properties
from bogp.graphs.relational import RelationalGraph as RelationalGraph
from bogp.graphs.relational import edges_for_sparsity as edges_for_sparsity
from bogp.graphs.relational import graph_to_mask as graph_to_mask
from bogp.graphs.relational import mask_to_graph as mask_to_graph

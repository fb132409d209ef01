"""Engines: they are asked which candidate to train next, and told what came of it."""

from bogp.engines.acquisition import ACQUISITIONS as ACQUISITIONS
from bogp.engines.acquisition import POOL_ACQUISITIONS as POOL_ACQUISITIONS
from bogp.engines.acquisition import Acquisition as Acquisition
from bogp.engines.acquisition import Request as Request
from bogp.engines.acquisition import acquisitions_for as acquisitions_for
from bogp.engines.paper import ENGINES as ENGINES
from bogp.engines.paper import Engine as Engine
from bogp.engines.paper import Observation as Observation
from bogp.engines.paper import Proposal as Proposal
from bogp.engines.paper import Space as Space
from bogp.engines.paper import engine as engine
from bogp.engines.pareto import ParetoSearch as ParetoSearch
from bogp.engines.pool import PoolSearch as PoolSearch
from bogp.engines.sampler import PoolSampler as PoolSampler
from bogp.engines.tradeoff import front as front
from bogp.engines.tradeoff import hypervolume as hypervolume
from bogp.engines.tradeoff import scalarised as scalarised

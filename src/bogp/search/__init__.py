"""Search: the engines that propose masks, and the study that remembers them."""

from bogp.search.engines import ENGINES as ENGINES
from bogp.search.engines import Engine as Engine
from bogp.search.engines import Observation as Observation
from bogp.search.engines import Proposal as Proposal
from bogp.search.engines import Space as Space
from bogp.search.engines import engine as engine
from bogp.search.pareto import ParetoSearch as ParetoSearch
from bogp.search.pool import ACQUISITIONS as ACQUISITIONS
from bogp.search.pool import PoolSearch as PoolSearch
from bogp.search.records import Asked as Asked
from bogp.search.records import Batch as Batch
from bogp.search.records import FinishedTrial as FinishedTrial
from bogp.search.sampler import PoolSampler as PoolSampler
from bogp.search.study import Study as Study
from bogp.search.tradeoff import front as front
from bogp.search.tradeoff import hypervolume as hypervolume
from bogp.search.tradeoff import scalarised as scalarised

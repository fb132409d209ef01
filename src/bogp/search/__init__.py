"""Search: the engines that propose masks, and the study that remembers them."""

from bogp.search.engines import ENGINES as ENGINES
from bogp.search.engines import Engine as Engine
from bogp.search.engines import Observation as Observation
from bogp.search.engines import Proposal as Proposal
from bogp.search.engines import Space as Space
from bogp.search.engines import engine as engine
from bogp.search.study import FinishedTrial as FinishedTrial
from bogp.search.study import Study as Study

"""The pipeline: the one place that composes graphs, masks, data, training and search."""

from bogp.pipeline.populations import PrunedPopulation as PrunedPopulation
from bogp.pipeline.populations import baseline_population as baseline_population
from bogp.pipeline.populations import prune_and_train_population as prune_and_train_population
from bogp.pipeline.pruning import BASELINES as BASELINES
from bogp.pipeline.pruning import GRAPH as GRAPH
from bogp.pipeline.pruning import METHODS as METHODS
from bogp.pipeline.pruning import Method as Method
from bogp.pipeline.pruning import Outcome as Outcome
from bogp.pipeline.pruning import baseline as baseline
from bogp.pipeline.pruning import prune_and_train as prune_and_train
from bogp.pipeline.pruning import support_mask as support_mask
from bogp.pipeline.results import FinalRun as FinalRun
from bogp.pipeline.results import SearchResult as SearchResult
from bogp.pipeline.screen import Screened as Screened
from bogp.pipeline.screen import Screening as Screening
from bogp.pipeline.screen import ScreenSettings as ScreenSettings
from bogp.pipeline.screen import screen as screen
from bogp.pipeline.search import search as search
from bogp.pipeline.synthesis import synthesize as synthesize
from bogp.pipeline.vector_search import SearchSettings as SearchSettings

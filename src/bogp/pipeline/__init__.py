"""The pipeline: the one place that composes graphs, masks, data, training and search."""

from bogp.pipeline.analyze import LayerAnalysis as LayerAnalysis
from bogp.pipeline.analyze import ModelAnalysis as ModelAnalysis
from bogp.pipeline.analyze import analyze as analyze
from bogp.pipeline.candidate import Candidate as Candidate
from bogp.pipeline.candidate import TrainingResult as TrainingResult
from bogp.pipeline.candidate import known_candidate as known_candidate
from bogp.pipeline.evidence import RANDOM as RANDOM
from bogp.pipeline.evidence import WINNER as WINNER
from bogp.pipeline.evidence import Comparison as Comparison
from bogp.pipeline.evidence import Evidence as Evidence
from bogp.pipeline.evidence import Final as Final
from bogp.pipeline.masking import mask as mask
from bogp.pipeline.records import search_record as search_record
from bogp.pipeline.results import FrontPoint as FrontPoint
from bogp.pipeline.results import SearchResult as SearchResult
from bogp.pipeline.rounds import prune_and_train as prune_and_train
from bogp.pipeline.rounds import prune_and_train_population as prune_and_train_population
from bogp.pipeline.screen import Screening as Screening
from bogp.pipeline.screen import screen as screen
from bogp.pipeline.search import search as search
from bogp.pipeline.space import Point as Point
from bogp.pipeline.synthesis import synthesize as synthesize
from bogp.pipeline.trainer import FunctionTrainer as FunctionTrainer
from bogp.pipeline.trainer import PopulationTrainer as PopulationTrainer
from bogp.pipeline.trainer import Trainer as Trainer
from bogp.pipeline.trainer import TrainingTask as TrainingTask

"""The study: what was asked and what came of it, kept in an Optuna storage."""

from bogp.study.records import Asked as Asked
from bogp.study.records import Batch as Batch
from bogp.study.records import FinishedTrial as FinishedTrial
from bogp.study.study import Study as Study

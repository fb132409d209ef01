"""The study: what was asked and what came of it, kept in an Optuna storage."""

from bogp.study.records import Batch as Batch
from bogp.study.records import FinishedTrial as FinishedTrial
from bogp.study.records import PlannedTrial as PlannedTrial
from bogp.study.study import Study as Study

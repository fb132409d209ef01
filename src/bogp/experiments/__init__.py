"""Experiments: the paper's tables and figures, its claims, and the demo."""

from bogp.experiments.demo import DemoResult as DemoResult
from bogp.experiments.demo import run_demo as run_demo
from bogp.experiments.publish import publish as publish
from bogp.experiments.run import PARTS as PARTS
from bogp.experiments.run import Run as Run
from bogp.experiments.run import train_all as train_all
from bogp.experiments.setup import Setup as Setup
from bogp.experiments.setup import quick as quick

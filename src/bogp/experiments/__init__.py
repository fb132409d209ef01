"""Experiments: the paper's tables and figures, its claims, and the demo."""

from bogp.experiments.compare import PART as PART
from bogp.experiments.compare import Comparison as Comparison
from bogp.experiments.compare import compare_methods as compare_methods
from bogp.experiments.compare import comparison_setup as comparison_setup
from bogp.experiments.compare_publish import publish_comparison as publish_comparison
from bogp.experiments.demo import DemoResult as DemoResult
from bogp.experiments.demo import run_demo as run_demo
from bogp.experiments.models import MODELS as MODELS
from bogp.experiments.models import publish_models as publish_models
from bogp.experiments.models import run_models as run_models
from bogp.experiments.publish import publish as publish
from bogp.experiments.run import PARTS as PARTS
from bogp.experiments.run import Run as Run
from bogp.experiments.run import train_all as train_all
from bogp.experiments.setup import Setup as Setup
from bogp.experiments.setup import quick as quick

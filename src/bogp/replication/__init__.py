"""Experiments: the paper's tables and figures, its claims, and the demo."""

from bogp.replication.compare import PART as PART
from bogp.replication.compare import Comparison as Comparison
from bogp.replication.compare import compare_methods as compare_methods
from bogp.replication.compare import comparison_setup as comparison_setup
from bogp.replication.compare_publish import publish_comparison as publish_comparison
from bogp.replication.demo import DemoResult as DemoResult
from bogp.replication.demo import run_demo as run_demo
from bogp.replication.models import MODELS as MODELS
from bogp.replication.models import publish_models as publish_models
from bogp.replication.models import run_models as run_models
from bogp.replication.publish import publish as publish
from bogp.replication.run import PARTS as PARTS
from bogp.replication.run import Run as Run
from bogp.replication.run import train_all as train_all
from bogp.replication.setup import Setup as Setup
from bogp.replication.setup import quick as quick

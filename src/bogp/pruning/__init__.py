"""Prune a model of your own: from model, data and a sparsity to a smaller model and its proof."""

from bogp.pruning.prune import prune as prune
from bogp.pruning.prune import standard_recipe as standard_recipe
from bogp.pruning.result import PruneResult as PruneResult

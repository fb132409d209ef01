"""Prune a model of your own: from model, data and a sparsity to a smaller model and its proof."""

"""Export: a pruned model as a file that others load, its size and latency measured."""

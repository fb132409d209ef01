"""Couplings: which channels of a network go together, by a trace of its calls."""

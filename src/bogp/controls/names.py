"""The controls by name, and what each takes away."""

from __future__ import annotations

SHUFFLE = "layerwise shuffle"
REWIRE = "degree-preserving rewire"
REINITIALISE = "re-initialisation"
INVERT = "inverted scores"
EQUAL = "equal layer densities"
ERK = "ERK"
NO_SUPPORT = "no support"

CONTROLS: dict[str, str] = {
    SHUFFLE: "the winner's mask, its places permuted inside each layer (kernels that are whole "
    "stay whole): takes away which weights are kept, leaves how many of each layer",
    REWIRE: "the winner's graph, edges swapped with every node's degree kept: takes away who is "
    "joined to whom, leaves how many neighbours each node has",
    REINITIALISE: "the winner's mask on other initial weights: takes away the match of mask and "
    "initial weights",
    INVERT: "the winner's graph and criterion, the lowest scores kept first: takes away what the "
    "criterion knows, leaves the graph",
    EQUAL: "a fresh random mask with as many weights of each layer: takes away everything but the "
    "layers' densities (for masks without whole kernels, the layerwise shuffle on another draw)",
    ERK: "a random mask of as many weights, shared out by layer shape alone (Erdős–Rényi-Kernel): "
    "takes away the winner's layer densities too",
    NO_SUPPORT: "the winner's criterion on all weights: takes away the graph",
}
"""What is changed, and what that takes away; in the order of the report."""

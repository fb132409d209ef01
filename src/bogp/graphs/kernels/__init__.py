"""The compiled side of :mod:`bogp.graphs`: bit-packed graphs and the kernels that read them."""

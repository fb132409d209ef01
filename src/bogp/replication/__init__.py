"""The replication: the paper's tables, figures and claims, the comparisons, and the demo.

It is a client of the library and takes public names only. What it can make is in
:mod:`~bogp.replication.replications`, what it can be asked for in :mod:`~bogp.replication.request`.
"""

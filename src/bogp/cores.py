"""How many cores there are to work on."""

from __future__ import annotations

import os

_most: int | None = None
"""What this process leaves the others, if it was told; set once, as a worker starts."""


def use_at_most(cores: int) -> None:
    """Let :func:`available_cores` return no more than this: the share of one process of several."""
    global _most
    _most = max(1, cores)


def available_cores() -> int:
    """Return the number of cores that this process may use.

    >>> available_cores() >= 1
    True
    """
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        cores = os.cpu_count() or 1
    return cores if _most is None else min(cores, _most)

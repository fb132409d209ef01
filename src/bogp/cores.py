"""How many cores there are to work on, and how many threads torch takes."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

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


@contextlib.contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Run a block with torch on ``count`` CPU threads and restore torch's setting after it.

    How many threads torch has may change the last bits of a sum.
    """
    # Imported here because torch takes seconds to import, and counting cores needs none of it.
    import torch

    before = torch.get_num_threads()
    if before == count:  # setting it costs a third of a millisecond
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)

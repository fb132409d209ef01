"""Which channels each node of a layer owns: the one grouping that graphs and masks share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bogp.errors import GraphError


def group_sizes(channels: int, nodes: int) -> npt.NDArray[np.int64]:
    """Return how many channels each node owns, shape (nodes,).

    Groups are contiguous; the first ``channels % nodes`` nodes own one channel more.

    Raises:
        GraphError: there are no nodes, or fewer channels than nodes.

    >>> group_sizes(7, 3).tolist()
    [3, 2, 2]
    """
    if nodes < 1:
        raise GraphError(f"{nodes} nodes cannot own {channels} channels: give at least 1 node")
    if channels < nodes:
        raise GraphError(
            f"{nodes} nodes do not fit {channels} channels: use at most {channels} nodes"
        )
    return channels // nodes + (np.arange(nodes, dtype=np.int64) < channels % nodes)


def channel_nodes(channels: int, nodes: int) -> npt.NDArray[np.int64]:
    """Return the node that owns each channel, shape (channels,).

    Raises:
        GraphError: as :func:`group_sizes`.

    >>> channel_nodes(7, 3).tolist()
    [0, 0, 0, 1, 1, 2, 2]
    """
    return np.repeat(np.arange(nodes, dtype=np.int64), group_sizes(channels, nodes))

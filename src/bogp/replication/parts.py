"""The data of jobs: what a process has loaded and split stays there for its next job."""

from __future__ import annotations

import functools

from bogp.data import Dataset, Split, load_dataset, split


@functools.lru_cache(maxsize=2)
def dataset_of(source: str) -> Dataset:
    """Return the dataset of a name or path."""
    return load_dataset(source)


@functools.lru_cache(maxsize=2)
def split_of(source: str, protocol: str) -> Split:
    """Return the parts of a dataset, split in the way that all jobs share."""
    return split(dataset_of(source), protocol, seed=0)

"""Which examples train, which select among candidates, and which report the result."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from bogp.data.dataset import Dataset
from bogp.errors import SettingError, UnknownNameError, first_line
from bogp.keys import derive_seed

PROTOCOLS = ("holdout", "paper")
"""holdout: select on a split of the training set, report on the test set. paper: train on the whole
training set, select and report on the test set, as the paper did."""


@dataclass(frozen=True, eq=False)
class Split:
    """The three parts of a dataset under one protocol, inputs (N, *shape) and targets of each."""

    train_inputs: torch.Tensor
    train_targets: torch.Tensor
    select_inputs: torch.Tensor
    select_targets: torch.Tensor
    report_inputs: torch.Tensor
    report_targets: torch.Tensor
    protocol: str

    def to(self, device: str | torch.device) -> Split:
        """Return the same parts on a device: ``cpu``, ``cuda``, ``cuda:1``, ``mps`` or another.

        Training and measuring follow the device of their inputs.

        Raises:
            SettingError: there is no such device here.

        >>> from bogp.data import load_dataset
        >>> split(load_dataset("digits"), "holdout", seed=0).to("cpu").train_inputs.device.type
        'cpu'
        """
        usable_device(str(device))
        parts: dict[str, Any] = {
            name: value.to(device)
            for name, value in vars(self).items()
            if isinstance(value, torch.Tensor)
        }
        return replace(self, **parts)


def usable_device(device: str) -> str:
    """Return the name of a device that torch can compute on.

    Raises:
        SettingError: it cannot.
    """
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise SettingError(
            f"device {device!r} cannot be used ({first_line(error)}): give cpu, or one that torch "
            "finds here"
        ) from error
    return device


def split(dataset: Dataset, protocol: str, seed: int, fraction: float = 1 / 6) -> Split:
    """Return the training, selecting and reporting parts of ``dataset``.

    Under "holdout" a dataset's own validation set selects, if it has one. Otherwise the selecting
    part is round(fraction * N) of the N training examples, drawn class by class so that each class
    keeps its share to within one example (token sequences: drawn evenly); the rest trains, both in
    the dataset's order; the test set reports. Under "paper" the whole training set trains, and
    the test set both selects and reports; ``seed`` and ``fraction`` then change nothing.
    Parts that are taken whole share their memory with the dataset.

    Raises:
        UnknownNameError: the protocol is neither.
        SettingError: ``fraction`` is not in (0, 1) or leaves a part without examples.

    >>> from bogp.data import load_dataset
    >>> parts = split(load_dataset("digits"), "holdout", seed=0)
    >>> len(parts.train_inputs), len(parts.select_inputs), len(parts.report_inputs)
    (1197, 240, 360)
    """
    if protocol not in PROTOCOLS:
        raise UnknownNameError("protocol", protocol, PROTOCOLS)
    if not 0 < fraction < 1:
        raise SettingError(f"fraction {fraction} is not in (0, 1): give 1/6, say")
    train = dataset.train_inputs, dataset.train_targets
    test = dataset.test_inputs, dataset.test_targets
    if protocol == "paper":
        return Split(*train, *test, *test, protocol=protocol)
    if dataset.select_inputs is not None and dataset.select_targets is not None:
        own = dataset.select_inputs, dataset.select_targets
        return Split(*train, *own, *test, protocol=protocol)
    count = round(fraction * len(train[0]))
    if not 0 < count < len(train[0]):
        raise SettingError(
            f"fraction {fraction} of {len(train[0])} training examples leaves "
            f"{len(train[0]) - count} to train and {count} to select: both need at least one"
        )
    keep, hold = held_out(train[1], count, derive_seed(seed, "split"))
    select = train[0][hold], train[1][hold]
    return Split(train[0][keep], train[1][keep], *select, *test, protocol=protocol)


def held_out(targets: torch.Tensor, count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the rows of ``targets`` that stay and the ``count`` that are drawn, each ascending.

    Of targets (N,) each class gives its share; of token sequences (N, T) the draw is even.
    """
    labels = targets.cpu().numpy() if targets.dim() == 1 else np.zeros(len(targets), np.int64)
    chosen = stratified_draw(labels, count, seed)
    return torch.from_numpy(np.flatnonzero(~chosen)), torch.from_numpy(np.flatnonzero(chosen))


def stratified_draw(targets: npt.NDArray[np.int64], count: int, seed: int) -> npt.NDArray[np.bool_]:
    """Return a bool array (N,) with ``count`` examples drawn, each class in its share.

    Class c gives floor or ceiling of count * N_c / N (largest remainders, ties to the lowest
    class). The draw sorts by the raw 64-bit output of PCG64, which numpy promises never to change,
    unlike the methods of its Generator.

    >>> targets = np.array([0, 1, 0, 0, 1, 0])
    >>> sorted(targets[stratified_draw(targets, 3, seed=0)].tolist())
    [0, 0, 1]
    """
    sizes = np.bincount(targets)
    whole, rest = np.divmod(sizes * count, len(targets))
    spare = count - int(whole.sum())
    quotas = whole.copy()
    quotas[np.argsort(-rest, kind="stable")[:spare]] += 1
    order = np.argsort(np.random.PCG64(seed).random_raw(len(targets)), kind="stable")
    chosen = np.zeros(len(targets), dtype=np.bool_)
    for label, quota in enumerate(quotas):
        chosen[order[targets[order] == label][:quota]] = True
    return chosen

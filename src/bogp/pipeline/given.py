"""A network of the user's own in a task: what it is called, and how other processes get it."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import inspect
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from bogp.data import Dataset
from bogp.errors import SettingError, first_line
from bogp.training import ModelFactory, initialise, model_factory
from bogp.training.models import is_user_function


@dataclass(frozen=True)
class GivenModel:
    """A network, or a function that makes one, that the user gave as an object.

    Attributes:
        name: of its class.
        fingerprint: of its modules and initial weights; of a function, of what it makes on seed 0.
        fresh: whether each seed has initial weights of its own: so it is with a function. A network
            that is given begins from the weights that it has.
        packed: what another process makes it from; None where only this one can.
    """

    name: str
    fingerprint: str
    fresh: bool
    packed: bytes | None = field(default=None, repr=False)

    def record(self) -> dict[str, Any]:
        """Return what decides a result, as a JSON object."""
        return {"name": self.name, "fingerprint": self.fingerprint, "fresh": self.fresh}

    def factory(self) -> ModelFactory:
        """Return the function that makes the network.

        Raises:
            SettingError: only the process that holds the network can.
        """
        held = _held.get(self.fingerprint)
        source = held[-1] if held else _unpacked(self)
        if isinstance(source, nn.Module):
            return lambda: copy.deepcopy(source)
        return source


ModelSource = str | GivenModel
"""What a search trains: a name of :func:`bogp.training.model_factory`, or an object."""

_held: dict[str, list[nn.Module | ModelFactory]] = {}
"""Fingerprint → the networks of the blocks that run in this process."""


def network_factory(source: ModelSource, dataset: Dataset) -> ModelFactory:
    """Return the function that makes the network of ``source`` for a dataset.

    Raises:
        SettingError: the name is unknown, or the network is another process's alone.
    """
    if isinstance(source, GivenModel):
        return source.factory()
    return model_factory(source, dataset.shape, dataset.classes)


def model_record(source: ModelSource) -> str | dict[str, Any]:
    """Return what decides a result about a source, as JSON."""
    return source.record() if isinstance(source, GivenModel) else source


def own_fingerprint(source: ModelSource, dataset: Dataset) -> dict[str, str]:
    """Return what tells one ``"package.module:function"`` from itself after an edit, as JSON."""
    if isinstance(source, GivenModel) or not is_user_function(source):
        return {}
    return {"model_fingerprint": _fingerprint(_made(network_factory(source, dataset)), False)}


@contextlib.contextmanager
def shared_model(
    model: nn.Module | Callable[[], nn.Module], *, packed: bool = False
) -> Iterator[GivenModel]:
    """Say how tasks get ``model``, for as long as the block runs; it is never changed.

    Args:
        model: the network, or a function that makes one.
        packed: whether other processes need it.

    Raises:
        SettingError: it cannot be copied, or not be sent to other processes, or the function fails
            or makes no network.
    """
    source = _copied(model)
    example = source if isinstance(source, nn.Module) else _made(source)
    given = GivenModel(
        type(example).__name__,
        _fingerprint(example, isinstance(source, nn.Module)),
        not isinstance(source, nn.Module),
        _packed(source, type(example).__name__) if packed else None,
    )
    held = _held.setdefault(given.fingerprint, [])
    held.append(source)
    try:
        yield given
    finally:
        held.remove(source)
        if not held:
            _held.pop(given.fingerprint, None)


def _copied(model: nn.Module | Callable[[], nn.Module]) -> nn.Module | ModelFactory:
    if not isinstance(model, nn.Module):
        if not callable(model):
            raise SettingError(
                f"the model is a {type(model).__name__}: give a torch.nn.Module, or a function "
                "that makes one"
            )
        return model
    try:
        return copy.deepcopy(model)
    except Exception as error:
        raise SettingError(
            f"{type(model).__name__} cannot be copied "
            f"({first_line(error)}): give a function that makes it"
        ) from error


def _made(function: ModelFactory) -> nn.Module:
    try:
        model = initialise(function, 0)
    except Exception as error:
        raise SettingError(
            f"the function that is to make the model failed ({type(error).__name__}: "
            f"{first_line(error)}): "
            "it is called without arguments"
        ) from error
    if not isinstance(model, nn.Module):
        raise SettingError(
            f"the function that is to make the model returned a {type(model).__name__}: return a "
            "torch.nn.Module"
        )
    again = initialise(function, 0)
    if any(p is q for p, q in zip(model.parameters(), again.parameters(), strict=False)):
        raise SettingError(
            f"the function that is to make the model returned one {type(model).__name__} twice: "
            "make a new one in each call, or give the model itself"
        )
    return model


def _fingerprint(model: nn.Module, given: bool) -> str:
    """Return the sha256 of a network's modules and of all its numbers."""
    digest = hashlib.sha256(f"{given} {type(model).__module__} {model!r}".encode())
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    for name, tensor in model.state_dict().items():
        digest.update(f";{name} {tensor.dtype} {tuple(tensor.shape)} {name in frozen}:".encode())
        raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(raw.numpy().tobytes())
    for name, module in model.named_modules():
        plain = {k: v for k, v in vars(module).items() if isinstance(v, bool | int | float | str)}
        plain.pop("training", None)
        digest.update(f";{name} {sorted(plain.items())}".encode())
    for kind in sorted({type(module) for module in model.modules()}, key=lambda k: k.__qualname__):
        if not kind.__module__.startswith("torch."):
            with contextlib.suppress(OSError, TypeError):  # typed in, no file has it
                digest.update(inspect.getsource(kind).encode())
    return digest.hexdigest()


def _packed(source: nn.Module | ModelFactory, name: str) -> bytes:
    try:
        return pickle.dumps(source)
    except Exception as error:
        raise SettingError(
            f"{name} cannot be sent to worker processes "
            f"({first_line(error)}): define it in a module that "
            "they can import, or use one worker"
        ) from error


def _unpacked(model: GivenModel) -> nn.Module | ModelFactory:
    if model.packed is None:
        raise SettingError(
            f"model {model.name!r} is held by another process alone: give package.module:function, "
            "which every process can call"
        )
    return _loaded(model.packed)


@lru_cache(maxsize=2)
def _loaded(packed: bytes) -> nn.Module | ModelFactory:
    try:
        source: nn.Module | ModelFactory = pickle.loads(packed)
    except Exception as error:
        raise SettingError(
            f"a worker process cannot make the model "
            f"({first_line(error)}): define it in a module that it can "
            "import, or use one worker"
        ) from error
    return source

"""The sparsifier: a mask on a model, held and moved through anybody's training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, final

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DataParallel, DistributedDataParallel
from torch.optim import Optimizer

from bogp.errors import MaskError, SettingError
from bogp.masks import Granularity, Mask, check_fits, check_weights
from bogp.sparsify.choice import chosen_method
from bogp.sparsify.hold import Hold
from bogp.sparsify.methods import Method
from bogp.sparsify.mover import Mover, make_mover
from bogp.sparsify.scoring import Examples
from bogp.sparsify.supports import Support


@final
class Sparsifier:
    """Holds a mask on a model while it trains, and moves it by a method's schedule.

    It hangs on the hooks that torch's optimisers call at each step, so that the training loop, its
    loss, its learning rates, mixed precision and clipping stay as they are. Pruned weights are
    exactly zero after every step, and so is what the optimiser remembers of them.

    >>> import bogp
    >>> model = bogp.mlp([8, 16, 2])
    >>> optimizer = torch.optim.Adam(model.parameters())
    >>> sparsifier = Sparsifier(model, optimizer, sparsity=0.5, steps=60)
    >>> for _ in range(60):
    ...     optimizer.zero_grad()
    ...     model(torch.rand(4, 8)).square().mean().backward()
    ...     _ = optimizer.step()
    >>> sparsifier.finish().kept
    80
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        sparsity: float = 0.9,
        method: Method | str = "gradual",
        steps: int | None = None,
        granularity: Granularity | str | None = None,
        block: int | None = None,
        layers: str | Sequence[str] = "all",
        support: Support = None,
        data: Any = None,
        seed: int = 0,
    ) -> None:
        """Put the first mask on ``model``, and begin to hold it.

        Args:
            model: the network; its weights change, its class and the names in its ``state_dict`` do
                not.
            optimizer: moves its parameters.
            sparsity: share of the weights of the chosen layers to remove in the end.
            method: a name of :data:`bogp.sparsify.METHODS`, or a :class:`bogp.Method`.
            steps: steps of the optimiser in the whole training, for a mask that moves.
            granularity: ``"weight"``, ``"block"`` or ``"channel"``, or a
                :class:`bogp.Granularity`, instead of the method's own.
            block: channels of a node, for blocks.
            layers: ``"all"``, ``"hidden"`` (all but the last) or names of parameters.
            support: bounds where weights may be kept (:func:`bogp.sparsify.find_support`).
            data: what criteria that run the network score on, and channels are followed with: a
                batch (inputs, targets), or what yields such batches, of which the first is taken.
            seed: decides all that is random about the mask.

        Raises:
            UnknownNameError, SettingError: a method that bogp does not know, steps that do not fit,
                a criterion without its data, or a weight that the optimiser does not move.
            SparsityError: a sparsity out of range, or more weights to keep than the support has.
            MaskError, GraphError: nothing to prune, weights that are NaN, or a support that does
                not fit.
        """
        chosen = chosen_method(method, granularity=granularity, block=block)
        inner = _unwrapped(model)
        mover = make_mover(
            inner,
            chosen,
            sparsity,
            steps=steps,
            layers=layers,
            support=support,
            seed=seed,
            examples=_examples(data),
        )
        check_weights(inner, tuple(mover.support))
        self._attach(inner, optimizer, mover)

    @classmethod
    def from_mover(cls, model: nn.Module, optimizer: Optimizer, mover: Mover) -> Self:
        """Return the sparsifier that moves the mask of ``model`` by a mover made before."""
        made = cls.__new__(cls)
        made._attach(model, optimizer, mover)
        return made

    def _attach(self, model: nn.Module, optimizer: Optimizer, mover: Mover) -> None:
        check_fits(model, mover.support)
        self._model, self._mover, self._finished = model, mover, False
        self._initial = _copied(model) if any(u.rewind for u in mover.plan.values()) else None
        mover.units.prepare(model)
        self._mask = _agreed(mover.moved(0, model, mover.support))
        held = mover.units.with_carriers(self._mask)
        parameters = {name: model.get_parameter(name) for name in held}
        self._hold = Hold(optimizer, parameters, held, self)

    @property
    def mask(self) -> Mask:
        """The mask at hand."""
        return self._mask

    @property
    def step(self) -> int:
        """Steps of the optimiser taken so far."""
        return self._hold.step

    @property
    def mover(self) -> Mover:
        """What says where the mask moves; its ``plan`` lists every update."""
        return self._mover

    def wants_gradients(self, step: int) -> bool:
        """Return whether the update after ``step`` steps looks at gradients; torch's hook asks."""
        return self._mover.wants_gradients(step)

    def stepped(self, step: int, gradients: Mapping[str, Tensor] | None) -> None:
        """Move the mask if an update is due after ``step`` steps; torch's hook calls it."""
        update = self._mover.plan.get(step)
        if update is None:
            return
        self._take(self._mover.moved(step, self._model, self._mask, gradients))
        if update.rewind and self._initial is not None:
            self._rewind(self._initial)

    def finish(self) -> Mask:
        """End holding, and return the final mask.

        Where training ended before the last update, the mask falls to its final number of weights
        now. The model then has exactly the weights that the mask keeps; others are zero. A second
        call only returns the mask. In data-parallel training all processes call it.
        """
        if not self._finished:
            self._take(self._mover.final(self.step, self._model, self._mask))
            self._hold.clear()
            self._hold.release()
            self._finished = True
        return self._mask

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on: the step and the mask, as tensors and numbers."""
        initial = {} if self._initial is None else {"initial": dict(self._initial)}
        return {"step": self.step, "mask": dict(self._mask), **initial}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state, on a model and an optimiser that have loaded theirs.

        Raises:
            MaskError: the state is of another model, or none of a sparsifier.
        """
        if not {"step", "mask"} <= set(state):
            raise MaskError(
                f"a state of {', '.join(map(repr, state)) or 'nothing'} is none of a sparsifier: "
                "give what its state_dict returned"
            )
        mask = Mask(state["mask"])
        check_fits(self._model, mask)
        if list(mask) != list(self._mask):
            raise MaskError(
                f"the state is of the layers {', '.join(mask)} and this sparsifier prunes "
                f"{', '.join(self._mask)}: make it with the settings that the state was made with"
            )
        self._hold.step = int(state["step"])
        self._initial = state.get("initial", self._initial)
        self._mask = Mask({name: layer.cpu() for name, layer in mask.items()})
        self._hold.set(self._mover.units.with_carriers(self._mask))

    def _take(self, mask: Mask) -> None:
        if mask is not self._mask:
            self._mask = _agreed(mask)
            self._hold.set(self._mover.units.with_carriers(self._mask))
            self._hold.forget_directions()

    @torch.no_grad()
    def _rewind(self, initial: Mapping[str, Tensor]) -> None:
        """Set parameters and buffers to what they were, and forget the optimiser's memory."""
        for name, tensor in _tensors(self._model):
            tensor.copy_(initial[name])
        self._hold.optimizer.state.clear()
        self._hold.clear()


def _examples(data: Any) -> Examples:
    """Return inputs and targets of a batch, or of the first that ``data`` yields."""
    if data is None:
        return None, None
    if not _is_batch(data) and isinstance(data, Iterable) and not isinstance(data, str | Mapping):
        data = next(iter(data), None)
    if isinstance(data, Tensor):
        return data, None
    if not _is_batch(data) or len(data) != 2:
        found = f"{len(data)} tensors" if _is_batch(data) else type(data).__name__
        raise SettingError(
            f"data of {found}: give a batch (inputs, targets), or what yields such batches"
        )
    return data[0], data[1]


def _is_batch(data: Any) -> bool:
    """Return whether data are a tensor or some tensors, and not what yields such."""
    some = data if isinstance(data, tuple | list) else [data]
    return all(isinstance(part, Tensor) for part in some)


def _unwrapped(model: nn.Module) -> nn.Module:
    """Return the network inside what trains one on several devices, or compiles it."""
    while True:
        if isinstance(model, DataParallel | DistributedDataParallel):
            model = model.module
        elif isinstance(inner := getattr(model, "_orig_mod", None), nn.Module):
            model = inner
        else:
            return model


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _copied(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in _tensors(model)}


def _agreed(mask: Mask) -> Mask:
    """Return the mask of the first of all processes that train together, so that all have one."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return mask
    if distributed.get_world_size() == 1:
        return mask
    layers = {}
    for name, layer in mask.items():
        shared = layer.to(torch.uint8).to(_communication_device())
        distributed.broadcast(shared, 0)
        layers[name] = shared.to(layer.device) != 0
    return Mask(layers)


def _communication_device() -> torch.device:
    """Return the device whose tensors the processes exchange: NCCL knows only those on GPUs."""
    nccl = distributed.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if nccl else torch.device("cpu")

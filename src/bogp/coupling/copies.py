"""A masked copy of a model that predicts, and by what the outputs of another differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bogp.errors import ExportError
from bogp.keys import derive_seed
from bogp.masks import Mask, without_torch_prune

Example = Tensor | tuple[Tensor, ...]
"""A batch of a model's input, (N, ...), or of each of its inputs."""


def plain_copy(model: nn.Module, mask: Mask | None = None) -> nn.Module:
    """Return ``model`` as a copy on the CPU in evaluation mode, its pruned weights exactly 0.

    What ``torch.nn.utils.prune`` holds is made permanent in the copy. ``model`` is not changed.

    Raises:
        MaskError: the mask does not fit the model.
        ExportError: a parameter or a buffer is NaN or infinite.
    """
    copied = without_torch_prune(model)[0].cpu().eval()
    if mask is not None:
        mask.apply(copied)
    for name, value in (*copied.named_parameters(), *copied.named_buffers()):
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise ExportError(f"{name!r} holds NaN or infinite values: export a model without them")
    return copied


def parameter_count(model: nn.Module) -> int:
    """Return how many numbers the parameters of a model hold, each shared one once."""
    return sum(parameter.numel() for parameter in model.parameters())


def as_inputs(example: Example) -> tuple[Tensor, ...]:
    """Return an example as the arguments of the model, on the CPU.

    Raises:
        ExportError: the example is no tensor (or tuple of them), or has no rows.
    """
    inputs = (example,) if isinstance(example, Tensor) else tuple(example)
    for each in inputs:
        if not isinstance(each, Tensor) or each.ndim == 0 or len(each) == 0:
            raise ExportError("the example is empty or no tensor: give a batch of inputs, (N, ...)")
    if not inputs:
        raise ExportError("the example is empty: give a batch of inputs, (N, ...)")
    return tuple(each.detach().cpu() for each in inputs)


def outputs_of(model: Callable[..., Any], inputs: tuple[Tensor, ...]) -> list[Tensor]:
    """Return the tensors that ``model`` gives, in their order, whatever holds them."""
    with torch.no_grad():
        return list(_tensors(model(*(each.clone() for each in inputs))))  # in-place layers


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _tensors(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _tensors(each)


def run_example(model: nn.Module, inputs: tuple[Tensor, ...]) -> None:
    """Run the model once.

    Raises:
        ExportError: it fails, or gives no tensor.
    """
    shapes = ", ".join(str(tuple(each.shape)) for each in inputs)
    try:
        found = outputs_of(model, inputs)
    except Exception as error:
        raise ExportError(
            f"the model cannot be run on the example of shape {shapes} ({first_line(error)}): give "
            "an example of its inputs"
        ) from error
    if not found:
        raise ExportError("the model's output holds no tensor: export one that gives tensors")


def checked_difference(
    what: str,
    run: Callable[..., Any],
    dense: nn.Module,
    batches: Iterable[tuple[Tensor, ...]],
    tolerance: float,
) -> float:
    """Return the largest difference between the outputs of ``run`` and of ``dense``.

    Args:
        what: what ``run`` is, in the words of an error: ``"the ONNX file"``.
        run: a function of the model's inputs.
        dense: the model that it must agree with.
        batches: the inputs to compare on.
        tolerance: the largest difference allowed.

    Raises:
        ExportError: ``run`` fails on inputs that the model takes, or differs by more.
    """
    worst = 0.0
    for inputs in batches:
        try:
            found = outputs_of(run, inputs)
        except Exception as error:
            raise ExportError(
                f"{what} cannot be run at batch {len(inputs[0])} ({first_line(error)}): export the "
                "model in another format"
            ) from error
        worst = max(worst, largest_difference(found, outputs_of(dense, inputs)))
    if worst > tolerance:
        raise ExportError(
            f"{what}'s outputs differ by {worst:.2g} from the model's, more than {tolerance:g}: "
            "allow a larger tolerance, or export the model in another format"
        )
    return worst


def largest_difference(ours: list[Tensor], theirs: list[Tensor]) -> float:
    """Return the largest difference of two models' outputs, infinite where they are not alike.

    It is |a - b| over max(1, the largest |b| of that tensor): absolute for outputs of about 1,
    relative for larger ones, which float32 cannot hold to 1e-5.

    >>> largest_difference([torch.tensor([1.5])], [torch.tensor([1.0])])
    0.5
    """
    if [each.shape for each in ours] != [each.shape for each in theirs]:
        return float("inf")
    worst = 0.0
    for a, b in zip(ours, theirs, strict=True):
        if a.numel() == 0:
            continue
        gap = float((a.double() - b.double()).abs().max()) / max(1.0, float(b.abs().max()))
        worst = max(worst, gap if gap == gap else float("inf"))
    return worst


def probes(inputs: tuple[Tensor, ...], seed: int, draws: int = 2) -> Iterator[tuple[Tensor, ...]]:
    """Yield the inputs themselves and ``draws`` seeded random ones of their shapes.

    Real numbers are standard normal; whole numbers lie between the smallest and the largest seen.
    """
    yield inputs
    for draw in range(draws):
        generator = torch.Generator().manual_seed(derive_seed(seed, "probe", draw))
        yield tuple(_random_like(each, generator) for each in inputs)


def _random_like(value: Tensor, generator: torch.Generator) -> Tensor:
    if value.is_floating_point():
        return torch.randn(value.shape, generator=generator).to(value.dtype)
    low, high = int(value.min()), int(value.max())
    return torch.randint(low, high + 1, value.shape, generator=generator).to(value.dtype)


def first_line(error: Exception) -> str:
    """Return what another library's error says, in one line.

    >>> first_line(ValueError("no\\nway"))
    'ValueError: no'
    """
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def rows(inputs: tuple[Tensor, ...], count: int) -> tuple[Tensor, ...]:
    """Return a batch of ``count`` rows, the given ones in turn.

    >>> rows((torch.tensor([[1.0], [2.0]]),), 3)[0].flatten().tolist()
    [1.0, 2.0, 1.0]
    """
    return tuple(each[torch.arange(count) % len(each)] for each in inputs)

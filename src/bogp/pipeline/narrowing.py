"""The narrower network beside the dense one: which it is, and why there may be none."""

from __future__ import annotations

from collections.abc import Sequence

from bogp.data import Dataset
from bogp.errors import SettingError
from bogp.masks import Mask, choose_layers
from bogp.pipeline.given import GivenModel, ModelSource, network_factory
from bogp.sparsity import kept_count
from bogp.training import Narrower, initialise, narrower
from bogp.training.models import is_user_function
from bogp.training.narrower import no_narrower
from bogp.training.structure import multiply_adds

WEIGHTS = "narrower, equal weights"
MULTIPLY_ADDS = "narrower, equal multiply-adds"


def why_no_narrower(source: ModelSource) -> str | None:
    """Return the sentence that says why a network cannot be shrunk; None where it can."""
    if isinstance(source, GivenModel):
        return no_narrower(source.name)
    return no_narrower(source) if is_user_function(source) else None


def narrower_for_sparsity(
    source: ModelSource, dataset: Dataset, layers: str | Sequence[str], sparsity: float
) -> Narrower:
    """Return the network with as many weights as a mask of this sparsity keeps.

    Raises:
        SettingError: ``source`` is a network of the user's own.
        SparsityError: the sparsity is not in [0, 1).
    """
    _check(source)
    model = initialise(network_factory(source, dataset), 0)
    total = sum(model.get_parameter(name).numel() for name in choose_layers(model, layers))
    return _narrower(source, dataset, layers, weights=kept_count(total, sparsity))


def narrower_for_mask(source: ModelSource, dataset: Dataset, mask: Mask) -> dict[str, Narrower]:
    """Return the networks with as many weights and with as many multiply-adds as a masked one.

    They go by ``WEIGHTS`` and ``MULTIPLY_ADDS``, the second only where it is another than the
    first.

    Raises:
        SettingError: ``source`` is a network of the user's own.
    """
    _check(source)
    model = initialise(network_factory(source, dataset), 0)
    _, needed = multiply_adds(model, mask, dataset.train_inputs[:1])
    found = {
        WEIGHTS: _narrower(source, dataset, tuple(mask), weights=mask.kept),
        MULTIPLY_ADDS: _narrower(source, dataset, tuple(mask), multiply_adds=needed),
    }
    if found[MULTIPLY_ADDS] == found[WEIGHTS]:
        del found[MULTIPLY_ADDS]
    return found


def _check(source: ModelSource) -> None:
    if (reason := why_no_narrower(source)) is not None:
        raise SettingError(reason)


def _narrower(
    source: ModelSource,
    dataset: Dataset,
    layers: str | Sequence[str],
    *,
    weights: int | None = None,
    multiply_adds: float | None = None,
) -> Narrower:
    return narrower(
        str(source),
        dataset.train_inputs[:1],
        dataset.classes,
        layers=layers,
        weights=weights,
        multiply_adds=multiply_adds,
    )

"""What a pruned model or file says of its mask, its layers and the paths through it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from bogp.analysis.paths import beside, chain_order, chain_paths, misfit
from bogp.errors import MaskError, SettingError
from bogp.masks import (
    Granularity,
    Mask,
    check_fits,
    check_weights,
    complete_mask,
    prunable_layers,
    read_mask,
    without_torch_prune,
)
from bogp.masks.tensors import read_state
from bogp.training.structure import weights_on_paths

PROJECTIONS = ("q", "k", "v")
"""The matrices that are stacked in the weight of ``nn.MultiheadAttention``, in this order."""

Layouts = Mapping[str, tuple[int, int]]
"""Name of a parameter → groups of its convolution, matrices stacked along its outputs."""


def mask_and_network(
    source: str | os.PathLike[str] | nn.Module | Mask, model: nn.Module | None
) -> tuple[Mask, nn.Module | None]:
    """Return the mask of a source and, where there is one, a plain copy of the network.

    Where it can be told, only weights of layers are in the mask, not embeddings, say.
    """
    if isinstance(source, nn.Module):
        network, masks = without_torch_prune(source)
        found = prunable_layers(network, with_frozen=True)
        if not found:
            raise MaskError(
                f"a {type(source).__name__} has no layer to analyse: give a network with Linear, "
                "Conv1d, Conv2d, Conv3d or MultiheadAttention in it"
            )
        names = [layer.name for layer in found]
        check_weights(network, names)
        state = dict(network.named_parameters())
        return Mask({name: masks.get(name, state[name].detach() != 0) for name in names}), network
    mask = source if isinstance(source, Mask) else _from_file(source)
    if model is None:
        return _in_order(mask), None
    network, _ = without_torch_prune(model)
    check_fits(network, mask)
    kept = {
        layer.name: mask[layer.name]
        for layer in prunable_layers(network, with_frozen=True)
        if layer.name in mask
    }
    if not kept:
        raise MaskError(
            f"the mask of {next(iter(mask))!r} is of no layer of the model: give weights of "
            "Linear, Conv1d, Conv2d, Conv3d or MultiheadAttention"
        )
    return Mask(kept), network


def _in_order(mask: Mask) -> Mask:
    """Return the layers of a mask in the order of the network, as far as that can be told."""
    layers = {name: layer for name, layer in mask.items() if layer.dim() > 1}
    if not layers:
        raise MaskError(
            f"the mask of {next(iter(mask))!r} has one dimension: give a mask of weights with "
            "outputs and inputs"
        )
    order = None
    if beside(layers) is None:  # else a chain would be an accident
        order = chain_order({name: tuple(layer.shape) for name, layer in layers.items()})
    return Mask({name: layers[name] for name in order or layers})


def _from_file(path: str | os.PathLike[str]) -> Mask:
    """Return the mask of a file, whose weights must all be finite numbers."""
    mask = read_mask(path)
    for name, tensor in read_state(path)[0].items():
        if name.removesuffix("_orig") in mask and tensor.is_floating_point():
            wrong = tensor.numel() - int(torch.isfinite(tensor).sum())
            if wrong:
                raise MaskError(
                    f"{wrong} of the {tensor.numel()} weights of {name!r} in {str(path)!r} "
                    f"{'is' if wrong == 1 else 'are'} NaN or infinite: give a model that has not "
                    "diverged"
                )
    # A layer's weight is named so; without the model nothing else tells it from a position
    # embedding, which the zeros of a state dict have among them.
    weights = {name: layer for name, layer in mask.items() if name.endswith("weight")}
    return Mask(weights) if weights else mask


def stored_blocks(path: str | os.PathLike[str]) -> Granularity | None:
    """Return which blocks a file of :func:`bogp.prune` consists of; None where it does not.

    Raises:
        MaskError: the file cannot be read.
    """
    notes = read_state(path)[1]
    method = json.loads(notes.get("settings", "{}")).get("method") or {}
    found = Granularity(**method.get("granularity", {}))
    return found if found.kind == "block" else None


def read_layouts(mask: Mask, model: nn.Module | None) -> Layouts:
    """Return how many groups and stacked matrices each layer of the mask has."""
    if model is not None:
        return {
            layer.name: (layer.groups, layer.parts)
            for layer in prunable_layers(model, with_frozen=True)
        }
    packed = {
        name: name.endswith("in_proj_weight") and layer.shape[0] == 3 * layer.shape[1]
        for name, layer in mask.items()
    }
    return {name: (1, len(PROJECTIONS) if packed[name] else 1) for name in mask}


def all_inputs(mask: Tensor, groups: int) -> Tensor:
    """Return the mask of a grouped convolution over all inputs, (out, in, *kernel).

    The mask given is (out, in / groups, *kernel); what other groups read is False.
    """
    if groups == 1:
        return mask
    outputs, inputs = mask.shape[0] // groups, mask.shape[1]
    whole = torch.zeros(mask.shape[0], inputs * groups, *mask.shape[2:], dtype=torch.bool)
    for group in range(groups):
        rows = slice(group * outputs, (group + 1) * outputs)
        whole[rows, group * inputs : (group + 1) * inputs] = mask[rows]
    return whole


def parts(mask: Tensor, name: str, parts: int) -> dict[str, Tensor]:
    """Return the masks of the matrices that are stacked in a weight, by name."""
    if parts == 1:
        return {name: mask}
    return {
        f"{name}[{letter}]": part
        for letter, part in zip(PROJECTIONS, mask.chunk(parts), strict=True)
    }


def paths_of(
    mask: Mask, network: nn.Module | None, example: Tensor | None
) -> tuple[Mapping[str, Tensor] | None, list[str]]:
    """Return which kept weights are on a path, None where that is unknown, and notes on it.

    Each tensor is (out, in, *kernel) over the inputs of all groups. With a network and an example,
    paths are followed through the network; otherwise the layers are taken for a chain, if their
    shapes allow it.
    """
    layouts = read_layouts(mask, network)
    if network is not None and example is not None:
        live = _network_paths(network, mask, example)
        if live is not None:
            return {name: all_inputs(on, layouts[name][0]) for name, on in live.items()}, []
        return None, [
            "Effective sparsity and dead units are unknown: paths cannot be followed through this "
            "network, as through attention."
        ]
    names = tuple(mask) if network is None else tuple(layouts)
    kept = mask if network is None else {**complete_mask(network, names), **mask}
    whole = {name: all_inputs(kept[name], layouts[name][0]) for name in names}
    shapes = {name: tuple(layer.shape) for name, layer in whole.items()}
    parallel, misfits = beside(names), misfit(shapes, names)
    more = "an example input" if network is not None else "the model and an example input"
    if parallel is not None or misfits is not None:
        return None, [_no_chain(shapes, parallel, misfits, more)]
    chained = dict(zip(names, chain_paths([whole[name] for name in names]), strict=True))
    told = (
        "Dead units and effective sparsity take the layers for a chain, in the order listed, that "
        f"nothing goes round: where something does, give {more} too."
    )
    return (
        {name: torch.from_numpy(chained[name]) for name in mask},
        [] if len(names) == 1 else [told],
    )


def _no_chain(
    shapes: Mapping[str, tuple[int, ...]],
    parallel: str | None,
    misfits: tuple[str, str] | None,
    more: str,
) -> str:
    """Return the note that paths are unknown, and why."""
    why = f"{parallel} is named like a layer that others run beside"
    if parallel is None:
        assert misfits is not None
        before, after = misfits
        why = (
            f"{before} has {shapes[before][0]} outputs and {after} takes {shapes[after][1]} inputs"
        )
    return (
        f"Effective sparsity and dead units are unknown: {why}, so the layers are no chain; give "
        f"{more} too."
    )


def _network_paths(network: nn.Module, mask: Mask, example: Tensor) -> dict[str, Tensor] | None:
    """Return which kept weights are on a path of the network itself; None where that is unknown."""
    inputs = example[:1]
    try:
        with torch.no_grad():
            network.eval()(inputs)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        reason = str(error).splitlines()[0]
        raise SettingError(
            f"an input of shape {tuple(inputs.shape)} and type {inputs.dtype} does not pass "
            f"through the model ({reason}): give an example of what the model takes"
        ) from error
    return weights_on_paths(network, mask, inputs)

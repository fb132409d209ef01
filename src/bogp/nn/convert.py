"""A masked network as one whose block-sparse layers compute only what they keep."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from torch import Tensor, nn

from bogp.coupling.compaction import LayerSize
from bogp.coupling.layers import GatheredLinear
from bogp.errors import MaskError
from bogp.masks import Mask, check_fits, prunable_layers
from bogp.nn.attention import GraphMultiheadAttention, projection_masks, projections
from bogp.nn.blocks import blocks_of_mask
from bogp.nn.conv import GraphConv1d, GraphConv2d
from bogp.nn.costs import DEFAULT, Costs
from bogp.nn.leaving import Left, widened, without_dead
from bogp.nn.linear import GraphLinear
from bogp.nn.plan import GAIN, Kind, Plan, plan_blocks
from bogp.nn.running import Seen, check_outputs, run_noting, timed_gain

Example = Tensor | tuple[Tensor, ...]
"""A batch of a model's input, (N, ...), or of each of its inputs."""

ROWS = 64
"""How many rows a linear layer is taken to get at a time where no example says it."""

PLACES = 1024
"""How many places a convolution is taken to compute at a time where no example says it."""


@dataclass(frozen=True)
class LayerChange:
    """What was done with one layer, or one projection of an attention.

    Attributes:
        name: the module's name; of a projection followed by ``query``, ``key``, ``value`` or
            ``output``.
        kind: what layer it is, one of :data:`bogp.masks.KINDS`.
        done: ``"graph"`` if it is a graph layer now, ``"dense"`` if it stayed.
        plan: how it is computed, see :class:`bogp.nn.Plan`.
        density: the share of its weights that the mask keeps.
        rows: for how many rows at a time that was decided.
        gain: how many times faster it is, as the costs predict or as it was timed; 1 where it
            stayed.
        why: why it stayed, a clause; empty where it did not.

    >>> print(LayerChange("0", "linear", "graph", "window", 0.1, 64, 6.5))
    '0' is a graph layer (window, density 0.1), 6.5 times faster
    >>> print(LayerChange("2", "linear", "dense", "dense", 0.9, 64, 1.0, "dense is quicker"))
    '2' stays dense (density 0.9): dense is quicker
    """

    name: str
    kind: str
    done: Literal["graph", "dense"]
    plan: Kind
    density: float
    rows: int
    gain: float
    why: str = ""

    def __str__(self) -> str:
        if self.done == "dense":
            return f"{self.name!r} stays dense (density {self.density:.3g}): {self.why}"
        return (
            f"{self.name!r} is a graph layer ({self.plan}, density {self.density:.3g}), "
            f"{self.gain:.1f} times faster"
        )


class Converted(NamedTuple):
    """A network of graph layers.

    Attributes:
        model: the network.
        layers: what was done with each layer of the mask.
        removed: the layers that lost channels first, by module name: what they had and have.
        note: a sentence on what kept channels from leaving; empty if nothing did.
    """

    model: nn.Module
    layers: tuple[LayerChange, ...]
    removed: Mapping[str, LayerSize]
    note: str


def to_graph(
    model: nn.Module,
    mask: Mask,
    *,
    example: Example | None = None,
    costs: Costs = DEFAULT,
    timed: bool = False,
    dense: Collection[str] = (),
) -> Converted:
    """Return the network that computes what the masked model does, in graph layers where quicker.

    With an example, channels that the outputs do not depend on leave first, as :func:`bogp.compact`
    removes them; a weight that is exactly 0 counts as pruned there, so that a network which begins
    with zeros is trained before it is converted. Then a layer of whole blocks is replaced where the
    costs predict that it gains a quarter or more; the others stay as they are, their pruned weights
    0. ``model`` is not changed.

    Args:
        model: the network.
        mask: what is pruned; layers that it does not name stay as they are.
        example: inputs (N, ...), or a tuple of them, of the batch size that counts: layers are
            chosen for the rows that they get from it, and the outputs are compared.
        costs: what the parts of a layer take on this machine, see :func:`bogp.nn.measured`.
        timed: whether each layer that the costs would replace is timed, too, against the dense one
            on inputs of the example's shape, and stays where it is not quicker; ``gain`` is then
            what was measured. Without an example nothing is timed.
        dense: names of modules that stay.

    Raises:
        MaskError: the mask is of another model, or no layer of it keeps whole blocks.
        ExportError: the new network cannot be run on the example, or gives other outputs.

    >>> import torch
    >>> from bogp.nn import even_blocks
    >>> ring = torch.eye(32) + torch.eye(32).roll(1, 0) + torch.eye(32).roll(-1, 0)
    >>> layer = nn.Linear(1024, 1024)
    >>> blocks = even_blocks((ring > 0).numpy(), 1024, 1024)
    >>> found = to_graph(nn.Sequential(layer), Mask({"0.weight": blocks.mask()}))
    >>> type(found.model[0]).__name__, found.layers[0].plan
    ('GraphLinear', 'window')
    """
    check_fits(model, mask)
    found = copy.deepcopy(model)
    mask.apply(found)
    inputs = None if example is None else (example,) if isinstance(example, Tensor) else example
    expected, seen = ([], {}) if inputs is None else run_noting(found, inputs)
    left = Left(found, mask, {}, "") if inputs is None else without_dead(found, mask, inputs)
    if inputs is not None and left.removed:
        found, (_, seen) = left.model, run_noting(left.model, inputs)
    choice = _Choice(costs, timed)
    changes: list[LayerChange] = []
    for name, masks in _modules(found, left.mask).items():
        module = found.get_submodule(name)
        make = _attention if isinstance(module, nn.MultiheadAttention) else _layer
        why = _why_it_stays(found, module, name in dense)
        new, done = make(name, module, masks, seen.get(name), choice, why)
        changes += done
        if new is not None:
            found = _replaced(found, module, new)
    if changes and all(each.why == _UNBLOCKED for each in changes):
        raise MaskError(
            "no layer of the mask keeps whole blocks, which graph layers are made of: prune with "
            "block=32"
        )
    _leave_fused_code(found)
    if inputs is not None and any(each.done == "graph" for each in changes):
        check_outputs(found, inputs, expected)
    return Converted(found, tuple(changes), left.removed, left.note)


class _Choice(NamedTuple):
    """What layers are chosen by."""

    costs: Costs
    timed: bool


_UNBLOCKED = "its mask does not keep whole blocks"


def _modules(model: nn.Module, mask: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Return the masks of each module by their names in it, an attention's with its output's."""
    attentions = {
        name for name, module in model.named_modules() if isinstance(module, nn.MultiheadAttention)
    }
    found: dict[str, dict[str, Tensor]] = {}
    layers = {each.name: each.module for each in prunable_layers(model, with_frozen=True)}
    for name, module in model.named_modules():
        if isinstance(module, GatheredLinear):
            layers[f"{name}.weight" if name else "weight"] = name
    for weight, module in layers.items():
        if weight in mask:
            parent = module.rpartition(".")[0]
            owner = parent if parent in attentions and module != parent else module
            own = weight.removeprefix(f"{owner}.") if owner else weight
            found.setdefault(owner, {})[own] = mask[weight]
    return found


def _why_it_stays(model: nn.Module, module: nn.Module, asked: bool) -> str:
    """Return why a module cannot be replaced, or nothing."""
    if asked:
        return "it was asked to"
    mine = {id(each) for each in module.parameters()}
    inside = set(module.modules())
    for other in model.modules():
        if other not in inside and any(id(each) in mine for each in other._parameters.values()):
            return "its weight is shared with another module"
    if isinstance(module, nn.MultiheadAttention):
        if type(module) is not nn.MultiheadAttention:
            return "its class has a forward of its own"
        added = module.bias_k is not None or module.add_zero_attn
        return "it adds keys or values" if added else ""
    if isinstance(module, nn.Conv1d | nn.Conv2d) and module.groups > 1:
        return "it is a grouped convolution"
    if isinstance(module, GatheredLinear):
        return ""
    if not isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
        return "there is no graph layer of its kind"
    known = type(module).forward in (nn.Linear.forward, nn.Conv1d.forward, nn.Conv2d.forward)
    return "" if known else "its class has a forward of its own"


def _plan(kind: str, mask: Tensor, rows: int, costs: Costs) -> Plan | None:
    """Return the plan of a layer; None where its mask does not keep whole blocks."""
    try:
        blocks = blocks_of_mask(mask)
    except MaskError:
        return None
    places = mask[0, 0].numel()
    return plan_blocks(blocks, rows, places=places, costs=costs, windows=kind == "linear")


def _layer(
    name: str,
    module: nn.Module,
    masks: Mapping[str, Tensor],
    seen: Seen | None,
    choice: _Choice,
    why: str,
) -> tuple[nn.Module | None, list[LayerChange]]:
    """Return the graph layer in place of ``module``, None if it stays, and what was done."""
    mask = masks["weight"]
    linear = isinstance(module, nn.Linear | GatheredLinear)
    kind = "linear" if linear else f"conv{mask.ndim - 2}d"
    seen = seen or Seen(ROWS if linear else PLACES)
    if not isinstance(module, GatheredLinear):
        new, change = _changed(name, kind, module, mask, seen, choice, why)
        return new, [change]
    assert seen.shape is not None  # only an example makes such layers
    wide, kept = widened(module, mask, seen.shape[-1])
    new, change = _changed(name, kind, wide, kept, seen, choice, why)
    # What it would take the place of has fewer inputs than the wide layer.
    gain = change.gain * mask.shape[1] / kept.shape[1]
    if new is not None and gain >= GAIN:
        return new, [replace(change, gain=gain)]
    density = float(mask.double().mean())
    stays = change.why or "dense is quicker"
    return None, [replace(change, done="dense", plan="dense", density=density, gain=1.0, why=stays)]


def _attention(
    name: str,
    module: nn.Module,
    masks: Mapping[str, Tensor],
    seen: Seen | None,
    choice: _Choice,
    why: str,
) -> tuple[nn.Module | None, list[LayerChange]]:
    """Return the attention with graph projections, None if it stays, and what was done."""
    assert isinstance(module, nn.MultiheadAttention)
    rows = ROWS if seen is None else seen.rows
    parts: dict[str, Any] = dict(projections(module))
    changes = []
    for part, mask in projection_masks(module, masks).items():
        own = f"{name}.{part}" if name else part
        given = Seen(rows, (rows, parts[part].in_features))
        new, change = _changed(own, "attention", parts[part], mask, given, choice, why)
        changes.append(change)
        parts[part] = parts[part] if new is None else new
    if all(change.done == "dense" for change in changes):
        return None, changes
    return GraphMultiheadAttention.of_parts(module, parts), changes


def _changed(
    name: str,
    kind: str,
    module: nn.Module,
    mask: Tensor,
    seen: Seen,
    choice: _Choice,
    why: str,
) -> tuple[nn.Module | None, LayerChange]:
    """Return the graph layer in place of one layer, None if it stays, and what was done."""
    plan = None if why else _plan(kind, mask, seen.rows, choice.costs)
    why = why or (_UNBLOCKED if plan is None else "")
    if plan is not None and plan.kind != "dense":
        settings: dict[str, Any] = {"rows": seen.rows, "costs": choice.costs, "kind": plan.kind}
        graph = next(made for dense, made in _MADE if isinstance(module, dense))
        new = graph.from_dense(module, mask, **settings)
        gain = plan.gain
        if choice.timed and seen.shape is not None:
            gain = timed_gain(module, new, seen.shape)
        if gain > 1.0:
            density = new.blocks.density
            return new, LayerChange(name, kind, "graph", plan.kind, density, seen.rows, gain)
        why = "dense was measured to be quicker"
    density = float(mask.double().mean())
    why = why or "dense is quicker"
    return None, LayerChange(name, kind, "dense", "dense", density, seen.rows, 1.0, why)


_MADE: tuple[tuple[type[nn.Module], Any], ...] = (
    (nn.Linear, GraphLinear),
    (nn.Conv1d, GraphConv1d),
    (nn.Conv2d, GraphConv2d),
)
"""What each layer becomes."""


def _replaced(model: nn.Module, old: nn.Module, new: nn.Module) -> nn.Module:
    """Return ``model`` with ``new`` wherever ``old`` was, in place."""
    if model is old:
        return new
    for parent in list(model.modules()):
        for attribute, child in parent._modules.items():
            if child is old:
                parent._modules[attribute] = new
    return model


def _leave_fused_code(model: nn.Module) -> None:
    """Keep torch's encoders from their fused code, which reads weights past the layers."""
    graph = (GraphLinear, GraphMultiheadAttention)
    for module in model.modules():
        if any(isinstance(each, graph) for each in module.modules()):
            if isinstance(module, nn.TransformerEncoderLayer):
                module.activation_relu_or_gelu = 0
            elif isinstance(module, nn.TransformerEncoder):
                module.use_nested_tensor = False

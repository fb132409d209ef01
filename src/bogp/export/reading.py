"""What the rules of all calls share: the arguments of a call, and not understanding one."""

from __future__ import annotations

from typing import Any

from torch import fx

from bogp.export.channels import Channels, Flow


def opaque(flow: Flow, node: fx.Node) -> Channels | None:
    """Pin all channels that the node reads; what it gives is not understood."""
    for source in node.all_input_nodes:
        if source in flow.channels:
            flow.units.pin(flow.channels[source].units)
    return None


def source_of(node: fx.Node) -> fx.Node:
    """Return the node's first input."""
    return node.all_input_nodes[0]


def module_of(flow: Flow, node: fx.Node) -> Any:
    """Return the module that a node calls."""
    return flow.module.get_submodule(str(node.target))


def argument(node: fx.Node, position: int, name: str, default: Any = None) -> Any:
    """Return an argument of a call, by position (the tensor being 0) or by name."""
    if len(node.args) > position:
        return node.args[position]
    return node.kwargs.get(name, default)

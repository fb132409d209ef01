"""``bogp analyze``: the wiring of a pruned network, whoever pruned it."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bogp.cli import options
from bogp.cli.common import console, print_json, print_table, say
from bogp.errors import MaskError, SettingError, UnknownNameError
from bogp.files import output_folder, write_atomic

if TYPE_CHECKING:
    from torch import Tensor, nn


def analyze(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="A mask or model (safetensors), or a state dict (.pt, .pth): masks of "
            "torch.nn.utils.prune, or weights that are exactly 0.",
        ),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            help="The network in the file: package.module:function, which returns it, or a name "
            "such as mlp:128 (with --data)."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            "-d",
            help="With --model: a dataset whose inputs the network takes (as for bogp search), so "
            "that paths are followed through the network itself, skip connections included.",
        ),
    ] = None,
    nodes: Annotated[
        int | None,
        typer.Option(
            help="Nodes of each relational graph. Default: the largest power of two that is at "
            "most 64, the layer's outputs and its inputs."
        ),
    ] = None,
    block: Annotated[
        int | None,
        typer.Option(
            metavar="CHANNELS",
            help="Instead of --nodes: the channels of a node, so that a mask of whole blocks is "
            "seen block by block. Default: those of the blocks that bogp prune kept, if it did.",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(help="Least share of kept weights that joins two nodes. Default: any."),
    ] = None,
    layer: Annotated[
        list[str] | None,
        typer.Option("--layer", metavar="NAME", help="Only this layer; repeat for several."),
    ] = None,
    wanted: Annotated[
        list[str] | None,
        typer.Option(
            "--property",
            metavar="NAME",
            help="Only this property (`bogp list properties`); repeat for several.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="PATH",
            help="Write a page with pictures: an .html file, or a folder, which gets report.html "
            "and analysis.json.",
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Show each layer's bipartite and relational graph, dead units and Ramanujan gap.

    A kept weight joins an input of its layer to an output: that is the layer's bipartite graph.
    With the channels in groups, one a node, it is a relational graph, whose properties `bogp
    search` searches over. A unit is dead if no path of kept weights leads to it, or none from it;
    the effective sparsity counts the weights of dead units as pruned.

    Example: bogp analyze pruned.safetensors --property clustering --out report.html
    """
    from bogp.graphs import PROPERTIES

    names = tuple(dict.fromkeys(wanted or PROPERTIES))
    for name in names:
        if name not in PROPERTIES:
            raise UnknownNameError("property", name, PROPERTIES)
    if not file.is_file():
        raise MaskError(f"there is no file {str(file)!r}: give a mask, a model or a state dict")
    folder = None if out is None or out.suffix.lower() in (".html", ".htm") else out
    if out is not None:
        output_folder(folder or out.parent)
    network, example = _network(model, data)

    from bogp.pipeline.analyze import analyze as run_analysis
    from bogp.pipeline.pruned_model import stored_blocks
    from bogp.report.analysis_page import (
        blocks_table,
        properties_table,
        wiring_table,
        write_analysis_page,
    )

    found = run_analysis(
        file,
        model=network,
        example=example,
        nodes=nodes,
        block=block if block is not None or nodes is not None else stored_blocks(file),
        threshold=threshold,
        layers=layer,
    )
    record = {"file": str(file), **found.record(names)}
    if out is not None:
        page = out if folder is None else folder / "report.html"
        command = shlex.join(["bogp", *sys.argv[1:]])
        write_analysis_page(page, found, file.name, names, command)
    if folder is not None:
        write_atomic(folder / "analysis.json", json.dumps(record, indent=2, ensure_ascii=False))
    if as_json:
        print_json(record)
        return
    print_table(wiring_table(found, file.name))
    console.print()
    if any(one.wiring is not None for one in found.layers):
        print_table(blocks_table(found))
        console.print()
    print_table(properties_table(found, names))
    if out is not None:
        say(f"\nwritten to {out}")


def _network(model: str | None, data: str | None) -> tuple[nn.Module | None, Tensor | None]:
    """Return the network that ``model`` names and an input of ``data``; None if not given."""
    if model is None:
        if data is not None:
            raise SettingError(
                f"--data {data!r} says nothing without a network: give --model too, or leave it out"
            )
        return None, None
    from bogp.training.models import is_user_function, model_factory

    if data is not None:
        from bogp.data import load_dataset

        dataset = load_dataset(data)
        shape = tuple(dataset.train_inputs.shape[1:])
        return model_factory(model, shape, dataset.classes)(), dataset.train_inputs[:1]
    if not is_user_function(model):
        raise SettingError(
            f"model {model!r} takes its number of inputs and outputs from a dataset: give --data "
            "too, or package.module:function"
        )
    return model_factory(model, (1,), 2)(), None  # a function is called without arguments

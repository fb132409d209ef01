"""``bogp list``: the names that options take, from the dictionaries that the library uses."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any

import typer

from bogp.cli import options
from bogp.cli.common import console, print_json, say
from bogp.docstrings import summary
from bogp.errors import UnknownNameError


def names(
    kind: Annotated[
        str | None, typer.Argument(metavar="[KIND]", help="Only these: engines, say.")
    ] = None,
    as_json: options.Json = False,
) -> None:
    """List the names that options take: engines, families, properties, recipes and more.

    Example: bogp list properties
    """
    if kind is not None and kind not in KINDS:
        raise UnknownNameError("kind of name", kind, KINDS)
    listed = {name: KINDS[name]() for name in (KINDS if kind is None else (kind,))}
    if as_json:
        print_json(listed)
        return
    for title, entries in listed.items():
        console.print(title, style="bold", markup=False)
        width = max(map(len, entries)) + 2
        for name, meaning in entries.items():
            say(f"  {name:<{width}}{meaning}".rstrip())


def _listed(
    module: str, attribute: str, meaning: Callable[[Any], str] | None = None
) -> dict[str, str]:
    """Return name → meaning of the names that ``module.attribute`` holds.

    What they stand for says what they mean, unless ``meaning`` does. Names that stand for nothing
    have no meaning beside themselves.
    """
    found = getattr(importlib.import_module(module), attribute)
    if not isinstance(found, Mapping):
        return dict.fromkeys(found, "")
    return {name: (meaning or _meaning)(value) for name, value in found.items()}


def _meaning(found: Any) -> str:
    """Return the help of a record, with its source, or what a function says it returns."""
    if not hasattr(found, "help"):
        return summary(found)
    source = getattr(found, "source", None)
    return f"{found.help} ({source})" if source else str(found.help)


def _format(found: Any) -> str:
    return f"{found.help} (needs bogp[{found.needs}])" if found.needs else str(found.help)


def _kind(kind: Any) -> str:
    parameters = ", ".join(parameter.name for parameter in kind.parameters)
    return f"{kind.help}; parameters {parameters or 'none'}"


def _recipe(recipe: Any) -> str:
    size = "full batch" if recipe.batch_size is None else f"batches of {recipe.batch_size}"
    rate = f"learning rate {recipe.learning_rate:g}"
    return f"{recipe.optimizer}, {rate}, {size}, {recipe.epochs} epochs"


def _methods() -> dict[str, str]:
    from bogp.sparsify import METHODS, about_method

    return {name: about_method(name) for name in METHODS}


def _parts() -> dict[str, str]:
    from bogp.replication.replications import REPLICATIONS

    return dict.fromkeys(REPLICATIONS, "")


KINDS: dict[str, Callable[[], dict[str, str]]] = {
    "acquisitions": partial(_listed, "bogp.engines", "POOL_ACQUISITIONS"),
    "controls": partial(_listed, "bogp.controls", "CONTROLS"),
    "criteria": partial(_listed, "bogp.criteria", "CRITERIA"),
    "datasets": partial(_listed, "bogp.data", "DATASETS"),
    "engines": partial(_listed, "bogp.engines", "ENGINES"),
    "families": partial(_listed, "bogp.database", "FAMILIES"),
    "formats": partial(_listed, "bogp.export", "FORMATS", _format),
    "kinds": partial(_listed, "bogp.graphs.mixed_kinds", "KINDS", _kind),
    "methods": _methods,
    "metrics": partial(_listed, "bogp.database", "METRICS"),
    "models": partial(_listed, "bogp.training.models", "MODELS"),
    "parts": _parts,
    "properties": partial(_listed, "bogp.graphs", "PROPERTIES"),
    "protocols": partial(_listed, "bogp.data", "PROTOCOLS"),
    "recipes": partial(_listed, "bogp.training", "RECIPES", _recipe),
    "scales": partial(_listed, "bogp.database", "SCALES"),
    "scopes": partial(_listed, "bogp.masks", "SCOPES"),
}
"""Kind → a function that returns name → meaning; a function, so that ``--help`` imports none."""

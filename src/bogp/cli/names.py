"""``bogp list``: the names that options take, from the dictionaries that the library uses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer

from bogp.cli import options
from bogp.cli.common import console, print_json
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
            console.print(f"  {name:<{width}}{meaning}".rstrip(), markup=False, soft_wrap=True)


def _meanings(functions: dict[str, Callable[..., Any]]) -> dict[str, str]:
    """Return name → what the function's first line says it returns."""
    return {name: summary(function) for name, function in functions.items()}


def _plain(found: Iterable[str]) -> dict[str, str]:
    return dict.fromkeys(found, "")


def _criteria() -> dict[str, str]:
    from bogp.criteria import CRITERIA

    return {
        name: f"{found.help} ({found.source})" if found.source else found.help
        for name, found in CRITERIA.items()
    }


def _datasets() -> dict[str, str]:
    from bogp.data import DATASETS

    return _meanings(dict(DATASETS))


def _engines() -> dict[str, str]:
    from bogp.engines import ENGINES

    return _meanings(dict(ENGINES))


def _families() -> dict[str, str]:
    from bogp.database import FAMILIES
    from bogp.graphs import GENERATORS, random_mask

    return {
        name: GENERATORS[name].help if name in GENERATORS else summary(random_mask)
        for name in FAMILIES
    }


def _formats() -> dict[str, str]:
    from bogp.export import FORMATS

    return {
        name: found.help + (f" (needs bogp[{found.needs}])" if found.needs else "")
        for name, found in FORMATS.items()
    }


def _kinds() -> dict[str, str]:
    from bogp.graphs.mixed_kinds import KINDS

    return {
        name: f"{kind.help}; parameters "
        + (", ".join(parameter.name for parameter in kind.parameters) or "none")
        for name, kind in KINDS.items()
    }


def _methods() -> dict[str, str]:
    from bogp.pipeline import METHODS

    return {
        name: "nothing pruned"
        if method is None
        else f"criterion {method.criterion}, scope {method.scope}, pruning rounds {method.rounds}"
        + (f", schedule {method.schedule}" if method.schedule != "exponential" else "")
        + (", trained before the first" if method.pretrain else "")
        + (", initial weights again after each" if method.rewind else "")
        for name, method in METHODS.items()
    }


def _metrics() -> dict[str, str]:
    from bogp.database import METRICS

    return _meanings(dict(METRICS))


def _models() -> dict[str, str]:
    from bogp.training.models import MODELS

    return {form: family.help for form, family in MODELS.items()}


def _parts() -> dict[str, str]:
    from bogp.replication import MODELS, PART, PARTS

    return _plain((*PARTS, "all", PART, MODELS))


def _properties() -> dict[str, str]:
    from bogp.graphs import PROPERTIES

    return {name: found.help for name, found in PROPERTIES.items()}


def _protocols() -> dict[str, str]:
    from bogp.data import PROTOCOLS

    return _plain(PROTOCOLS)


def _recipes() -> dict[str, str]:
    from bogp.training import RECIPES

    return {
        name: f"{recipe.optimizer}, learning rate {recipe.learning_rate:g}, "
        f"{'full batch' if recipe.batch_size is None else f'batches of {recipe.batch_size}'}, "
        f"{recipe.epochs} epochs"
        for name, recipe in RECIPES.items()
    }


def _scales() -> dict[str, str]:
    from bogp.database import SCALES

    return _plain(SCALES)


def _scopes() -> dict[str, str]:
    from bogp.masks import SCOPES

    return _meanings(dict(SCOPES))


KINDS: dict[str, Callable[[], dict[str, str]]] = {
    "criteria": _criteria,
    "datasets": _datasets,
    "engines": _engines,
    "families": _families,
    "formats": _formats,
    "kinds": _kinds,
    "methods": _methods,
    "metrics": _metrics,
    "models": _models,
    "parts": _parts,
    "properties": _properties,
    "protocols": _protocols,
    "recipes": _recipes,
    "scales": _scales,
    "scopes": _scopes,
}
"""Kind → a function that returns name → meaning; a function, so that ``--help`` imports none."""

"""Options: those that several subcommands share, and those that settings declare."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import types
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import typer

from bogp.settings import Setting, declared

Data = Annotated[
    str,
    typer.Option(
        "--data",
        "-d",
        help="A name (`bogp list datasets`), a folder of IDX files, an .npz file of x_train, "
        "y_train, x_test, y_test, or package.module:function, which returns (train, test) or "
        "(train, validation, test) torch datasets.",
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Nothing on standard error but errors.")]
Json = Annotated[
    bool, typer.Option("--json", help="Print JSON, and only that, on standard output.")
]
Workers = Annotated[
    int, typer.Option("--workers", "-w", min=1, help="Processes; results do not depend on it.")
]
Seed = Annotated[int, typer.Option(help="Master seed: the same seed gives the same result.")]
RecipeName = Annotated[
    str, typer.Option("--recipe", help="Training of each pruning round: `bogp list recipes`.")
]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")]


def from_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that settings declare.

    Each parameter of ``command`` that is a class of settings (:mod:`bogp.settings`) is replaced by
    the options of its fields, and the command is called with the settings made of them. A field
    that is hidden, or that the command has a parameter of its own for, is no option: the command
    puts it in with :func:`dataclasses.replace`.
    """
    hints = get_type_hints(command, include_extras=True)
    own = inspect.signature(command).parameters
    classes = {name: hints[name] for name in own if dataclasses.is_dataclass(hints[name])}
    parameters, fields = [], dict[str, list[Setting]]()
    for name, parameter in own.items():
        if name not in classes:
            parameters.append(parameter.replace(annotation=hints[name]))
            continue
        fields[name] = [
            one for one in declared(classes[name]) if not one.option.hidden and one.name not in own
        ]
        parameters += [_parameter(one) for one in fields[name]]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        made = {
            name: classes[name](**{one.name: _value(one, given.pop(one.name)) for one in chosen})
            for name, chosen in fields.items()
        }
        command(**given, **made)

    typed = [parameter.replace(kind=parameter.KEYWORD_ONLY) for parameter in parameters]
    run.__signature__ = inspect.Signature(typed)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in typed}
    return run


def _parameter(setting: Setting) -> inspect.Parameter:
    """Return a setting as the parameter of which typer makes an option."""
    option = setting.option
    kind = option.kind or _kind(setting.kind)
    default, metavar = setting.default, option.metavar
    if get_origin(kind) is list:
        metavar = metavar or f"<{get_args(kind)[0].__name__}>"
        default, kind = list(default or ()), kind | None
    elif default is dataclasses.MISSING:
        default = inspect.Parameter.empty
    elif default is None:
        kind = kind | None
    info = typer.Option(
        *option.names, help=setting.help, metavar=metavar, rich_help_panel=option.panel
    )
    return inspect.Parameter(
        setting.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=default,
        annotation=Annotated[kind, info],
    )


def _kind(kind: Any) -> Any:
    """Return the type of an option: text for what only Python can give more of.

    >>> _kind(int | None), _kind(tuple[int, ...] | None), _kind(str | tuple[str, ...])
    (<class 'int'>, list[int], <class 'str'>)
    """
    if hasattr(kind, "__metadata__"):
        return _kind(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        parts = [part for part in get_args(kind) if part is not type(None)]
        return str if str in parts else _kind(parts[0])
    if get_origin(kind) is tuple:
        return list[_kind(get_args(kind)[0])]  # type: ignore[misc]
    if get_origin(kind) is Literal or kind not in (int, float, bool, str):
        return str
    return kind


def _value(setting: Setting, given: Any) -> Any:
    """Return what an option was given as the setting has it: no list of none is its default."""
    return setting.default if given in (None, []) else given

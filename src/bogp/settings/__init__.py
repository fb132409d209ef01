"""Settings: each is declared once, and its check, its option and its documentation follow.

A class of settings is a frozen dataclass whose fields say their bounds and their help::

    @settings
    class Walk:
        steps: Annotated[int, Field(ge=1, description="Steps to take.")] = 10

:func:`settings` checks what such a class is given, :func:`declared` lists what it declares: for the
options of the command line (:mod:`bogp.cli.options`) and for the tables of the documentation. The
classes are in :mod:`bogp.settings.search`, :mod:`bogp.settings.method`,
:mod:`bogp.settings.prune` and :mod:`bogp.settings.database`.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, dataclass_transform, get_args, get_type_hints

import pydantic
from pydantic import AfterValidator, BeforeValidator
from pydantic.fields import FieldInfo

from bogp.errors import BogpError, SettingError, UnknownNameError

Class = TypeVar("Class", bound=type)
Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Option:
    """How a setting appears on the command line, where its name alone does not say it.

    Attributes:
        names: of the option, ``("--sparsity", "-s")``; without any it is ``--`` and the name.
        panel: heading of the help under which it stands.
        metavar: what the help calls its value.
        kind: what the option reads, where the type does not say it: list[str] of several texts.
        hidden: True of a setting that the command line does not have.
    """

    names: tuple[str, ...] = ()
    panel: str | None = None
    metavar: str | None = None
    kind: Any = None
    hidden: bool = False


@dataclass(frozen=True)
class Setting:
    """One setting as its class declares it.

    Attributes:
        name: of the field.
        kind: its type, without what :class:`typing.Annotated` adds.
        default: what it is if it is not given; ``dataclasses.MISSING`` where it must be.
        help: what it is for, in a sentence or two.
        option: how the command line has it.
    """

    name: str
    kind: Any
    default: Any
    help: str
    option: Option


def _several(value: Any) -> Any:
    """Return a list as a tuple, and what stands alone as a tuple of it."""
    alone = isinstance(value, str) or not isinstance(value, Iterable)
    return (value,) if alone else tuple(_plain(entry) for entry in value)


def checked_by(home: str, *, keep: bool = False) -> AfterValidator:
    """Return the check of a setting by a function, which is imported when there is one to check.

    Args:
        home: of the function, as ``"package:name"``; its own errors say what is wrong. None is
            not checked.
        keep: whether the value stays what it is, and is not what the function returns.
    """

    def check(value: Any) -> Any:
        found = None if value is None else _imported(home)(value)
        return value if keep else found

    return AfterValidator(check)


def named_in(kind: str, home: str) -> AfterValidator:
    """Return the check that a setting is a name in a collection, imported when there is a name.

    Args:
        kind: what the collection holds, for the error.
        home: of the collection, as ``"package:name"``.
    """

    def check(value: Any) -> Any:
        names = _imported(home)
        if value not in names:
            raise UnknownNameError(kind, value, names)
        return value

    return AfterValidator(check)


def _imported(home: str) -> Any:
    module, _, name = home.partition(":")
    return getattr(importlib.import_module(module), name)


Several = Annotated[tuple[Entry, ...], BeforeValidator(_several)]
"""A tuple that may be given as a list, or as the only one of its values."""


@dataclass_transform(kw_only_default=True, frozen_default=True)
def settings(cls: Class) -> Class:
    """Make a class of annotated fields a frozen dataclass that checks what it is given.

    A value of the wrong type, a number out of bounds and an unknown name are a
    :class:`bogp.errors.SettingError` of one sentence. Integers and floats of NumPy are taken for
    Python's; True and False are no numbers.

    >>> @settings
    ... class Walk:
    ...     steps: Annotated[int, pydantic.Field(ge=1, description="Steps to take.")] = 10
    >>> Walk(steps=3).steps, Walk.steps
    (3, 10)
    >>> Walk(steps=0)
    Traceback (most recent call last):
    bogp.errors.SettingError: steps = 0: it should be greater than or equal to 1
    """
    config = pydantic.ConfigDict(
        extra="forbid", strict=True, validate_default=True, arbitrary_types_allowed=True
    )
    made: Any = pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=config)(cls)
    checked: Callable[..., None] = made.__init__

    def init(self: Any, **values: Any) -> None:
        try:
            checked(self, **{name: _plain(value) for name, value in values.items()})
        except pydantic.ValidationError as error:
            raise _readable(error, type(self)) from None

    init.__qualname__ = checked.__qualname__  # what Python's own errors call it
    made.__init__ = init
    return made  # type: ignore[no-any-return]


def declared(cls: type) -> tuple[Setting, ...]:
    """Return the settings of a class, in the order in which it declares them.

    >>> @settings
    ... class Walk:
    ...     steps: Annotated[int, pydantic.Field(ge=1, description="Steps to take.")] = 10
    >>> [(one.name, one.kind.__name__, one.default, one.help) for one in declared(Walk)]
    [('steps', 'int', 10, 'Steps to take.')]
    """
    hints = get_type_hints(cls, include_extras=True)
    return tuple(_setting(field, hints[field.name]) for field in dataclasses.fields(cls))


def check_is(chosen: Any, cls: type) -> None:
    """Raise SettingError if ``chosen`` is no ``cls``, a number or a dict say."""
    if not isinstance(chosen, cls):
        raise SettingError(
            f"settings = {chosen!r}: give a bogp.{cls.__name__}, {cls.__name__}(sparsity=0.9) say"
        )


def as_arguments(chosen: Any) -> dict[str, Any]:
    """Return settings by name, for a function that spells them as arguments."""
    return {one.name: getattr(chosen, one.name) for one in declared(type(chosen))}


def _setting(field: dataclasses.Field[Any], hint: Any) -> Setting:
    kind, *extras = get_args(hint) if hasattr(hint, "__metadata__") else (hint,)
    texts = [each.description for each in extras if isinstance(each, FieldInfo)]
    options = [each for each in extras if isinstance(each, Option)]
    default = field.default
    if isinstance(default, FieldInfo):
        default = dataclasses.MISSING if default.is_required() else default.get_default()
    # What is said nearest to the field counts: an alias may have said something before.
    help_text = [text for text in texts if text][-1:] or [""]
    return Setting(field.name, kind, default, help_text[0], [Option(), *options][-1])


def _plain(value: Any) -> Any:
    """Return a number of NumPy's as one of Python's."""
    scalar = type(value).__module__ == "numpy" and getattr(value, "ndim", 1) == 0
    return value.item() if scalar else value


def _readable(error: pydantic.ValidationError, cls: type) -> BogpError:
    """Return the first thing that is wrong as an error of one sentence."""
    first = error.errors()[0]
    name, given = str(first["loc"][0]), first["input"]
    known = {one.name: one for one in declared(cls)}
    if first["type"] == "unexpected_keyword_argument":
        return SettingError(f"there is no setting {name!r}: there are {', '.join(known)}")
    if first["type"].startswith("missing"):
        return SettingError(f"{name} is not given: the settings are {', '.join(known)}")
    if first["type"] == "literal_error" and isinstance(given, str):
        return UnknownNameError(name, given, get_args(known[name].kind))
    message = first["msg"].replace("Input should", "it should")
    return SettingError(f"{name} = {given!r}: {message[0].lower()}{message[1:]}")

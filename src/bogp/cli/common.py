"""What the subcommands share: the two consoles, progress, and the reading of option values."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bogp.errors import SettingError

console = Console(highlight=False)
"""Results, on standard output."""

error_console = Console(stderr=True, highlight=False)
"""Progress and errors, on standard error, so that results can be piped."""

_SECONDS_BETWEEN_LINES = 10.0


@contextlib.contextmanager
def progress_bar(description: str, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """Yield a ``progress(done, total)`` that draws a bar with ETA on standard error.

    Nothing is drawn if ``quiet``; where standard error is no terminal it is a plain line at the
    first call, every ten seconds and at the end.
    """
    with progress_bars((description,), quiet) as (progress,):
        yield progress


@contextlib.contextmanager
def progress_bars(
    descriptions: Sequence[str], quiet: bool = False
) -> Iterator[tuple[Callable[[int, int], None], ...]]:
    """Yield one ``progress(done, total)`` a description, as :func:`progress_bar` draws them.

    A bar shows once its first step is reported.
    """
    if quiet:
        yield (_ignore,) * len(descriptions)
    elif error_console.is_terminal:
        with _bar() as bar:
            yield tuple(_drawer(bar, description) for description in descriptions)
    else:
        yield tuple(_line_printer(description) for description in descriptions)


def print_json(value: Any) -> None:
    """Print ``value`` as indented JSON on standard output, without colour or wrapping."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def parse_shape(text: str) -> tuple[int, int]:
    """Return (out_features, in_features) of a text such as ``128x784``.

    Raises:
        SettingError: the text is not two whole numbers joined by x.

    >>> parse_shape("128x784")
    (128, 784)
    """
    parts = text.lower().replace("×", "x").split("x")
    if len(parts) != 2 or not all(part.strip().isdecimal() for part in parts):
        raise SettingError(
            f"shape {text!r} is not two whole numbers: write OUTxIN, 128x784 for a layer of 784 "
            "inputs and 128 outputs"
        )
    return int(parts[0]), int(parts[1])


def parse_pairs(texts: Iterable[str], option: str) -> dict[str, float]:
    """Return name → number of texts such as ``clustering=0.2``, given to ``option``.

    Raises:
        SettingError: a text is not NAME=VALUE with a number, or a name comes twice.

    >>> parse_pairs(["clustering=0.2", "edge_connectivity=5"], "--property")
    {'clustering': 0.2, 'edge_connectivity': 5.0}
    """
    pairs: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        name = name.strip()
        try:
            number = float(value)
        except ValueError:
            raise SettingError(
                f"{option} {text!r} is not NAME=VALUE with a number: "
                f"write {option} clustering=0.2, say"
            ) from None
        if name in pairs:
            raise SettingError(f"{option} {name!r} is given twice: give one value for it")
        pairs[name] = number
    return pairs


def _ignore(done: int, total: int) -> None:
    """Draw nothing."""


def _bar() -> Progress:
    """Return the bar that every command draws."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        console=error_console,
    )


def _drawer(bar: Progress, description: str) -> Callable[[int, int], None]:
    """Return the progress callable of a bar."""
    task = bar.add_task(description, total=None, visible=False)
    started = False

    def progress(done: int, total: int) -> None:
        nonlocal started
        if started:
            bar.update(task, completed=done, total=total)
        else:  # what an earlier run did is not speed: the ETA counts from here
            bar.reset(task, completed=done, total=total, visible=True)
            started = True

    return progress


def _line_printer(description: str) -> Callable[[int, int], None]:
    """Return a progress callable that prints a plain line now and then."""
    last: float | None = None

    def progress(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if last is None or done >= total or now - last >= _SECONDS_BETWEEN_LINES:
            last = now
            error_console.print(f"{description}: {done} of {total}", markup=False)

    return progress

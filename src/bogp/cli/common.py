"""What the subcommands share: the two consoles, progress, and the reading of option values."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import typer
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from bogp.errors import SettingError

if TYPE_CHECKING:
    from rich.table import Table as RichTable

    from bogp.tables import Table

console = Console(highlight=False)
"""Results, on standard output."""

error_console = Console(stderr=True, highlight=False)
"""Progress and errors, on standard error, so that results can be piped."""

_SECONDS_BETWEEN_LINES = 10.0


class InterruptionError(Exception):
    """Ctrl-C; the message says what is kept and how to go on."""


@contextlib.contextmanager
def interruptible(kept: str) -> Iterator[None]:
    """Turn a Ctrl-C in the block into :class:`InterruptionError`, which says what is ``kept``."""
    try:
        yield
    except KeyboardInterrupt:
        raise InterruptionError(kept) from None


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


def say(*lines: str) -> None:
    """Print lines on standard output as they are, without markup and unbroken on any screen."""
    for line in lines:
        console.print(line, markup=False, soft_wrap=True)


def print_table(table: Table) -> None:
    """Print a table of results on standard output, in parts where the screen is too narrow.

    Each part repeats the first column, which names the rows, so that no cell is ever broken.
    """
    console.print(table.title, markup=False, style="bold")
    for part in _parts(_counts_in_heads(table), console.width):
        console.print(part)
        console.print()
    for note in table.notes:
        console.print(note, markup=False)


def _counts_in_heads(table: Table) -> Table:
    """Return ``table`` with (n=5) in the head of a column whose intervals all end in it."""
    columns, texts = list(table.columns), table.texts()
    rows = [list(row) for row in table.rows]
    for index, name in enumerate(table.headings):
        cells = [row[index] for row in texts]
        counts = {cell.partition(" (n=")[2] for cell in cells}
        if len(counts) == 1 and (count := counts.pop()):
            columns[index] = f"{name} (n={count}"
            for row, cell in zip(rows, cells, strict=True):
                row[index] = cell.partition(" (n=")[0]
    return dataclasses.replace(table, columns=columns, rows=rows)


def _parts(table: Table, width: int) -> list[RichTable]:
    """Return ``table`` as tables of at most ``width`` characters, if one more column fits each."""
    parts: list[RichTable] = []
    left = list(range(1, len(table.columns)))
    while left or not parts:
        count = len(left)
        while count > 1 and _width(_columns(table, left[:count])) > width:
            count -= 1
        parts.append(_columns(table, left[:count]))
        left = left[count:]
    return parts


def _columns(table: Table, chosen: Sequence[int]) -> RichTable:
    """Return the first column and the ``chosen`` ones, without title and notes."""
    kept = (0, *chosen)
    part = dataclasses.replace(
        table,
        columns=[table.columns[index] for index in kept],
        rows=[[row[index] for index in kept] for row in table.rows],
    ).to_rich()
    part.title = part.caption = None
    part.box, part.pad_edge, part.show_edge = box.SIMPLE_HEAD, False, False
    return part


def _width(table: RichTable) -> int:
    """Return the characters that a table needs to break no cell."""
    return Measurement.get(console, console.options.update(max_width=10_000), table).maximum


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


def generator_parameters(texts: Iterable[str]) -> dict[str, Any]:
    """Return the parameters of a family, whole numbers as int; ``kind`` is a name, no number.

    Raises:
        SettingError: a text is not NAME=VALUE, or a name comes twice.

    >>> generator_parameters(["kind=small_world", "p=0.1", "blocks=4"])
    {'kind': 'small_world', 'p': 0.1, 'blocks': 4}
    """
    texts = list(texts)
    kinds = [text for text in texts if text.partition("=")[0].strip() == "kind"]
    if len(kinds) > 1:
        raise SettingError("--parameter 'kind' is given twice: give one value for it")
    named = {"kind": kinds[0].partition("=")[2].strip()} if kinds else {}
    pairs = parse_pairs((text for text in texts if text not in kinds), "--parameter")
    numbers = {name: int(v) if v.is_integer() else v for name, v in pairs.items()}
    return {**named, **numbers}


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
        every = total or None  # 0 where nobody knows yet
        if started:
            bar.update(task, completed=done, total=every)
        else:  # what an earlier run did is not speed: the ETA counts from here
            bar.reset(task, completed=done, total=every, visible=True)
            started = True

    return progress


def _line_printer(description: str) -> Callable[[int, int], None]:
    """Return a progress callable that prints a plain line now and then."""
    last, printed = -math.inf, (-1, -1)

    def progress(done: int, total: int) -> None:
        nonlocal last, printed
        now = time.monotonic()
        due = done >= total > 0 or now - last >= _SECONDS_BETWEEN_LINES
        if due and (done, total) != printed:
            last, printed = now, (done, total)
            every = f" of {total}" if total else ""  # 0 where nobody knows yet
            error_console.print(f"{description}: {done}{every}", markup=False)

    return progress

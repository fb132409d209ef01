"""What came of an export, in plain words."""

from __future__ import annotations

from collections.abc import Iterable

from bogp.analysis import Interval
from bogp.export.formats import Exported
from bogp.export.measure import Latency

ALIKE = 1.05
"""Sizes within this ratio are called the same."""


def sentence(
    exported: Exported, sparsity: float, dense_size: int, latencies: Iterable[Latency]
) -> str:
    """Return one sentence on a format: its file, its speed at each batch size, what runs it.

    >>> found = Exported("csr", size=100, runtime="torch 2.13")
    >>> speed = Interval(1.1, 0.9, 1.3, 30)
    >>> sentence(found, 0.9, 790, [Latency("csr", 1, Interval(1.0, 1.0, 1.0, 30), speed, 1)])
    'csr, sparsity 0.9: file 7.9x smaller, no faster at batch 1 with torch 2.13'
    """
    parts = []
    if exported.size is not None:
        parts.append(size_words(dense_size / exported.size))
    own = [each for each in latencies if each.name == exported.name and each.speed is not None]
    parts += [f"{speed_words(each.speed)} at batch {each.batch}" for each in own if each.speed]
    text = f"{exported.name}, sparsity {sparsity:.3g}: {', '.join(parts)}"
    if own:
        text += f" with {exported.runtime}"
        if not exported.runtime.startswith("torch"):
            text += ", beside dense in torch"
            # Pruned weights are zeros there like any others: whatever it gains, dense gains too.
            text += ": the runtime's doing, not the pruning's" if exported.name == "onnx" else ""
    if exported.failure:
        text = f"{text}; {exported.failure}" if parts else exported.failure
    return f"{text} ({exported.note})" if exported.note else text


def size_words(ratio: float) -> str:
    """Return what to say of a file ``ratio`` times smaller than the dense one.

    >>> [size_words(ratio) for ratio in (7.94, 1.0, 0.5)]
    ['file 7.9x smaller', 'file no smaller', 'file 2.0x larger']
    """
    if ratio > ALIKE:
        return f"file {ratio:.1f}x smaller"
    return "file no smaller" if ratio >= 1 / ALIKE else f"file {1 / ratio:.1f}x larger"


def speed_words(speed: Interval) -> str:
    """Return what to say of a speed relative to dense: a gain only where its interval shows it.

    >>> speed_words(Interval(2.04, 1.9, 2.2, 30)), speed_words(Interval(0.5, 0.4, 0.6, 30))
    ('2.04x faster', '2.00x slower')
    """
    if not speed.excludes(1.0):
        return "no faster"
    if speed.estimate >= 1.0:
        return f"{speed.estimate:.2f}x faster"
    return f"{1 / speed.estimate:.2f}x slower"

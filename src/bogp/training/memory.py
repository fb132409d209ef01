"""How much memory is free, and whether an error says that it ran out."""

from __future__ import annotations

import os
from pathlib import Path

import torch

_UNKNOWN = 4e9
"""Bytes that are taken to be free where nothing says."""

_PHRASES = (
    "out of memory",
    "can't allocate memory",
    "not enough memory",  # torch on Windows
    "alloc_failed",  # CUDA's libraries
)


def out_of_memory(error: BaseException) -> bool:
    """Return whether ``error`` says that memory ran out, on whatever device."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(phrase in text for phrase in _PHRASES)


def free_memory(device: torch.device) -> float:
    """Return the bytes of a device that can still be taken; 4 GB where it does not say."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    return host_memory() if device.type == "cpu" else _UNKNOWN


def host_memory(root: Path = Path("/")) -> float:
    """Return the free bytes of the machine, or of the process's control group if those are fewer.

    What the system keeps of files counts as free, since it gives that up when asked.

    Args:
        root: where ``proc`` and ``sys`` are.
    """
    return min([_machine_memory(root), *_group_memory(root)])


def _machine_memory(root: Path) -> float:
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return float(line.split()[1]) * 1024
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return _UNKNOWN


def _group_memory(root: Path) -> list[float]:
    """Return what each control group of the process, of version 1 or 2, leaves free."""
    found = []
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            top, limit, used, cache = "", "memory.max", "memory.current", "inactive_file"
        elif "memory" in controllers.split(","):
            top, limit, used = "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            cache = "total_inactive_file"
        else:
            continue
        own = Path(path.strip("/"))
        # The limit of a group binds the groups within it.
        for group in (own, *own.parents):
            folder = root / "sys/fs/cgroup" / top / group
            bounds = [_text(folder / name).strip() for name in (limit, used)]
            if all(bound.isdecimal() for bound in bounds):
                kept = _statistic(_text(folder / "memory.stat"), cache)
                found.append(max(0.0, float(bounds[0]) - float(bounds[1]) + kept))
    return found


def _statistic(text: str, name: str) -> float:
    for line in text.splitlines():
        if line.split(" ")[0] == name:
            return float(line.split(" ")[1])
    return 0.0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""

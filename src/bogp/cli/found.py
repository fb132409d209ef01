"""What a search found, as tables and as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bogp.cli.common import print_table, say

if TYPE_CHECKING:
    from bogp.masks import Mask
    from bogp.pipeline import FrontPoint, SearchResult


def save_masks(result: SearchResult, place: Path) -> list[Path]:
    """Write the winner's mask, or those of a front into a folder; return the files."""
    if result.front:
        paths = [place / f"mask-{one.point.sparsity:g}.safetensors" for one in result.front]
        for entry, path in zip(result.front, paths, strict=True):
            _save(result, entry.mask, str(entry.point), path)
        return paths
    from bogp.report.search_tables import winner_name

    _save(result, result.mask, winner_name(result), place)
    return [place]


def _save(result: SearchResult, mask: Mask | None, name: str, path: Path) -> None:
    from bogp.masks import save_mask

    assert mask is not None
    about = {"search_key": result.key, "model": str(result.settings["model"]), "candidate": name}
    save_mask(mask, path, about)


def summary(result: SearchResult) -> dict[str, Any]:
    """Return a search's result as a JSON object; what is no finite number is null.

    Every search has ``key``, ``settings``, ``best``, ``finals`` and ``trials``; one of engine pool
    also ``random_trials``, ``evidence``, ``front``, ``random_front``, ``hypervolumes`` and
    ``epochs``, those that do not apply null or empty. An interval is ``estimate``, ``low``,
    ``high``, ``count`` and ``level``.
    """
    from bogp.study.exporting import finite_or_null

    found: dict[str, Any] = {
        "key": result.key,
        "settings": dict(result.settings),
        "best": {"trial": result.best.number, **_trial(result.best)},
        "finals": [dataclasses.asdict(run) for run in result.finals],
        "trials": [_trial(trial) for trial in result.trials],
    }
    if result.settings.get("engine") == "pool":
        evidence = result.evidence
        found |= {
            "random_trials": [_trial(trial) for trial in result.random_trials],
            "evidence": None if evidence is None else dataclasses.asdict(evidence),
            "front": [_front_point(entry) for entry in result.front],
            "random_front": [_front_point(entry) for entry in result.random_front],
            "hypervolumes": {arm: list(each) for arm, each in result.hypervolumes.items()},
            "epochs": dict(result.epochs),
        }
    summarised: dict[str, Any] = finite_or_null(found)
    return summarised


def _trial(trial: Any) -> dict[str, Any]:
    own = {"number": trial.number, "value": trial.value, "stopped": trial.stopped}
    return own | {"point": dict(trial.point)} | dict(trial.record)


def _front_point(entry: FrontPoint) -> dict[str, Any]:
    return {
        "point": entry.point.record(),
        "posterior": list(entry.posterior),
        "fresh": None if entry.fresh is None else dataclasses.asdict(entry.fresh),
        "sealed": None if entry.sealed is None else dataclasses.asdict(entry.sealed),
        "mask": None if entry.mask is None else entry.mask.fingerprint,
    }


def print_found(
    result: SearchResult, saved: Sequence[Path] = (), report: Path | None = None
) -> None:
    """Print a search's result as tables, and where its masks and report are."""
    from bogp.report.search_tables import found_tables

    for table in found_tables(result):
        print_table(table)
    for path in saved:
        say(f"mask written to {path}")
    if report is not None:
        say(f"report: {report}")

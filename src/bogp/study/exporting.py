"""A study as text: JSON, JSON lines or CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from bogp.errors import SettingError
from bogp.study.reading import StudyRecord
from bogp.study.records import Attempt

_COLUMNS = (
    *("number", "arm", "batch", "position", "attempt", "state", "value", "second"),
    *("begun", "finished", "reason"),
)


def finite_or_null(value: Any) -> Any:
    """Return a JSON value with null for the numbers that JSON cannot hold.

    >>> finite_or_null({"loss": [0.5, math.inf]})
    {'loss': [0.5, None]}
    """
    if isinstance(value, Mapping):
        return {name: finite_or_null(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite_or_null(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def trial_fields(trial: Attempt) -> dict[str, Any]:
    """Return an attempt at a trial as a JSON object; what is no finite number is null."""
    fields: dict[str, Any] = finite_or_null(asdict(trial))
    return fields


def study_fields(study: StudyRecord) -> dict[str, Any]:
    """Return a whole study as a JSON object."""
    fields: dict[str, Any] = finite_or_null(
        {
            "name": study.name,
            "key": study.key,
            "settings": study.settings,
            "objectives": list(study.objectives),
            "notes": study.notes,
            "lease": None if study.lease is None else study.lease.fields(),
            "arms": {
                name: {
                    "batches": [
                        {"number": batch.number, "asked": len(batch.trials), "state": batch.state}
                        for batch in arm.batches
                    ],
                    "trials": [asdict(trial) for trial in arm.attempts],
                }
                for name, arm in study.arms.items()
            },
        }
    )
    return fields


def as_json(study: StudyRecord) -> str:
    """Return everything that a study holds."""
    return json.dumps(study_fields(study), indent=2, ensure_ascii=False) + "\n"


def as_lines(study: StudyRecord) -> str:
    """Return one JSON object a line and attempt at a trial."""
    lines = [json.dumps(trial_fields(trial), ensure_ascii=False) for trial in _attempts(study)]
    return "".join(f"{line}\n" for line in lines)


def as_csv(study: StudyRecord) -> str:
    """Return one row an attempt at a trial.

    Columns are what every attempt has, then each parameter, then the point, the steps and the
    record as JSON.
    """
    names = sorted({name for trial in _attempts(study) for name in trial.parameters})
    shown = io.StringIO()
    writer = csv.writer(shown, lineterminator="\n")
    parameters = [f"parameter {name}" for name in names]
    writer.writerow([*_COLUMNS, *parameters, "point", "steps", "record"])
    for trial in _attempts(study):
        fields = trial_fields(trial)
        row = [fields[name] for name in _COLUMNS]
        row += [fields["parameters"].get(name) for name in names]
        row += [_cell(fields[name]) for name in ("point", "steps", "record")]
        writer.writerow(row)
    return shown.getvalue()


FORMATS: dict[str, Callable[[StudyRecord], str]] = {
    ".json": as_json,
    ".jsonl": as_lines,
    ".csv": as_csv,
}


def export_text(study: StudyRecord, suffix: str) -> str:
    """Return a study in the format of a file whose name ends in ``suffix``.

    Raises:
        SettingError: no such format.
    """
    if suffix.lower() not in FORMATS:
        raise SettingError(
            f"a file that ends in {suffix!r} is of no known format: use {', '.join(FORMATS)}"
        )
    return FORMATS[suffix.lower()](study)


def _attempts(study: StudyRecord) -> list[Attempt]:
    found = [trial for arm in study.arms.values() for trial in arm.attempts]
    return sorted(found, key=lambda one: (one.arm != "search", one.number, one.attempt))


def _cell(value: Any) -> str:
    return "" if value is None else json.dumps(value, ensure_ascii=False)

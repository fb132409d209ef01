"""A job: one training or one search, known by the hash of all that can change its result."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bogp.keys import content_key

Records = dict[str, dict[str, Any]]
"""Key of a job → its record: key, kind, fields, result."""


@dataclass(frozen=True)
class Job:
    """One training, or one search.

    Attributes:
        kind: name of the function in ``trainings.KINDS`` that does it.
        fields: every setting that can change its result, as a JSON object.
        trainings: its cost, for the progress bar.
        data: where a process finds the dataset; the fields have its hash.
        database: where a process finds the graph database; the fields have its plan.
    """

    kind: str
    fields: Mapping[str, Any]
    trainings: int
    data: str = ""
    database: Path | None = None

    @property
    def key(self) -> str:
        """The key of the job's record."""
        return content_key({"kind": self.kind, **self.fields})

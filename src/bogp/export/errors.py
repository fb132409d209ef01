"""The error of an export."""

from __future__ import annotations

from bogp.errors import BogpError


class ExportError(BogpError):
    """A model that cannot be exported, or an export whose outputs are not the model's."""

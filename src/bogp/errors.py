"""The errors that bogp raises: each is one sentence that names the value and the fix."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BogpError(Exception):
    """Base of all errors a user can cause and mend; the command line prints it and exits with 2."""


def first_line(error: BaseException) -> str:
    """Return the first line of what ``error`` says, or its type where it says nothing.

    For sentences that quote what another library said, which may be of several lines.

    >>> first_line(ValueError("no such shape\\nsee the manual")), first_line(KeyError())
    ('no such shape', 'KeyError')
    """
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


class UnknownNameError(BogpError):
    """A name (property, dataset, engine, ...) that bogp does not know."""

    def __init__(self, kind: str, name: str, valid: Iterable[str]) -> None:
        names = sorted(valid)
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"choose from {', '.join(names)}"
        super().__init__(f"unknown {kind} {name!r}: {hint}")
        self.kind, self.name, self.valid = kind, name, tuple(names)

    def __reduce__(self) -> tuple[type[UnknownNameError], tuple[str, str, tuple[str, ...]]]:
        return (type(self), (self.kind, self.name, self.valid))


class GraphError(BogpError):
    """A relational graph that cannot exist or does not fit its layer."""


class SparsityError(BogpError):
    """A sparsity or density out of range, or one that the graph or layer cannot give."""


class MaskError(BogpError):
    """A mask that does not fit its model, or a file that holds no mask."""


class DataError(BogpError):
    """A dataset that is missing, corrupt, truncated or of the wrong shape."""


class DatabaseError(BogpError):
    """A file that is no graph database, is of another version, or lacks what is asked of it."""


class StudyError(BogpError):
    """A study that is in use, does not match its settings, or cannot be read."""


class WorkerLostError(BogpError):
    """A process that was evaluating is gone, by lack of memory perhaps: the task can be retried."""


class RecipeError(BogpError):
    """A training recipe with a value out of range, or a training run that cannot go on."""


class OutputError(BogpError):
    """A file or folder that cannot be written."""


class ExportError(BogpError):
    """A model that cannot be exported, or an export whose outputs are not the model's."""


class SettingError(BogpError):
    """Any other setting out of range."""


class ConstantPropertyWarning(UserWarning):
    """A property that has one value over a whole database and so tells a search nothing."""


class LayerCollapseWarning(UserWarning):
    """A mask that keeps no weight of some layer, through which nothing passes any more."""

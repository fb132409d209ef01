"""Where studies are kept: a file, a database, or memory, as Optuna's storage."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import optuna
from optuna.exceptions import OptunaError
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from sqlalchemy import URL, make_url
from sqlalchemy.exc import SQLAlchemyError

from bogp.errors import StudyError, first_line
from bogp.files import output_folder

Storage = str | os.PathLike[str] | BaseStorage | None
"""A file, an address such as ``postgresql://...``, a storage of Optuna's, or None: memory."""


@dataclass(frozen=True)
class Opened:
    """An open storage.

    Attributes:
        address: for people; passwords are left out.
        exclusive: no other process can be writing: it is memory, or the file's lock is held.
        faults: what SQLite finds wrong with a file that is opened to be read.
    """

    address: str
    backend: BaseStorage
    exclusive: bool
    lock: filelock.BaseFileLock | None = None
    faults: tuple[str, ...] = ()

    @property
    def shared(self) -> bool:
        """Whether another process may look at it, so that leases are worth renewing."""
        return self.lock is not None or not self.exclusive

    def close(self) -> None:
        """Let go of the connections and then of the lock."""
        if isinstance(self.backend, RDBStorage):
            self.backend.remove_session()
            self.backend.engine.dispose()
        if self.lock is not None:
            self.lock.release()


def open_storage(storage: Storage, *, write: bool) -> Opened:
    """Open a storage; to ``write`` to a file takes its lock, and makes the file if need be.

    A new SQLite file keeps a write-ahead log (``-wal`` and ``-shm`` beside it while it is open),
    so that a commit costs no wait for the disk and readers never wait; nothing that a killed
    process had committed is lost. It has to be on a local disk. A file that was there keeps the
    mode that its maker gave it.

    Raises:
        StudyError: in use, not a storage of Optuna's, unreachable; to write, a file that is
            damaged; to read, one that is not there.
        OutputError: the folder cannot be written.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # bogp says itself what is damaged
    if isinstance(storage, BaseStorage):
        return Opened(type(storage).__name__, storage, exclusive=False)
    if isinstance(storage, os.PathLike) or (storage is not None and "://" not in storage):
        return _open_file(Path(storage), write)
    if storage is None:
        return Opened("memory", InMemoryStorage(), exclusive=True)
    return _open_address(storage, write)


@contextlib.contextmanager
def readable(address: str) -> Iterator[None]:
    """Turn what Optuna and SQLAlchemy raise in the block into one sentence.

    Raises:
        StudyError: instead of theirs, or where what is read is not what was written.
    """
    try:
        yield
    except (SQLAlchemyError, OptunaError) as error:
        raise unreadable(address, error) from error
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise damaged(address, error) from error


def damaged(address: str, error: object) -> StudyError:
    """Return the error of a storage that does not hold what was written to it."""
    reason = first_line(error) if isinstance(error, BaseException) else error
    return StudyError(f"study {address!r} is damaged ({reason}): restore a copy of it")


def unreadable(address: str, error: BaseException) -> StudyError:
    """Return the error that says why a storage cannot be used."""
    cause = error.__cause__ or error
    reason = first_line(cause)
    if type(cause) is sqlite3.DatabaseError:  # what it says of its own pages is wrong
        return damaged(address, reason)
    return StudyError(
        f"{address!r} is not a study that can be opened ({reason}): give another file or address"
    )


def _open_address(storage: str, write: bool) -> Opened:
    try:
        url = make_url(storage)
    except SQLAlchemyError as error:
        raise StudyError(
            f"{storage!r} is no address of a storage: give a file, or sqlite:///study.db say"
        ) from error
    if url.get_backend_name() == "sqlite":
        if url.database in {None, "", ":memory:"}:
            return Opened("memory", InMemoryStorage(), exclusive=True)
        if not str(url.database).startswith("file:"):
            return _open_file(Path(str(url.database)), write, url)
    address = url.render_as_string(hide_password=True)
    sqlite = url.get_backend_name() == "sqlite"
    options = _sqlite_options() if sqlite else {"pool_pre_ping": True}
    return Opened(address, _connect(address, storage, options), exclusive=False)


def _open_file(path: Path, write: bool, url: URL | None = None) -> Opened:
    if not write and not path.is_file():
        raise StudyError(f"there is no study at {str(path)!r}: give the file of one")
    lock = _lock(path) if write else None
    try:
        faults = refuse_foreign(path)
        if write and faults:
            raise damaged(str(path), faults[0])
        if write and _is_free(path):
            _create(path)
        chosen = URL.create("sqlite", database=str(path)) if url is None else url
        try:
            backend = _connect(str(path), _text(chosen), _sqlite_options())
        except StudyError as error:
            raise damaged(str(path), faults[0]) if faults else error from None
    except BaseException:
        if lock is not None:
            lock.release()
        raise
    return Opened(str(path), backend, exclusive=write, lock=lock, faults=faults)


def _is_free(path: Path) -> bool:
    return not path.exists() or path.stat().st_size == 0


def _create(path: Path) -> None:
    """Make an empty storage at ``path``, which is there whole or not at all.

    Optuna makes its tables one by one: killed between two of them it would leave a file that
    nothing can tell from somebody else's.
    """
    target = path.resolve()
    fresh = target.with_name(f"{target.name}.new")
    for left in (fresh, *(Path(f"{fresh}{end}") for end in ("-wal", "-shm"))):
        left.unlink(missing_ok=True)
    url = _text(URL.create("sqlite", database=str(fresh)))
    Opened(str(path), _connect(str(path), url, _sqlite_options()), exclusive=True).close()
    fresh.replace(target)


def _text(url: URL) -> str:
    """Return an address as Optuna takes it: it fills in braces of its own."""
    return url.render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")


def _connect(address: str, url: str, options: dict[str, Any]) -> BaseStorage:
    try:
        return RDBStorage(url, engine_kwargs=options)
    except _UNUSABLE as error:
        raise unreadable(address, error) from error


_UNUSABLE = (
    *(SQLAlchemyError, OptunaError),
    # Tables of another version; no driver; braces in the address that Optuna cannot fill in.
    *(RuntimeError, ImportError, LookupError, ValueError, TypeError, AssertionError),
)


def _lock(path: Path) -> filelock.BaseFileLock:
    output_folder(path.parent)
    lock = filelock.FileLock(f"{path}.lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise StudyError(
            f"study {str(path)!r} is in use by another process: wait for it or give another file"
        ) from None
    return lock


def refuse_foreign(path: Path) -> tuple[str, ...]:
    """Raise unless ``path`` is free, or a file in which Optuna already keeps studies.

    Returns:
        What SQLite finds wrong with it: pages and indices that do not go together.
    """
    if _is_free(path):
        return ()
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        ) as db:
            tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master")}
            if tables and "version_info" not in tables:
                raise StudyError(f"{str(path)!r} is a database but not a study: give another file")
            return _faults(db)
    except sqlite3.DatabaseError as error:
        raise StudyError(f"{str(path)!r} is not a study ({error}): give another file") from error


def _faults(connection: sqlite3.Connection) -> tuple[str, ...]:
    try:
        rows = connection.execute("PRAGMA integrity_check(10)").fetchall()
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise  # it could not be read
        return (str(error),)
    found = [" ".join(str(row[0]).split()) for row in rows]
    return () if found == ["ok"] else tuple(found)


class _Connection(sqlite3.Connection):
    """A connection that gives a new file a write-ahead log, and commits to one without waiting.

    A commit that need not wait for the disk can be lost with the power of the machine, never with
    the process alone, and leaves a whole file either way.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        empty = self.execute("PRAGMA page_count").fetchone()[0] == 0
        mode = "PRAGMA journal_mode = WAL" if empty else "PRAGMA journal_mode"
        if self.execute(mode).fetchone()[0] == "wal":
            self.execute("PRAGMA synchronous = NORMAL")


def _sqlite_options() -> dict[str, Any]:
    return {"connect_args": {"factory": _Connection, "timeout": 60.0}}

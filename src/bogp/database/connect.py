"""The SQLite file: whether it is ours, who may write to it, and its errors in one sentence."""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from collections.abc import Iterator
from importlib import resources
from pathlib import Path

import filelock

from bogp.errors import DatabaseError, first_line

APPLICATION_ID = 0x626F6770
"""``bogp`` in ASCII: marks an SQLite file as a graph database of this library."""

DATABASE_VERSION = 3
"""The version of ``schema.sql``, kept in the file's ``user_version``."""

_MAGIC = b"SQLite format 3\0"


def empty_database() -> sqlite3.Connection:
    """Return a connection to a new database in memory that has its tables and no rows."""
    schema = resources.files("bogp.database").joinpath("schema.sql").read_text(encoding="utf-8")
    connection = sqlite3.connect(":memory:")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {DATABASE_VERSION}")
    connection.executescript(schema)
    return connection


def connect(path: Path, *, write: bool = False) -> sqlite3.Connection:
    """Return a connection to an existing graph database, read-only unless ``write``.

    Raises:
        DatabaseError: there is no such file, or it is not a graph database, is of another schema
            version, is corrupt, or cannot be opened.
    """
    _check_header(path)
    with one_sentence(path):
        if path.with_name(f"{path.name}-journal").exists():
            _roll_back(path)
        connection = _connection(path, "rw" if write else "ro")
        try:
            _check_length(connection, path)
            _check_schema(connection)
        except BaseException:
            connection.close()
            raise
    return connection


def _connection(path: Path, mode: str) -> sqlite3.Connection:
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, uri=True, check_same_thread=False)


def _check_header(path: Path) -> None:
    """Raise unless the file starts as a graph database of this version does.

    The places of the two numbers are those of SQLite's file format, section 1.3. bogp writes them
    once and never changes them.
    """
    if not path.exists():
        raise DatabaseError(
            f"there is no graph database at {str(path)!r}: "
            f"make it with `bogp database build {path}`"
        )
    try:
        with path.open("rb") as file:
            header = file.read(72)
    except OSError as error:
        raise DatabaseError(
            f"cannot read graph database {str(path)!r} ({error.strerror or error})"
        ) from error
    if not header.startswith(_MAGIC) or header[68:] != APPLICATION_ID.to_bytes(4, "big"):
        kind = "an SQLite file but not" if header.startswith(_MAGIC) else "not"
        raise DatabaseError(
            f"{str(path)!r} is {kind} a bogp database: give a file that `bogp database build` made"
        )
    version = int.from_bytes(header[60:64], "big")
    if version != DATABASE_VERSION:
        raise DatabaseError(
            f"{str(path)!r} is a bogp database of schema version {version}, and this bogp reads "
            f"version {DATABASE_VERSION}: use the bogp that made it, or build it again under "
            "another name"
        )


def _roll_back(path: Path) -> None:
    """Undo a transaction that was killed, which only a connection for writing can.

    Where another process is in the middle of one, this leaves it alone.
    """
    with contextlib.closing(_connection(path, "rw")) as connection:
        try:
            _pragma(connection, "schema_version")  # reads a page
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                raise
            raise DatabaseError(
                f"{str(path)!r} was interrupted while being written ({error}): open it once where "
                "it can be written"
            ) from error


def _check_length(connection: sqlite3.Connection, path: Path) -> None:
    """Raise if the file ends within its last page, which SQLite would take for zeros."""
    length = _pragma(connection, "page_count") * _pragma(connection, "page_size")
    # After a kill, the pages of a file may still be in its -wal.
    if not path.with_name(f"{path.name}-wal").exists() and path.stat().st_size < length:
        raise sqlite3.DatabaseError(f"{path.stat().st_size} of {length} bytes")


def _check_schema(connection: sqlite3.Connection) -> None:
    """Raise unless the file has the tables of ``schema.sql``, and no view, trigger or index.

    A view in the place of a table could go on without end.
    """
    if _tables(connection) != _schema():
        raise sqlite3.DatabaseError("its tables are not those that bogp makes")


def _tables(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    query = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE sql NOT NULL ORDER BY name"
    return connection.execute(query).fetchall()


@functools.cache
def _schema() -> list[tuple[str, ...]]:
    with contextlib.closing(empty_database()) as connection:
        return _tables(connection)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    """Return the number that a PRAGMA reports."""
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


@contextlib.contextmanager
def one_sentence(path: Path) -> Iterator[None]:
    """Turn SQLite's errors inside the block into a :class:`DatabaseError` that names ``path``."""
    try:
        yield
    except sqlite3.OperationalError as error:
        # Tables that are not what they were, or, from Python, text that is none.
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) == sqlite3.SQLITE_ERROR:
            raise damaged(path, error) from error
        raise DatabaseError(
            f"cannot use graph database {str(path)!r} ({error}): check its permissions and the "
            "free space of its folder"
        ) from error
    except sqlite3.ProgrammingError as error:
        raise DatabaseError(
            f"graph database {str(path)!r} is closed: open it again with GraphDatabase.open"
        ) from error
    except sqlite3.DatabaseError as error:
        raise damaged(path, error) from error


@contextlib.contextmanager
def reading(path: Path) -> Iterator[None]:
    """Do as :func:`one_sentence`, and take rows that cannot be understood for damage too."""
    try:
        with one_sentence(path):
            yield
    except ValueError as error:
        raise damaged(path, error) from error
    except (TypeError, LookupError, OverflowError) as error:
        raise damaged(path, repr(error)) from error


def damaged(path: Path, why: object) -> DatabaseError:
    """Return the error of a database file that does not hold what was written to it."""
    reason = first_line(why) if isinstance(why, BaseException) else why
    return DatabaseError(
        f"graph database {str(path)!r} is corrupt or truncated ({reason}): restore a copy of it or "
        "build it again under another name"
    )


def integrity(connection: sqlite3.Connection, path: Path) -> list[str]:
    """Return what SQLite finds wrong with the file, a sentence each; it reads every page."""
    try:
        found = [row[0] for row in connection.execute("PRAGMA integrity_check(10)")]
    except sqlite3.DatabaseError as error:
        found = [str(error)]
    return [str(damaged(path, " ".join(line.split()))) for line in found if line != "ok"]


@contextlib.contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Hold the lock file beside ``path`` for the block, or raise at once if another has it."""
    beside = path.with_name(f".{path.name}.lock")
    try:
        with filelock.FileLock(beside, timeout=0):
            try:
                yield
            finally:
                # While it is held, so that the file is surely ours; whoever waits at it then finds
                # that it has no name and is refused, as FileLock looks for that. Windows lets go of
                # an open file only when it is released, and there FileLock removes it.
                with contextlib.suppress(OSError):
                    beside.unlink()
    except filelock.Timeout as error:
        raise DatabaseError(
            f"{str(path)!r} is being built by another process: wait until that has ended"
        ) from error


def remove_leftovers(path: Path) -> None:
    """Remove what SQLite kept beside a database at ``path`` that is no longer there.

    SQLite would play it into the next database of that name. The caller is the only writer.
    """
    for ending in ("-wal", "-shm", "-journal"):
        path.with_name(path.name + ending).unlink(missing_ok=True)

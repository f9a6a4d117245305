"""Connections to PostgreSQL: how they are opened, and what their errors mean to us."""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import psycopg
from psycopg import RawCursor, errors
from psycopg.rows import TupleRow
from psycopg.types.numeric import Int4BinaryLoader, Int8BinaryLoader

from tickerplant.errors import Fatal, Retryable, TickerplantError, UsageError
from tickerplant.postgres_url import masked, parse
from tickerplant.stores.postgres_limit import LimitedConnection

__all__ = ["Link", "arguments", "connect", "lock_key", "masked", "named", "prepare", "raw", "text"]

Link: TypeAlias = "psycopg.Connection[TupleRow]"

_DEFAULTS = {
    "connect_timeout": "10",
    "keepalives": "1",
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "4",
    "tcp_user_timeout": "30000",
}
_WRONG_FOR_GOOD = (
    "authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "does not exist",
    "invalid connection option",
    "certificate",
    "private key file",
    "sslmode",
    "invalid port",
    "server does not support SSL",
    "permission denied for database",
    "pg_hba.conf rejects",
    "not permitted to log in",
)


_ROLES = "; do run `tickerplant init --roles` as the owner of the tables, and make this user a member of a role of it"


def connect(info: str, where: str, settings: Sequence[tuple[str, str]] = (), silence_s: float | None = None) -> Link:
    """A connection in autocommit mode with our session settings. Raises Retryable when the server is away.

    With `silence_s` it is given up when the server says nothing for so long.
    """
    with named(where):
        link = LimitedConnection.connect(**arguments(info), autocommit=True, cursor_factory=RawCursor)
        link.silence_s = silence_s
        try:
            prepare(link, settings)
        except BaseException:
            link.close()
            raise
        return link


def arguments(info: str) -> dict[str, Any]:
    """What to connect with: the URL's own words win over our defaults. Raises UsageError for a URL that is wrong."""
    name = f"tickerplant {socket.gethostname()}:{os.getpid()}"
    given = parse(info, "store")
    return {**_DEFAULTS, "application_name": name[:63], "client_encoding": "UTF8", **given}


def prepare(link: Link, settings: Sequence[tuple[str, str]]) -> None:
    """Session settings, and times that come as integers (see postgres_rows)."""
    for name, value in (("timezone", "UTC"), *settings):
        link.execute("select set_config($1, $2, false)", [name, value])
    for kind in ("timestamptz", "timestamp", "time"):
        link.adapters.register_loader(kind, Int8BinaryLoader)
    link.adapters.register_loader("date", Int4BinaryLoader)


@contextmanager
def named(where: str) -> Iterator[None]:
    """Turn the driver's errors into ours; the text of a server's message holds no password."""
    try:
        yield
    except psycopg.Error as error:
        raise _ours(where, error) from None


def _ours(where: str, error: psycopg.Error) -> TickerplantError:
    kind: type[TickerplantError] = Fatal
    expected, do = "the server to agree", ""
    match error:
        case errors.QueryCanceled() | errors.IdleInTransactionSessionTimeout() | errors.TransactionTimeout():
            kind, expected = Retryable, "the statement to end in time"
        case errors.DiskFull() | errors.OutOfMemory():
            return Retryable(f"{where}: expected room at the server, was {text(error)}", 10)
        case errors.UndefinedTable():
            kind, expected, do = UsageError, "our tables", "; do run `tickerplant init`"
        case errors.InsufficientPrivilege():
            expected, do = "a user with the right to do this", _ROLES
        case errors.InvalidPassword() | errors.InvalidAuthorizationSpecification() | errors.InvalidCatalogName():
            expected = "to be let in"
        case psycopg.OperationalError() | psycopg.InterfaceError() | errors.ReadOnlySqlTransaction():
            kind, expected = _unreached(error)
        case psycopg.ProgrammingError() if error.sqlstate is None:  # libpq itself, before it connects
            kind, expected = UsageError, "options that libpq knows"
    return kind(f"{where}: expected {expected}, was {text(error)}{do}")


def _unreached(error: psycopg.Error) -> tuple[type[TickerplantError], str]:
    if error.sqlstate is None and any(words in str(error) for words in _WRONG_FOR_GOOD):
        return Fatal, "to be let in"
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return Retryable, "a server that can be written to"
    return Retryable, "a server that answers"


def text(error: psycopg.Error) -> str:
    """The first line of a server's message."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def lock_key(*words: str) -> int:
    """The number of an advisory lock, 64 bits signed."""
    digest = hashlib.blake2b("\0".join(words).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def raw(sql: str) -> bytes:
    """SQL made from our own definitions, for the driver, which wants literals in the source otherwise."""
    return sql.encode()

"""SQL and scans over PostgreSQL, in read-only transactions that end in time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, time, timedelta
from typing import Any

import psycopg
import pyarrow as pa
from psycopg import RawCursor, RawServerCursor, errors
from psycopg_pool import ConnectionPool, PoolTimeout

from tickerplant.calendar import NEW_YORK
from tickerplant.errors import Retryable, UsageError
from tickerplant.model import Selection
from tickerplant.schema import Table, quoted
from tickerplant.stores.postgres_link import Link, arguments, connect, named, prepare, raw, text
from tickerplant.stores.postgres_rows import FETCH_ROWS, batches, together

_TOKENS = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$|(?P<mark>\?)", re.DOTALL
)
_LEADING = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/|\()*(?P<word>[a-z]*)", re.DOTALL | re.IGNORECASE)
_READING = ("select", "with", "values", "table", "show", "explain")
_ALLOWED = f"one statement that reads ({', '.join(_READING)})"
_POOL_WAIT_S, _PATIENCE_S = 10.0, 1.0


class Reader:
    """A pool of connections that can only read. Threads may share it. `wake` is called before each new connection."""

    def __init__(
        self, info: str, where: str, schemas: Sequence[str], timeout_s: float, wake: Callable[[], None] = lambda: None
    ) -> None:
        self._where, self._info, self._wake = where, info, wake
        self._is_proven = False
        given = {**arguments(info), "cursor_factory": RawCursor, "autocommit": True}

        def woken() -> dict[str, Any]:
            wake()
            return given

        settings = (
            ("search_path", ", ".join([*map(quoted, schemas), "public"])),
            ("statement_timeout", f"{int(timeout_s * 1000)}"),
            ("default_transaction_read_only", "on"),
        )
        self._pool = ConnectionPool(
            "",
            kwargs=woken,
            min_size=0,
            max_size=4,
            max_idle=60,
            timeout=_POOL_WAIT_S,
            reconnect_timeout=_POOL_WAIT_S,
            configure=lambda link: prepare(link, settings),
            check=ConnectionPool.check_connection,
            open=False,
        )

    @contextmanager
    def link(self) -> Iterator[Link]:
        """A connection in a read-only transaction. Raises Retryable when the server is away, Fatal when refused."""
        if not self._is_proven:
            self._prove()
        self._pool.open()
        with ExitStack() as held:
            link = self._taken(held)
            held.enter_context(link.transaction())
            yield link

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of one statement of ours about the server itself, outside of any transaction."""
        if not self._is_proven:
            self._prove()
        self._pool.open()
        with ExitStack() as held:
            return self._taken(held).execute(raw(sql)).fetchall()

    def _taken(self, held: ExitStack) -> Link:
        try:
            return held.enter_context(self._pool.connection(_PATIENCE_S))
        except PoolTimeout:
            self._prove()  # tells what is wrong with the server; else all connections are taken
        try:
            return held.enter_context(self._pool.connection())
        except PoolTimeout:
            self._prove()
            raise Retryable(f"{self._where}: expected a server that answers, was none for {_POOL_WAIT_S:g} s") from None

    def _prove(self) -> None:
        """Connect once beside the pool, which would try again whatever the reason and not tell it."""
        self._wake()
        connect(self._info, self._where).close()
        self._is_proven = True

    def query(self, sql: str, parameters: Sequence[Any], settings: Sequence[str] = ()) -> pa.Table:
        """The result of one statement; `?` are parameters when there are any. `settings` hold for it alone."""
        statement = check(sql)
        if parameters:
            statement = numbered(statement)
        with _named(self._where), self.link() as link, link.cursor(binary=True) as cursor:
            for setting in settings:
                link.execute(raw(f"set local {setting}"))
            cursor.execute(raw(statement), list(parameters), prepare=False)
            if cursor.description is None:
                raise UsageError(f"query: expected {_ALLOWED}, was one without rows")
            return together(batches(cursor))

    def scan(self, table: Table, selection: Selection) -> Iterator[pa.RecordBatch]:
        """Rows of a selection in the table's schema; memory is bounded by one fetch."""
        where, parameters = condition(table, selection)
        columns = ", ".join(map(quoted, table.schema.names))
        sql = f"select {columns} from {quoted(table.name)} where {where}"
        with named(self._where), self.link() as link:
            link.execute("set local statement_timeout = 0")
            with RawServerCursor(link, "scan") as cursor:
                cursor.execute(raw(sql), parameters, binary=True)
                for found in batches(cursor, FETCH_ROWS):
                    if found.num_rows:
                        yield pa.RecordBatch.from_arrays(found.columns, schema=table.schema)

    def close(self) -> None:
        """Close all connections; idempotent."""
        self._pool.close()


def check(sql: str) -> str:
    """The statement, when its first word is one that reads; the server's read-only transaction does the rest."""
    leading = _LEADING.match(sql)
    word = leading["word"].lower() if leading else ""
    if word not in _READING:
        raise UsageError(f"query: expected {_ALLOWED}, was {word or 'nothing'!r}")
    return sql


def numbered(sql: str) -> str:
    """`?` outside quotes and comments as `$1`, `$2` and so on."""
    count = 0

    def mark(found: re.Match[str]) -> str:
        nonlocal count
        if found["mark"] is None:
            return found[0]
        count += 1
        return f"${count}"

    return _TOKENS.sub(mark, sql)


def condition(table: Table, selection: Selection) -> tuple[str, list[Any]]:
    """The `where` of a selection with its parameters. Raises UsageError where the table has no such column."""
    terms, parameters = [], list[Any]()
    if "*" not in selection.symbols:
        if "symbol" not in table.schema.names:
            raise UsageError(f"{table.name}: expected no symbols (the table has none), was {selection.symbols}")
        parameters.append(list(selection.symbols))
        terms.append("symbol = any($1::text[])")
    name = table.time or "session"
    for at, sign in ((selection.start, ">="), (selection.end, "<")):
        if at is None:
            continue
        if name not in table.schema.names:
            raise UsageError(f"{table.name}: expected no start or end (the table has no time), was {selection}")
        literal = f"timestamptz '{at.astimezone(UTC).isoformat()}'" if table.time else f"date '{_day(at)}'"
        terms.append(f"{quoted(name)} {sign} {literal}")
    return " and ".join(terms) or "true", parameters


def _day(at: datetime) -> str:
    """A day belongs to `[start, end)` when its New York midnight does."""
    local = at.astimezone(NEW_YORK)
    return (local.date() if local.time() == time() else local.date() + timedelta(days=1)).isoformat()


@contextmanager
def _named(where: str) -> Iterator[None]:
    try:
        with _as_usage():
            yield
    except psycopg.Error:
        with named(where):
            raise


@contextmanager
def _as_usage() -> Iterator[None]:
    try:
        yield
    except errors.QueryCanceled as error:
        raise UsageError(
            f"query: expected to end in time, was {text(error)}; "
            "do narrow it, or raise TICKERPLANT_STATEMENT_TIMEOUT_SECONDS"
        ) from None
    except errors.UndefinedTable as error:
        raise UsageError(f"query: expected valid SQL, was {text(error)} (is `tickerplant init` done?)") from None
    except (psycopg.ProgrammingError, psycopg.DataError, psycopg.NotSupportedError, psycopg.InternalError) as error:
        raise UsageError(f"query: expected valid SQL, was {text(error)}") from None

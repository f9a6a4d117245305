"""A PostgreSQL store in one file of pg_dump's custom format; count and checksum of each table in the same snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from psycopg import RawServerCursor, errors

from tickerplant.errors import Retryable
from tickerplant.fingerprint import Fingerprint, every_column, row_hashes
from tickerplant.schema import Table, quoted
from tickerplant.stores.postgres import PostgresStore
from tickerplant.stores.postgres_layout import layout_for
from tickerplant.stores.postgres_link import Link, named, raw
from tickerplant.stores.postgres_rows import FETCH_ROWS, batches
from tickerplant.stores.postgres_schema import layout_of, require
from tickerplant.stores.postgres_tools import environment, program, running
from tickerplant.tables import TABLES

_PARTITIONS = """select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
join pg_partitioned_table p on p.partrelid = i.inhparent where i.inhparent = to_regclass($1) order by 1"""
_IS_PARTITIONED = "select exists (select 1 from pg_partitioned_table where partrelid = to_regclass($1))"
_HYPERTABLES = "select count(*) from _timescaledb_catalog.hypertable where schema_name = $1"


@dataclass(frozen=True)
class Dumped:
    """What a dump holds. `is_whole` says that it is of the database, not of our schema alone (hypertables)."""

    server: int
    timescaledb: str
    is_whole: bool
    layout: str
    dumped_by: int
    positions: dict[str, int]
    tables: dict[str, Fingerprint]


def dump(store: PostgresStore, path: Path) -> Dumped:
    """Write the store's schema to `path`. Loaders go on meanwhile; none of what they commit is in it.

    With hypertables it is the whole database: their rows are in schemas of TimescaleDB's. Raises UsageError when
    pg_dump is missing or too old or the schema is not up to date, Retryable when a partition was dropped meanwhile.
    """
    with store.connect() as link, named(store.url):
        schema, server = store.options.schema, link.info.server_version // 10_000
        tool = program("pg_dump", server)
        layout = layout_for(link, layout_of(link, schema))
        require(link, schema, layout)
        timescaledb = extension(link)
        is_whole = bool(timescaledb) and hypertables(link, schema) > 0
        scope = [] if is_whole else [f"--schema={quoted(schema)}"]
        fixed = ("--format=custom", "--compress=1", "--no-password", "--lock-wait-timeout=60s", f"--file={path}")
        with _snapshot(link) as name:
            reached: dict[str, int] = dict(link.execute("select partition, position from positions").fetchall())
            words = [*fixed, *scope, f"--snapshot={name}"]
            with running(tool, words, environment(link)) as dumping:
                tables = fingerprints(store, name, dumping.check)
                dumping.finish()
    return Dumped(server, timescaledb, is_whole, layout.kind, tool.major, reached, tables)


def check_dump(path: Path, dumped_by: int) -> None:
    """Read a dump from end to end with pg_restore, into nothing. Raises Fatal when it cannot be read."""
    with running(program("pg_restore", dumped_by), ["--file=/dev/null", path]) as reading:
        reading.finish()


def extension(link: Link) -> str:
    """The version of TimescaleDB in the database, empty without."""
    row = link.execute("select extversion from pg_extension where extname = 'timescaledb'").fetchone()
    return str(row[0]) if row else ""


def hypertables(link: Link, schema: str) -> int:
    """How many hypertables a schema has; for a database with TimescaleDB."""
    row = link.execute(_HYPERTABLES, [schema]).fetchone()
    return int(row[0]) if row else 0


@contextmanager
def _snapshot(link: Link) -> Iterator[str]:
    """The name of a snapshot that others can see the database in, while the block lasts."""
    with link.transaction():
        link.execute("set transaction isolation level repeatable read read only")
        row = link.execute("select pg_export_snapshot()").fetchone()
        assert row is not None
        yield str(row[0])


def fingerprints(
    store: PostgresStore, snapshot: str | None = None, between: Callable[[], object] = lambda: None
) -> dict[str, Fingerprint]:
    """Count and checksum, over every column, of each table, in a snapshot or as it is now.

    A partition is a transaction of its own, so that thousands of them do not fill the server's table of locks;
    `between` is called after each.
    """
    with store.connect() as link, named(store.url):
        try:
            return {table.name: _table(link, table, snapshot, between) for table in TABLES.values()}
        except errors.UndefinedTable:
            raise Retryable(
                f"{store.url}: expected all partitions to stay, was one dropped meanwhile; do try again"
            ) from None


def _table(link: Link, table: Table, snapshot: str | None, between: Callable[[], object]) -> Fingerprint:
    with _reading(link, snapshot):
        relations = [r[0] for r in link.execute(_PARTITIONS, [quoted(table.name)]).fetchall()]
        row = link.execute(_IS_PARTITIONED, [quoted(table.name)]).fetchone()
    if not (row and row[0]):
        relations = [table.name]
    total = Fingerprint()
    for name in relations:
        total += _relation(link, table, name, snapshot)
        between()
    return total


def _relation(link: Link, table: Table, relation: str, snapshot: str | None) -> Fingerprint:
    columns = ", ".join(map(quoted, table.schema.names))
    whole, total = every_column(table), Fingerprint()
    with _reading(link, snapshot), RawServerCursor(link, "fingerprint") as cursor:
        cursor.execute(raw(f"select {columns} from {quoted(relation)}"), binary=True)
        for found in batches(cursor, FETCH_ROWS):
            total += Fingerprint.of_hashes(row_hashes(whole, found))
    return total


@contextmanager
def _reading(link: Link, snapshot: str | None) -> Iterator[None]:
    with link.transaction():
        link.execute("set transaction isolation level repeatable read read only")
        if snapshot is not None:
            link.execute(raw(f"set transaction snapshot '{snapshot}'"))
        yield

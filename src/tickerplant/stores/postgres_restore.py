"""A PostgreSQL store from a dump: beside the schema that is there, checked, and only then in its place."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from psycopg.conninfo import make_conninfo

from tickerplant.errors import Fatal, UsageError
from tickerplant.schema import quoted
from tickerplant.stores.postgres import PostgresStore
from tickerplant.stores.postgres_backup import extension
from tickerplant.stores.postgres_link import Link, named, raw
from tickerplant.stores.postgres_roles import are_granted, grant
from tickerplant.stores.postgres_tools import Program, environment, program, running
from tickerplant.tables import TABLES

_SCHEMA_ENTRY = re.compile(r"^\d+; \d+ \d+ SCHEMA - ")
_RELATIONS = """select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relkind in ('r', 'p') order by c.relispartition desc"""
_LENT = """select p.oid::regprocedure::text from pg_proc p join pg_namespace n on n.oid = p.pronamespace
where n.nspname = $1 and p.prosecdef"""
_SCHEMA_IS_THERE = "select exists (select 1 from pg_namespace where nspname = $1)"


@dataclass(frozen=True)
class Source:
    """A dump and what must be known of it. `is_whole`: of a database with hypertables, not of one schema."""

    path: Path
    schema: str
    server: int
    dumped_by: int
    timescaledb: str
    is_whole: bool


def check_target(store: PostgresStore, source: Source) -> None:
    """Raise UsageError when the dump cannot go to this server, database and schema."""
    where = store.url
    if store.options.schema != source.schema:
        raise UsageError(
            f"{where}: expected the backup's schema {source.schema!r} (pg_restore cannot rename), was "
            f"{store.options.schema!r}; do set TICKERPLANT_SCHEMA={source.schema}, and `alter schema` afterwards"
        )
    with store.connect() as link, named(where):
        major = link.info.server_version // 10_000
        if major < source.server:
            raise UsageError(f"{where}: expected a server of version {source.server} or newer, was {major}")
        if source.is_whole and extension(link) != source.timescaledb:
            raise UsageError(
                f"{where}: expected TimescaleDB {source.timescaledb} as in the backup, was "
                f"{extension(link) or 'none'}; do `create extension timescaledb version '{source.timescaledb}'`"
            )
    program("pg_restore", max(source.server, source.dumped_by))


def has_rows(store: PostgresStore) -> bool:
    """Whether any of our tables is there and holds a row."""
    with store.connect() as link, named(store.url):
        names = [quoted(store.options.schema) + "." + quoted(name) for name in TABLES]
        return any(_has_rows(link, name) for name in names)


def _has_rows(link: Link, name: str) -> bool:
    row = link.execute("select to_regclass($1)", [name]).fetchone()
    if row is None or row[0] is None:
        return False
    found = link.execute(raw(f"select exists (select 1 from {name})")).fetchone()
    return bool(found and found[0])


def restore(store: PostgresStore, source: Source) -> str | None:
    """Put the dump in the schema's place; returns the name under which the schema before is kept, None without one.

    With hypertables the schema before is dropped instead, and the database must have no others: TimescaleDB numbers
    them. Raises Fatal when pg_restore fails; the schema before is then still there under its new name.
    """
    tool = program("pg_restore", max(source.server, source.dumped_by))
    with store.connect() as link, named(store.url):
        was_granted = are_granted(link, source.schema)
        aside = _make_way(link, source)
        try:
            with _timescaledb(link, source):
                _run(tool, link, source)
            _rights(link, store, was_granted)
            for table in TABLES.values():
                link.execute(raw(f"analyze {quoted(source.schema)}.{quoted(table.name)}"))
        except Fatal as failure:
            kept = f"; the schema before is kept as {aside}" if aside else ""
            raise Fatal(f"{failure}{kept}") from None
    return aside


def _rights(link: Link, store: PostgresStore, was_granted: bool) -> None:
    """Let nobody run with the owner's rights, as no grant was restored; the roles again when the schema had them."""
    for (function,) in link.execute(_LENT, [store.options.schema]).fetchall():
        link.execute(raw(f"revoke execute on function {function} from public"))
    if was_granted:
        grant(link, store.options.schema, store.url)


def drop_schema(store: PostgresStore, schema: str) -> None:
    """Drop a schema, table by table: thousands of partitions at once would fill the server's table of locks."""
    with store.connect() as link, named(store.url):
        _drop(link, schema)


def _drop(link: Link, schema: str) -> None:
    for (name,) in link.execute(_RELATIONS, [schema]).fetchall():
        link.execute(raw(f"drop table if exists {quoted(schema)}.{quoted(name)} cascade"))
    link.execute(raw(f"drop schema if exists {quoted(schema)} cascade"))


def _make_way(link: Link, source: Source) -> str | None:
    row = link.execute(_SCHEMA_IS_THERE, [source.schema]).fetchone()
    aside = None
    if source.is_whole:
        _no_hypertables(link, source.schema, "_timescaledb_internal")
    if row and row[0] and source.is_whole:
        _drop(link, source.schema)
    elif row and row[0]:
        aside = f"{source.schema[:36]}_replaced_{datetime.now(UTC):%Y%m%dt%H%M%Sz}"
        link.execute(raw(f"alter schema {quoted(source.schema)} rename to {quoted(aside)}"))
    if source.is_whole:
        _no_hypertables(link)
    else:
        link.execute(raw(f"create schema {quoted(source.schema)}"))
    return aside


def _no_hypertables(link: Link, *but: str) -> None:
    sql = "select schema_name from _timescaledb_catalog.hypertable where schema_name <> all($1::text[]) limit 1"
    found = link.execute(sql, [list(but)]).fetchone()
    if found:
        raise UsageError(
            f"database {link.info.dbname}: expected no hypertables, was one in schema {found[0]}; "
            "do restore into an empty database"
        )


@contextmanager
def _timescaledb(link: Link, source: Source) -> Iterator[None]:
    """The database in the state in which TimescaleDB lets its catalogue be restored."""
    if not source.is_whole:
        yield
        return
    link.execute("select timescaledb_pre_restore()")
    try:
        yield
    finally:
        link.execute("select timescaledb_post_restore()")


def _run(tool: Program, link: Link, source: Source) -> None:
    env = environment(link)
    fixed = ("--exit-on-error", "--no-owner", "--no-privileges", "--no-password")
    with tempfile.NamedTemporaryFile("w+", prefix="tickerplant-", suffix=".list") as entries:
        words = [*fixed, f"--dbname={make_conninfo(dbname=link.info.dbname)}"]
        if not source.is_whole:
            entries.write(_entries(tool, source.path))
            entries.flush()
            words.append(f"--use-list={entries.name}")
        with running(tool, [*words, source.path], env) as restoring:
            restoring.finish()


def _entries(tool: Program, path: Path) -> str:
    """The dump's table of contents without the schema itself, which is there."""
    with tempfile.TemporaryFile("w+") as listed:
        with running(tool, ["--list", path], out=listed) as listing:
            listing.finish()
        listed.seek(0)
        return "".join(line for line in listed if not _SCHEMA_ENTRY.match(line))

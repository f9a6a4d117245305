"""The schema of the marts in PostgreSQL, and what it knows of them: what each was built from, what changed."""

from __future__ import annotations

from tickerplant.schema import quoted
from tickerplant.stores.postgres_link import Link, raw
from tickerplant.stores.postgres_roles import READER, WRITER

_STATEMENTS = (
    """create table if not exists {marts}._marts (
    name text primary key,
    build bigint not null,
    signature text not null,
    snapshot pg_snapshot,
    tables text[] not null default '{{}}',
    seen jsonb not null default '{{}}',
    built_at timestamptz not null default now()
)""",
    """create table if not exists {marts}._changes (
    mart text collate "C" not null,
    build bigint not null,
    symbol text collate "C" not null,
    session date not null
)""",
    "create index if not exists _changes_mart on {marts}._changes (mart, build)",
    """create or replace aggregate {marts}._product(double precision) (
    sfunc = float8mul, stype = double precision, initcond = '1', parallel = safe
)""",
)
_PRUNE = """delete from {marts}._changes c where not exists (
    select 1 from {marts}._marts m where m.seen ? c.mart and (m.seen ->> c.mart)::bigint < c.build
)"""

_OF_ANOTHER_CLUSTER = "delete from _touched where tx >= pg_snapshot_xmax(pg_current_snapshot())"
"""A row that can be seen has a lower number, unless a dump brought it here."""


def prepare_ledger(link: Link, marts: str) -> None:
    """Make the schema and its ledger where they are not there. The user needs the right to create in the database."""
    row = link.execute("select to_regnamespace($1) is null", [quoted(marts)]).fetchone()
    with link.transaction():
        if row and row[0]:
            link.execute(raw(f"create schema if not exists {quoted(marts)}"))
        link.execute("set local client_min_messages = warning")
        for statement in _STATEMENTS:
            link.execute(raw(statement.format(marts=quoted(marts))))
        link.execute(_OF_ANOTHER_CLUSTER)


def prune(link: Link, marts: str) -> None:
    """Forget changes that every mart has seen."""
    link.execute(raw(_PRUNE.format(marts=quoted(marts))))


def grant(link: Link, marts: str) -> None:
    """Let the roles of the store, where they are, read the marts."""
    found = link.execute("select rolname from pg_roles where rolname = any($1)", [[READER, WRITER]]).fetchall()
    for (role,) in found:
        link.execute(raw(f"grant usage on schema {quoted(marts)} to {role}"))
        link.execute(raw(f"grant select on all tables in schema {quoted(marts)} to {role}"))


def origin(link: Link) -> str:
    """Which ledger the numbers of transactions are of: those of another cluster, or before a restore, mean nothing."""
    allowed = link.execute("select has_function_privilege('pg_control_system()', 'execute')").fetchone()
    system = "(select system_identifier from pg_control_system())" if allowed and allowed[0] else "0"
    row = link.execute(raw(f"select concat_ws('.', {system}, '_touched'::regclass::oid)")).fetchone()
    return f"-{row[0]}" if row else ""

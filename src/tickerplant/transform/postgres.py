"""A transform over PostgreSQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from threading import Lock
from typing import Any

import msgspec
from psycopg.rows import TupleRow

from tickerplant.postgres_url import parse
from tickerplant.schema import quoted
from tickerplant.stores.postgres import PostgresStore
from tickerplant.stores.postgres_link import Link, named, raw
from tickerplant.stores.postgres_touched import WHOLE
from tickerplant.transform.facts import Facts
from tickerplant.transform.postgres_ledger import grant, origin, prepare_ledger, prune
from tickerplant.transform.project import parsed, prepare, signature, work_folder
from tickerplant.transform.request import Built, Known, Progress, Report, Request, Touched
from tickerplant.transform.runner import PASSWORD_IN_PROFILE, password_environment, run

_lock = Lock()
MANY = 400
"""More sessions than this are all sessions."""

_KNOWN = """select name, signature, seen::text, tables from {marts}._marts
where build > 0 and to_regclass(quote_ident($1) || '.' || quote_ident(name)) is not null"""
_TOUCHED = """select distinct m.name, t.table_name, t.session::text
from {marts}._marts m join _touched t on t.table_name = any(m.tables) and not pg_visible_in_snapshot(t.tx, m.snapshot)
where m.build > 0"""
_VARIABLES = {
    "sslmode": "PGSSLMODE",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcrl": "PGSSLCRL",
    "channel_binding": "PGCHANNELBINDING",
    "gssencmode": "PGGSSENCMODE",
    "requirepeer": "PGREQUIREPEER",
}
"""Options of a connection that dbt has no word for; libpq reads them from the environment."""


def transform_postgres(store: PostgresStore, request: Request, on_progress: Progress) -> Report:
    """Build the marts of a PostgreSQL store, each in one transaction. Raises as `runner.run` does."""
    marts = store.options.marts_schema
    with store.transforming(), store.connect() as link, named(store.url), _lock:
        work, built = work_folder("postgres"), Built()
        mark = signature(request) + origin(link)
        prepare_ledger(link, marts)
        plan, snapshot = _plan(link, marts)
        prepare(work, _target(link, marts, request.threads), store.options.schema, request.user)
        facts = Facts(mark, {} if request.full else plan, snapshot)
        with parsed(work, "postgres", request.cache):
            results = run(work, request, facts, built, on_progress, _environment(store, link))
        prune(link, marts)
        grant(link, marts)
        return Report(tuple(results), facts.touched)


def _plan(link: Link, marts: str) -> tuple[dict[str, Known], str]:
    """What is known of the marts that are there, and the snapshot in which it was read."""
    with link.transaction():
        link.execute("set transaction isolation level repeatable read, read only")
        now = link.execute("select pg_current_snapshot()::text").fetchone()
        known = link.execute(raw(_KNOWN.format(marts=quoted(marts))), [marts]).fetchall()
        touched = link.execute(raw(_TOUCHED.format(marts=quoted(marts)))).fetchall()
    assert now is not None
    days: dict[tuple[str, str], set[str]] = defaultdict(set)
    for mart, table, day in touched:
        days[mart, table].add(day)
    return {row[0]: _known(row, days) for row in known}, str(now[0])


def _known(row: TupleRow, days: Mapping[tuple[str, str], set[str]]) -> Known:
    name, mark, seen, tables = row
    return Known(
        mark, msgspec.json.decode(seen), {table: _together(days.get((name, table), set())) for table in tables}
    )


def _together(days: set[str]) -> Touched:
    return "all" if WHOLE in days or len(days) > MANY else tuple(sorted(days))


def _target(link: Link, marts: str, threads: int) -> dict[str, Any]:
    info = link.info
    return {
        "type": "postgres",
        "host": info.host or info.hostaddr,
        "port": info.port,
        "user": info.user,
        "password": PASSWORD_IN_PROFILE,
        "database": info.dbname,
        "schema": marts,
        "threads": threads,
        "application_name": "tickerplant transform",
    }


def _environment(store: PostgresStore, link: Link) -> dict[str, str]:
    parts = parse(store.info, "store")
    names = [quoted(store.options.schema), quoted(store.options.marts_schema), "public"]
    path = ",".join(names).replace("\\", "\\\\").replace(" ", "\\ ")
    options = f"-c search_path={path} -c timezone=UTC -c jit=off -c work_mem=128MB"
    given = {_VARIABLES[key]: value for key, value in parts.items() if key in _VARIABLES}
    return {**password_environment(link.info.password), "PGOPTIONS": options, **given}

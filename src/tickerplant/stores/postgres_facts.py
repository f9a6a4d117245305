"""What a PostgreSQL server is and what this user may do there, asked without changing anything."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tickerplant.postgres_url import masked, parse, url
from tickerplant.stores.postgres_layout import layout_for
from tickerplant.stores.postgres_link import Link, connect, named, raw
from tickerplant.stores.postgres_partitions import MAKE_PARTITION
from tickerplant.stores.postgres_schema import applied, layout_of, pending
from tickerplant.tables import TABLES

_SERVER = """select current_setting('server_version_num')::integer, current_setting('server_version'),
    current_user::text, current_database()::text, pg_is_in_recovery(),
    (select extversion from pg_extension where extname = 'timescaledb'),
    (select default_version from pg_available_extensions where name = 'timescaledb'),
    (select s.version from pg_stat_ssl s where s.pid = pg_backend_pid() and s.ssl)"""
_ASKED = (
    *("version", "version_text", "user", "database", "is_standby"),
    *("timescale", "timescale_offered", "tls"),
)
_RIGHTS = """select coalesce(bool_and(has_table_privilege(c.oid, 'select')), false),
    coalesce(bool_and(has_table_privilege(c.oid, 'insert')
        and (c.relname <> all($3::text[]) or has_table_privilege(c.oid, 'update'))), false)
        and bool_or(pg_has_role(c.relowner, 'member')
            or has_function_privilege(to_regprocedure(quote_ident($1) || '.' || $4), 'execute') is true),
    coalesce(bool_or(has_table_privilege(c.oid, 'delete') or pg_has_role(c.relowner, 'member')), false)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relname = any($2::text[]) and has_schema_privilege(n.oid, 'usage')"""


@dataclass(frozen=True)
class ServerFacts:
    """`tls` is the protocol in use, None in the clear; `is_local` a socket or this machine. `waiting` steps are what
    `init` would run; `may_take_away` says that this user could also delete rows."""

    where: str
    version: int
    version_text: str
    user: str
    database: str
    is_standby: bool
    timescale: str | None
    timescale_offered: str | None
    tls: str | None
    is_verified: bool
    is_local: bool
    applied: int
    waiting: int
    may_read: bool
    may_write: bool
    may_take_away: bool


def look(info: str, schema: str, timeout_s: int = 5) -> ServerFacts:
    """Ask the server. Raises what `connect` raises, after at most `timeout_s` for each address of it."""
    parts = {"connect_timeout": str(timeout_s), **parse(info, "store")}
    where = masked(info)
    with connect(url(parts), where, [("statement_timeout", str(timeout_s * 1000))]) as link, named(where):
        server = link.execute(raw(_SERVER)).fetchone() or ()
        host = link.info.host
        known: dict[str, Any] = {
            "is_verified": link.info.get_parameters().get("sslmode") in ("verify-full", "verify-ca"),
            "is_local": host.startswith("/") or host in ("localhost", "127.0.0.1", "::1"),
            **dict(zip(("applied", "waiting"), _schema(link, schema), strict=True)),
            **dict(zip(("may_read", "may_write", "may_take_away"), _rights(link, schema), strict=True)),
        }
    return ServerFacts(where, **dict(zip(_ASKED, server, strict=True)), **known)


def _schema(link: Link, schema: str) -> tuple[int, int]:
    row = link.execute("select has_schema_privilege(oid, 'usage') from pg_namespace where nspname = $1", [schema])
    if row.fetchone() == (False,):
        return 0, 0
    return applied(link, schema), len(pending(link, schema, layout_for(link, layout_of(link, schema))))


def _rights(link: Link, schema: str) -> tuple[bool, bool, bool]:
    merged = [t.name for t in TABLES.values() if t.mode == "merge"]
    row = link.execute(raw(_RIGHTS), [schema, list(TABLES), merged, MAKE_PARTITION]).fetchone()
    assert row is not None
    return bool(row[0]), bool(row[1]), bool(row[2])

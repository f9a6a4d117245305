"""The extension TimescaleDB: whether a server has it and lets us use what we need of it."""

from __future__ import annotations

import psycopg
import structlog

from tickerplant.stores.postgres_link import Link, text

log = structlog.get_logger()

LEAST = (2, 22)
"""The first version whose `create table` takes all of our options."""

CREATE = "create extension if not exists timescaledb schema public"
_STATE = """select
    (select extversion from pg_extension where extname = 'timescaledb'),
    (select default_version from pg_available_extensions where name = 'timescaledb'),
    current_setting('timescaledb.disable_load', true),
    coalesce(current_setting('timescaledb.license', true), 'timescale'),
    has_database_privilege(current_database(), 'create')"""
_EXTENSION = """select n.nspname, e.extversion from pg_extension e join pg_namespace n on n.oid = e.extnamespace
where e.extname = 'timescaledb'"""


def obstacle(link: Link) -> str | None:
    """Why TimescaleDB cannot be used in this database; None when it can, if need be after `create extension`."""
    row = link.execute(_STATE).fetchone()
    assert row is not None
    installed, available, disabled, licence, may_create = row
    version = installed or available
    if version is None:
        return "the server does not have it"
    if disabled != "off":
        return "it is not in shared_preload_libraries"
    if _number(version) < LEAST:
        return f"it is version {version}, not {'.'.join(map(str, LEAST))} or later"
    if licence != "timescale":
        return f"its licence is {licence!r}: columnstore, continuous aggregates and policies need 'timescale'"
    if installed is None and not may_create:
        return "it is not in this database, and this role may not create it"
    return None


def offer(link: Link) -> None:
    """Create the extension when nothing is in the way; says in the log what the choice is, and why."""
    reason = obstacle(link)
    if reason is None:
        reason = _create(link)
    if reason is None:
        log.info("layout", kind="hypertables")
    else:
        log.info("layout", kind="partitions", timescaledb=reason)


def _create(link: Link) -> str | None:
    """Create the extension; why that failed. Another process may do so at the same moment: then one of them fails."""
    try:
        link.execute(CREATE)
    except psycopg.errors.Error as error:
        if not link.execute(_EXTENSION).fetchone():
            return text(error)
    return obstacle(link)


def extension(link: Link) -> tuple[str, tuple[int, ...]]:
    """The schema of the extension's functions and its version; where `offer` would create it, before."""
    row = link.execute(_EXTENSION).fetchone()
    return (str(row[0]), _number(row[1])) if row else ("public", LEAST)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("-")[0].split(".")[:2])

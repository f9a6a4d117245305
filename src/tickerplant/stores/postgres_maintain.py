"""Maintenance of PostgreSQL: finished sessions vacuumed and analyzed once, old ones dropped."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import structlog

from tickerplant.model import Maintained
from tickerplant.schema import Table, quoted
from tickerplant.stores.postgres_layout import Layout
from tickerplant.stores.postgres_link import Link, raw
from tickerplant.stores.postgres_schema import has_session
from tickerplant.tables import TABLES

log = structlog.get_logger()

_REMEMBER = """insert into _maintained (relation, bytes) values ($1, $2)
on conflict (relation) do update set bytes = excluded.bytes, at = now()"""


def maintain(link: Link, layout: Layout, before: date, retention_days: int) -> Iterator[Maintained]:
    """Every finished session that has rows it had not when it was last maintained."""
    for table in TABLES.values():
        if not has_session(table):
            continue
        if retention_days:
            retire(link, layout, table, before - timedelta(days=retention_days))
        for day in layout.sessions(link, table):
            relation = layout.relation(table, day)
            if day < before and relation is not None:
                yield from _session(link, table, day, relation)


def retire(link: Link, layout: Layout, table: Table, oldest: date) -> None:
    """Drop the sessions before `oldest`; gaps, quarantine and positions stay."""
    for day in layout.retire(link, table, oldest):
        log.info("retired", table=table.name, session=day.isoformat(), oldest=oldest.isoformat())
        link.execute("delete from _maintained where relation = $1", [layout.relation(table, day) or ""])


def _session(link: Link, table: Table, day: date, relation: str) -> Iterator[Maintained]:
    size = _size(link, relation, "pg_relation_size")
    held = link.execute("select bytes from _maintained where relation = $1", [relation]).fetchone()
    if size == 0 or (held and held[0] == size):
        return
    before = _size(link, relation, "pg_total_relation_size")
    link.execute(raw(f"vacuum (freeze, analyze) {quoted(relation)}"))
    row = link.execute(raw(f"select count(*) from {quoted(relation)}")).fetchone()
    link.execute(raw(_REMEMBER), [relation, _size(link, relation, "pg_relation_size")])
    after = _size(link, relation, "pg_total_relation_size")
    yield Maintained(table.name, day, int(row[0]) if row else 0, 1, 1, before, after)


def _size(link: Link, relation: str, function: str) -> int:
    row = link.execute(raw(f"select {function}(to_regclass($1))"), [quoted(relation)]).fetchone()
    return int(row[0] or 0) if row else 0

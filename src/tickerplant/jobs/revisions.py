"""Revisions: what a vendor changed after the fact, out of the versions that the store keeps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tickerplant.errors import UsageError
from tickerplant.model import Store
from tickerplant.schema import Table, quoted
from tickerplant.tables import TABLES

_NOT_CONTENT = ("revision", "details")


@dataclass(frozen=True)
class Revision:
    """One value that a later answer gave otherwise; both times are receipts."""

    table: str
    key: dict[str, Any]
    column: str
    was: Any
    now: Any
    was_received_at: datetime
    received_at: datetime


def revised_tables() -> list[str]:
    """Tables that keep every version."""
    return [t.name for t in TABLES.values() if t.mode == "append" and t.key]


def revisions(
    store: Store, table: str, symbols: Sequence[str] = (), since: datetime | None = None, limit: int = 1000
) -> Iterator[Revision]:
    """Changes of a table, the newest first; at most `limit` versions are looked at. Raises UsageError."""
    known = TABLES.get(table)
    if known is None or table not in revised_tables():
        raise UsageError(f"revisions: expected one of {', '.join(revised_tables())}, was {table!r}")
    where, parameters = _where(known, symbols)
    outer = " and received_at >= ?" if since else ""
    sql = f"{_sql(known, where)}{outer} order by received_at desc, seq desc limit {int(limit)}"
    for row in store.query(sql, [*parameters, *([since] if since else [])]).to_pylist():
        yield from _changes(known, row)


def _where(table: Table, symbols: Sequence[str]) -> tuple[str, list[Any]]:
    if not symbols or "symbol" not in table.schema.names:
        return "true", []
    return f"symbol in ({', '.join('?' * len(symbols))})", list(symbols)


def _values(table: Table) -> list[str]:
    return [c for c in table.content if c not in table.key and c not in _NOT_CONTENT]


def _sql(table: Table, where: str) -> str:
    """Versions that differ from the one before."""
    keys, values = [quoted(k) for k in table.key], _values(table)
    before = ", ".join(f"lag({quoted(c)}) over w as {quoted('was_' + c)}" for c in values)
    window = f"partition by {', '.join(keys)} order by received_at, seq"
    columns = ", ".join([*keys, *(quoted(c) for c in values), "received_at", "seq"])
    differs = " or ".join(f"{quoted(c)} is distinct from {quoted('was_' + c)}" for c in values)
    return (
        f"select * from (select {columns}, lag(received_at) over w as was_received_at, {before} "
        f"from {quoted(table.name)} where {where} window w as ({window})) versions "
        f"where was_received_at is not null and ({differs})"
    )


def _changes(table: Table, row: dict[str, Any]) -> Iterator[Revision]:
    key = {k: row[k] for k in table.key}
    for column in _values(table):
        was, now = row[f"was_{column}"], row[column]
        if was != now:
            yield Revision(table.name, key, column, was, now, row["was_received_at"], row["received_at"])

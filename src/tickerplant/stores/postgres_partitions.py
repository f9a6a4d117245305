"""Plain PostgreSQL: a table with an event time has one native partition a session, a BRIN index on `ts`."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, datetime, time, timedelta

from tickerplant.calendar import NEW_YORK, UTC
from tickerplant.schema import Table, quoted
from tickerplant.stores.postgres_link import Link, lock_key, raw

MAKE_PARTITION = "_make_partition(text, date, timestamptz, timestamptz)"

_FIRST, _LAST = date(1, 1, 1), date(9999, 12, 31)


class Partitions:
    """`Layout` by native range partitions, New York midnight to midnight."""

    kind = "partitions"

    def __init__(self) -> None:
        self._known: dict[str, set[date]] = defaultdict(set)

    def clause(self, table: Table) -> str:
        """Range partitions on the event time."""
        return f" partition by range ({quoted(str(table.time))})"

    def after_create(self, table: Table) -> list[str]:
        """A BRIN index; each partition gets its part of it."""
        return [f"create index on {quoted(table.name)} using brin ({quoted(str(table.time))}) with (autosummarize)"]

    def target(self, table: Table, day: date) -> str:
        """The session's partition, to save the server the routing."""
        return partition(table, day)

    def relation(self, table: Table, day: date) -> str | None:
        """The session's partition."""
        return partition(table, day)

    def ensure(self, link: Link, table: Table, days: list[date]) -> None:
        """Create the partitions that are not there, without blocking readers: made beside, then attached."""
        if self._known[table.name].issuperset(days):
            return
        self._known[table.name].update(self.sessions(link, table))
        for day in days:
            if day not in self._known[table.name]:
                _create(link, table, day)
                self._known[table.name].add(day)

    def forget(self) -> None:
        """Look again for partitions: another process may have dropped some."""
        self._known.clear()

    def sessions(self, link: Link, table: Table) -> list[date]:
        """The days of the partitions attached."""
        rows = link.execute(
            "select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid "
            "where i.inhparent = to_regclass($1)",
            [quoted(table.name)],
        ).fetchall()
        return sorted(datetime.strptime(r[0][-8:], "%Y%m%d").date() for r in rows)  # noqa: DTZ007

    def retire(self, link: Link, table: Table, before: date) -> list[date]:
        """Drop the partitions of the days before."""
        old = [day for day in self.sessions(link, table) if day < before]
        for day in old:
            link.execute(raw(f"drop table if exists {quoted(partition(table, day))}"))
        self._known.clear()
        return old


def partition(table: Table, day: date) -> str:
    """The name of a session's partition."""
    return f"{table.name}_{day.year:04d}{day:%m%d}"


def _create(link: Link, table: Table, day: date) -> None:
    name, parent, ts = quoted(partition(table, day)), quoted(table.name), quoted(str(table.time))
    low, high = _bounds(day)
    limits = [f"session = '{day.isoformat()}'", f"{ts} is not null"]
    limits += [f"{ts} >= '{low}'"] if low else []
    limits += [f"{ts} < '{high}'"] if high else []
    span = f"from ({_quoted_or(low, 'minvalue')}) to ({_quoted_or(high, 'maxvalue')})"
    with link.transaction():
        link.execute("select pg_advisory_xact_lock($1)", [lock_key("partition", table.name)])
        row = link.execute("select to_regclass($1)", [name]).fetchone()
        if row and row[0] is None and _has_maker(link):
            make = "select _make_partition($1, $2::text::date, $3::text::timestamptz, $4::text::timestamptz)"
            link.execute(make, [table.name, day.isoformat(), low, high])
        elif row and row[0] is None:
            link.execute(raw(f"create table {name} (like {parent} including defaults, check ({' and '.join(limits)}))"))
            link.execute(raw(f"alter table {parent} attach partition {name} for values {span}"))


def _has_maker(link: Link) -> bool:
    """Whether the owner lends us his rights to make partitions (see postgres_roles)."""
    row = link.execute(
        "select to_regprocedure(quote_ident(current_schema()) || '.' || $1)", [MAKE_PARTITION]
    ).fetchone()
    return bool(row and row[0])


def _bounds(day: date) -> tuple[str | None, str | None]:
    """The session's `[from, to)` in UTC; the first and last day there can be are open."""
    return (
        None if day <= _FIRST else _midnight(day),
        None if day >= _LAST else _midnight(day + timedelta(days=1)),
    )


def _midnight(day: date) -> str:
    return datetime.combine(day, time(), NEW_YORK).astimezone(UTC).isoformat(sep=" ")


def _quoted_or(text: str | None, word: str) -> str:
    return word if text is None else f"'{text}'"

"""Plain PostgreSQL: a table with an event time has one native partition a session, a BRIN index on `ts`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import structlog
from psycopg import errors

from tickerplant.calendar import UTC
from tickerplant.model import Housing, Maintained, Retention
from tickerplant.schema import TIMESTAMP, Table, quoted
from tickerplant.stores.postgres_aggregates import AGGREGATES, select
from tickerplant.stores.postgres_link import Link, lock_key, raw
from tickerplant.stores.postgres_marks import begin, end, is_done
from tickerplant.tables import TABLES

log = structlog.get_logger()

AHEAD = 3
"""For how many weekdays partitions are made ahead."""

LOCK_TIMEOUT = "set local lock_timeout = '5s'"
RETIRED = """insert into _retired (relation, session, rows) values ($1, $2, $3)
on conflict (relation, session) do update set rows = _retired.rows + excluded.rows, at = now()"""
MAKE_PARTITION = "_make_partition(text, date, timestamptz, timestamptz)"
_FIRST, _LAST = date(1, 1, 1), date(9999, 12, 31)
_MINUTE = "date_bin('1 minute', ts, timestamptz '2000-01-01 00:00+00')"


class Partitions:
    """`Layout` by native range partitions, New York midnight to midnight."""

    kind: Final = "partitions"

    def __init__(self) -> None:
        self._known: dict[str, set[date]] = defaultdict(set)

    def before_tables(self) -> list[str]:
        """Nothing."""
        return []

    def clause(self, table: Table) -> str:
        """Range partitions on the event time."""
        return f" partition by range ({quoted(str(table.time))})"

    def after_create(self, table: Table) -> list[str]:
        """A BRIN index; each partition gets its part of it."""
        return [f"create index on {quoted(table.name)} using brin ({quoted(str(table.time))}) with (autosummarize)"]

    def aggregates(self) -> list[str]:
        """Views, which are right at any moment."""
        return [f"create view {name} as {select(name, _MINUTE)}" for name in AGGREGATES]

    def target(self, table: Table, day: date) -> str:
        """The session's partition, to save the server the routing."""
        return partition(table, day)

    def marks(self, table: Table, day: date) -> list[str]:
        """The session's partition."""
        return [partition(table, day)]

    def ensure(self, link: Link, table: Table, days: list[date]) -> None:
        """Create the partitions that are not there, without blocking readers: made beside, then attached."""
        if self._known[table.name].issuperset(days):
            return
        self._known[table.name].update(self.sessions(link, table))
        for day in days:
            if day not in self._known[table.name]:
                _create(link, table, day)
                self._known[table.name].add(day)

    def ahead(self, link: Link, today: date) -> None:
        """Partitions of the next weekdays; that of a holiday stays empty."""
        days = (today + timedelta(days=i) for i in range(AHEAD + 3))
        coming = [day for day in days if day.weekday() < 5][:AHEAD]
        for table in TABLES.values():
            if table.time:
                self.ensure(link, table, coming)

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

    def retire(self, link: Link, table: Table, oldest: date) -> list[Maintained]:
        """Drop the partitions of the days before; one that a long query reads stays until the next time."""
        found = []
        for day in self.sessions(link, table):
            if day < oldest:
                try:
                    found += _drop(link, table, day)
                except errors.LockNotAvailable:
                    log.warning("retire_later", table=table.name, session=day.isoformat())
        self._known.clear()
        return found

    def tidy(self, link: Link, table: Table, before: date) -> Iterator[Maintained]:
        """Vacuum and analyze."""
        for day in self.sessions(link, table):
            name = partition(table, day)
            if day < before and _size(link, name) and not is_done(link, name):
                yield _vacuum(link, table, day)

    def refresh(self, link: Link, before: date) -> None:
        """Nothing: views need none."""

    def schedule(self, link: Link, schema: str, retention: Retention) -> None:
        """Nothing: only `maintain` drops here."""

    def sizes(self, link: Link) -> dict[str, int]:
        """Partitions and their indexes."""
        names = [t.name for t in TABLES.values() if t.time]
        rows = link.execute(
            "select n, sum(pg_total_relation_size(relid))::bigint "
            "from unnest($1::text[]) n, pg_partition_tree(n::regclass) group by n",
            [names],
        ).fetchall()
        return {str(name): int(size) for name, size in rows}

    def housing(self, link: Link) -> Housing:
        """The server's version."""
        return Housing(self.kind, server_version(link))


def partition(table: Table, day: date) -> str:
    """The name of a session's partition."""
    return f"{table.name}_{day.year:04d}{day:%m%d}"


def server_version(link: Link) -> str:
    """Such as `PostgreSQL 18.4`."""
    row = link.execute("select split_part(current_setting('server_version'), ' ', 1)").fetchone()
    return f"PostgreSQL {row[0] if row else ''}"


def bounds(day: date) -> tuple[str | None, str | None]:
    """The session's `[from, to)` in UTC; the first and last day there can be are open."""
    return (
        None if day <= _FIRST else midnight(day),
        None if day >= _LAST else midnight(day + timedelta(days=1)),
    )


def within(table: Table, day: date) -> list[str]:
    """Conditions that hold for the rows of a session and no other."""
    low, high = bounds(day)
    ts = quoted(str(table.time))
    limits = [f"session = '{day.isoformat()}'", f"{ts} is not null"]
    limits += [f"{ts} >= '{low}'"] if low else []
    limits += [f"{ts} < '{high}'"] if high else []
    return limits


def midnight(day: date) -> str:
    """Midnight of New York, in UTC, by the rules that date the rows (see calendar.session_dates)."""
    local = pa.scalar(datetime.combine(day, time()), pa.timestamp("us"))
    found: datetime = pc.assume_timezone(local, "America/New_York").cast(TIMESTAMP).as_py()
    return found.astimezone(UTC).isoformat(sep=" ")


def _create(link: Link, table: Table, day: date) -> None:
    name, parent = quoted(partition(table, day)), quoted(table.name)
    low, high = bounds(day)
    span = f"from ({_quoted_or(low, 'minvalue')}) to ({_quoted_or(high, 'maxvalue')})"
    check = " and ".join(within(table, day))
    with link.transaction():
        link.execute("select pg_advisory_xact_lock($1)", [lock_key("partition", table.name)])
        row = link.execute("select to_regclass($1)", [name]).fetchone()
        if row and row[0] is None and _has_maker(link):
            make = "select _make_partition($1, $2::text::date, $3::text::timestamptz, $4::text::timestamptz)"
            link.execute(make, [table.name, day.isoformat(), low, high])
        elif row and row[0] is None:
            link.execute(raw(f"create table {name} (like {parent} including defaults, check ({check}))"))
            link.execute(raw(f"alter table {parent} attach partition {name} for values {span}"))


def _has_maker(link: Link) -> bool:
    """Whether the owner lends us his rights to make partitions (see postgres_roles)."""
    row = link.execute(
        "select to_regprocedure(quote_ident(current_schema()) || '.' || $1)", [MAKE_PARTITION]
    ).fetchone()
    return bool(row and row[0])


def _drop(link: Link, table: Table, day: date) -> list[Maintained]:
    name = partition(table, day)
    with link.transaction():
        link.execute(LOCK_TIMEOUT)
        # Writers wait from here on, so that the count is what is dropped; readers wait for the drop alone.
        link.execute(raw(f"lock table {quoted(name)} in share mode"))
        size, rows = _size(link, name), _count(link, name)
        if rows:
            link.execute(RETIRED, [table.name, day, rows])
        link.execute("delete from _maintained where relation = $1", [name])
        link.execute(raw(f"drop table {quoted(name)}"))
    log.info("retired", table=table.name, session=day.isoformat(), rows=rows)
    return [Maintained(table.name, day, rows, 1, 0, size, 0, "dropped")] if rows else []


def _vacuum(link: Link, table: Table, day: date) -> Maintained:
    name = partition(table, day)
    before = _size(link, name)
    begin(link, name)
    link.execute(raw(f"vacuum (freeze, analyze) {quoted(name)}"))
    rows, after = _count(link, name), _size(link, name)
    end(link, name, after)
    log.info("vacuumed", table=table.name, session=day.isoformat(), rows=rows)
    return Maintained(table.name, day, rows, 1, 1, before, after, "vacuumed")


def _count(link: Link, relation: str) -> int:
    row = link.execute(raw(f"select count(*) from {quoted(relation)}")).fetchone()
    return int(row[0]) if row else 0


def _size(link: Link, relation: str) -> int:
    """Bytes of a partition with its indexes; 0 when it never had a row."""
    row = link.execute(
        "select case when pg_relation_size(r) = 0 then 0 else pg_total_relation_size(r) end from to_regclass($1) r",
        [quoted(relation)],
    ).fetchone()
    return int(row[0] or 0) if row else 0


def _quoted_or(text: str | None, word: str) -> str:
    return word if text is None else f"'{text}'"

"""TimescaleDB: a table with an event time is a hypertable with a day's chunks, quotes and trades in columns later.

Written for TimescaleDB 2.20 and newer (https://docs.timescale.com/api/latest/hypertable/create_table/). Nothing here
uses a unique key on ticks: it would turn direct compress off without an error.
"""

from __future__ import annotations

from datetime import date, timedelta

from tickerplant.schema import Table, quoted
from tickerplant.stores.postgres_link import Link, raw

_COLUMN_AFTER = "2 days"


class Hypertables:
    """`Layout` by hypertables. Chunks are UTC days and are made by the extension."""

    kind = "timescale"

    def clause(self, table: Table) -> str:
        """Nothing: the table becomes a hypertable after it was created."""
        return ""

    def after_create(self, table: Table) -> list[str]:
        """The hypertable, and a policy that moves chunks into the columnstore."""
        name, ts = f"'{quoted(table.name)}'", str(table.time)
        return [
            "create extension if not exists timescaledb",
            f"select create_hypertable({name}, by_range('{ts}', interval '1 day'), create_default_indexes => false)",
            f"create index on {quoted(table.name)} using brin ({quoted(ts)})",
            f"alter table {quoted(table.name)} set (timescaledb.enable_columnstore, "
            f"timescaledb.segmentby = 'symbol', timescaledb.orderby = '{ts}, ns, received_at, seq')",
            f"call add_columnstore_policy({name}, after => interval '{_COLUMN_AFTER}')",
        ]

    def target(self, table: Table, day: date) -> str:
        """The hypertable: the extension routes."""
        return table.name

    def relation(self, table: Table, day: date) -> str | None:
        """None: no relation holds exactly one New York day, and the policy maintains chunks."""
        return None

    def ensure(self, link: Link, table: Table, days: list[date]) -> None:
        """Nothing to do: chunks come by need."""

    def forget(self) -> None:
        """Nothing is remembered."""

    def sessions(self, link: Link, table: Table) -> list[date]:
        """New York days that the chunks can hold."""
        rows = link.execute(
            "select distinct (range_start at time zone 'UTC')::date from timescaledb_information.chunks "
            "where hypertable_schema = current_schema() and hypertable_name = $1",
            [table.name],
        ).fetchall()
        days = {day for row in rows for day in (row[0], row[0] - timedelta(days=1))}
        return sorted(days)

    def retire(self, link: Link, table: Table, before: date) -> list[date]:
        """Drop the chunks that hold only older days."""
        old = [day for day in self.sessions(link, table) if day < before]
        link.execute(
            raw("select drop_chunks($1::regclass, older_than => $2::timestamptz)"),
            [quoted(table.name), f"{before.isoformat()} 00:00+00"],
        )
        return old

"""TimescaleDB: a table with an event time is a hypertable, its finished chunks in the columnstore.

A chunk is a UTC day; a session is a New York day and so touches two chunks: most of it lies in the chunk of its own
date, 19:00 or 20:00 to midnight New York in the next. Therefore nothing here takes a chunk for a session: sessions are
looked for by their column, and retention cuts at New York midnight.

https://www.tigerdata.com/docs/reference/timescaledb, and the source of 2.28.3, read 2026-11-21.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

import structlog
from psycopg import errors

from tickerplant.errors import Fatal
from tickerplant.model import Housing, Maintained, Retention
from tickerplant.schema import Table, quoted
from tickerplant.stores.postgres_aggregates import AGGREGATES, select
from tickerplant.stores.postgres_link import Link, raw
from tickerplant.stores.postgres_marks import begin, end, is_done
from tickerplant.stores.postgres_partitions import LOCK_TIMEOUT, midnight, partition, server_version
from tickerplant.stores.postgres_timescale import CREATE
from tickerplant.tables import TABLES

log = structlog.get_logger()

_REFRESH_WAIT_S, _POLL_S = 60, 0.2
_BATCH = 0
"""Minutes that a refresh takes in one transaction, 0 is all that changed. The extension's own choice, 10, makes 144
commits of each day, even of days without a row."""

_CHUNKS = """select format('%I.%I', chunk_schema, chunk_name),
    range_start::text, range_end::text, greatest(range_start, '0001-01-01 00:00+00')::date::text
from timescaledb_information.chunks
where hypertable_schema = current_schema() and hypertable_name = $1 and range_end <= $2::timestamptz
order by range_start"""
_SESSIONS = """select distinct day::date::text from timescaledb_information.chunks,
    generate_series(
        greatest(date_trunc('day', timezone('America/New_York', range_start)), '0001-01-01'),
        least(date_trunc('day', timezone('America/New_York', range_end - interval '1 us')), '9999-12-31'),
        interval '1 day') day
where hypertable_schema = current_schema() and hypertable_name = $1"""
_JOB = (
    """select job_id, config::text from timescaledb_information.jobs where proc_schema = $1 and proc_name = '_retire'"""
)
_RETIRE = """create procedure _retire(job_id integer, config jsonb) language plpgsql as $$
declare
    item record;
    cutoff timestamptz;
    found boolean;
    source text;
    today date := coalesce(config->>'today', timezone('America/New_York', now())::date::text)::date;
begin
    perform set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', true);
    for item in select key, value::integer as days from jsonb_each_text(config->'days') loop
        cutoff := timezone('America/New_York', (today - item.days)::timestamp);
        source := format('%I.%I', config->>'schema', item.key);
        execute format('select exists (select 1 from %s where ts < $1)', source) into found using cutoff;
        continue when not found;
        execute format('lock table %s in share row exclusive mode', source);
        execute format('insert into %I._retired (relation, session, rows)
            select %L, session, count(*) from %s where ts < $1 group by session
            on conflict (relation, session) do update set rows = _retired.rows + excluded.rows, at = now()',
            config->>'schema', item.key, source) using cutoff;
        perform {extension}.drop_chunks(source::regclass, older_than => cutoff);
        execute format('delete from %s where ts < $1', source) using cutoff;
    end loop;
end $$"""


@dataclass(frozen=True)
class _Chunk:
    """`start` and `end` as the server writes them; `day` is the UTC day."""

    name: str
    start: str
    end: str
    day: date

    @property
    def span(self) -> str:
        return f"ts >= '{self.start}' and ts < '{self.end}'"


class Hypertables:
    """`Layout` by hypertables. `extension` is the schema of TimescaleDB's functions, `version` its version."""

    kind: Final = "hypertables"

    def __init__(self, extension: str, version: tuple[int, ...]) -> None:
        self._extension = quoted(extension)
        self._batched = f", options => '{json.dumps({'buckets_per_batch': _BATCH})}'" if version >= (2, 28) else ""

    def before_tables(self) -> list[str]:
        """The extension; `init` has made it already, unless this is only a plan."""
        return [CREATE]

    def clause(self, table: Table) -> str:
        """A hypertable with a day's chunks, which the server moves to the columnstore when they are a day old.

        Indexes of the extension's choice are left out: a B-tree halves the rate of loading.
        """
        options = {
            "partition_column": str(table.time),
            "chunk_interval": "1 day",
            "segmentby": "symbol",
            "orderby": "ts, ns",
            "sparse_index": "minmax(session)",
        }
        listed = ", ".join(f"tsdb.{name} = '{value}'" for name, value in options.items())
        return f" with (tsdb.hypertable, {listed}, tsdb.create_default_indexes = false)"

    def after_create(self, table: Table) -> list[str]:
        """A BRIN index, for the chunks that are not in the columnstore yet."""
        return [f"create index on {quoted(table.name)} using brin ({quoted(str(table.time))}) with (autosummarize)"]

    def aggregates(self) -> list[str]:
        """Continuous aggregates: the last day is read from the rows themselves, what is older is stored.

        Late rows of the last day show at once, older ones after the next refresh.
        """
        found = []
        for name in AGGREGATES:
            query = select(name, f"{self._extension}.time_bucket('1 minute', ts)")
            found.append(
                f"create materialized view {name} "
                f"with (timescaledb.continuous, timescaledb.materialized_only = false) as {query} with no data"
            )
            found.append(
                f"select {self._extension}.add_continuous_aggregate_policy('{name}', start_offset => null, "
                "end_offset => interval '1 day', schedule_interval => interval '30 minutes', "
                f"buckets_per_batch => {_BATCH})"
            )
        return [*found, _RETIRE.replace("{extension}", self._extension)]

    def target(self, table: Table, day: date) -> str:
        """The hypertable."""
        return table.name

    def marks(self, table: Table, day: date) -> list[str]:
        """The chunk of the session's date, and the next one with its last hours."""
        return [partition(table, d) for d in (day, min(day, date.max - timedelta(days=1)) + timedelta(days=1))]

    def ensure(self, link: Link, table: Table, days: list[date]) -> None:
        """Nothing: chunks come with their first row."""

    def ahead(self, link: Link, today: date) -> None:
        """Nothing."""

    def forget(self) -> None:
        """Nothing."""

    def sessions(self, link: Link, table: Table) -> list[date]:
        """The days that the chunks touch."""
        return sorted(date.fromisoformat(row[0]) for row in link.execute(_SESSIONS, [table.name]).fetchall())

    def retire(self, link: Link, table: Table, oldest: date) -> list[Maintained]:
        """Drop the chunks before a session, and the rows before it in the chunk where it begins."""
        schema = _schema(link)
        config = {"schema": schema, "days": {table.name: 0}, "today": oldest.isoformat()}
        try:
            with link.transaction():
                link.execute(LOCK_TIMEOUT)
                link.execute(raw(f"call {quoted(schema)}._retire(0, $1::jsonb)"), [json.dumps(config)])
                rows = link.execute(
                    "select session::text, rows from _retired where relation = $1 and at = now() order by session",
                    [table.name],
                ).fetchall()
        except errors.LockNotAvailable:
            log.warning("retire_later", table=table.name, before=oldest.isoformat())
            return []
        found = [Maintained(table.name, date.fromisoformat(day), n, 1, 0, 0, 0, "dropped") for day, n in rows]
        for item in found:
            log.info("retired", table=item.table, session=item.session.isoformat(), rows=item.rows)
        return found

    def tidy(self, link: Link, table: Table, before: date) -> Iterator[Maintained]:
        """Move chunks that end before the running session to the columnstore, late rows too."""
        for row in link.execute(_CHUNKS, [table.name, midnight(before)]).fetchall():
            chunk = _Chunk(row[0], row[1], row[2], date.fromisoformat(row[3]))
            if not is_done(link, partition(table, chunk.day)):
                yield self._compress(link, table, chunk)

    def _compress(self, link: Link, table: Table, chunk: _Chunk) -> Maintained:
        mark, before = partition(table, chunk.day), self._size(link, table, chunk)
        begin(link, mark)
        rows = _count(link, table, chunk)
        link.execute(raw(f"call {self._extension}.convert_to_columnstore('{chunk.name}')"))
        link.execute(raw(f"vacuum (analyze) {chunk.name}"))
        left, after = _count(link, table, chunk), self._size(link, table, chunk)
        if left < rows:
            raise Fatal(f"maintain {chunk.name}: expected {rows} rows in the columnstore, was {left}")
        end(link, mark, after)
        log.info("compressed", table=table.name, session=chunk.day.isoformat(), rows=left)
        return Maintained(table.name, chunk.day, left, 1, 1, before, after, "compressed")

    def _size(self, link: Link, table: Table, chunk: _Chunk) -> int:
        row = link.execute(
            raw(
                f"select total_bytes from {self._extension}.chunks_detailed_size($1::text::regclass) "
                "where format('%I.%I', chunk_schema, chunk_name) = $2"
            ),
            [quoted(table.name), chunk.name],
        ).fetchone()
        return int(row[0]) if row else 0

    def refresh(self, link: Link, before: date) -> None:
        """Store the aggregates of finished sessions; only what changed is computed.

        Waits for a refresh by the server's own job; one that takes long is left to it.
        """
        for name in AGGREGATES:
            deadline = time.monotonic() + _REFRESH_WAIT_S
            while not self._refresh(link, name, before):
                if time.monotonic() > deadline:
                    log.warning("refresh_later", aggregate=name, waited_s=_REFRESH_WAIT_S)
                    break
                time.sleep(_POLL_S)

    def _refresh(self, link: Link, name: str, before: date) -> bool:
        """False while the server's own job refreshes the same."""
        words = f"'{name}', null, '{midnight(before)}'{self._batched}"
        try:
            link.execute(raw(f"call {self._extension}.refresh_continuous_aggregate({words})"))
        except errors.LockNotAvailable:
            return False
        return True

    def schedule(self, link: Link, schema: str, retention: Retention) -> None:
        """A daily job of the server that does what `retire` does; none without a retention."""
        days = dict(retention.days)
        each = {t.name: days.get(t.name, days.get("*")) for t in TABLES.values() if t.time}
        config = {"schema": schema, "days": {name: n for name, n in each.items() if n is not None}}
        row = link.execute(_JOB, [schema]).fetchone()
        if (json.loads(row[1]) if row else None) == (config if config["days"] else None):
            return
        with link.transaction():
            if row:
                link.execute(raw(f"select {self._extension}.delete_job($1)"), [row[0]])
            if config["days"]:
                link.execute(
                    raw(
                        f"select {self._extension}.add_job($1::text::regproc, interval '1 day', $2::jsonb, "
                        "initial_start => now() + interval '1 day')"
                    ),
                    [f"{quoted(schema)}._retire", json.dumps(config)],
                )
        log.info("scheduled", job="_retire", retention=str(retention) or "none")

    def sizes(self, link: Link) -> dict[str, int]:
        """Hypertables with their columnstore, and the aggregates."""
        names = [t.name for t in TABLES.values() if t.time] + list(AGGREGATES)
        rows = link.execute(
            raw(f"select n, {self._extension}.hypertable_size(n::regclass) from unnest($1::text[]) n"), [names]
        ).fetchall()
        return {str(name): int(size or 0) for name, size in rows}

    def housing(self, link: Link) -> Housing:
        """The versions of the extension and of the server."""
        row = link.execute("select extversion from pg_extension where extname = 'timescaledb'").fetchone()
        return Housing(self.kind, f"TimescaleDB {row[0] if row else ''} on {server_version(link)}")


def _schema(link: Link) -> str:
    row = link.execute("select current_schema()").fetchone()
    return str(row[0]) if row else ""


def _count(link: Link, table: Table, chunk: _Chunk) -> int:
    row = link.execute(raw(f"select count(*) from {quoted(table.name)} where {chunk.span}")).fetchone()
    return int(row[0]) if row else 0

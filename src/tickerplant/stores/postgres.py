"""PostgreSQL as a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import structlog
from psycopg import errors

from tickerplant.calendar import NEW_YORK, finished_before
from tickerplant.clock import utc_now
from tickerplant.errors import Busy, UsageError
from tickerplant.model import Batch, Counters, Housing, Maintained, Position, Progress, Selection
from tickerplant.schema import Table, quoted
from tickerplant.stores.options import StoreOptions
from tickerplant.stores.postgres_copy import Part, copy, parts, without_nul
from tickerplant.stores.postgres_layout import Layout, layout_for
from tickerplant.stores.postgres_lease import AdvisoryLease, holders
from tickerplant.stores.postgres_link import Link, connect, masked, named, raw
from tickerplant.stores.postgres_marks import touch
from tickerplant.stores.postgres_partitions import within
from tickerplant.stores.postgres_query import Reader
from tickerplant.stores.postgres_schema import Step, layout_of, migrate, migrating, pending, require
from tickerplant.stores.postgres_timescale import offer
from tickerplant.stores.postgres_touched import note
from tickerplant.tables import TABLES

if TYPE_CHECKING:
    from tickerplant.stores.postgres_embedded import EmbeddedServer

log = structlog.get_logger()

_POSITION = "select position, received, stored, quarantined, control from positions where partition = $1"
_SIZES = "select n, pg_total_relation_size(n::regclass) from unnest($1::text[]) n"
_FIRST = """insert into positions (partition, position, received, stored, quarantined, control, updated_at)
values ($1, 0, 0, 0, 0, 0, now()) on conflict do nothing"""
_MOVE = """update positions set position = $3, received = $4, stored = $5, quarantined = $6, control = $7,
updated_at = clock_timestamp() where partition = $1 and position = $2"""

# Sessions just loaded have no statistics yet: the planner would take them for a few rows and loop over millions.
_ANALYSIS = ("statement_timeout = 0", "enable_nestloop = off", "work_mem = '256MB'")


class PostgresStore:
    """`model.Store` on a PostgreSQL schema. Rows and position are committed together, so there are never cuts."""

    dialect = "postgres"
    batch_messages = 100_000
    """Small enough that decoding one, sending the one before and the server's work on it go on side by side."""

    def __init__(self, url: str, options: StoreOptions, *, read_only: bool = False) -> None:
        self._server: EmbeddedServer | None = None
        self._info = url
        self.url = masked(url)
        if url.startswith(EMBEDDED):
            self._info, self.url = self._embed(url), url
        self.options, self._read_only = options, read_only
        schemas = (options.schema, options.marts_schema)
        self._reader = Reader(self._info, self.url, schemas, options.statement_timeout_s, self._wake)
        self._writer: Link | None = None
        self._layout: Layout | None = None
        self._leases: dict[str, AdvisoryLease] = {}
        self._lock = Lock()
        if self._server is not None:
            self.init()

    def _embed(self, url: str) -> str:
        from tickerplant.stores.postgres_embedded import EmbeddedServer

        self._server = EmbeddedServer(Path(url.removeprefix(EMBEDDED)).expanduser())
        return self._server.url

    def _wake(self) -> None:
        """Start the embedded server again after it died."""
        if self._server is not None and not self._server.is_running():
            self._server.start()

    def connect(self, silence_s: float | None = None) -> Link:
        """A new connection for writing, given up when the server says nothing for `silence_s`. Raises Retryable when
        the server is away."""
        self._wake()
        # Compiling takes longer than any statement of ours.
        settings = [("search_path", f"{quoted(self.options.schema)}, public"), ("jit", "off")]
        return connect(self._info, self.url, settings, silence_s)

    def init(self) -> list[Step]:
        """Bring the schema up to date; returns the steps that were run."""
        schema = self.options.schema
        with self.connect() as link, named(self.url), migrating(link, schema):
            if layout_of(link, schema) is None:
                offer(link)
            layout = layout_for(link, layout_of(link, schema))
            done = migrate(link, schema, layout, self.url)
            layout.ahead(link, _today())
            layout.schedule(link, schema, self.options.retention)
        for step in done:
            log.info("migrated", store=self.url, schema=self.options.schema, step=step.number, title=step.title)
        return done

    def plan(self) -> list[Step]:
        """The steps that `init` would run."""
        with self.connect() as link:
            return pending(link, self.options.schema, layout_for(link, layout_of(link, self.options.schema)))

    def housing(self) -> Housing:
        """Whether tables are partitions or hypertables, and the versions of the server."""
        with self._reading() as (link, layout):
            return layout.housing(link)

    def sizes(self) -> dict[str, int]:
        """Bytes on disk by table, indexes included, and of the aggregates that are stored."""
        with self._reading() as (link, layout):
            others = [t.name for t in TABLES.values() if not t.time]
            rows = link.execute(_SIZES, [others]).fetchall()
            return {**layout.sizes(link), **{str(name): int(size) for name, size in rows}}

    def retired(self) -> dict[str, int]:
        """Rows that retention dropped so far, by table."""
        with self._reading() as (link, _):
            rows = link.execute("select relation, sum(rows)::bigint from _retired group by relation").fetchall()
            return {str(name): int(count) for name, count in rows}

    @contextmanager
    def _reading(self) -> Iterator[tuple[Link, Layout]]:
        with named(self.url), self._reader.link() as link:
            yield link, layout_for(link, layout_of(link, self.options.schema))

    def progress(self, partition: str) -> Progress:
        """Where to resume; position 0 for a partition never loaded."""
        with named(self.url), self._reader.link() as link:
            row = link.execute(raw(_POSITION), [partition]).fetchone()
        return Progress(Position(row[0]), Counters(*row[1:])) if row else Progress(Position(0), Counters())

    def write(
        self, partition: str, start: Position, end: Position, batches: Sequence[Batch], counters: Counters
    ) -> None:
        """Commit the rows of `[start, end)` and the position `end` in one transaction.

        Idempotent. Raises Busy when another loader moved the position meanwhile, Retryable when the server is away or
        went away: nothing was committed then, or all of it, and the same call can be made again.
        """
        self._writable("write")
        if end <= start:
            raise ValueError(f"write: expected end after start, was [{start}, {end})")
        found = parts(batches)
        with self._writing():
            try:
                self._write(partition, start, end, found, counters)
            except errors.CharacterNotInRepertoire:
                self._write(partition, start, end, [without_nul(p) for p in found], counters)
            except errors.UndefinedTable:
                self._layout_now().forget()
                self._write(partition, start, end, found, counters)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One at a time; connections to a server that refuses to be written to are closed: another may be it now."""
        with self._lock, named(self.url):
            try:
                yield
            except errors.ReadOnlySqlTransaction:
                for lease in list(self._leases.values()):
                    lease.lose()
                if self._writer is not None:
                    self._writer.close()
                raise

    def _write(self, partition: str, start: int, end: int, found: Sequence[Part], counters: Counters) -> None:
        link, layout = self._ready(), self._layout_now()
        lease = self._leases.get(partition)
        if lease is not None and lease.is_lost:
            raise Busy(f"{self.url}: expected to own the loading of {partition} again, was owned by another loader")
        for table, day, _ in found:
            if day is not None:
                layout.ensure(link, table, [day])
        late = [
            mark
            for table, day, _ in found
            if day and day < finished_before(utc_now())
            for mark in layout.marks(table, day)
        ]
        with link.transaction():
            if not self._move(link, partition, start, end, counters):
                return
            if late:
                touch(link, late)
            note(link, partition, found)
            for part in found:
                copy(link, part, layout)

    def _move(self, link: Link, partition: str, start: int, end: int, counters: Counters) -> bool:
        """Take the position's row, so that nobody else can; False when this stretch is there already."""
        if start == 0:
            link.execute(raw(_FIRST), [partition])
        values = [counters.received, counters.stored, counters.quarantined, counters.control]
        if link.execute(raw(_MOVE), [partition, start, end, *values]).rowcount:
            return True
        row = link.execute(raw(_POSITION), [partition]).fetchone()
        reached = int(row[0]) if row else 0
        if reached >= end:
            return False
        raise Busy(f"{self.url}: expected {partition} at position {start}, was {reached}; another loader moved it")

    def _layout_now(self) -> Layout:
        assert self._layout is not None
        return self._layout

    def _ready(self) -> Link:
        """The writing connection, opened again when it was lost, with the leases taken back."""
        if self._writer is not None and not self._writer.closed:
            return self._writer
        link = self.connect(self.options.silence_s)
        try:
            self._layout = layout_for(link, layout_of(link, self.options.schema))
            require(link, self.options.schema, self._layout)
            self._layout.ahead(link, _today())
            for lease in list(self._leases.values()):
                lease.renew()
        except BaseException:
            link.close()
            raise
        self._writer = link
        return link

    def loading(self, partition: str, wait_s: float | None = None) -> AdvisoryLease:
        """Own the loading of a partition; waits for the present owner, at most `wait_s` (then Busy)."""
        self._writable("load")
        lease = AdvisoryLease(self, partition, f"loading {partition} into {self.url}", wait_s)
        return lease

    def loaders(self, partitions: Sequence[str]) -> dict[str, str]:
        """Who owns the loading of each of some partitions now; those that nobody loads are left out."""
        with named(self.url):
            return holders(self._reader.rows, self.options.schema, partitions)

    def transforming(self) -> AdvisoryLease:
        """Be the only one that builds marts. Raises Busy while another does."""
        self._writable("transform")
        return AdvisoryLease(self, f"_transform {self.options.marts}", f"transforming {self.url}", 0)

    @property
    def info(self) -> str:
        """The connection text; it may hold a password."""
        return self._info

    def maintain(self, before: date, keep: timedelta | None = None) -> Iterator[Maintained]:
        """Drop sessions past the retention, then vacuum finished ones (days before `before`), or, with TimescaleDB,
        move them to the columnstore and refresh the aggregates.

        Idempotent: a session is done again only after late rows came. Raises Busy while another process maintains.
        `keep` has no meaning here.
        """
        from tickerplant.stores.postgres_maintain import maintain

        self._writable("maintain")
        with AdvisoryLease(self, "_maintain", f"maintaining {self.url}", 0), self.connect() as link, named(self.url):
            layout = layout_for(link, layout_of(link, self.options.schema))
            require(link, self.options.schema, layout)
            layout.ahead(link, _today())
            layout.schedule(link, self.options.schema, self.options.retention)
            yield from maintain(link, layout, before, self.options.retention)

    def query(self, sql: str, parameters: Sequence[Any] = (), as_of: datetime | int | None = None) -> pa.Table:
        """Run one read-only statement and return the result.

        `?` outside quotes is a parameter when parameters are given. Raises UsageError for SQL that is wrong, would
        change anything or takes longer than the time-out.
        """
        _no_versions(as_of)
        return self._reader.query(sql, parameters)

    def analyse(self, sql: str) -> pa.Table:
        """The result of one statement over whole sessions, however long it takes."""
        return self._reader.query(sql, (), _ANALYSIS)

    def scan(self, table: Table, selection: Selection, as_of: datetime | int | None = None) -> Iterator[pa.RecordBatch]:
        """Rows of one table for symbols and `[start, end)` of its time column, in no particular order."""
        _no_versions(as_of)
        return self._reader.scan(table, selection)

    def sessions(self, table: Table) -> list[date]:
        """The sessions of which a partitioned table has rows, sorted."""
        with self._reading() as (link, layout):
            return [day for day in layout.sessions(link, table) if _has_rows(link, table, day)]

    def tables(self) -> list[str]:
        """Names of the tables that exist."""
        rows = self.query("select tablename from pg_tables where schemaname = ?", [self.options.schema]).to_pylist()
        found = {r["tablename"] for r in rows}
        return [name for name in TABLES if name in found]

    def mart_names(self) -> list[str]:
        """Names of the marts and their views."""
        sql = "select table_name::text as name from information_schema.tables where table_schema = ? order by 1"
        names = self.query(sql, [self.options.marts_schema]).column("name").to_pylist()
        return [name for name in names if not name.startswith("_")]

    def close(self) -> None:
        """Release connections, and the embedded server; idempotent."""
        self._reader.close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._server is not None:
            self._server.close()

    def hold(self, lease: AdvisoryLease, is_held: bool) -> None:
        """Remember a lease, so that it is taken back after the connection was lost; or forget it."""
        if is_held:
            self._leases[lease.name] = lease
        else:
            self._leases.pop(lease.name, None)

    def _writable(self, what: str) -> None:
        if self._read_only:
            raise UsageError(f"{self.url}: expected a store opened for writing to {what}, was read-only")


EMBEDDED = "postgresql+embedded://"


def _today() -> date:
    return utc_now().astimezone(NEW_YORK).date()


def _has_rows(link: Link, table: Table, day: date) -> bool:
    condition = " and ".join(within(table, day))
    row = link.execute(raw(f"select exists (select 1 from {quoted(table.name)} where {condition})")).fetchone()
    return bool(row and row[0])


def _no_versions(as_of: datetime | int | None) -> None:
    if as_of is not None:
        raise UsageError(
            f"as_of: expected none, was {as_of}: PostgreSQL keeps no past versions; bars_known_at(time) shows revisions"
        )

"""The lake: one Delta table for each table of the plant, in folders of one directory."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pyarrow as pa

from tickerplant.errors import Busy, UsageError
from tickerplant.model import Batch, Counters, Housing, Lease, Maintained, Position, Progress, Retention, Selection
from tickerplant.schema import TIMESTAMP, Table
from tickerplant.stores.lake_actions import State
from tickerplant.stores.lake_files import by_session, write_file
from tickerplant.stores.lake_history import pack
from tickerplant.stores.lake_log import CHECKPOINT_EVERY, RETIRED, Moved, TableLog
from tickerplant.stores.lake_marts import FOLDER, Marts
from tickerplant.stores.lake_rewrite import Merging, merge_small, upsert
from tickerplant.stores.lease import FileLease, holder
from tickerplant.stores.object_path import Folder, map_in, open_parquet
from tickerplant.tables import PLANT_TABLES, POSITIONS, TABLES, VENDOR_TABLES

if TYPE_CHECKING:
    from tickerplant.stores.lake_query import Engine

_ORDER = {t.name: i for i, t in enumerate((*VENDOR_TABLES, *PLANT_TABLES))}


class LakeStore:
    """`model.Store` on a folder. A table is made when it gets its first rows."""

    dialect = "duckdb"
    batch_messages = 500_000

    def __init__(
        self,
        root: Folder,
        *,
        read_only: bool = False,
        keep_versions: timedelta = timedelta(days=7),
        merging: Merging | None = None,
        retention: Retention = Retention(),  # noqa: B008
        marts: str = FOLDER,
    ) -> None:
        self.root = root.absolute()
        self.marts = Marts(self.root, marts)
        self.url = str(root)
        self.keep_versions, self.retention = keep_versions, retention
        self._read_only = read_only
        self._merging = merging or Merging()
        self._logs = {name: TableLog(self.root, table) for name, table in TABLES.items()}
        self._engine: Engine | None = None

    def table_log(self, name: str) -> TableLog:
        """The transaction log of a table."""
        return self._logs[name]

    def table_logs(self) -> dict[str, TableLog]:
        """The transaction logs of all tables."""
        return dict(self._logs)

    def progress(self, partition: str) -> Progress:
        """Where to resume; position 0 for a partition never loaded."""
        reached = {state.transactions.get(partition, 0) for state in self._states()}
        at, counters = self._position(partition)
        return Progress(at, counters, tuple(Position(p) for p in sorted(reached) if p > at))

    def _states(self) -> list[State]:
        """The newest state of each table."""
        return map_in(self.root, TableLog.refresh, self._logs.values())

    def _position(self, partition: str) -> tuple[Position, Counters]:
        import pyarrow.compute as pc

        log = self._logs[POSITIONS.name]
        for file in log.files():
            rows = open_parquet(log.folder / file.path).read()
            for row in rows.filter(pc.equal(rows.column("partition"), partition)).to_pylist():
                counts = (row[n] for n in ("received", "stored", "quarantined", "control"))
                return Position(row["position"]), Counters(*counts)
        return Position(0), Counters()

    def write(
        self, partition: str, start: Position, end: Position, batches: Sequence[Batch], counters: Counters
    ) -> None:
        """Commit the rows of `[start, end)`, table by table, and last the position `end` with `counters`.

        Idempotent: each table's commit names the position it reaches, and a table that has reached `end` is left
        alone. Raises Busy when another loader moved the position meanwhile.
        """
        self._writable("write")
        if end <= start:
            raise ValueError(f"write: expected end after start, was [{start}, {end})")
        reached = self._logs[POSITIONS.name].refresh().transactions.get(partition, 0)
        if reached >= end:
            return
        if reached != start:
            raise Busy(f"{self.url}: expected {partition} at position {start}, was {reached}; another loader moved it")
        for table, rows in _by_table(batches):
            self._write_table(partition, start, end, table, rows)
        self._write_table(partition, start, end, POSITIONS, _position_row(partition, end, counters))

    def _write_table(self, partition: str, start: int, end: int, table: Table, rows: pa.Table) -> None:
        log = self._logs[table.name]
        log.create()
        held = log.state.transactions.get(partition, 0)
        if held >= end:
            return
        if held > start:
            raise ValueError(f"write: expected no stretch across {held}, was [{start}, {end}); do slice it at the cuts")
        try:
            if table.mode == "merge":
                upsert(log, rows, (partition, held, end))
            else:
                files = [write_file(log.folder, table, day, [part]) for day, part in by_session(table, rows)]
                log.commit(files, (), (partition, held, end))
        except Moved as moved:
            raise Busy(f"{self.url}: expected to be the only loader of {partition}, was not: {moved}") from None
        self._tidy(log)

    def _tidy(self, log: TableLog) -> None:
        merge_small(log, self._merging)
        if log.state.version % CHECKPOINT_EVERY == 0:
            pack(log)

    def loading(self, partition: str, wait_s: float | None = None) -> Lease:
        """Own the loading of a partition; waits for the present owner, at most `wait_s` (then Busy)."""
        self._writable("load")
        return self._lease(partition, f"loading {partition} into {self.url}", wait_s)

    def loaders(self, partitions: Sequence[str]) -> dict[str, str]:
        """Who owns the loading of each of some partitions now; those that nobody loads are left out."""
        paths = {name: self.root / "_leases" / _lease_file(name) for name in partitions}
        found: dict[str, str | None]
        if isinstance(self.root, Path):
            found = {name: holder(path) for name, path in paths.items() if isinstance(path, Path)}
        else:
            from tickerplant.stores.object_lease import holders

            found = holders({name: path for name, path in paths.items() if not isinstance(path, Path)})
        return {name: who for name, who in found.items() if who}

    def transforming(self) -> Lease:
        """Be the only one that builds marts. Raises Busy while another does."""
        self._writable("transform")
        return self._lease(f"transform {self.marts.root.name}", f"transforming {self.url}", 0)

    def _lease(self, name: str, what: str, wait_s: float | None = None) -> Lease:
        file = _lease_file(name)
        if isinstance(self.root, Path):
            return FileLease(self.root / "_leases" / file, what, wait_s)
        from tickerplant.stores.object_lease import ObjectLease

        return ObjectLease(self.root / "_leases" / file, what, wait_s)

    def maintain(self, before: date, keep: timedelta | None = None) -> Iterator[Maintained]:
        """Drop sessions past the retention, sort finished ones (days before `before`), one commit each, and delete
        files replaced or dropped `keep` ago: until then `as_of` sees them.

        Idempotent: a sorted session is left alone until late rows come. Yields each session after its commit. Raises
        Fatal, and leaves the session as it was, when count or checksum differ; Busy while another process maintains.
        """
        from tickerplant.stores.lake_maintain import maintain_table, retire, vacuum

        self._writable("maintain")
        with self._lease("maintain", f"maintaining {self.url}", 0):
            for log in self._logs.values():
                oldest = self.retention.oldest(log.table.name, before)
                if oldest is not None:
                    yield from retire(log, oldest)
                yield from maintain_table(log, before, self.keep_versions if keep is None else keep)
            for log in self.marts.logs():
                log.refresh()
                pack(log)
                vacuum(log, self.keep_versions if keep is None else keep)

    def pending(self, before: date) -> list[tuple[str, str]]:
        """(table, session) that `maintain` would sort."""
        from tickerplant.stores.lake_maintain import pending

        return [(log.table.name, day) for log in self._logs.values() for day in pending(log, before)]

    def housing(self) -> Housing:
        """A lake."""
        return Housing("lake")

    def sizes(self) -> dict[str, int]:
        """Bytes of the files of the newest versions, by table; replaced files that wait for deletion do not count."""
        return {name: sum(f.size for f in self._logs[name].files()) for name in self.tables()}

    def retired(self) -> dict[str, int]:
        """Rows that retention dropped so far, by table."""
        held = {name: log.refresh().transactions.get(RETIRED, 0) for name, log in self._logs.items()}
        return {name: count for name, count in held.items() if count}

    def query(self, sql: str, parameters: Sequence[Any] = (), as_of: datetime | int | None = None) -> pa.Table:
        """Run one read-only statement of DuckDB's SQL over the tables and return the result.

        Tables show exactly the rows of their newest version, or of `as_of` (a moment, or a version of each table
        named). Raises UsageError for SQL that is wrong or would change anything.
        """
        if self._engine is None:
            from tickerplant.stores.lake_query import Engine

            self._engine = Engine(self.root, self._logs, self.marts)
        return self._engine.query(sql, parameters, as_of)

    def analyse(self, sql: str) -> pa.Table:
        """The result of one statement over whole sessions; here as any other."""
        return self.query(sql)

    def scan(self, table: Table, selection: Selection, as_of: datetime | int | None = None) -> Iterator[pa.RecordBatch]:
        """Rows of one table for symbols and `[start, end)` of its time column, in no particular order, files pruned."""
        from tickerplant.stores.lake_scan import scan

        return scan(self._logs[table.name], selection, as_of)

    def sessions(self, table: Table) -> list[date]:
        """The sessions of which a partitioned table has rows, sorted."""
        days = {f.session for f in self._logs[table.name].files() if f.session and f.stats.num_records}
        return sorted(date.fromisoformat(d) for d in days)

    def tables(self) -> list[str]:
        """Names of the tables that exist."""
        return [name for name, log in self._logs.items() if log.refresh().version >= 0]

    def mart_names(self) -> list[str]:
        """Names of the marts and their views."""
        return self.marts.names()

    def close(self) -> None:
        """Release handles; idempotent."""
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _writable(self, what: str) -> None:
        if self._read_only:
            raise UsageError(f"{self.url}: expected a store opened for writing to {what}, was read-only")


def _lease_file(name: str) -> str:
    return f"{quote(name, safe='')}.lock"


def _by_table(batches: Sequence[Batch]) -> list[tuple[Table, pa.Table]]:
    """The rows of each table together, vendor tables first, in the order of `tables.py`."""
    grouped: dict[str, list[pa.RecordBatch]] = defaultdict(list)
    for table, rows in batches:
        if table.name == POSITIONS.name:
            raise ValueError("write: expected no batch of positions; the store writes them")
        grouped[table.name].append(table.check(rows))
    merged = [
        (TABLES[n], pa.Table.from_batches(grouped[n]).combine_chunks()) for n in sorted(grouped, key=_ORDER.__getitem__)
    ]
    return [(table, rows) for table, rows in merged if rows.num_rows]


def _position_row(partition: str, end: int, counters: Counters) -> pa.Table:
    now = pa.scalar(time.time_ns() // 1000, pa.int64()).cast(TIMESTAMP)
    values = (partition, end, counters.received, counters.stored, counters.quarantined, counters.control, now)
    columns = [pa.array([v], c.type) for c, v in zip(POSITIONS.columns, values, strict=True)]
    return pa.Table.from_arrays(columns, schema=POSITIONS.schema)

"""Data files of the lake: Parquet, written whole and forced to disk before a commit names them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from tempfile import mkstemp
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tickerplant.calendar import UTC, session_dates
from tickerplant.schema import Table
from tickerplant.stores.lake_actions import File, Stats
from tickerplant.stores.lake_schema import SESSION, is_partitioned, writer_options
from tickerplant.stores.object_path import Folder, open_parquet, sync_path

ROW_GROUP_ROWS = 131_072

Bounds = dict[str, tuple[Any, Any]]

_FIRST_DAY, _LAST_DAY = pa.scalar(date(1, 1, 1), pa.date32()), pa.scalar(date(9999, 12, 31), pa.date32())
_BOUNDED = ("symbol", "ts", "received_at")


class DataFile:
    """One new file: `write` rows, then `close` for what to commit. Leaving `with` on an error deletes it."""

    def __init__(
        self,
        folder: Folder,
        table: Table,
        session: str | None,
        *,
        prefix: str = "part",
        level: int = 1,
        suffix: str = "",
    ) -> None:
        name = f"{prefix}-{time.time_ns() // 1000:016d}-{uuid4().hex[:12]}{suffix}.parquet"
        self._relative = f"{SESSION}={session}/{name}" if session else name
        self.path = folder / self._relative
        self._is_new_folder = isinstance(self.path, Path) and not self.path.parent.is_dir()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._table, self._session = table, session
        self._local = self.path if isinstance(self.path, Path) else _temporary()
        self._writer = pq.ParquetWriter(self._local, table.schema, **writer_options(table, level))
        self._bounded = [c for c in dict.fromkeys((*_BOUNDED, *table.key)) if c in table.schema.names]
        self._bounds: Bounds = {}
        self.rows = 0

    def write(self, rows: pa.Table) -> None:
        """Write one row group."""
        self._writer.write_table(rows, row_group_size=ROW_GROUP_ROWS)
        self.rows += rows.num_rows
        for name, (low, high) in bounds(rows, self._bounded).items():
            before = self._bounds.get(name, (low, high))
            self._bounds[name] = (min(before[0], low), max(before[1], high))

    def close(self) -> File:
        """Finish the file and force it to disk."""
        self._writer.close()
        size = self._local.stat().st_size
        if isinstance(self.path, Path):
            sync_path(self.path)
            sync_path(self.path.parent)
            if self._is_new_folder:
                sync_path(self.path.parent.parent)
        else:
            self.path.bucket.put(self.path.key, self._local)
            self._local.unlink()
        low, high = ({n: b[i] for n, b in self._bounds.items()} for i in (0, 1))
        return File(self._relative, size, self._session, Stats(self.rows, low, high))

    def discard(self) -> None:
        """Delete what was written."""
        self._writer.close()
        self._local.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self.discard()


def _temporary() -> Path:
    """A file for what is put in a bucket when it is whole."""
    descriptor, name = mkstemp(prefix="tickerplant-", suffix=".parquet")
    os.close(descriptor)
    return Path(name)


def bounds(rows: pa.Table, names: Iterable[str]) -> Bounds:
    """Least and greatest value of columns as statistics hold them; columns without a value are left out."""
    found = {name: pc.min_max(rows.column(name)).as_py() for name in names}
    return {n: (stats_value(f["min"]), stats_value(f["max"])) for n, f in found.items() if f["min"] is not None}


def write_file(folder: Folder, table: Table, session: str | None, groups: Iterable[pa.Table]) -> File:
    """Write tables, one row group each or more, to a new file."""
    with DataFile(folder, table, session) as file:
        for group in groups:
            file.write(group)
        return file.close()


def by_session(table: Table, rows: pa.Table) -> Iterator[tuple[str | None, pa.Table]]:
    """Rows by the session they belong to, in their order; one (None, rows) for tables without."""
    if not is_partitioned(table):
        yield None, rows
        return
    days = session_dates(rows.column(str(table.time)).combine_chunks())
    days = pc.min_element_wise(pc.max_element_wise(days, _FIRST_DAY), _LAST_DAY)
    found = pc.unique(days)
    for day in found.to_pylist():
        yield day.isoformat(), rows if len(found) == 1 else rows.filter(pc.equal(days, pa.scalar(day, pa.date32())))


def read_groups(folder: Folder, table: Table, files: Sequence[File]) -> Iterator[pa.Table]:
    """The rows of files in their order, in pieces of at least ROW_GROUP_ROWS but the last. Memory: one piece."""
    held: list[pa.RecordBatch] = []
    count = 0
    for file in files:
        with open_parquet(folder / file.path) as parquet:
            for batch in parquet.iter_batches(batch_size=ROW_GROUP_ROWS):
                held.append(batch)
                count += batch.num_rows
                if count >= ROW_GROUP_ROWS:
                    yield pa.Table.from_batches(held, table.schema)
                    held, count = [], 0
    if held:
        yield pa.Table.from_batches(held, table.schema)


def stats_value(bound: Any) -> Any:
    """A value as the statistics of a file hold it: times as text of microseconds, UTC."""
    if isinstance(bound, datetime):
        return bound.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    return bound if isinstance(bound, str | int | float) else str(bound)

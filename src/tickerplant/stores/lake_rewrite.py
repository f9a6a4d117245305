"""Files replaced by files: rows upserted by key, small files merged as the loader goes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import structlog

from tickerplant.schema import Table
from tickerplant.stores.lake_actions import File
from tickerplant.stores.lake_files import Bounds, bounds, read_groups, write_file
from tickerplant.stores.lake_log import Moved, Raced, TableLog

log = structlog.get_logger()

_ROW = "__row"


@dataclass(frozen=True)
class Merging:
    """When small files of a session are merged: `tiny_count` files below `tiny_bytes` (the stream of small commits), or
    `small_count` below `small_bytes`; oldest first, up to `target_bytes` together."""

    tiny_bytes: int = 192 << 10
    tiny_count: int = 60
    small_bytes: int = 8 << 20
    small_count: int = 600
    target_bytes: int = 16 << 20

    def choose(self, files: Sequence[File]) -> list[File]:
        """What to merge among the files of one session, in order of writing; empty when nothing is due."""
        loose = sorted((f for f in files if not f.is_sorted), key=lambda f: f.path)
        for limit, count in ((self.tiny_bytes, self.tiny_count), (self.small_bytes, self.small_count)):
            fitting = [f for f in loose if f.size < limit]
            if len(fitting) >= count:
                return self._up_to_target(fitting)
        return []

    def _up_to_target(self, files: Sequence[File]) -> list[File]:
        chosen: list[File] = []
        total = 0
        for file in files:
            total += file.size
            if len(chosen) > 1 and total > self.target_bytes:
                break
            chosen.append(file)
        return chosen


def merge_small(table_log: TableLog, merging: Merging) -> int:
    """Merge small files where due; returns how many were replaced. Rows and their order of arrival stay."""
    sessions: dict[str | None, list[File]] = defaultdict(list)
    for file in table_log.state.files.values():
        sessions[file.session].append(file)
    return sum(_merge(table_log, session, merging.choose(files)) for session, files in sessions.items())


def _merge(table_log: TableLog, session: str | None, files: Sequence[File]) -> int:
    if not files:
        return 0
    table, folder = table_log.table, table_log.folder
    merged = write_file(folder, table, session, read_groups(folder, table, files))
    if merged.stats.num_records != sum(f.stats.num_records for f in files):
        (folder / merged.path).unlink()
        raise ValueError(f"{table.name}: expected as many rows after a merge of files as before")
    try:
        table_log.commit([merged], files, data_change=False)
    except Moved:
        (folder / merged.path).unlink(missing_ok=True)
        return 0
    log.info("merged_files", table=table.name, session=session, files=len(files), bytes=merged.size)
    return len(files)


def upsert(table_log: TableLog, rows: pa.Table, transaction: tuple[str, int, int]) -> None:
    """Commit rows by the table's key: a later row replaces an earlier one. Raises Moved as `commit` does.

    Only files that can hold one of the keys are read, and only those that do are replaced.
    """
    table = table_log.table
    rows = last_of_key(table, rows)
    while True:
        try:
            _upsert(table_log, rows, transaction)
            return
        except Raced as raced:
            log.info("upsert_again", table=table.name, reason=str(raced))
            table_log.refresh()


def _upsert(table_log: TableLog, rows: pa.Table, transaction: tuple[str, int, int]) -> None:
    table, folder = table_log.table, table_log.folder
    with table_log.exclusive() as state:
        groups, replaced, seen = [rows], [], state.version
        for file in _candidates(table, rows, state.files.values()):
            held = pa.concat_tables([table.empty(), *read_groups(folder, table, [file])])
            kept = held.join(rows.select(table.key), list(table.key), join_type="left anti").select(table.schema.names)
            if kept.num_rows < held.num_rows:
                replaced.append(file)
                groups.append(kept.cast(table.schema))
        new = write_file(folder, table, None, [pa.concat_tables(groups)])
        try:
            table_log.commit([new], replaced, transaction, after=seen)
        except Moved:
            (folder / new.path).unlink(missing_ok=True)
            raise


def last_of_key(table: Table, rows: pa.Table) -> pa.Table:
    """The last row of each key, in their order."""
    numbered = rows.append_column(_ROW, pa.array(range(rows.num_rows), pa.int64()))
    last = numbered.group_by(list(table.key)).aggregate([(_ROW, "max")]).column(f"{_ROW}_max")
    return rows if len(last) == rows.num_rows else rows.take(last.take(pc.sort_indices(last)))


def _candidates(table: Table, rows: pa.Table, files: Iterable[File]) -> list[File]:
    mine = bounds(rows, table.key)
    return [f for f in files if all(_overlap(mine, f, name) for name in table.key)]


def _overlap(mine: Bounds, file: File, name: str) -> bool:
    low, high = file.stats.min_values.get(name), file.stats.max_values.get(name)
    if low is None or high is None or name not in mine:
        return True
    return bool(mine[name][0] <= high and low <= mine[name][1])

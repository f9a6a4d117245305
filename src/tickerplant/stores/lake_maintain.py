"""Finished sessions rewritten for reading, and files no version needs any more deleted."""

from __future__ import annotations

import math
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from tempfile import mkdtemp
from uuid import uuid4

import pyarrow as pa
import structlog

from tickerplant.errors import Fatal
from tickerplant.fingerprint import Tally
from tickerplant.model import Batch, Maintained
from tickerplant.schema import Table, quoted
from tickerplant.stores.lake_actions import File
from tickerplant.stores.lake_dataset import dataset
from tickerplant.stores.lake_files import ROW_GROUP_ROWS, DataFile, read_groups
from tickerplant.stores.lake_history import drop_packs, pack, recently_removed
from tickerplant.stores.lake_log import RETIRED, Moved, TableLog
from tickerplant.stores.lake_schema import is_partitioned, order
from tickerplant.stores.object_path import Folder

log = structlog.get_logger()

FILE_ROWS = 4 << 20
MEMORY_LIMIT = "1GB"
_ATTEMPTS = 5
_LEVEL = 6
_ON_DISK = "read_parquet($paths, hive_partitioning = false)"
_UNCOMMITTED_S = 24 * 3600.0


def maintain_table(table_log: TableLog, before: date, keep: timedelta) -> Iterator[Maintained]:
    """Sort the pending sessions of a table, then delete what was replaced more than `keep` ago."""
    for session in pending(table_log, before):
        done = _sort_with_retries(table_log, session)
        if done:
            yield done
    if table_log.state.version >= 0:
        pack(table_log)
        vacuum(table_log, keep)


def retire(table_log: TableLog, oldest: date) -> list[Maintained]:
    """Drop the sessions before a day in one commit that also counts their rows; the files stay for a vacuum."""
    if not is_partitioned(table_log.table):
        return []
    for _ in range(_ATTEMPTS):
        try:
            return _retire(table_log, oldest)
        except Moved as moved:
            log.info("retire_again", table=table_log.table.name, reason=str(moved))
    log.warning("retire_later", table=table_log.table.name, attempts=_ATTEMPTS)
    return []


def _retire(table_log: TableLog, oldest: date) -> list[Maintained]:
    old: dict[str, list[File]] = defaultdict(list)
    for file in table_log.files():
        if file.session and file.session < oldest.isoformat():
            old[file.session].append(file)
    done = [_dropped(table_log.table, day, old[day]) for day in sorted(old)]
    if done:
        held = table_log.state.transactions.get(RETIRED, 0)
        count = (RETIRED, held, held + sum(item.rows for item in done))
        table_log.commit([], [file for files in old.values() for file in files], count)
    for item in done:
        log.info("retired", table=item.table, session=item.session.isoformat(), rows=item.rows)
    return done


def _dropped(table: Table, session: str, files: Sequence[File]) -> Maintained:
    rows, size = sum(f.stats.num_records for f in files), sum(f.size for f in files)
    return Maintained(table.name, date.fromisoformat(session), rows, len(files), 0, size, 0, "dropped")


def pending(table_log: TableLog, before: date) -> list[str]:
    """Sessions before a day that hold rows not sorted yet."""
    if not is_partitioned(table_log.table):
        return []
    loose = {f.session for f in table_log.files() if f.session and not f.is_sorted}
    return sorted(day for day in loose if day < before.isoformat())


def vacuum(table_log: TableLog, keep: timedelta) -> int:
    """Delete data files that neither the newest version nor one of the last `keep` needs; returns how many.

    A file that no commit names may belong to a writer that has not committed yet: it stays for a day at least.
    """
    now = time.time()
    cutoff = now - keep.total_seconds()
    # In this order a file that a commit removes meanwhile is in one of the sets that protect it.
    removed = recently_removed(table_log, 0)
    needed = {f.path for f in table_log.files()} | recently_removed(table_log, int(cutoff * 1000))
    count = 0
    for path in table_log.folder.rglob("*.parquet"):
        relative = str(path)[len(str(table_log.folder)) + 1 :]
        if relative.startswith("_") or relative in needed:
            continue
        if relative in removed or _modified(path) < min(cutoff, now - _UNCOMMITTED_S):
            path.unlink(missing_ok=True)
            count += 1
    drop_packs(table_log, int(cutoff * 1000))
    return count


def _modified(path: Folder) -> float:
    """When a file was modified; never, when its writer deleted it meanwhile."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return math.inf


def _sort_with_retries(table_log: TableLog, session: str) -> Maintained | None:
    for _ in range(_ATTEMPTS):
        try:
            return sort_session(table_log, session)
        except Moved as moved:
            log.info("maintain_again", table=table_log.table.name, session=session, reason=str(moved))
    log.warning("maintain_later", table=table_log.table.name, session=session, attempts=_ATTEMPTS)
    return None


def sort_session(table_log: TableLog, session: str) -> Maintained:
    """Replace the files of a session by sorted ones in one commit.

    Rows that a loader adds meanwhile stay in files of their own and make the session pending again. Raises Fatal when
    the new files do not hold exactly the old rows, Moved when an old file was merged meanwhile; nothing changes then.
    """
    table, folder = table_log.table, table_log.folder
    old = sorted((f for f in table_log.files() if f.session == session), key=lambda f: f.path)
    new: list[File] = []
    try:
        for file in _write_sorted(table_log, session, old):
            new.append(file)
        rows = _equal_rows(table, folder, session, old, new)
    except BaseException:
        _delete(folder, new)
        raise
    try:
        table_log.commit(new, old, data_change=False)
    except Moved:
        # Only then: a bucket may have taken a commit whose answer is lost.
        _delete(folder, new)
        raise
    before, after = (sum(f.size for f in files) for files in (old, new))
    done = Maintained(table.name, date.fromisoformat(session), rows, len(old), len(new), before, after)
    log.info("sorted", table=table.name, session=session, rows=rows, files=len(new))
    return done


def _delete(folder: Folder, files: Sequence[File]) -> None:
    for file in files:
        (folder / file.path).unlink(missing_ok=True)


def _write_sorted(table_log: TableLog, session: str, old: Sequence[File]) -> Iterator[File]:
    target: DataFile | None = None
    try:
        for rows in _sorted_groups(table_log, old):
            target = target or DataFile(table_log.folder, table_log.table, session, prefix="sorted", level=_LEVEL)
            target.write(rows)
            if target.rows >= FILE_ROWS:
                done, target = target, None
                yield done.close()
        if target:
            done, target = target, None
            yield done.close()
    finally:
        if target:
            target.discard()


def _sorted_groups(table_log: TableLog, files: Sequence[File]) -> Iterator[pa.Table]:
    """The rows of files in the table's order, a row group at a time; sorts on disk beyond MEMORY_LIMIT."""
    import duckdb

    table, folder = table_log.table, table_log.folder
    spill = folder.parent / "_tmp" / uuid4().hex if isinstance(folder, Path) else Path(mkdtemp(prefix="tickerplant-"))
    spill.mkdir(parents=True, exist_ok=True)
    columns, keys = (", ".join(map(quoted, names)) for names in (table.schema.names, order(table)))
    sql = f"select {columns} from {{}} order by {keys}"
    config: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": MEMORY_LIMIT,
        "temp_directory": str(spill),
        "preserve_insertion_order": "false",
    }
    try:
        with duckdb.connect(config=config) as connection:
            connection.execute("set TimeZone = 'UTC'")
            connection.execute("set enable_progress_bar = false")
            if isinstance(folder, Path):
                paths = [str(folder / f.path) for f in files]
                relation = connection.sql(sql.format(_ON_DISK), params={"paths": paths})
            else:
                connection.register("unsorted", dataset(folder, files, table.schema))
                relation = connection.sql(sql.format("unsorted"))
            reader = relation.to_arrow_reader(ROW_GROUP_ROWS)
            yield from _regrouped(table, reader)
    finally:
        shutil.rmtree(spill, ignore_errors=True)


def _regrouped(table: Table, reader: pa.RecordBatchReader) -> Iterator[pa.Table]:
    held: list[pa.Table] = []
    count = 0
    for batch in reader:
        held.append(pa.Table.from_batches([batch]).cast(table.schema))
        count += batch.num_rows
        if count >= ROW_GROUP_ROWS:
            yield pa.concat_tables(held)
            held, count = [], 0
    if held:
        yield pa.concat_tables(held)


def _equal_rows(table: Table, folder: Folder, session: str, old: Sequence[File], new: Sequence[File]) -> int:
    """The number of rows, the same in both; compares count and checksum of every column, read back from disk."""
    before, after = (_tally(table, folder, files) for files in (old, new))
    if before.tables != after.tables:
        name = table.name
        raise Fatal(
            f"maintain {name} {session}: expected {before.total(name).as_json()} after sorting, "
            f"was {after.total(name).as_json()}; the session was left as it was"
        )
    return before.total(table.name).count


def _tally(table: Table, folder: Folder, files: Sequence[File]) -> Tally:
    whole = replace(table, columns=tuple(replace(c, envelope=False) for c in table.columns))
    tally = Tally()
    for group in read_groups(folder, table, files):
        for batch in group.combine_chunks().to_batches():
            tally.add(Batch(whole, batch))
    return tally

"""The files of a mart: which ones a build replaces, and new ones."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from tickerplant.errors import Fatal
from tickerplant.schema import quoted
from tickerplant.stores.lake_actions import File
from tickerplant.stores.lake_dataset import dataset
from tickerplant.stores.lake_files import ROW_GROUP_ROWS, DataFile
from tickerplant.stores.lake_log import TableLog
from tickerplant.stores.object_path import Folder
from tickerplant.transform.lake_job import MartJob, execute

_FILE = "__filename"
"""The name Arrow has for the file a row is from."""


def affected(connection: duckdb.DuckDBPyConnection, table_log: TableLog, job: MartJob) -> list[File]:
    """Files to replace: those that hold rows of `_gone`, and all of a bucket that had many rows added one by one."""
    files = table_log.files()
    if not job.bucket:
        return files
    both = "(select session from _gone union all select session from _come)"
    buckets = {str(r[0]) for r in execute(connection, f"select distinct {job.bucket_of} from {both}")}
    mine = [f for f in files if _bucket(f) is None or _bucket(f) in buckets]
    if not job.is_told_apart:
        return mine
    held, crowded = _holding(connection, table_log, job, mine), _crowded(mine, job.most_added)
    return [f for f in mine if f.path in held or _bucket(f) in crowded]


def _holding(
    connection: duckdb.DuckDBPyConnection, table_log: TableLog, job: MartJob, files: Sequence[File]
) -> set[str]:
    """Paths of the files that hold rows of `_gone`."""
    if not files or not execute(connection, "select 1 from _gone limit 1"):
        return set()
    gone = " and ".join(f"g.{quoted(c)} is not distinct from k.{quoted(c)}" for c in job.grain)
    held, name = _with_names(connection, table_log.folder, job, files)
    sql = f"select distinct k.{name} from {held} k where exists (select 1 from _gone g where {gone})"
    found = {str(r[0]).rpartition("/")[2] for r in execute(connection, sql)}
    return {f.path for f in files if f.path.rpartition("/")[2] in found}


def _with_names(
    connection: duckdb.DuckDBPyConnection, folder: Folder, job: MartJob, files: Sequence[File]
) -> tuple[str, str]:
    """What a select of files' rows reads from, for once, and its column that says which file a row is from."""
    if isinstance(folder, Path):
        paths = ", ".join("'" + str(folder / f.path).replace("'", "''") + "'" for f in files)
        return f"read_parquet([{paths}], hive_partitioning = false, filename = true)", "filename"
    rows = dataset(folder, files).scanner(columns=[*job.grain, _FILE], filter=_near_gone(connection, job))
    connection.register("_held", rows.to_reader())
    return "_held", _FILE


def _near_gone(connection: duckdb.DuckDBPyConnection, job: MartJob) -> pc.Expression:
    """What holds for every row that can be in `_gone`: files that the log's bounds rule out are not opened."""
    found = pc.scalar(True)
    for name in {"symbol", "session"} & set(job.grain):
        column, (low, high) = pc.field(name), execute(connection, f"select min({name}), max({name}) from _gone")[0]
        if low is not None:
            found = found & (((column >= low) & (column <= high)) | column.is_null())
    return found


def _crowded(files: Sequence[File], most_added: int) -> set[str | None]:
    """Buckets of more files than their rows fill and `most_added` more, counting the one to come; None of no bucket."""
    rows: dict[str | None, int] = defaultdict(int)
    count: dict[str | None, int] = defaultdict(int)
    for file in files:
        rows[_bucket(file)] += file.stats.num_records
        count[_bucket(file)] += 1
    return {None, *(b for b in count if count[b] > rows[b] // ROW_GROUP_ROWS + most_added)}


def _bucket(file: File) -> str | None:
    """The bucket a file's name tells; None when it has none."""
    _, separator, rest = file.path.rpartition("/")[2].partition("_b-")
    return rest.removesuffix(".parquet") if separator else None


def new_files(
    connection: duckdb.DuckDBPyConnection, table_log: TableLog, job: MartJob, sql: str, schema: pa.Schema
) -> Iterator[File]:
    """The rows of a select in new files, sorted by grain, each of one bucket; one empty file when there are none."""
    order = ", ".join(["_bucket", *map(quoted, job.grain)])
    ordered = f"select {job.bucket_of} as _bucket, o.* from ({sql}) o order by {order}"
    reader = connection.sql(ordered).to_arrow_reader(ROW_GROUP_ROWS)
    writer = _Writer(table_log, job, schema)
    try:
        for batch in reader:
            yield from writer.take(pa.Table.from_batches([batch]))
        yield from writer.finish()
    except BaseException:
        writer.discard()
        raise


class _Writer:
    """Rows in order of bucket into files of at most a row group's rows; checks the grain as they pass."""

    def __init__(self, table_log: TableLog, job: MartJob, schema: pa.Schema) -> None:
        self._log, self._job, self._schema = table_log, job, schema
        self._file: DataFile | None = None
        self._bucket = ""
        self._made: list[File] = []
        self._last: pa.Table | None = None

    def take(self, rows: pa.Table) -> Iterator[File]:
        """Write rows; yields files that are complete."""
        buckets = pc.fill_null(rows.column("_bucket"), "")
        for bucket in pc.unique(buckets).to_pylist():
            mine = rows.filter(pc.equal(buckets, bucket))
            content = mine.drop_columns(["_bucket"]).cast(self._schema)
            self._check(content)
            if self._file and (bucket != self._bucket or self._file.rows + content.num_rows > ROW_GROUP_ROWS):
                yield from self._close()
            if self._file is None:
                self._open(bucket)
            assert self._file is not None
            self._file.write(content)

    def finish(self) -> Iterator[File]:
        """The last file."""
        if self._file is None and not self._made:
            self._open("")
        yield from self._close()

    def discard(self) -> None:
        """Delete everything written."""
        if self._file is not None:
            self._file.discard()
        for file in self._made:
            (self._log.folder / file.path).unlink(missing_ok=True)

    def _open(self, bucket: str) -> None:
        suffix = f"_b-{bucket}" if self._job.bucket and bucket else ""
        self._bucket = bucket
        self._file = DataFile(self._log.folder, self._log.table, None, prefix="part", suffix=suffix)

    def _close(self) -> Iterator[File]:
        if self._file is not None:
            done, self._file = self._file, None
            self._made.append(done.close())
            yield self._made[-1]

    def _check(self, rows: pa.Table) -> None:
        """Equal neighbours in the order of the grain are two rows of the same grain."""
        if not self._job.grain or not rows.num_rows:
            return
        keys = rows.select(list(self._job.grain))
        if self._last is not None:
            keys = pa.concat_tables([self._last, keys])
        self._last = keys.slice(keys.num_rows - 1)
        same = None
        for column in keys.columns:
            one, other = column.slice(0, len(column) - 1), column.slice(1)
            equal = pc.or_(pc.fill_null(pc.equal(one, other), False), pc.and_(pc.is_null(one), pc.is_null(other)))
            same = equal if same is None else pc.and_(same, equal)
        if same is not None and pc.any(same).as_py():
            at = pc.index(same, True).as_py()
            found = keys.slice(at, 1).to_pylist()[0]
            raise Fatal(f"{self._job.name}: expected one row for each {self._job.key}, was two of {found}")

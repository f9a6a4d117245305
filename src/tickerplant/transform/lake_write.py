"""A mart written to the lake: which rows are new, which files change, one commit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from tickerplant.errors import Fatal
from tickerplant.schema import TIMESTAMP, quoted
from tickerplant.stores.lake_actions import File
from tickerplant.stores.lake_files import ROW_GROUP_ROWS, DataFile
from tickerplant.stores.lake_log import TableLog
from tickerplant.stores.lake_marts import Marts, Note, source

_BUCKETS = {"year": "year(session)::varchar", "month": "strftime(session, '%Y-%m')", "session": "session::varchar"}


@dataclass(frozen=True)
class MartJob:
    """A mart to build, as its materialization asks for it (macros/mart_duckdb.sql)."""

    name: str
    doc: str
    sql: str
    mode: str
    where: str
    pending: str | None
    tables: tuple[str, ...]
    marts: tuple[str, ...]
    signature: str
    grain: tuple[str, ...]
    bucket: str | None

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> MartJob:
        """From the request of the macro. Raises Fatal for a bucket that is not one."""
        if request["bucket"] not in (None, *_BUCKETS):
            raise Fatal(f"{request['name']}: expected a bucket of {', '.join(_BUCKETS)}, was {request['bucket']!r}")
        inputs = request["inputs"]
        words = {k: request[k] for k in ("name", "doc", "sql", "mode", "where", "pending", "signature", "bucket")}
        return cls(
            **words, tables=tuple(inputs["sources"]), marts=tuple(inputs["marts"]), grain=tuple(request["grain"])
        )

    @property
    def key(self) -> str:
        """The columns of the grain, quoted."""
        return ", ".join(map(quoted, self.grain))

    @property
    def bucket_of(self) -> str:
        """The expression that names the file a row belongs to."""
        return _BUCKETS[self.bucket] if self.bucket else "''"


@dataclass(frozen=True)
class Written:
    """The version a mart is at, how many rows were computed, which symbols changed from which session on."""

    version: int
    rows: int
    changes: dict[str, list[str]]


def write_mart(
    connection: duckdb.DuckDBPyConnection, marts: Marts, job: MartJob, note: Note, before: Note | None
) -> Written:
    """Build one mart and commit it. Raises Fatal when two rows have the same grain; nothing is committed then."""
    table_log = marts.log(job.name)
    if job.mode == "none":
        assert before is not None
        return Written(table_log.refresh().version, 0, {})
    if job.mode == "full":
        return _write_full(connection, marts, job, note, before)
    return _write_slices(connection, marts, job, note)


def _write_full(
    connection: duckdb.DuckDBPyConnection, marts: Marts, job: MartJob, note: Note, before: Note | None
) -> Written:
    sql = f"select * from ({job.sql}) computed"
    relation = connection.sql(sql)
    schema = _stored(relation.limit(0).to_arrow_table().schema)
    columns = [(f.name, str(f.type)) for f in schema]
    table_log = marts.log(job.name, schema, job.grain, job.doc)
    head = b""
    if table_log.refresh().version < 0:
        table_log.create()
    elif before is None or list(before.columns) != columns:
        head = _metadata(table_log, schema)
    old = table_log.files()
    new = list(_files(connection, table_log, job, sql, schema))
    rows = sum(f.stats.num_records for f in new)
    changes = {"": ["*"]}
    full = msgspec.structs.replace(note, columns=columns, changes=changes)
    _commit(table_log, new, old, full, head)
    return Written(table_log.state.version, rows, changes)


def _write_slices(connection: duckdb.DuckDBPyConnection, marts: Marts, job: MartJob, note: Note) -> Written:
    """Replace what differs: rows of the slices in `_new`, changed keys of the mart in `_slices`."""
    this = quoted(job.name)
    slices = f"({job.pending})" if job.pending else ""
    old_rows = f"select * from {this}"
    if job.mode == "symbols":
        within = "exists (select 1 from _pending p where p.symbol = t.symbol and t.session >= p.session)"
        execute(connection, f"create or replace temp table _pending as {slices}")
        execute(connection, f"create or replace temp table _new as select t.* from ({job.sql}) t where {within}")
        old_rows = f"select t.* from {this} t where {within}"
    else:
        execute(connection, f"create or replace temp table _new as select * from ({job.sql}) t")
        old_rows += f" t where {job.where}" if job.mode == "sessions" else ""
    _check_grain(connection, job)
    execute(connection, f"create or replace temp table _old as {old_rows}")
    execute(connection, "create or replace temp table _gone as select * from _old except all select * from _new")
    execute(connection, "create or replace temp table _come as select * from _new except all select * from _old")
    written = _replace(connection, marts, job, note)
    for name in ("_new", "_old", "_gone", "_come"):
        execute(connection, f"drop table {name}")
    return written


def _replace(connection: duckdb.DuckDBPyConnection, marts: Marts, job: MartJob, note: Note) -> Written:
    schema = _stored(connection.sql("select * from _come limit 0").to_arrow_table().schema)
    columns = [(f.name, str(f.type)) for f in schema]
    table_log = marts.log(job.name, schema, job.grain, job.doc)
    table_log.refresh()
    changes = _changes(connection, job, schema)
    count = _one(connection, "select (select count(*) from _gone) + (select count(*) from _come)")
    new_note = msgspec.structs.replace(note, columns=columns, changes=changes)
    if not count:
        _commit(table_log, [], [], new_note, b"")
        return Written(table_log.state.version, 0, {})
    old = _affected(connection, table_log, job)
    kept = f"({source(table_log.folder, old)})" if old else "(select * from _come where false)"
    sql = f"select * from {kept} k except all select * from _gone union all select * from _come"
    if job.grain:
        gone = " and ".join(f"g.{quoted(c)} is not distinct from k.{quoted(c)}" for c in job.grain)
        sql = f"select k.* from {kept} k where not exists (select 1 from _gone g where {gone})"
        sql += " union all select * from _come"
    new = list(_files(connection, table_log, job, sql, schema))
    _commit(table_log, new, old, new_note, b"")
    return Written(table_log.state.version, _one(connection, "select count(*) from _come"), changes)


def _affected(connection: duckdb.DuckDBPyConnection, table_log: TableLog, job: MartJob) -> list[File]:
    """Files of the buckets that lose or get rows."""
    files = table_log.files()
    if not job.bucket:
        return files
    rows = execute(
        connection,
        f"select distinct {job.bucket_of} from (select session from _gone union all select session from _come)",
    )
    buckets = {str(r[0]) for r in rows}
    return [f for f in files if _bucket(f) is None or _bucket(f) in buckets]


def _bucket(file: File) -> str | None:
    """The bucket a file's name tells; None when it has none."""
    _, separator, rest = file.path.rpartition("/")[2].partition("_b-")
    return rest.removesuffix(".parquet") if separator else None


def _changes(connection: duckdb.DuckDBPyConnection, job: MartJob, schema: pa.Schema) -> dict[str, list[str]]:
    names = set(schema.names)
    symbol = "symbol" if "symbol" in names else "'*'"
    session = "min(session)::varchar" if "session" in names else "''"
    rows = execute(
        connection, f"select {session}, {symbol} from (select * from _gone union all select * from _come) d group by 2"
    )
    found: dict[str, list[str]] = defaultdict(list)
    for day, name in rows:
        found[day or ""].append(name)
    return dict(found)


def _check_grain(connection: duckdb.DuckDBPyConnection, job: MartJob) -> None:
    if not job.grain:
        return
    rows = execute(connection, f"select {job.key}, count(*) from _new group by all having count(*) > 1 limit 1")
    for row in rows:
        raise Fatal(f"{job.name}: expected one row for each {job.key}, was {row[-1]} of {row[:-1]}")


def _files(
    connection: duckdb.DuckDBPyConnection, table_log: TableLog, job: MartJob, sql: str, schema: pa.Schema
) -> Iterator[File]:
    """The rows of a select in new files, one a bucket, sorted by grain; one empty file when there are none."""
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
    """Rows in order of bucket into one file a bucket; checks the grain as they pass."""

    def __init__(self, table_log: TableLog, job: MartJob, schema: pa.Schema) -> None:
        self._log, self._job, self._schema = table_log, job, schema
        self._file: DataFile | None = None
        self._bucket = ""
        self._made: list[File] = []
        self._last: pa.Table | None = None

    def take(self, rows: pa.Table) -> Iterator[File]:
        """Write rows; yields files that are complete."""
        for bucket in pc.unique(rows.column("_bucket")).to_pylist():
            mine = rows.filter(pc.equal(rows.column("_bucket"), bucket)) if bucket is not None else rows
            if self._file is None or bucket != self._bucket:
                yield from self._close()
                self._open(bucket or "")
            content = mine.drop_columns(["_bucket"]).cast(self._schema)
            self._check(content)
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


def _commit(table_log: TableLog, new: Sequence[File], old: Sequence[File], note: Note, head: bytes) -> None:
    text = msgspec.json.encode(note).decode()
    try:
        table_log.commit(new, old, note=text, head=head, data_change=bool(new or old))
    except BaseException:
        for file in new:
            (table_log.folder / file.path).unlink(missing_ok=True)
        raise


def _metadata(table_log: TableLog, schema: pa.Schema) -> bytes:
    """The action that gives a table another schema: that of a new table, which is made aside."""
    with TemporaryDirectory() as aside:
        made = TableLog(Path(aside), table_log.table)
        made.create()
        lines = (made.log_folder / f"{0:020d}.json").read_bytes().splitlines()
    return next(line for line in lines if line.startswith(b'{"metaData"'))


def _stored(schema: pa.Schema) -> pa.Schema:
    """The schema as Delta keeps it: times in UTC, microseconds; whole numbers that are too wide as floats."""
    return pa.schema([pa.field(f.name, _type(f.type)) for f in schema])


def _type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_timestamp(kind):
        return TIMESTAMP
    if pa.types.is_decimal(kind):
        return pa.float64()
    if pa.types.is_large_string(kind) or pa.types.is_null(kind) or pa.types.is_string_view(kind):
        return pa.string()
    unsigned = {pa.uint8(): pa.int16(), pa.uint16(): pa.int32(), pa.uint32(): pa.int64(), pa.uint64(): pa.float64()}
    return unsigned.get(kind, kind)


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    return int(execute(connection, sql)[0][0])


def execute(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    """Run a statement to its end: DuckDB takes no other work on a connection while a result waits to be fetched."""
    return connection.execute(sql).fetchall()

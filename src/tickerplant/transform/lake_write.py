"""A mart written to the lake: which rows are new, which files change, one commit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import msgspec
import pyarrow as pa

from tickerplant.errors import Busy, Fatal
from tickerplant.schema import TIMESTAMP, quoted
from tickerplant.stores.lake_actions import File
from tickerplant.stores.lake_log import Moved, TableLog
from tickerplant.stores.lake_marts import Marts, Note, source
from tickerplant.transform.lake_job import MartJob, execute
from tickerplant.transform.lake_parts import affected, new_files

_MANY = 500
"""More symbols than this are not named one by one."""


@dataclass(frozen=True)
class Written:
    """The version a mart is at, how many rows were computed, which symbols changed from which session on."""

    version: int
    rows: int
    changes: dict[str, list[str]]


@dataclass(frozen=True)
class Base:
    """The mart that is there: the note of its last commit, and the version that its view shows."""

    note: Note
    version: int


def write_mart(
    connection: duckdb.DuckDBPyConnection, marts: Marts, job: MartJob, note: Note, before: Base | None
) -> Written:
    """Build one mart and commit it. Raises Fatal when two rows have the same grain, Busy when another transform wrote
    it meanwhile; nothing is committed then.
    """
    table_log = marts.log(job.name)
    if job.mode == "full":
        return _write_full(connection, marts, job, note, before)
    assert before is not None
    if job.mode == "none":
        return Written(table_log.refresh().version, 0, {})
    return _write_slices(connection, marts, job, note, before.version)


def _write_full(
    connection: duckdb.DuckDBPyConnection, marts: Marts, job: MartJob, note: Note, before: Base | None
) -> Written:
    sql = f"select * from ({job.sql}) computed"
    relation = connection.sql(sql)
    schema = _stored(relation.limit(0).to_arrow_table().schema)
    columns = [(f.name, str(f.type)) for f in schema]
    table_log = marts.log(job.name, schema, job.grain, job.doc)
    head = b""
    if table_log.refresh().version < 0:
        table_log.create()
    elif before is None or list(before.note.columns) != columns:
        head = _metadata(table_log, schema)
    with table_log.exclusive() as state:
        version, old = state.version, list(state.files.values())
    new = list(new_files(connection, table_log, job, sql, schema))
    rows = sum(f.stats.num_records for f in new)
    changes = {"": ["*"]}
    full = msgspec.structs.replace(note, columns=columns, changes=changes)
    _commit(table_log, new, old, full, version, head)
    return Written(table_log.state.version, rows, changes)


def _write_slices(
    connection: duckdb.DuckDBPyConnection, marts: Marts, job: MartJob, note: Note, version: int
) -> Written:
    """Replace what differs: rows of the slices in `_new`, changed keys of the mart in `_slices`."""
    this = quoted(job.name)
    slices = f"({job.pending})" if job.pending else ""
    old_rows = f"select * from {this}"
    if job.mode == "symbols":
        execute(connection, f"create or replace temp table _pending as {slices}")
        within = "exists (select 1 from _pending p where p.symbol = t.symbol and t.session >= p.session)"
        execute(connection, f"create or replace temp table _new as select t.* from ({job.sql}) t where {within}")
        old_rows = _pending_rows(connection, f"select t.* from {this} t where {within}")
    else:
        execute(connection, f"create or replace temp table _new as select * from ({job.sql}) t")
        old_rows += f" t where {job.where}" if job.mode == "sessions" else ""
    _check_grain(connection, job)
    execute(connection, f"create or replace temp table _old as {old_rows}")
    execute(connection, "create or replace temp table _gone as select * from _old except all select * from _new")
    execute(connection, "create or replace temp table _come as select * from _new except all select * from _old")
    written = _replace(connection, marts, job, note, version)
    for name in ("_new", "_old", "_gone", "_come"):
        execute(connection, f"drop table {name}")
    return written


def _replace(connection: duckdb.DuckDBPyConnection, marts: Marts, job: MartJob, note: Note, version: int) -> Written:
    schema = _stored(connection.sql("select * from _come limit 0").to_arrow_table().schema)
    columns = [(f.name, str(f.type)) for f in schema]
    table_log = marts.log(job.name, schema, job.grain, job.doc)
    table_log.refresh()
    changes = _changes(connection, job, schema)
    count = _one(connection, "select (select count(*) from _gone) + (select count(*) from _come)")
    new_note = msgspec.structs.replace(note, columns=columns, changes=changes)
    if not count:
        _commit(table_log, [], [], new_note, version)
        return Written(table_log.state.version, 0, {})
    old = affected(connection, table_log, job)
    kept = "(select * from _come where false)"
    if old:
        kept = f"({source(table_log.folder, old, '_kept', connection.register)})"
    sql = f"select * from {kept} k except all select * from _gone union all select * from _come"
    if job.grain:
        gone = " and ".join(f"g.{quoted(c)} is not distinct from k.{quoted(c)}" for c in job.grain)
        sql = f"select k.* from {kept} k where not exists (select 1 from _gone g where {gone})"
        sql += " union all select * from _come"
    new = list(new_files(connection, table_log, job, sql, schema))
    _commit(table_log, new, old, new_note, version)
    return Written(table_log.state.version, _one(connection, "select count(*) from _come"), changes)


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


def _commit(
    table_log: TableLog, new: Sequence[File], old: Sequence[File], note: Note, version: int, head: bytes = b""
) -> None:
    """Commit after the version that rows were compared with. New files go when it is certain that no commit has them:
    a bucket may have taken one whose answer is lost. What stays is vacuumed."""
    text = msgspec.json.encode(note).decode()
    try:
        table_log.commit(new, old, note=text, head=head, data_change=bool(new or old), after=version)
    except Moved as moved:
        for file in new:
            (table_log.folder / file.path).unlink(missing_ok=True)
        name = table_log.table.name
        raise Busy(f"{name}: expected to be the only transform, was not: {moved}; do run it again") from None


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


def _pending_rows(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """The select with literals that spare files: the last session that changed, the symbols that changed before it."""
    latest = execute(connection, "select coalesce(max(session), date '0001-01-01')::varchar from _pending")[0][0]
    early = execute(connection, f"select symbol from _pending where session < date '{latest}' limit {_MANY + 1}")
    found = f"{sql} and t.session >= date '{latest}'"
    if not early:
        return found
    names = ", ".join("'" + str(name).replace("'", "''") + "'" for (name,) in early)
    named = f" and t.symbol in ({names})" if len(early) <= _MANY else ""
    return f"{found} union all {sql} and t.session < date '{latest}'{named}"


def _one(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    return int(execute(connection, sql)[0][0])

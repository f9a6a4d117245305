"""Export rows of a store to one file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from tickerplant.errors import UsageError
from tickerplant.model import Selection, Store
from tickerplant.schema import Table
from tickerplant.tables import TABLES


def export(
    store: Store,
    table: str,
    to: Path,
    symbols: tuple[str, ...] = ("*",),
    start: datetime | None = None,
    end: datetime | None = None,
    as_of: datetime | int | None = None,
    on_rows: Callable[[int], None] | None = None,
) -> int:
    """Write the rows of a selection to `to` and return how many; `ts` is timestamp[ns, UTC].

    The kind of file follows the suffix. `to` appears, or is replaced, only when it is complete. Rows come in no
    particular order of symbols. Raises UsageError for an unknown table, suffix or span.
    """
    known, schema = _known(table)
    try:
        selection = Selection((table,), symbols, start, end)
    except ValueError as error:
        raise UsageError(str(error)) from None
    writer = WRITERS.get(to.suffix)
    if writer is None:
        raise UsageError(f"--to: expected a file ending in {', '.join(WRITERS)}, was {to.name}")
    temporary = to.with_name(f".{to.name}.{os.getpid()}.tmp")
    try:
        rows = _write(writer, temporary, schema, store.scan(known, selection, as_of), on_rows)
        temporary.replace(to)
    except FileNotFoundError:
        raise UsageError(f"--to: expected a folder that exists, was {to.parent}") from None
    finally:
        temporary.unlink(missing_ok=True)
    return rows


def with_nanoseconds(rows: pa.RecordBatch) -> pa.RecordBatch:
    """A batch with `ts` and `ns` joined. Raises UsageError for times outside 1677 to 2262."""
    if not {"ts", "ns"} <= set(rows.schema.names):
        return rows
    try:
        nanos = pc.multiply_checked(rows.column("ts").cast(pa.int64()), 1000)
        joined = pc.add_checked(nanos, rows.column("ns").cast(pa.int64())).cast(pa.timestamp("ns", "UTC"))
    except pa.ArrowInvalid:
        raise UsageError("export: expected times of 1677 to 2262, was one outside") from None
    place = rows.schema.get_field_index("ts")
    return rows.set_column(place, pa.field("ts", joined.type, nullable=False), joined).drop_columns(["ns"])


def _known(table: str) -> tuple[Table, pa.Schema]:
    if table not in TABLES:
        raise UsageError(f"table: expected one of {', '.join(TABLES)}, was {table!r}")
    empty = pa.RecordBatch.from_pylist([], TABLES[table].schema)
    return TABLES[table], with_nanoseconds(empty).schema


def _write(
    writer: Callable[[Path, pa.Schema], Any],
    path: Path,
    schema: pa.Schema,
    batches: Iterator[pa.RecordBatch],
    on_rows: Callable[[int], None] | None,
) -> int:
    rows = 0
    with writer(path, schema) as file:
        for batch in batches:
            file.write(with_nanoseconds(batch))
            rows += batch.num_rows
            if on_rows:
                on_rows(rows)
    return rows


class _Lines:
    """One JSON object a line; times ISO with nanoseconds and Z, binary base64, no-numbers null."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("wb")

    def write(self, rows: pa.RecordBatch) -> None:
        columns = [_jsonable(column) for column in rows.columns]
        for values in zip(*columns, strict=True):
            self._file.write(msgspec.json.encode(dict(zip(rows.schema.names, values, strict=True))) + b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


def _jsonable(column: pa.Array) -> list[Any]:
    if not pa.types.is_timestamp(column.type):
        return list(column.to_pylist())
    text = column.cast(pa.timestamp(column.type.unit)).cast(pa.string())
    return list(pc.binary_join_element_wise(pc.replace_substring(text, " ", "T"), "Z", "").to_pylist())


def _parquet(path: Path, schema: pa.Schema) -> AbstractContextManager[Any]:
    import pyarrow.parquet as pq

    return pq.ParquetWriter(path, schema, compression="zstd", version="2.6")


def _csv(path: Path, schema: pa.Schema) -> AbstractContextManager[Any]:
    import pyarrow.csv

    return closing(pyarrow.csv.CSVWriter(path, schema))


def _arrow(path: Path, schema: pa.Schema) -> AbstractContextManager[Any]:
    return pa.ipc.new_file(path, schema)


def _lines(path: Path, schema: pa.Schema) -> AbstractContextManager[Any]:
    return _Lines(path)


WRITERS: dict[str, Callable[[Path, pa.Schema], AbstractContextManager[Any]]] = {
    ".parquet": _parquet,
    ".csv": _csv,
    ".arrow": _arrow,
    ".jsonl": _lines,
}

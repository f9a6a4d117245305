"""What a simulated vendor knows, out of a folder of files in our own column names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet

from tickerplant.errors import UsageError
from tickerplant.model import Batch
from tickerplant.schema import Table
from tickerplant.tables import DAILY_BARS, TABLES, TICKERS, VENDOR_TABLES

_OTHERWISE: dict[str, Any] = {
    "vendor": "recorded",
    "feed": "sip",
    "received_at": 0,
    "seq": 0,
    "ns": 0,
    "revision": 0,
    "is_active": True,
}
"""Values of columns that must not be null, when a file does not have them."""


def recorded(folder: Path) -> list[Batch]:
    """Every row of the files below `folder` whose name, or whose folder's name, is one of our tables.

    Formats are Parquet, Arrow (IPC file) and CSV; columns are the table's (docs/tables.md), those that may be null and
    our envelope may be missing. In CSV an empty field is null and every other text is itself. Without tickers, every
    symbol that has a daily bar is an active one. Raises UsageError naming the file and the column.
    """
    batches = [batch for path in sorted(folder.rglob("*")) for batch in _file(path, folder)]
    if not batches:
        raise UsageError(f"{folder}: expected files such as daily_bars.parquet or tickers.csv, was none")
    if all(batch.table is not TICKERS for batch in batches):
        batches += _batches(TICKERS, _tickers(batches))
    return batches


def _file(path: Path, folder: Path) -> Iterator[Batch]:
    read = _READERS.get(path.suffix)
    if read is None or not path.is_file():
        return
    names = [path.stem, *(p.name for p in path.relative_to(folder).parents if p.name)]
    table = next((TABLES[name] for name in names if name in TABLES), None)
    if table not in VENDOR_TABLES:
        known = ", ".join(t.name for t in VENDOR_TABLES)
        raise UsageError(f"{path}: expected to be named after one of {known}, was {path.stem!r}")
    try:
        rows = _conformed(table, read(path, table))
    except (pa.ArrowException, UsageError) as error:
        raise UsageError(f"{path}: {error}") from None
    yield from _batches(table, rows)


def _batches(table: Table, rows: pa.Table) -> list[Batch]:
    return [Batch(table, part) for part in rows.combine_chunks().to_batches()]


def _csv(path: Path, table: Table) -> pa.Table:
    convert = pa.csv.ConvertOptions(
        column_types={c.name: c.type for c in table.columns},
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    return pa.csv.read_csv(path, convert_options=convert)


_READERS: dict[str, Callable[[Path, Table], pa.Table]] = {
    ".parquet": lambda path, table: pa.parquet.read_table(path, partitioning=None),
    ".arrow": lambda path, table: pa.feather.read_table(path),
    ".csv": _csv,
}


def _conformed(table: Table, rows: pa.Table) -> pa.Table:
    """Rows in the table's schema."""
    unknown = set(rows.schema.names) - set(table.schema.names)
    if unknown:
        raise UsageError(f"expected columns of {table.name} ({', '.join(table.schema.names)}), was {min(unknown)!r}")
    if table is TICKERS and "vendor_symbol" not in rows.schema.names and "symbol" in rows.schema.names:
        rows = rows.append_column("vendor_symbol", rows.column("symbol"))
    return pa.table([_column(rows, field) for field in table.schema], schema=table.schema)


def _column(rows: pa.Table, field: pa.Field) -> pa.ChunkedArray:
    if field.name in rows.schema.names:
        column = rows.column(field.name).cast(field.type)
        if column.null_count and not field.nullable:
            raise UsageError(f"expected a value of {field.name} in every row, was none in {column.null_count:,}")
        return column
    if not field.nullable and field.name not in _OTHERWISE:
        raise UsageError(f"expected a column {field.name}, was none")
    value = pa.scalar(None if field.nullable else _OTHERWISE[field.name], field.type)
    return pa.chunked_array([pa.repeat(value, rows.num_rows)])


def _tickers(batches: list[Batch]) -> pa.Table:
    symbols = sorted(
        {s for b in batches if b.table is DAILY_BARS for s in b.rows.column("symbol").unique().to_pylist()}
    )
    return _conformed(TICKERS, pa.table({"symbol": pa.array(symbols, pa.string())}))

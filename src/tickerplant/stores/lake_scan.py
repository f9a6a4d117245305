"""Reading rows straight from the files of a version: for exports, fingerprints and anything that streams."""

from __future__ import annotations

import functools
import operator
from collections.abc import Iterator, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tickerplant.calendar import NEW_YORK
from tickerplant.errors import UsageError
from tickerplant.model import Selection
from tickerplant.schema import Table
from tickerplant.stores.lake_actions import File
from tickerplant.stores.lake_dataset import dataset
from tickerplant.stores.lake_files import ROW_GROUP_ROWS, stats_value
from tickerplant.stores.lake_history import state_at, state_when
from tickerplant.stores.lake_log import TableLog
from tickerplant.stores.object_path import Folder


def files_as_of(log: TableLog, as_of: datetime | int | None) -> list[File]:
    """The files of the newest version, or as they were. Raises UsageError for a naive time or an unknown version."""
    if as_of is None:
        return log.files()
    if isinstance(as_of, bool) or not isinstance(as_of, int | datetime):
        raise UsageError(f"as_of: expected an aware datetime or a version number, was {as_of!r}")
    if isinstance(as_of, int):
        if as_of < 0:
            raise UsageError(f"as_of: expected a version from 0, was {as_of}")
        return list(state_at(log, as_of).files.values())
    if as_of.tzinfo is None:
        raise UsageError(f"as_of: expected a time with a zone, was {as_of.isoformat()}; do add +00:00")
    return list(state_when(log, as_of).files.values())


def scan(log: TableLog, selection: Selection, as_of: datetime | int | None = None) -> Iterator[pa.RecordBatch]:
    """Rows of a selection in the table's schema; memory is bounded by a few row groups."""
    table = log.table
    files = [f for f in files_as_of(log, as_of) if may_hold(table, f, selection)]
    names = table.schema.names
    for batch in scan_files(log.folder, files, table, table.schema, selection, names):
        yield pa.RecordBatch.from_arrays(batch.columns, schema=table.schema)


def scan_files(
    folder: Folder,
    files: Sequence[File],
    table: Table,
    schema: pa.Schema,
    selection: Selection,
    columns: Sequence[str],
) -> Iterator[pa.RecordBatch]:
    """Rows of a selection in given files, whose rows have `schema`; memory is bounded by a few row groups."""
    if not files:
        return
    batches = dataset(folder, files, schema).to_batches(
        columns=list(columns),
        filter=_filter(table, selection),
        batch_size=ROW_GROUP_ROWS,
        batch_readahead=2,
        fragment_readahead=1,
    )
    yield from (batch for batch in batches if batch.num_rows)


def may_hold(table: Table, file: File, selection: Selection) -> bool:
    """Whether a file can hold rows of a selection, by its session and statistics."""
    low, high = _time_bounds(table, file)
    if selection.end and low and low >= stats_value(selection.end):
        return False
    if selection.start and high and high < stats_value(selection.start):
        return False
    if file.session and not _session_fits(file.session, selection):
        return False
    return "*" in selection.symbols or _symbols_fit(file, selection.symbols)


def _time_bounds(table: Table, file: File) -> tuple[str | None, str | None]:
    low, high = (values.get(table.time or "") for values in (file.stats.min_values, file.stats.max_values))
    return (str(low) if low else None), (str(high) if high else None)


def _session_fits(session: str, selection: Selection) -> bool:
    start, end = selection.start, selection.end
    if start and session < start.astimezone(NEW_YORK).date().isoformat():
        return False
    return not (end and session > (end - timedelta.resolution).astimezone(NEW_YORK).date().isoformat())


def _symbols_fit(file: File, symbols: Sequence[str]) -> bool:
    low, high = file.stats.min_values.get("symbol"), file.stats.max_values.get("symbol")
    return not isinstance(low, str) or not isinstance(high, str) or any(low <= s <= high for s in symbols)


def _filter(table: Table, selection: Selection) -> pc.Expression | None:
    found = [_expression(*term) for term in terms(table, selection)]
    return functools.reduce(operator.and_, found) if found else None


def _expression(name: str, sign: str, value: Any) -> pc.Expression:
    field = pc.field(name)
    if sign == "in":
        return field.isin(value)
    bound = pa.scalar(value, pa.timestamp("us", "UTC") if isinstance(value, datetime) else pa.date32())
    return field >= bound if sign == ">=" else field < bound


def terms(table: Table, selection: Selection) -> Iterator[tuple[str, str, Any]]:
    """What rows of a selection fulfil, as (column, `>=`, `<` or `in`, value).

    Raises UsageError for symbols or bounds of a table that has none.
    """
    is_day = table.time is None
    name = table.time or "session"
    if (selection.start or selection.end) and name not in table.schema.names:
        raise UsageError(f"{table.name}: expected no start or end (the table has no time), was {selection}")
    if selection.start:
        yield name, ">=", _bound(selection.start, is_day)
    if selection.end:
        yield name, "<", _bound(selection.end, is_day)
    if "*" not in selection.symbols:
        if "symbol" not in table.schema.names:
            raise UsageError(f"{table.name}: expected no symbols (the table has none), was {selection.symbols}")
        yield "symbol", "in", list(selection.symbols)


def _bound(at: datetime, is_day: bool) -> datetime | date:
    """A bound of the column. A day belongs to `[start, end)` when its New York midnight does."""
    if not is_day:
        return at
    local = at.astimezone(NEW_YORK)
    is_midnight = (local.hour, local.minute, local.second, local.microsecond) == (0, 0, 0, 0)
    return local.date() if is_midnight else local.date() + timedelta(days=1)

"""Rows for tests of stores: valid ones, and any that a table can hold."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from tickerplant.model import Batch
from tickerplant.schema import TIMESTAMP, Column, Table
from tickerplant.tables import TABLES

NINE_THIRTY = datetime(2013, 10, 7, 13, 30, tzinfo=UTC)

_PLAIN: dict[pa.DataType, Any] = {
    pa.string(): "x",
    pa.float64(): 1.0,
    pa.int16(): 0,
    pa.int32(): 0,
    pa.int64(): 1,
    pa.bool_(): True,
    pa.binary(): b"x",
    pa.date32(): date(2013, 10, 7),
    TIMESTAMP: NINE_THIRTY,
}


def rows(table: Table | str, *items: dict[str, Any]) -> Batch:
    """A batch of rows; what an item leaves out is a plain value."""
    known = TABLES[table] if isinstance(table, str) else table
    full = [{c.name: item.get(c.name, _PLAIN[c.type]) for c in known.columns} for item in items]
    return Batch(known, pa.RecordBatch.from_pylist(full, known.schema))


_YEAR_1_TO_9999 = (-62_135_596_800_000_000, 253_402_214_400_000_000)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIMES = st.one_of(
    st.integers(*_YEAR_1_TO_9999).map(lambda us: _EPOCH + timedelta(microseconds=us)),
    st.integers(0, 3 * 86_400_000_000).map(lambda us: NINE_THIRTY + timedelta(microseconds=us)),
)
_STRATEGIES: dict[pa.DataType, st.SearchStrategy[Any]] = {
    pa.string(): st.sampled_from(["", " ", "A", "BRK.B", "\x00", "é'\"\\%/=", "x" * 300]) | st.text(max_size=4),
    pa.float64(): st.floats(allow_nan=False) | st.sampled_from([0.0, -0.0, 1e308, 5e-324]),
    pa.int16(): st.integers(0, 999),
    pa.int32(): st.integers(-(2**31), 2**31 - 1),
    pa.int64(): st.integers(-(2**63), 2**63 - 1),
    pa.bool_(): st.booleans(),
    pa.binary(): st.binary(max_size=5),
    pa.date32(): st.dates(date(1, 1, 1), date(9999, 12, 31)),
    TIMESTAMP: _TIMES,
}


def batches(table: Table) -> st.SearchStrategy[Batch]:
    """Any rows a table can hold, nulls and extremes included."""
    items = st.lists(st.fixed_dictionaries({c.name: _values(c) for c in table.columns}), min_size=1, max_size=8)
    return items.map(lambda found: rows(table, *found))


def _values(column: Column) -> st.SearchStrategy[Any]:
    plain = _STRATEGIES[column.type]
    return plain | st.none() if column.nullable else plain

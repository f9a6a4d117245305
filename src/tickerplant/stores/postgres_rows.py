"""Results of PostgreSQL as Arrow, with the types of the store.

Times and dates come over the wire as integers since 2000-01-01, so that a column is moved to Arrow as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg.rows import TupleRow

from tickerplant.schema import TIMESTAMP

FETCH_ROWS = 20_000
_MICROS_1970_TO_2000 = 946_684_800_000_000
_DAYS_1970_TO_2000 = 10_957
_TIMESTAMPS = {1184: TIMESTAMP, 1114: pa.timestamp("us")}
_DATE, _TIME, _NUMERIC = 1082, 1083, 1700
_TYPES: dict[int, pa.DataType] = {
    16: pa.bool_(),
    17: pa.binary(),
    18: pa.string(),
    19: pa.string(),
    20: pa.int64(),
    21: pa.int16(),
    23: pa.int32(),
    25: pa.string(),
    26: pa.int64(),
    700: pa.float32(),
    701: pa.float64(),
    705: pa.string(),
    1042: pa.string(),
    1043: pa.string(),
    1186: pa.duration("us"),
    _DATE: pa.date32(),
    _TIME: pa.time64("us"),
    **_TIMESTAMPS,
}


def batches(cursor: psycopg.Cursor[TupleRow], size: int = FETCH_ROWS) -> Iterator[pa.RecordBatch]:
    """What a cursor in binary format still holds; at least one batch, which may be empty."""
    fields = [(c.name, c.type_code) for c in cursor.description or ()]
    first = True
    while rows := cursor.fetchmany(size):
        yield batch(fields, rows)
        first = False
    if first:
        yield batch(fields, [])


def batch(fields: Sequence[tuple[str, int]], rows: Sequence[tuple[Any, ...]]) -> pa.RecordBatch:
    """Rows of tuples as columns. `fields` are name and type oid."""
    columns = list(zip(*rows, strict=True)) or [()] * len(fields)
    arrays = [_array(oid, values) for (_, oid), values in zip(fields, columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=[name for name, _ in fields])


def together(found: Iterator[pa.RecordBatch]) -> pa.Table:
    """All batches as one table; columns of decimals are widened to what fits all."""
    tables = [pa.Table.from_batches([b]) for b in found]
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables, promote_options="permissive")


def _array(oid: int, values: Sequence[Any]) -> pa.Array:
    kind = _TYPES.get(oid)
    if oid in _TIMESTAMPS:
        return pc.add(pa.array(values, pa.int64()), _MICROS_1970_TO_2000).cast(kind)
    if oid == _DATE:
        return pc.add(pa.array(values, pa.int32()), pa.scalar(_DAYS_1970_TO_2000, pa.int32())).cast(kind)
    if oid == _NUMERIC:
        return _decimals(values)
    return pa.array(values, kind) if kind is not None else _other(values)


def _decimals(values: Sequence[Decimal | None]) -> pa.Array:
    """Exact where 76 digits suffice, else the nearest float."""
    if not any(v is not None for v in values):
        return pa.array(values, pa.decimal128(38, 0))
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if v is None else float(v) for v in values], pa.float64())


def _other(values: Sequence[Any]) -> pa.Array:
    """A type the plant does not use itself: lists and the like as Arrow sees them, else text."""
    if any(isinstance(v, list) for v in values):
        return pa.array(values)
    return pa.array([None if v is None else str(v) for v in values], pa.string())

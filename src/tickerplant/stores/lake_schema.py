"""How a table of the plant looks in the lake: its Delta schema, Parquet encodings and order."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from tickerplant.schema import Table

SESSION = "session"
ORDER = ("symbol", "ts", "ns", "received_at", "seq")


def is_partitioned(table: Table) -> bool:
    """Whether the table's files are kept by session (New York date of its time column)."""
    return table.time is not None


def delta_schema(table: Table) -> pa.Schema:
    """The Arrow schema of the Delta table: the table's own, and `session` when it is partitioned by it."""
    if not is_partitioned(table):
        return table.schema
    return table.schema.append(pa.field(SESSION, pa.date32(), nullable=False))


def order(table: Table) -> tuple[str, ...]:
    """The columns by which a finished session is sorted."""
    names = set(table.schema.names)
    return tuple(name for name in ORDER if name in names)


def writer_options(table: Table, level: int = 1) -> dict[str, Any]:
    """Options of `pyarrow.parquet.ParquetWriter`.

    Times and long integers as differences, prices plain, the rest as dictionaries, zstd: sorted real quotes
    take 2-3.5 bytes depending on receipt times, random ones with nanoseconds 10.4 (docs/decisions/0063-lake-files.md).
    """
    packed = [c.name for c in table.columns if pa.types.is_int64(c.type) or pa.types.is_temporal(c.type)]
    plain = [c.name for c in table.columns if c.unit.startswith("dollars") or pa.types.is_binary(c.type)]
    coded = [n for n in table.schema.names if n not in packed and n not in plain]
    return {
        "compression": "zstd",
        "compression_level": level,
        "use_dictionary": coded,
        "column_encoding": dict.fromkeys(packed, "DELTA_BINARY_PACKED"),
        "write_statistics": True,
        "store_schema": False,
    }

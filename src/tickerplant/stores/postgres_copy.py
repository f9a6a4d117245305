"""Rows into PostgreSQL: Arrow to binary COPY, and merges by way of a staging table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
from pgpq import ArrowToPostgresBinaryEncoder

from tickerplant.calendar import session_dates
from tickerplant.model import Batch
from tickerplant.schema import Table, quoted
from tickerplant.stores.postgres_layout import Layout
from tickerplant.stores.postgres_link import Link, raw
from tickerplant.stores.postgres_schema import SESSION, column_names, has_session
from tickerplant.tables import PLANT_TABLES, POSITIONS, TABLES, VENDOR_TABLES

_CHUNK_ROWS = 16_384
_NUL, _SHOWN_NUL = "\x00", "\u2400"
_ORDER = {t.name: i for i, t in enumerate((*VENDOR_TABLES, *PLANT_TABLES))}
_FIRST_DAY, _LAST_DAY = pa.scalar(date(1, 1, 1), pa.date32()), pa.scalar(date(9999, 12, 31), pa.date32())

Part = tuple[Table, date | None, pa.Table]
"""Rows of one table and session (None for tables without), with the column `session`."""


def parts(batches: Sequence[Batch]) -> list[Part]:
    """The rows by table and session, vendor tables first, in the order of `tables.py`."""
    grouped: dict[str, list[pa.RecordBatch]] = defaultdict(list)
    for table, rows in batches:
        if table.name == POSITIONS.name:
            raise ValueError("write: expected no batch of positions; the store writes them")
        grouped[table.name].append(table.check(rows))
    found: list[Part] = []
    for name in sorted(grouped, key=_ORDER.__getitem__):
        rows = pa.Table.from_batches(grouped[name])
        if rows.num_rows:
            found += _by_session(TABLES[name], rows)
    return found


def _by_session(table: Table, rows: pa.Table) -> Iterator[Part]:
    if not has_session(table):
        yield table, None, rows
        return
    days = session_dates(rows.column(str(table.time)).combine_chunks())
    days = pc.min_element_wise(pc.max_element_wise(days, _FIRST_DAY), _LAST_DAY)
    rows = rows.append_column(pa.field(SESSION, pa.date32(), nullable=False), days)
    found = pc.unique(days)
    for day in found.to_pylist():
        mine = rows if len(found) == 1 else rows.filter(pc.equal(days, pa.scalar(day, pa.date32())))
        yield table, day, mine


def copy(link: Link, part: Part, layout: Layout) -> None:
    """Append or merge one part, inside the caller's transaction."""
    table, day, rows = part
    if table.mode == "merge":
        _merge(link, table, rows)
    else:
        _stream(link, layout.target(table, day) if day else table.name, column_names(table), rows)


def _stream(link: Link, relation: str, columns: Sequence[str], rows: pa.Table) -> None:
    encoder = ArrowToPostgresBinaryEncoder(rows.schema)
    names = ", ".join(map(quoted, columns))
    statement = raw(f"copy {quoted(relation)} ({names}) from stdin (format binary)")
    with link.cursor() as cursor, cursor.copy(statement) as stream:
        stream.write(encoder.write_header())
        for batch in rows.to_batches(max_chunksize=_CHUNK_ROWS):
            stream.write(encoder.write_batch(batch))
        stream.write(encoder.finish())


def _merge(link: Link, table: Table, rows: pa.Table) -> None:
    """Insert or replace by key; of several rows of one key the last counts."""
    name, stage, key = quoted(table.name), quoted(f"_stage_{table.name}"), ", ".join(map(quoted, table.key))
    others = [quoted(c) for c in table.schema.names if c not in table.key]
    columns = ", ".join(map(quoted, table.schema.names))
    for sql in (
        f"create temp table if not exists {stage} (like {name}, _n integer) on commit delete rows",
        f"truncate {stage}",
    ):
        link.execute(raw(sql))
    numbered = rows.append_column("_n", pa.array(range(rows.num_rows), pa.int32()))
    _stream(link, f"_stage_{table.name}", [*table.schema.names, "_n"], numbered)
    link.execute(
        raw(
            f"insert into {name} ({columns}) select {columns} from "
            f"(select distinct on ({key}) * from {stage} order by {key}, _n desc) newest "
            f"on conflict ({key}) do update set {', '.join(f'{c} = excluded.{c}' for c in others)}"
        )
    )


def without_nul(part: Part) -> Part:
    """The part with U+0000 in text, which PostgreSQL cannot hold, shown as U+2400."""
    table, day, rows = part
    for place, field in enumerate(rows.schema):
        if pa.types.is_string(field.type):
            shown = pc.replace_substring(rows.column(place), _NUL, _SHOWN_NUL)
            rows = rows.set_column(place, field, shown)
    return table, day, rows

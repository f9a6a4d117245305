"""Landed REST answers -> rows: what all vendors share. A vendor reads one body; here come receipt, lineage, coverage.

`seq` of a row is its place in the answer, counted over all tables, so that (received_at, seq) stays the order of
arrival. Each answer gives rows of `coverage`: one for each symbol with rows, and on the last page one for each symbol
asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from tickerplant.errors import BadData
from tickerplant.model import Batch, Decoded, Entry, Kind, Record, Reject
from tickerplant.rest import ALL, Asked, Call, Outcome, decode_asked
from tickerplant.schema import Table
from tickerplant.tables import COVERAGE


class Bad(NamedTuple):
    """One item of an answer that could not be read: its place, what was expected and found, its bytes."""

    item: int
    reason: str
    payload: bytes


@dataclass(frozen=True)
class Found:
    """Rows of one table: content columns by name, all of one length; a column left out is null."""

    table: Table
    columns: Mapping[str, Sequence[Any] | pa.Array]
    feed: str | None = None
    """Of these rows; the call's when None."""


@dataclass(frozen=True)
class Page:
    """What one body held. `next_call` is the call for the next page."""

    found: tuple[Found, ...] = ()
    bad: tuple[Bad, ...] = ()
    next_call: Call | None = None


Read = Callable[[Asked, bytes], Page]
"""A vendor's reader of one body. Raises BadData when it cannot be read at all."""


def decode_answers(entries: Sequence[Entry], read: Read) -> Decoded:
    """Rows, coverage and rejects of records of kind response. Bytes never raise."""
    batches: list[Batch] = []
    rejects: list[Reject] = []
    for entry in entries:
        record = entry.item
        if not isinstance(record, Record):
            raise TypeError(f"answers: expected a record, was {type(record).__name__}")
        try:
            if record.kind is not Kind.RESPONSE:
                raise BadData(f"{record.vendor}: expected an answer to a request, was a record of kind {record.kind}")
            asked = decode_asked(record.request)
            page = read(asked, record.payload) if asked.outcome == Outcome.ROWS else Page()
        except BadData as error:
            rejects.append(_reject(entry, record, None, Bad(-1, str(error), record.payload)))
            continue
        batches += _batches(record, asked, page)
        rejects += [_reject(entry, record, asked.call.table, bad) for bad in page.bad]
    return Decoded(tuple(batches), tuple(rejects))


def _reject(entry: Entry, record: Record, table: str | None, bad: Bad) -> Reject:
    return Reject(entry.start, bad.item, record.vendor, record.feed, table, record.received_at, bad.reason, bad.payload)


def _batches(record: Record, asked: Asked, page: Page) -> list[Batch]:
    made: list[Batch] = []
    rows: Counter[str] = Counter()
    seq = 0
    for found in page.found:
        batch = _batch(record, asked, found, seq)
        if batch.rows.num_rows:
            seq += batch.rows.num_rows
            made.append(batch)
        if found.table.name == asked.call.table and "symbol" in found.columns:
            rows.update(batch.rows.column("symbol").to_pylist())
        elif found.table.name == asked.call.table:
            rows[ALL[0]] += batch.rows.num_rows
    return [*made, _coverage(record, asked, page, rows, seq)]


def _batch(record: Record, asked: Asked, found: Found, first: int) -> Batch:
    table = found.table
    count = len(next(iter(found.columns.values()), ()))
    own = {**found.columns, **_envelope(record, found.feed or asked.call.feed, count, first)}
    arrays = [_array(own.get(c.name), c.type, count) for c in table.columns]
    return Batch(table, pa.RecordBatch.from_arrays(arrays, schema=table.schema))


def _array(values: Sequence[Any] | pa.Array | None, kind: pa.DataType, count: int) -> pa.Array:
    if values is None:
        return pa.nulls(count, kind)
    return values.cast(kind) if isinstance(values, pa.Array) else pa.array(values, kind)


def _envelope(record: Record, feed: str, count: int, first: int) -> dict[str, Sequence[Any]]:
    return {
        "vendor": [record.vendor] * count,
        "feed": [feed] * count,
        "received_at": [record.received_at // 1000] * count,
        "seq": range(first, first + count),
    }


def _coverage(record: Record, asked: Asked, page: Page, rows: Counter[str], first: int) -> Batch:
    call, is_last = asked.call, page.next_call is None
    total = sum(rows.values())
    names = call.symbols if is_last or call.symbols == ALL else tuple(s for s in call.symbols if rows[s])
    following = None if page.next_call is None else msgspec.json.encode(page.next_call).decode()
    # A page without a row of its symbols still has to say where the next one is.
    names = names or call.symbols[:1]
    count = len(names)
    columns: dict[str, Sequence[Any]] = {
        "table_name": [call.table] * count,
        "interval": [call.interval] * count,
        "symbol": names,
        "start": [call.start] * count,
        "end": [call.end] * count,
        "endpoint": [call.endpoint] * count,
        "chain": [asked.chain] * count,
        "page": [call.page] * count,
        "is_last": [is_last] * count,
        "rows": [total if n == ALL[0] else rows[n] for n in names],
        "outcome": [asked.outcome] * count,
        "next_call": [following] * count,
    }
    return _batch(record, asked, Found(COVERAGE, columns), first)

"""What a simulated vendor's REST side knows: rows given at once, and what the live market has played so far."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime
from threading import Lock

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tickerplant.calendar import NEW_YORK
from tickerplant.model import Batch, Entry, Kind, Position, Record
from tickerplant.schema import TIMESTAMP, Table
from tickerplant.simulator.source import UNKNOWN, Ints, Slice
from tickerplant.tables import TABLES
from tickerplant.vendors.dialect import Dialect

_DATES = ("session", "ex_date", "effective_on", "as_of")


class MarketHistory:
    """`rest.History` in memory. Rows may be added while it answers; a time that is null always fits."""

    def __init__(self, batches: Iterable[Batch] = (), dialect: Dialect | None = None) -> None:
        self._rows: dict[str, list[pa.RecordBatch]] = defaultdict(list)
        self._sorted: dict[str, pa.Table] = {}
        self._places: dict[str, dict[str, tuple[int, int]]] = {}
        self._played: list[tuple[Slice, npt.NDArray[np.intp] | Ints]] = []
        self._dialect, self._lock = dialect or Dialect(), Lock()
        for batch in batches:
            self.add(batch)

    def add(self, batch: Batch) -> None:
        """Know some more rows."""
        with self._lock:
            self._add(batch)

    def played(self, part: Slice, places: Ints) -> None:
        """Know messages that the live market has just come to, whether anybody was sent them or not."""
        with self._lock:
            self._played.append((part, places))

    def rows(
        self, table: str, symbols: Sequence[str] | None, start: datetime, end: datetime, interval: str | None = None
    ) -> pa.Table:
        """See `rest.History`."""
        known = TABLES.get(table)
        if known is None:
            return pa.table({})
        with self._lock:
            self._decode_played()
            found = self._in_order(known)
            if symbols is not None and "symbol" in found.schema.names:
                places = self._places[table]
                parts = [found.slice(*places[s]) for s in sorted(set(symbols)) if s in places]
                found = pa.concat_tables(parts) if parts else found.slice(0, 0)
        keep = _within(known, found, start, end)
        if interval is not None and "interval" in found.schema.names:
            keep = pc.and_(keep, pc.equal(found.column("interval"), interval))
        return found.filter(keep)

    def _add(self, batch: Batch) -> None:
        self._rows[batch.table.name].append(batch.rows)
        self._sorted.pop(batch.table.name, None)

    def _decode_played(self) -> None:
        """Rows of what was played since the last question, by the vendor's own decoder."""
        played, self._played = self._played, []
        for part, places in played:
            messages = [part.messages[i] for i in places.tolist() if part.channels[i] < UNKNOWN]
            if messages:
                payload = self._dialect.frame(messages, False)
                record = Record(self._dialect.vendor, "sip", Kind.DATA, 0, payload)
                for batch in self._dialect.decode([Entry(Position(0), Position(1), record)]).batches:
                    self._add(batch)

    def _in_order(self, table: Table) -> pa.Table:
        if table.name not in self._sorted:
            found = pa.Table.from_batches(self._rows[table.name], table.schema)
            keys = [n for n in ("symbol", "ts", "ns", *_DATES) if n in table.schema.names]
            # The order of arrival breaks ties: pyarrow's sort is not stable.
            place = pa.array(np.arange(found.num_rows))
            order = pc.sort_indices(
                found.append_column("__place", place), [(k, "ascending") for k in (*keys, "__place")]
            )
            self._sorted[table.name] = found.take(order).combine_chunks()
            if "symbol" in table.schema.names:
                self._places[table.name] = _places(self._sorted[table.name].column("symbol"))
        return self._sorted[table.name]


def _places(symbols: pa.ChunkedArray) -> dict[str, tuple[int, int]]:
    """Offset and length of each symbol's rows in a sorted column."""
    runs = pc.run_end_encode(symbols.combine_chunks())
    ends = runs.run_ends.to_pylist()
    starts = [0, *ends][: len(ends)]
    return {s: (a, b - a) for s, a, b in zip(runs.values.to_pylist(), starts, ends, strict=True)}


def _within(table: Table, found: pa.Table, start: datetime, end: datetime) -> pa.Array:
    """Which rows lie in `[start, end)`; a date stands for midnight in New York."""
    names = found.schema.names
    if "ts" in names:
        bounds, column = (pa.scalar(start, TIMESTAMP), pa.scalar(end, TIMESTAMP)), found.column("ts")
    else:
        name = next((n for n in _DATES if n in names), None)
        if name is None:
            return pa.array(np.ones(found.num_rows, bool))
        first, last = (_date_at_or_after(at) for at in (start, end))
        bounds, column = (pa.scalar(first, pa.date32()), pa.scalar(last, pa.date32())), found.column(name)
    inside = pc.and_(pc.greater_equal(column, bounds[0]), pc.less(column, bounds[1]))
    return pc.fill_null(inside, True)


def _date_at_or_after(at: datetime) -> object:
    local = at.astimezone(NEW_YORK)
    day = local.date()
    return day if local.time() == local.time().min else day.fromordinal(min(day.toordinal() + 1, day.max.toordinal()))

"""Message structs -> Arrow: the second half of `decode`, a column at a time.

One list per column (`[m.field for m in messages]`) and one bulk conversion; no row objects, no loop over fields in the
hot tables. `benchmarks/bench_decode.py` measures this half and `parse` apart.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import compress
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tickerplant.calendar import session_dates
from tickerplant.errors import excerpt
from tickerplant.model import Batch, Reject
from tickerplant.schema import TIMESTAMP, Table
from tickerplant.tables import (
    BARS,
    DAILY_BARS,
    IMBALANCES,
    LULDS,
    QUOTES,
    STATUSES,
    TRADE_CORRECTIONS,
    TRADES,
)
from tickerplant.vendors.alpaca.messages import (
    Bar,
    Cancel,
    Correction,
    DailyBar,
    Failure,
    Imbalance,
    Luld,
    Quote,
    Status,
    Subscription,
    Success,
    Trade,
    UpdatedBar,
)
from tickerplant.vendors.alpaca.parse import Chunk, parts_of, rejected
from tickerplant.vendors.alpaca.times import Stamps, nanoseconds

_HOUR = 3_600_000_000
"""Microseconds. Daily bars are stamped 00:00 New York, but Alpaca prints 04:00Z in winter too, an hour early."""

_Columns = list[pa.Array]


class Converted(NamedTuple):
    """What a chunk became."""

    batches: list[Batch]
    rejects: list[Reject]
    control: int


class _Arrival(NamedTuple):
    """Where each row of a chunk came from: frame, receipt (microseconds UTC), place in the frame.

    `vendor` and `feed` are those of each frame, or a single one when all frames share it.
    """

    vendor: list[str]
    feed: list[str]
    frame: npt.NDArray[np.int64]
    received_at: Stamps
    seq: npt.NDArray[np.int32]

    def take(self, rows: npt.NDArray[Any]) -> _Arrival:
        return _Arrival(self.vendor, self.feed, self.frame[rows], self.received_at[rows], self.seq[rows])


def columns(chunk: Chunk) -> Converted:
    """The rows of a chunk, one batch for each table; a message whose time is none becomes a reject."""
    batches: list[Batch] = []
    rejects = list(chunk.rejects)
    control = 0
    if not chunk.messages:
        return Converted(batches, rejects, control)
    arrival = _arrival(chunk)
    for kind, messages, rows in _by_table(chunk.messages):
        if kind == _CONTROL:
            control += len(messages)
            continue
        came = arrival if rows is None else arrival.take(rows)
        stamps, bad = nanoseconds([m.time for m in messages])
        if bad:
            table = _TABLES[kind][0]
            rejects += [_without_time(chunk, table, came, row) for row in bad]
            keep = np.delete(np.arange(len(messages)), bad)
            messages, stamps, came = [messages[i] for i in keep], stamps[keep], came.take(keep)
        if messages:
            batches.append(_batch(kind, messages, stamps, came))
    return Converted(batches, rejects, control)


def _arrival(chunk: Chunk) -> _Arrival:
    counts = np.array(chunk.counts, np.int64)
    records = [entry[2] for entry in chunk.frames]
    received = np.array([record.received_at for record in records], np.int64) // 1000
    frame = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts) - counts
    seq = (np.arange(len(frame)) - first[frame]).astype(np.int32)
    for row, places in chunk.odd:
        seq[row : row + len(places)] = places
    vendor, feed = [record.vendor for record in records], [record.feed for record in records]
    return _Arrival(_shared(vendor), _shared(feed), frame, received[frame], seq)


def _shared(values: list[str]) -> list[str]:
    """`values`, or the first alone when all are equal."""
    return values[:1] if values.count(values[0]) == len(values) else values


def _by_table(messages: list[Any]) -> Iterator[tuple[int, list[Any], npt.NDArray[np.int64] | None]]:
    """`(kind, messages, rows)` for each table in the chunk; rows None means all."""
    kinds = {_KIND_OF[found] for found in set(map(type, messages))}
    if len(kinds) == 1:
        yield kinds.pop(), messages, None
        return
    codes = np.fromiter(map(_KIND_OF.__getitem__, map(type, messages)), np.int8, len(messages))
    for kind in sorted(kinds):
        found = codes == kind
        yield kind, list(compress(messages, found.tobytes())), np.flatnonzero(found)


def _batch(kind: int, messages: list[Any], stamps: Stamps, came: _Arrival) -> Batch:
    table, convert = _TABLES[kind]
    micros = stamps // 1000
    ts = pa.array(micros).view(TIMESTAMP)
    time = [ts, pa.array((stamps - micros * 1000).astype(np.int16))]
    if table is DAILY_BARS:
        time = [session_dates(pa.array(micros + _HOUR).view(TIMESTAMP))]
    arrays = [
        pa.array([m.symbol for m in messages], pa.string()),
        *time,
        *convert(messages),
        _of_frame(came.vendor, came.frame),
        _of_frame(came.feed, came.frame),
        pa.array(came.received_at).view(TIMESTAMP),
        pa.array(came.seq),
    ]
    return Batch(table, pa.RecordBatch.from_arrays(arrays, schema=table.schema))


def _of_frame(values: list[str], frame: npt.NDArray[np.int64]) -> pa.Array:
    """The value of each row's frame; nearly always one and the same."""
    if len(values) == 1:
        return pa.repeat(pa.scalar(values[0], pa.string()), len(frame))
    return pa.array(values, pa.string()).take(pa.array(frame))


def _without_time(chunk: Chunk, table: Table, came: _Arrival, row: int) -> Reject:
    entry, place = chunk.frames[int(came.frame[row])], int(came.seq[row])
    torn = entry.item.places
    part = parts_of(chunk.encoding, entry.item.payload)[place if torn is None else torn.index(place)]
    found = excerpt(bytes(chunk.encoding.fields(part)["t"]))
    reason = f"alpaca {table.name}: expected a time such as 2021-02-22T15:51:44.208Z, was {found} - at `$.t`"
    return rejected(entry, place, table.name, reason, bytes(part))


def _text(values: Sequence[str | None]) -> pa.Array:
    return pa.array(values, pa.string())


def _codes(values: Sequence[str | None]) -> pa.Array:
    """Text that is mostly one ASCII character (venue, tape, condition): then the joined text is the Arrow buffer."""
    size = len(values)
    try:
        joined = "\n".join(values)  # type: ignore[arg-type]  # a None raises TypeError
    except TypeError:
        return _text(values)
    characters = joined[::2]
    # Newlines at all odd places and at no other: so each of the `size` values is exactly one character.
    if len(joined) != 2 * size - 1 or "\n" in characters or joined[1::2].strip("\n") or not joined.isascii():
        return _text(values)
    places = pa.py_buffer(np.arange(size + 1, dtype=np.int32))
    return pa.StringArray.from_buffers(size, places, pa.py_buffer(characters.encode()))


def _joined(values: Sequence[list[str] | None]) -> pa.Array:
    """Condition codes joined by commas; a missing list is null, an empty one empty text."""
    try:
        return _codes([",".join(codes) for codes in values])  # type: ignore[arg-type]  # a None raises TypeError
    except TypeError:
        return _text([None if codes is None else ",".join(codes) for codes in values])


def _reals(values: Sequence[float | None]) -> pa.Array:
    try:
        return pa.Array.from_buffers(pa.float64(), len(values), [None, pa.py_buffer(array("d", values))])  # type: ignore[type-var]
    except TypeError:
        return pa.array(values, pa.float64())


def _ids(values: Sequence[int | str | None]) -> pa.Array:
    """Trade ids as text; all of them numbers is the common case."""
    try:
        return pa.array(values, pa.int64()).cast(pa.string())
    except (pa.ArrowException, OverflowError, TypeError):
        return _text([None if value is None else str(value) for value in values])


def _quotes(ms: Sequence[Quote[Any]]) -> _Columns:
    return [
        _reals([m.bid_price for m in ms]),
        _reals([m.bid_size for m in ms]),
        _codes([m.bid_exchange for m in ms]),
        _reals([m.ask_price for m in ms]),
        _reals([m.ask_size for m in ms]),
        _codes([m.ask_exchange for m in ms]),
        _joined([m.conditions for m in ms]),
        _codes([m.tape for m in ms]),
    ]


def _trades(ms: Sequence[Trade[Any]]) -> _Columns:
    return [
        _ids([m.trade_id for m in ms]),
        _reals([m.price for m in ms]),
        _reals([m.size for m in ms]),
        _codes([m.exchange for m in ms]),
        _joined([m.conditions for m in ms]),
        _codes([m.tape for m in ms]),
    ]


def _daily_bars(ms: Sequence[Bar[Any]]) -> _Columns:
    return [
        _reals([m.open for m in ms]),
        _reals([m.high for m in ms]),
        _reals([m.low for m in ms]),
        _reals([m.close for m in ms]),
        _reals([m.volume for m in ms]),
        pa.array([m.trade_count for m in ms], pa.int64()),
        _reals([m.vwap for m in ms]),
    ]


def _bars(ms: Sequence[Bar[Any]]) -> _Columns:
    revisions = [1 if type(m) is UpdatedBar else 0 for m in ms]
    return [pa.repeat(pa.scalar("1m"), len(ms)), *_daily_bars(ms), pa.array(revisions, pa.int32())]


def _statuses(ms: Sequence[Status[Any]]) -> _Columns:
    return [
        _text([m.status_code for m in ms]),
        _text([m.status_message for m in ms]),
        _text([m.reason_code for m in ms]),
        _text([m.reason_message for m in ms]),
        _codes([m.tape for m in ms]),
    ]


def _lulds(ms: Sequence[Luld[Any]]) -> _Columns:
    return [
        _reals([m.limit_up for m in ms]),
        _reals([m.limit_down for m in ms]),
        _codes([m.indicator for m in ms]),
        _codes([m.tape for m in ms]),
    ]


_ACTIONS = {"C": "cancel", "E": "error", None: "unknown"}


def _correction_kind(m: Correction[Any] | Cancel[Any]) -> str:
    return "correction" if isinstance(m, Correction) else _ACTIONS.get(m.action, str(m.action))


def _corrections(ms: Sequence[Correction[Any] | Cancel[Any]]) -> _Columns:
    def of(name: str) -> list[Any]:
        return [getattr(m, name, None) for m in ms]

    return [
        _text([_correction_kind(m) for m in ms]),
        _codes(of("exchange")),
        _ids(of("original_id")),
        _reals(of("original_price")),
        _reals(of("original_size")),
        _joined(of("original_conditions")),
        _ids(of("corrected_id")),
        _reals(of("corrected_price")),
        _reals(of("corrected_size")),
        _joined(of("corrected_conditions")),
        _codes(of("tape")),
    ]


def _imbalances(ms: Sequence[Imbalance[Any]]) -> _Columns:
    return [_reals([m.price for m in ms]), _codes([m.tape for m in ms])]


CONTENT: dict[str, Callable[[Sequence[Any]], _Columns]] = {
    "quotes": _quotes,
    "trades": _trades,
    "daily_bars": _daily_bars,
    "bars": _daily_bars,
}
"""The columns between time and envelope, of messages or of rows of history; for bars without interval and revision."""

_CONTROL = 0
_TABLES: dict[int, tuple[Table, Callable[[Sequence[Any]], _Columns]]] = {
    1: (QUOTES, _quotes),
    2: (TRADES, _trades),
    3: (BARS, _bars),
    4: (DAILY_BARS, _daily_bars),
    5: (STATUSES, _statuses),
    6: (LULDS, _lulds),
    7: (TRADE_CORRECTIONS, _corrections),
    8: (IMBALANCES, _imbalances),
}
_KIND_OF: dict[type, int] = {
    **dict.fromkeys((Success, Failure, Subscription), _CONTROL),
    Quote: 1,
    Trade: 2,
    Bar: 3,
    UpdatedBar: 3,
    DailyBar: 4,
    Status: 5,
    Luld: 6,
    Correction: 7,
    Cancel: 7,
    Imbalance: 8,
}

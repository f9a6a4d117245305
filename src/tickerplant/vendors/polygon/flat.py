"""Flat files: a whole market day as CSV -> the same tables as the answers of the API.

Source: https://massive.com/docs/flat-files as of 2026-01-28 and files of 2024 and 2026. Aggregates have the columns
open, close, high, low in this order; `window_start` is in ns, midnight in New York for a day; nothing is adjusted.
Since 2026 sizes and volumes have fractions. All cells are read as text first: NA is a ticker.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from tickerplant.errors import BadData, excerpt
from tickerplant.rest import Asked
from tickerplant.tables import BARS, DAILY_BARS, QUOTES, TRADE_CORRECTIONS, TRADES
from tickerplant.vendors.answers import Bad, Found
from tickerplant.vendors.polygon import times
from tickerplant.vendors.polygon.decode_history import HISTORY, Readout
from tickerplant.vendors.polygon.symbols import from_vendor

_INT, _REAL = pa.int64(), pa.float64()
_AGGREGATES = {
    **{"window_start": _INT, "transactions": _INT},
    **dict.fromkeys(("open", "close", "high", "low", "volume"), _REAL),
}
_TRADES = {"sip_timestamp": _INT, "price": _REAL, "size": _REAL}
_QUOTES = {"sip_timestamp": _INT, **{f"{s}_{w}": _REAL for s in ("bid", "ask") for w in ("price", "size")}}
_NEEDED = ("window_start", "sip_timestamp", "open", "close", "high", "low", "price")
_WHOLE = "^[+-]?[0-9]{1,18}$|^[1-8][0-9]{18}$"
_DECIMAL = r"^[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,2})?$"
_TAPES = pa.array(["1", "2", "3"]), pa.array(["A", "B", "C"])
_KINDS = pa.array(["1", "7", "8", "10", "11", "12"])
_MEANT = pa.array(["correction", "error", "cancel", "cancel", "error", "correction"])
_NO_TRADES = pa.array(["10", "11", "12"])


def unpacked(body: bytes) -> bytes:
    """The text of a file, compressed or not. Raises BadData when it is cut short."""
    if body[:2] != b"\x1f\x8b":
        return body
    parts: list[bytes] = []
    while body:
        member = zlib.decompressobj(wbits=31)
        try:
            parts.append(member.decompress(body) + member.flush())
        except zlib.error as error:
            raise BadData(f"polygon flat file: expected gzip: {error}") from None
        if not member.eof:
            raise BadData("polygon flat file: expected gzip, was cut short")
        body = member.unused_data.lstrip(b"\x00")
    return b"".join(parts)


def _text_of(content: bytes) -> bytes:
    """The same when it is UTF-8, else with other bytes spelt out, since pyarrow would drop lines with them."""
    try:
        content.decode()
    except UnicodeDecodeError:
        return content.decode("utf-8", "backslashreplace").encode()
    return content


def _table(asked: Asked, body: bytes, types: dict[str, pa.DataType], bad: list[Bad]) -> pa.Table:
    """All rows that can be read, numbers as numbers."""
    what, content = asked.call.endpoint, _text_of(unpacked(body))
    header = content[:4096].split(b"\n", 1)[0].strip()
    names = header.decode("utf-8", "replace").split(",")
    missing = {"ticker", *types} - set(names)
    if missing or len(set(names)) != len(names):
        raise BadData(f"polygon {what}: expected columns {', '.join(('ticker', *types))}, was {excerpt(header, 200)!r}")
    texts = _read(content, names, what, bad)
    texts = _keep(texts, pc.not_equal(texts.column("ticker"), ""), f"polygon {what}: expected a ticker", bad)
    for name, kind in types.items():
        good = pc.match_substring_regex(texts.column(name), _WHOLE if kind == _INT else _DECIMAL)
        if name not in _NEEDED:
            good = pc.or_(good, pc.equal(texts.column(name), ""))
        texts = _keep(texts, good, f"polygon {what}: expected a number as {name}", bad)
    time = "window_start" if "window_start" in types else "sip_timestamp"
    nanos = texts.column(time).cast(_INT)
    good = pc.and_(pc.greater_equal(nanos, times.FIRST_NS), pc.less(nanos, times.LAST_NS))
    texts = _keep(texts, good, f"polygon {what}: expected a time since 1980 as {time}", bad)
    for name, kind in types.items():
        place = texts.schema.get_field_index(name)
        texts = texts.set_column(place, name, _or_none(texts.column(name)).cast(kind))
    return texts


def _read(content: bytes, names: list[str], what: str, bad: list[Bad]) -> pa.Table:
    """All cells as text, and the place of each row among the lines that are not blank."""
    aside: list[int] = []

    def wrong(row: Any) -> str:
        aside.append(row.number - 2)  # its number counts the header and begins at 1
        reason = f"polygon {what}: expected {row.expected_columns} cells, was {row.actual_columns}"
        bad.append(Bad(aside[-1], reason, (row.text or "?").encode()))
        return "skip"

    try:
        rows = csv.read_csv(
            BytesIO(content),
            read_options=csv.ReadOptions(use_threads=False, block_size=8 << 20),
            parse_options=csv.ParseOptions(invalid_row_handler=wrong),
            convert_options=csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
        raise BadData(f"polygon {what}: expected CSV: {str(error)[:200]}") from None
    places = np.delete(np.arange(rows.num_rows + len(aside)), aside)
    return rows.append_column("__place", pa.array(places))


def _keep(rows: pa.Table, good: Any, reason: str, bad: list[Bad]) -> pa.Table:
    """The good rows; the others are set aside."""
    if pc.all(good).as_py() is not False:
        return rows
    for row in rows.filter(pc.invert(good)).to_pylist():
        place = row.pop("__place")
        bad.append(Bad(place, reason, ",".join(row.values()).encode() or b'""'))
    return rows.filter(good)


def _or_none(column: Any) -> Any:
    return pc.if_else(pc.equal(column, ""), None, column)


def _symbols(rows: pa.Table) -> pa.Array:
    """Our symbols; each different one is spelt once."""
    found = rows.column("ticker").combine_chunks().dictionary_encode()
    return pa.array([from_vendor(t) for t in found.dictionary.to_pylist()], pa.string()).take(found.indices)


def _aggregates(asked: Asked, body: bytes) -> Readout:
    call = asked.call
    bad: list[Bad] = []
    rows = _table(asked, body, _AGGREGATES, bad)
    nanos = rows.column("window_start").to_numpy()
    if call.table == "bars":
        keep = times.inside(call, nanos)
    else:
        sessions = times.sessions_of(nanos)
        keep = np.array(times.days_inside(call, sessions.to_pylist()), bool)
    chosen, nanos = rows.filter(pa.array(keep)), nanos[keep]
    columns: dict[str, Any] = {"symbol": _symbols(chosen), "trade_count": _flat(chosen, "transactions")}
    columns |= {name: _flat(chosen, name) for name in ("open", "high", "low", "close", "volume")}
    if call.table == "bars":
        count = chosen.num_rows
        columns |= {**times.time_columns(nanos), "interval": ["1m"] * count, "revision": [HISTORY] * count}
        return _found(BARS, columns), bad
    return _found(DAILY_BARS, columns | {"session": sessions.filter(pa.array(keep))}), bad


def _flat(rows: pa.Table, name: str) -> pa.Array:
    return rows.column(name).combine_chunks()


def _text(rows: pa.Table, name: str) -> pa.Array:
    """A column of texts, null where a cell is empty or the file has no such column."""
    if name not in rows.schema.names:
        return pa.nulls(rows.num_rows, pa.string())
    return _or_none(rows.column(name)).combine_chunks()


def _tape(rows: pa.Table) -> pa.Array:
    found = _text(rows, "tape")
    return pc.coalesce(_TAPES[1].take(pc.index_in(found, _TAPES[0])), found)


def _found(table: Any, columns: dict[str, Any]) -> list[Found]:
    return [Found(table, columns)] if len(columns["symbol"]) else []


def _ticks(rows: pa.Table) -> dict[str, Any]:
    nanos = rows.column("sip_timestamp").to_numpy()
    return {
        "symbol": _symbols(rows),
        **times.time_columns(nanos),
        "conditions": _text(rows, "conditions"),
        "tape": _tape(rows),
    }


def _trades(asked: Asked, body: bytes) -> Readout:
    bad: list[Bad] = []
    rows = _table(asked, body, _TRADES, bad)
    rows = rows.filter(pa.array(times.inside(asked.call, rows.column("sip_timestamp").to_numpy())))
    code = _text(rows, "correction")
    trades = rows.filter(pc.invert(pc.is_in(code, _NO_TRADES)))
    own = {"trade_id": _text(trades, "id"), "price": _flat(trades, "price"), "size": _flat(trades, "size")}
    found = _found(TRADES, {**_ticks(trades), **own, "exchange": _text(trades, "exchange")})
    return [*found, *_corrections(rows.filter(pc.is_in(code, _KINDS)))], bad


def _corrections(rows: pa.Table) -> list[Found]:
    """As `decode_history` makes them."""
    ticks, code = _ticks(rows), _text(rows, "correction")
    is_right = pc.equal(code, "1")
    said = {"id": _text(rows, "id"), "price": _flat(rows, "price"), "size": _flat(rows, "size")}
    said["conditions"] = ticks.pop("conditions")
    columns = {**ticks, "kind": _MEANT.take(pc.index_in(code, _KINDS)), "exchange": _text(rows, "exchange")}
    columns |= {f"corrected_{n}": pc.if_else(is_right, c, None) for n, c in said.items()}
    columns |= {f"original_{n}": c if n == "id" else pc.if_else(is_right, None, c) for n, c in said.items()}
    return _found(TRADE_CORRECTIONS, columns)


def _venue(rows: pa.Table, name: str) -> pa.Array:
    found = _text(rows, name)
    return pc.if_else(pc.equal(found, "0"), " ", found)


def _quotes(asked: Asked, body: bytes) -> Readout:
    bad: list[Bad] = []
    rows = _table(asked, body, _QUOTES, bad)
    rows = rows.filter(pa.array(times.inside(asked.call, rows.column("sip_timestamp").to_numpy())))
    columns = {name: _flat(rows, name) for name in _QUOTES if name != "sip_timestamp"}
    columns |= {f"{side}_exchange": _venue(rows, f"{side}_exchange") for side in ("bid", "ask")}
    return _found(QUOTES, {**_ticks(rows), **columns}), bad


READERS: dict[str, Callable[[Asked, bytes], Readout]] = {
    "day_aggs": _aggregates,
    "minute_aggs": _aggregates,
    "trades": _trades,
    "quotes": _quotes,
}

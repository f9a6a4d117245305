"""Rows of our tables as the messages the vendor would send: the reverse of `decode`, exact to the last digit.

Keys stand in the order of the vendor's newest printed session (`T` first, `t` last); a null is a key left out. Sources:
https://docs.alpaca.markets/docs/real-time-stock-pricing-data, captured 2026-01-26; the msgpack form of times is that of
alpaca-trade-api-go `stream/message.go` (extension -1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from functools import lru_cache
from itertools import repeat
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tickerplant.calendar import NEW_YORK
from tickerplant.model import Batch

Codes = npt.NDArray[np.uint8]


class Channel(NamedTuple):
    """What one message type is: its `T`, the vendor's channel, our channel, the table of its rows."""

    type: str
    vendor_name: str
    name: str
    table: str


CHANNELS = (
    Channel("t", "trades", "trades", "trades"),
    Channel("q", "quotes", "quotes", "quotes"),
    Channel("b", "bars", "bars", "bars"),
    Channel("u", "updatedBars", "updated_bars", "bars"),
    Channel("d", "dailyBars", "daily_bars", "daily_bars"),
    Channel("s", "statuses", "statuses", "statuses"),
    Channel("l", "lulds", "lulds", "lulds"),
    Channel("i", "imbalances", "imbalances", "imbalances"),
    Channel("c", "corrections", "corrections", "trade_corrections"),
    Channel("x", "cancelErrors", "cancel_errors", "trade_corrections"),
)
"""Message types; a channel code is an index into this."""
CODES = {channel.type: code for code, channel in enumerate(CHANNELS)}


@dataclass(frozen=True)
class Rendered:
    """Messages in the order of the rows, and the channel code of each."""

    messages: list[bytes]
    channels: Codes


def _text(value: str) -> bytes:
    return msgspec.json.encode(value)


def _number(value: float) -> bytes:
    return b"%d" % value if value.is_integer() and abs(value) < 1e15 else repr(value).encode()


def _integer(value: int) -> bytes:
    return b"%d" % value


def _identity(value: str) -> bytes:
    is_canonical = value.isascii() and value.isdigit() and (value == "0" or value[0] != "0")
    return value.encode() if is_canonical else _text(value)


def _codes(value: str) -> bytes:
    return msgspec.json.encode(value.split(",") if value else [])


def _action(kind: str) -> bytes:
    return b'"C"' if kind == "cancel" else b'"E"'


def _midnight(session: date) -> bytes:
    at = datetime.combine(session, time(), NEW_YORK).astimezone(UTC)
    return b'"' + at.strftime("%Y-%m-%dT%H:%M:%SZ").encode() + b'"'


Form = Callable[[Any], bytes]
_TIME: Form = _text
"""Marks the place of the event time, which is written column-wise."""

_OHLCV: tuple[tuple[str, str, Form], ...] = (
    ("o", "open", _number),
    ("h", "high", _number),
    ("l", "low", _number),
    ("c", "close", _number),
    ("v", "volume", _number),
    ("n", "trade_count", _integer),
    ("vw", "vwap", _number),
)
_FORMS: dict[str, tuple[tuple[str, str, Form], ...]] = {
    "q": (
        ("bx", "bid_exchange", _text),
        ("bp", "bid_price", _number),
        ("bs", "bid_size", _number),
        ("ax", "ask_exchange", _text),
        ("ap", "ask_price", _number),
        ("as", "ask_size", _number),
        ("c", "conditions", _codes),
        ("z", "tape", _text),
        ("t", "ts", _TIME),
    ),
    "t": (
        ("i", "trade_id", _identity),
        ("x", "exchange", _text),
        ("p", "price", _number),
        ("s", "size", _number),
        ("c", "conditions", _codes),
        ("z", "tape", _text),
        ("t", "ts", _TIME),
    ),
    "b": (*_OHLCV, ("t", "ts", _TIME)),
    "u": (*_OHLCV, ("t", "ts", _TIME)),
    "d": (*_OHLCV, ("t", "session", _midnight)),
    "s": (
        ("sc", "status_code", _text),
        ("sm", "status_message", _text),
        ("rc", "reason_code", _text),
        ("rm", "reason_message", _text),
        ("t", "ts", _TIME),
        ("z", "tape", _text),
    ),
    "l": (
        ("u", "limit_up", _number),
        ("d", "limit_down", _number),
        ("i", "indicator", _text),
        ("t", "ts", _TIME),
        ("z", "tape", _text),
    ),
    "i": (("p", "price", _number), ("z", "tape", _text), ("t", "ts", _TIME)),
    "c": (
        ("x", "exchange", _text),
        ("oi", "original_id", _identity),
        ("op", "original_price", _number),
        ("os", "original_size", _number),
        ("oc", "original_conditions", _codes),
        ("ci", "corrected_id", _identity),
        ("cp", "corrected_price", _number),
        ("cs", "corrected_size", _number),
        ("cc", "corrected_conditions", _codes),
        ("z", "tape", _text),
        ("t", "ts", _TIME),
    ),
    "x": (
        ("i", "original_id", _identity),
        ("x", "exchange", _text),
        ("p", "original_price", _number),
        ("s", "original_size", _number),
        ("a", "kind", _action),
        ("z", "tape", _text),
        ("t", "ts", _TIME),
    ),
}


def render(batch: Batch) -> Rendered:
    """The JSON messages of a batch of vendor rows, one a row, and their channels."""
    types = _types(batch)
    if len(types) == 1:
        ((only, _),) = types
        return Rendered(_messages(only, batch.rows), np.full(batch.rows.num_rows, CODES[only], np.uint8))
    messages = np.empty(batch.rows.num_rows, object)
    channels = np.zeros(batch.rows.num_rows, np.uint8)
    for kind, chosen in types:
        messages[chosen] = _messages(kind, batch.rows.filter(pa.array(chosen)))
        channels[chosen] = CODES[kind]
    return Rendered(messages.tolist(), channels)


_PLAIN = {"quotes": "q", "trades": "t", "daily_bars": "d", "statuses": "s", "lulds": "l", "imbalances": "i"}


def _types(batch: Batch) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """The message types in a batch, each with the mask of its rows."""
    name, rows = batch.table.name, batch.rows
    if name in _PLAIN:
        return [(_PLAIN[name], np.ones(rows.num_rows, bool))]
    if name == "bars":
        first, second, mask = "b", "u", pc.equal(rows.column("revision"), 0)
    elif name == "trade_corrections":
        first, second, mask = "c", "x", pc.equal(rows.column("kind"), "correction")
    else:
        raise ValueError(f"alpaca: expected a table of the stream, was {name!r}")
    chosen = mask.to_numpy(zero_copy_only=False)
    return [(t, m) for t, m in ((first, chosen), (second, ~chosen)) if m.any()] or [(first, chosen)]


def _messages(kind: str, rows: pa.RecordBatch) -> list[bytes]:
    pieces: list[Iterable[bytes]] = [_pieces(b'{"T":"%b","S":' % kind.encode(), rows.column("symbol"), _text)]
    for key, column, form in _FORMS[kind]:
        lead = b',"%b":' % key.encode()
        if form is _TIME and column == "ts":
            pieces += [_times(lead + b'"', rows), repeat(b'Z"', rows.num_rows)]
        else:
            pieces.append(_pieces(lead, rows.column(column), form))
    return list(map(b"".join, zip(*pieces, repeat(b"}", rows.num_rows), strict=True)))


def _pieces(lead: bytes, column: pa.Array, form: Form) -> list[bytes]:
    """`lead` and the value for each row; nothing for a null."""
    coded = column.dictionary_encode()
    written = np.empty(len(coded.dictionary) + 1, object)
    written[:-1] = [lead + form(value) for value in coded.dictionary.to_pylist()]
    written[-1] = b""
    return written[coded.indices.fill_null(len(coded.dictionary)).to_numpy()].tolist()


def _times(lead: bytes, rows: pa.RecordBatch) -> list[bytes]:
    """RFC 3339 with as many digits as needed, without the Z."""
    micros = rows.column("ts").cast(pa.int64()).to_numpy()
    seconds = micros // 1_000_000
    rest = (micros - seconds * 1_000_000) * 1000 + rows.column("ns").to_numpy()
    distinct, place = np.unique(seconds, return_inverse=True)
    stems = [lead + text.encode() for text in np.datetime_as_string(distinct.astype("datetime64[s]")).tolist()]
    width = len(lead) + 19
    letters = np.zeros((len(micros), width + 10), np.uint8)
    if len(micros):
        letters[:, :width] = np.frombuffer(b"".join(stems), np.uint8).reshape(-1, width)[place]
        _fraction(rest, letters[:, width:])
    return letters.view(f"S{width + 10}").ravel().tolist()


def _fraction(rest: npt.NDArray[np.int64], into: Codes) -> None:
    """Write `.` and nine digits with trailing zeros as NUL, which a numpy byte string drops at its end."""
    is_tail = np.ones(len(rest), bool)
    for place in range(9, 0, -1):
        rest, digit = np.divmod(rest, 10)
        is_tail &= digit == 0
        into[:, place] = np.where(is_tail, 0, digit + 48)
    into[:, 0] = np.where(is_tail, 0, ord("."))


@lru_cache(maxsize=4096)
def _epoch(second: str) -> int:
    return int(datetime.fromisoformat(second + "+00:00").timestamp())


def _timestamp(text: str) -> msgspec.msgpack.Ext:
    """The 64-bit form of the timestamp extension: nanoseconds in 30 bits, seconds in 34."""
    nanos = int(text[20:-1].ljust(9, "0")) if text[19] == "." else 0
    return msgspec.msgpack.Ext(-1, (nanos << 34 | _epoch(text[:19])).to_bytes(8, "big"))


def _rfc3339(raw: bytes) -> str:
    """A timestamp extension (`d6`, `d7` or `c7 0c`, then the type -1) as text; msgspec would drop nanoseconds."""
    data = raw[3:] if raw[0] == 0xC7 else raw[2:]
    if len(data) == 8:
        both = int.from_bytes(data, "big")
        nanos, seconds = both >> 34, both & ((1 << 34) - 1)
    elif len(data) == 4:
        nanos, seconds = 0, int.from_bytes(data, "big")
    else:
        nanos, seconds = int.from_bytes(data[:4], "big"), int.from_bytes(data[4:], "big", signed=True)
    fraction = f".{nanos:09d}".rstrip("0") if nanos else ""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"


def _is_timestamp(raw: bytes) -> bool:
    return raw[:2] in (b"\xd6\xff", b"\xd7\xff") or raw[:3] == b"\xc7\x0c\xff"


def _unpacked(fields: dict[str, msgspec.Raw]) -> bytes:
    values = {k: bytes(v) for k, v in fields.items()}
    return msgspec.json.encode(
        {k: _rfc3339(v) if _is_timestamp(v) else msgspec.msgpack.decode(v) for k, v in values.items()}
    )


def packed(message: bytes) -> bytes:
    """A JSON message in its msgpack form: keys in the same order, `t` as the timestamp extension."""
    fields = msgspec.json.decode(message)
    if isinstance(fields.get("t"), str):
        fields["t"] = _timestamp(fields["t"])
    return msgspec.msgpack.encode(fields)


def unpacked(message: bytes) -> bytes:
    """A msgpack message as JSON, its times with all their nanoseconds."""
    return _unpacked(msgspec.msgpack.decode(message, type=dict[str, msgspec.Raw]))


def frame(messages: Sequence[bytes], is_binary: bool) -> bytes:
    """One frame's payload: an array of messages, each already in the frame's encoding."""
    if not is_binary:
        return b"[" + b",".join(messages) + b"]"
    return _array_head(len(messages)) + b"".join(messages)


def _array_head(count: int) -> bytes:
    if count < 16:
        return bytes([0x90 | count])
    return b"\xdc" + count.to_bytes(2, "big") if count < 65536 else b"\xdd" + count.to_bytes(4, "big")


def split(payload: bytes) -> list[bytes]:
    """The messages of a frame as JSON, text frames byte for byte. Raises msgspec.DecodeError when it is no array."""
    if payload[:1] in (b"[", b" "):
        return [bytes(raw) for raw in msgspec.json.decode(payload, type=list[msgspec.Raw])]
    return [_unpacked(m) for m in msgspec.msgpack.decode(payload, type=list[dict[str, msgspec.Raw]])]

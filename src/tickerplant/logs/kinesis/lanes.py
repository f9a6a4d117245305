"""Over which lane a message goes: the symbols of a live feed are spread by hash, and frames torn accordingly. Pure."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec
from msgspec import Raw

from tickerplant.logs.kinesis.options import HASH_SPACE

WHOLE = -1
"""The lane of everything that has no symbol: connection records, control messages, REST answers."""

_UNREADABLE = (ValueError, RecursionError)
_LANE = re.compile(r"(.+\..+)[.-]lane(\d+)of(\d+)")


class _Message(msgspec.Struct):
    S: str | None = None


class Part(NamedTuple):
    """The messages of one lane in a frame. `places`: where they stood in the frame; None when it was not torn."""

    lane: int
    payload: bytes
    places: tuple[int, ...] | None


_SYMBOLS = {
    "json": msgspec.json.Decoder(list[_Message]).decode,
    "msgpack": msgspec.msgpack.Decoder(list[_Message]).decode,
}
_PARTS = {"json": msgspec.json.Decoder(list[Raw]).decode, "msgpack": msgspec.msgpack.Decoder(list[Raw]).decode}
_ONE = {"json": msgspec.json.Decoder(_Message).decode, "msgpack": msgspec.msgpack.Decoder(_Message).decode}


def lane_name(partition: str, lane: int, lanes: int) -> str:
    """The partition that a reader sees: `alpaca.sip` for WHOLE, `alpaca.sip.lane3of8` for lane 3 of 8."""
    if lane == WHOLE:
        return partition
    return f"{partition}{'.' if partition.count('.') == 1 else '-'}lane{lane}of{lanes}"


def split_name(name: str) -> tuple[str, int, int]:
    """`(partition, lane, lanes)` of a name from `lane_name`; lanes 0 for WHOLE."""
    found = _LANE.fullmatch(name)
    return (found[1], int(found[2]), int(found[3])) if found else (name, WHOLE, 0)


def ends_by_name(name: str, ends: Sequence[int]) -> Iterator[tuple[str, int]]:
    """The lanes of the partition that a lane is of, with the receipts of their last lines as the head of a record
    tells them: that without symbols first."""
    partition, _, _ = split_name(name)
    for lane, end in enumerate(ends, WHOLE):
        yield lane_name(partition, lane, len(ends) - 1), end


def hash_key(name: str) -> int:
    """The point of the stream's hash space at which a lane lies: lanes are spread evenly, WHOLE by its name."""
    _, lane, lanes = split_name(name)
    if lane == WHOLE:
        return zlib.crc32(name.encode()) * (HASH_SPACE >> 32)
    return (2 * lane + 1) * HASH_SPACE // (2 * lanes)


@lru_cache(2**16)
def lane_of(symbol: str, lanes: int) -> int:
    """The lane of a symbol; never changes.

    Of its hash the upper end counts: the lower one says which of several captures has it (`capture --shard`).
    """
    return zlib.crc32(symbol.encode()) * lanes >> 32


def split_frame(payload: bytes, lanes: int) -> list[Part]:
    """A frame of the live stream by lanes, the messages of each in order and byte for byte as they came.

    A frame that is no array of messages goes whole over the lane WHOLE, messages without symbol as well.
    """
    form = "msgpack" if b"\x80" <= payload[:1] <= b"\x9f" or b"\xdc" <= payload[:1] <= b"\xdf" else "json"
    try:
        of = _lanes(payload, form, lanes)
    except _UNREADABLE:
        return [Part(WHOLE, payload, None)]
    if len(set(of)) <= 1:
        return [Part(of[0] if of else WHOLE, payload, None)]
    parts = [bytes(part) for part in _PARTS[form](payload)]
    places: dict[int, list[int]] = {}
    for place, lane in enumerate(of):
        places.setdefault(lane, []).append(place)
    return [Part(lane, _frame([parts[i] for i in at], form), tuple(at)) for lane, at in places.items()]


def _lanes(payload: bytes, form: str, lanes: int) -> list[int]:
    """The lane of each message of a frame."""
    try:
        messages = _SYMBOLS[form](payload)
    except _UNREADABLE:
        messages = [_one(part, form) for part in _PARTS[form](payload)]
    return [WHOLE if m.S is None else lane_of(m.S, lanes) for m in messages]


def _one(part: Raw, form: str) -> _Message:
    try:
        return _ONE[form](part)
    except _UNREADABLE:
        return _Message()


def _frame(parts: list[bytes], form: str) -> bytes:
    if form == "json":
        return b"[" + b",".join(parts) + b"]"
    size = len(parts)
    head = bytes([0x90 | size]) if size < 16 else struct.pack(">BH", 0xDC, size)
    return (head if size < 2**16 else struct.pack(">BI", 0xDD, size)) + b"".join(parts)

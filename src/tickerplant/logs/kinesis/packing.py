"""What a Kinesis record holds: a head on a line of its own, then lines of the log. Pure.

    {"kinesis":1,"p":"alpaca.sip.lane3of8","since":1763649000000000000,"prev":1763649000123456789,"places":[[0,2],null]}
    {"crc":"8f1c2b3a","rx":1763649000123500000,"v":"alpaca","c":"sip","k":"data","m":[...]}
    {"crc":...

`prev` is the receipt of the lane's line before (-1: none), `since` that of its first line ever; so a reader sees that
records are missing, and which time they held. `ends` are the receipts of the last lines of all lanes of the partition,
that without symbols first: so a look at the end of one shard tells of lanes that are quiet. `places` are the places of
a torn frame's messages in the frame. A line too long for one record is cut: `"part":[0,3]` is the first of three.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from tickerplant.errors import BadData, excerpt
from tickerplant.logs.line import Parser
from tickerplant.model import Damage, Record

Places = tuple[int, ...] | None

_HEAD_START = b'{"kinesis":1,'


class Head(msgspec.Struct, frozen=True, omit_defaults=True):
    """The first line of a record."""

    kinesis: int
    p: str
    since: int
    prev: int
    places: list[Places] | None = None
    part: tuple[int, int] | None = None
    ends: tuple[int, ...] | None = None


class Line(NamedTuple):
    """A line on its way: its receipt (ns), its place in the spool, the places of its messages, and whether the spool
    was damaged between the line before it and itself."""

    data: bytes
    received_at: int
    start: int
    places: Places
    is_behind_damage: bool = False


_DECODE = msgspec.json.Decoder(Head).decode
_ENCODE = msgspec.json.Encoder().encode


HEAD_BYTES = 512
"""More than a head without places and ends takes."""
_END_BYTES = 21


def head_room(line: Line) -> int:
    """At most how many bytes of a head the places of a line take."""
    return 5 + 7 * len(line.places or ())


def pack(
    name: str, since: int, prev: int, lines: Sequence[Line], max_bytes: int, ends: tuple[int, ...] | None = None
) -> list[bytes]:
    """The record of some lines of a lane; several pieces for one line above `max_bytes`."""
    places = [line.places for line in lines] if any(line.places for line in lines) else None
    data = b"".join(line.data for line in lines)
    record = _ENCODE(Head(1, name, since, prev, places, None, ends)) + b"\n" + data
    if len(record) <= max_bytes:
        return [record]
    step = max_bytes - HEAD_BYTES - _END_BYTES * len(ends or ()) - sum(map(head_room, lines))
    if step <= 0 or len(lines) > 1:
        raise BadData(f"kinesis {name}: expected lines that fit {max_bytes} bytes, was {len(record)}")
    count = -(-len(data) // step)
    return [
        _ENCODE(Head(1, name, since, prev, places, (i, count), ends)) + b"\n" + data[i * step : (i + 1) * step]
        for i in range(count)
    ]


def head_of(record: bytes) -> tuple[Head, bytes] | None:
    """Head and body of a record; None when it is not one of ours."""
    if not record.startswith(_HEAD_START):
        return None
    end = record.find(b"\n")
    try:
        return _DECODE(record[:end]), record[end + 1 :]
    except msgspec.MsgspecError:
        return None


def unpack(head: Head, body: bytes, parser: Parser) -> Iterator[Record | Damage]:
    """The log's lines in a body; one whose CRC is wrong is damage."""
    places = head.places
    for i, line in enumerate(body.rstrip(b"\n").split(b"\n")):
        try:
            record = parser.parse(_checked(line))
        except BadData as error:
            yield Damage(line, str(error), None, None)
            continue
        if places and places[i] is not None:
            record = msgspec.structs.replace(record, places=places[i])
        yield record


def _checked(line: bytes) -> bytes:
    body = line[17:]
    if not line.startswith(b'{"crc":"%08x"' % zlib.crc32(body)):
        raise BadData(f"kinesis: expected a line with crc {zlib.crc32(body):08x}, was {excerpt(line)!r}")
    return body

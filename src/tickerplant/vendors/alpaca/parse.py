"""Bytes -> message structs: the first half of `decode`, frame by frame, in chunks that fit the processor's cache.

A whole frame is decoded in one typed call. Only when that fails is the frame taken apart message by message, so that
one bad message costs nobody but itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Raw

from tickerplant.errors import excerpt
from tickerplant.model import Entry, Kind, Record, Reject
from tickerplant.vendors.alpaca.channels import CHANNELS
from tickerplant.vendors.alpaca.messages import JsonMessage, MsgpackMessage

CHUNK = 2000
"""Messages in a chunk, about: 1,500 to 2,000 measured best; fewer pay Arrow's fixed costs, more miss the cache."""

UNREADABLE = (ValueError, RecursionError)
"""What msgspec raises on bytes that are not the type asked for (its own errors are ValueErrors)."""

_CHANNEL_OF = {c.message_type: name for name, c in CHANNELS.items()} | dict.fromkeys("cx", "trade_corrections")
_CONTROL = ("success", "error", "subscription")


@dataclass(frozen=True)
class Encoding:
    """How frames of one encoding are read: whole, apart, one message strictly or leniently, and its raw fields."""

    frame: Callable[[bytes], list[Any]]
    split: Callable[[bytes], list[Raw]]
    strict: Callable[[Raw], Any]
    lenient: Callable[[Raw], Any]
    fields: Callable[[Raw], dict[str, Raw]]
    text: Callable[[Raw], str]
    null: bytes


JSON = Encoding(
    msgspec.json.Decoder(list[JsonMessage]).decode,
    msgspec.json.Decoder(list[Raw]).decode,
    msgspec.json.Decoder(JsonMessage).decode,
    msgspec.json.Decoder(JsonMessage, strict=False).decode,
    msgspec.json.Decoder(dict[str, Raw]).decode,
    msgspec.json.Decoder(str).decode,
    b"null",
)
MSGPACK = Encoding(
    msgspec.msgpack.Decoder(list[MsgpackMessage]).decode,
    msgspec.msgpack.Decoder(list[Raw]).decode,
    msgspec.msgpack.Decoder(MsgpackMessage).decode,
    msgspec.msgpack.Decoder(MsgpackMessage, strict=False).decode,
    msgspec.msgpack.Decoder(dict[str, Raw]).decode,
    msgspec.msgpack.Decoder(str).decode,
    b"\xc0",
)


def encoding_of(payload: bytes) -> Encoding:
    """MSGPACK when the first byte opens a msgpack array or map (no JSON text begins so), else JSON."""
    first = payload[:1]
    return MSGPACK if b"\x80" <= first <= b"\x9f" or b"\xdc" <= first <= b"\xdf" else JSON


@dataclass
class Chunk:
    """Messages of some frames in order of arrival. `counts[i]` of them are of `frames[i]`, an entry
    whose item is a record.

    `odd` lists frames that lost messages or were torn: the row of their first message, and the places in the frame of
    those left.
    """

    encoding: Encoding = JSON
    frames: list[Any] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    messages: list[Any] = field(default_factory=list)
    odd: list[tuple[int, Sequence[int]]] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)


def parse(entries: Sequence[Entry], size: int = CHUNK) -> Iterator[Chunk]:
    """The messages of `entries` (records of kind data or control) in chunks of about `size`. Never raises on bytes."""
    response = Kind.RESPONSE
    chunk = Chunk()
    read = chunk.encoding.frame
    for entry in entries:
        record: Any = entry[2]
        if record.kind is response:
            chunk.rejects.append(rejected(entry, -1, None, "alpaca: expected a websocket frame, was a REST response"))
            continue
        try:
            messages = read(record.payload)
        except UNREADABLE:
            encoding = encoding_of(record.payload)
            if encoding is not chunk.encoding:
                yield chunk
                chunk = Chunk(encoding)
                read = encoding.frame
            messages = _salvage(chunk, entry)
        else:
            if record.places is not None:
                chunk.odd.append((len(chunk.messages), record.places))
        chunk.frames.append(entry)
        chunk.counts.append(len(messages))
        chunk.messages += messages
        if len(chunk.messages) >= size:
            yield chunk
            chunk = Chunk(chunk.encoding)
    yield chunk


def rejected(entry: Entry, place: int, channel: str | None, reason: str, payload: bytes | None = None) -> Reject:
    """A reject of the message at `place` of a frame; `payload` None is the whole frame."""
    record = entry.item
    if not isinstance(record, Record):
        raise TypeError(f"alpaca: expected a record, was {type(record).__name__}")
    whole = record.payload if payload is None else payload
    return Reject(entry.start, place, record.vendor, record.feed, channel, record.received_at, reason, whole)


def _salvage(chunk: Chunk, entry: Entry) -> list[Any]:
    """The readable messages of a frame; the others become rejects of the chunk."""
    try:
        parts = parts_of(chunk.encoding, entry.item.payload)
    except UNREADABLE as error:
        chunk.rejects.append(rejected(entry, -1, None, f"alpaca: expected a frame of messages: {_said(error)}"))
        return []
    good: list[Any] = []
    places: list[int] = []
    item: Any = entry.item
    torn = item.places
    for place, part in enumerate(parts) if torn is None else zip(torn, parts, strict=False):
        try:
            good.append(_lenient(chunk.encoding, part))
            places.append(place)
        except UNREADABLE as error:
            channel, reason = _explain(chunk.encoding, part, error)
            chunk.rejects.append(rejected(entry, place, channel, reason, bytes(part)))
    if len(good) < len(parts) or torn is not None:
        chunk.odd.append((len(chunk.messages), places))
    return good


def parts_of(encoding: Encoding, payload: bytes) -> list[Raw]:
    """The messages of a frame, undecoded; a bare map counts as a frame of one."""
    try:
        return encoding.split(payload)
    except UNREADABLE as error:
        try:
            encoding.fields(Raw(payload))
        except UNREADABLE:
            raise error from None
        return [Raw(payload)]


def _lenient(encoding: Encoding, part: Raw) -> Any:
    """One message, numbers also as text. Raises ValueError when a field is there but of no use."""
    try:
        return encoding.strict(part)
    except UNREADABLE:
        message = encoding.lenient(part)
    given = encoding.fields(part)
    for name, key in zip(message.__struct_fields__, message.__struct_encode_fields__, strict=True):
        value, raw = getattr(message, name), bytes(given.get(key, encoding.null)).strip()
        if (value is None and raw != encoding.null) or (isinstance(value, float) and not math.isfinite(value)):
            raise ValueError(f"expected a number, was {excerpt(raw)} - at `$.{key}`")
    return message


def _explain(encoding: Encoding, part: Raw, error: Exception) -> tuple[str | None, str]:
    """`(channel, reason)` for a message that could not be read."""
    try:
        kind = encoding.text(encoding.fields(part)["T"])
    except (*UNREADABLE, KeyError):
        return None, f"alpaca: {_said(error)}"
    if kind in _CHANNEL_OF or kind in _CONTROL:
        return _CHANNEL_OF.get(kind), f"alpaca {_CHANNEL_OF.get(kind, kind)}: {_said(error)}"
    return kind[:20], f"unknown message type {kind[:20]!r}"


def _said(error: Exception) -> str:
    text = str(error).replace(", got ", ", was ")
    return text[:1].lower() + text[1:]

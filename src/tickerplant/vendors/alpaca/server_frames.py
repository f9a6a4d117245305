"""A frame as the feed passes it on: each message's own bytes beside its channel and symbol, nothing decoded further.

Source: https://docs.alpaca.markets/docs/real-time-stock-pricing-data, captured 2026-01-26.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw

from tickerplant.vendors.alpaca.parse import UNREADABLE
from tickerplant.vendors.alpaca.render import CHANNELS

_CHANNEL_OF = {channel.type: channel.vendor_name for channel in CHANNELS}


class Part(msgspec.Struct, frozen=True, gc=False):
    """One message: its channel (None: no data that anybody subscribes to), symbol, and bytes as received."""

    channel: str | None
    symbol: str
    raw: bytes


class _Head(msgspec.Struct, gc=False):
    T: str
    S: str = ""


_TEXT = (msgspec.json.Decoder(list[Raw]).decode, msgspec.json.Decoder(list[_Head]).decode)
_PACKED = (msgspec.msgpack.Decoder(list[Raw]).decode, msgspec.msgpack.Decoder(list[_Head]).decode)
_HEAD_OF_ONE = (msgspec.json.Decoder(_Head).decode, msgspec.msgpack.Decoder(_Head).decode)


def parts(payload: bytes) -> list[Part]:
    """The messages of a frame, in order, in its encoding. Raises ValueError when it is no array of messages.

    One that has no `T` or no readable `S` gets the channel None.
    """
    is_binary = payload[:1] >= b"\x80"
    split, heads = _PACKED if is_binary else _TEXT
    raws = split(payload)
    try:
        found = heads(payload)
    except UNREADABLE:
        found = [_head(_HEAD_OF_ONE[is_binary], raw) for raw in raws]
    return [Part(_CHANNEL_OF.get(h.T), h.S, bytes(raw)) for h, raw in zip(found, raws, strict=True)]


def _head(read: Callable[[Any], _Head], raw: Raw) -> _Head:
    try:
        return read(raw)
    except UNREADABLE:
        return _Head("")

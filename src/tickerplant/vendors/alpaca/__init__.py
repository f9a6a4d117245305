"""Alpaca market data: the live websocket of US equities (v2), without I/O."""

from __future__ import annotations

from collections.abc import Sequence

from tickerplant.model import Credentials, Decoded, Dialogue, Entry, Selection, Vendor
from tickerplant.vendors.alpaca.channels import CHANNELS, feed_of


def _decode(entries: Sequence[Entry]) -> Decoded:
    from tickerplant.vendors.alpaca.decode import decode

    return decode(entries)


def _dialogue(selection: Selection, credentials: Credentials) -> Dialogue:
    from tickerplant.vendors.alpaca.wire import dialogue

    return dialogue(selection, credentials)


VENDOR = Vendor(
    name="alpaca",
    decode=_decode,
    dialogue=_dialogue,
    default_url="wss://stream.data.alpaca.markets/v2/iex",
    feed_of=feed_of,
    channels=tuple(CHANNELS),
)

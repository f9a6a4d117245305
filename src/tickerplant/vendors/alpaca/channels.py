"""Names: our channels, the vendor's, the message types that carry them, and the feeds in URLs.

Source: https://docs.alpaca.markets/docs/real-time-stock-pricing-data, captured 2026-01-26.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from tickerplant.errors import UsageError


@dataclass(frozen=True)
class Channel:
    """One live channel: the vendor's name of it in subscriptions, and `T` of its messages."""

    vendor_name: str
    message_type: str


CHANNELS: dict[str, Channel] = {
    "quotes": Channel("quotes", "q"),
    "trades": Channel("trades", "t"),
    "bars": Channel("bars", "b"),
    "updated_bars": Channel("updatedBars", "u"),
    "daily_bars": Channel("dailyBars", "d"),
    "statuses": Channel("statuses", "s"),
    "lulds": Channel("lulds", "l"),
    "imbalances": Channel("imbalances", "i"),
}
"""Our name -> channel. Corrections and cancels (`c`, `x`) come with `trades` and cannot be asked for."""

_VERSION = re.compile(r"v\d+(?:(?:alpha|beta)\d+)?")
_FEED = re.compile(r"[A-Za-z0-9_]+(?:-[A-Za-z0-9_]+)*")


def feed_of(url: str) -> str:
    """The feed that a websocket URL names: `wss://host/v2/sip` -> `sip`, `.../v1beta3/crypto/us` -> `crypto-us`.

    Raises UsageError when the URL is no websocket URL or names no feed.
    """
    parts = urlsplit(url)
    names = [name for name in parts.path.split("/") if name]
    if names and _VERSION.fullmatch(names[0]):
        names = names[1:]
    feed = "-".join(names)
    if parts.scheme not in ("ws", "wss") or not parts.hostname or not _FEED.fullmatch(feed):
        shown = f"{parts.scheme}://{parts.hostname or ''}{parts.path}"
        raise UsageError(
            f"alpaca: expected a websocket URL such as wss://stream.data.alpaca.markets/v2/iex, was {shown!r}"
        )
    return feed

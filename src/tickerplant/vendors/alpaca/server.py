"""The server side of Alpaca's stream protocol, without I/O: one object a connection, bytes in, frames out.

Source: https://docs.alpaca.markets/docs/streaming-market-data and /docs/real-time-stock-pricing-data, captured
2026-01-26. What the pages leave open (frames of a header login, whether 402 closes) is chosen as gently as possible.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tickerplant.model import Secret

ERRORS = {
    400: "invalid syntax",
    401: "not authenticated",
    402: "auth failed",
    403: "already authenticated",
    404: "auth timeout",
    405: "symbol limit exceeded",
    406: "connection limit exceeded",
    407: "slow client",
    409: "insufficient subscription",
    410: "invalid subscribe action for this feed",
    500: "internal error",
}
FEEDS = ("sip", "iex", "delayed_sip", "test")
AUTH_TIMEOUT_S = 10.0

_STOCKS = ("trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds", "imbalances")
_TEST = ("trades", "quotes", "bars")
_RIDERS = ("corrections", "cancelErrors")
_ELSEWHERE = ("news", "orderbooks")
_SYMBOL = re.compile(r"\*|[A-Za-z0-9][A-Za-z0-9._/-]{0,31}")


@dataclass(frozen=True)
class Account:
    """Whom the server lets in: without `key` any key and secret, even empty ones. `symbols` is the plan's limit.

    `keys` are all accepted keys with their secrets, in place of the one. `channels` (the vendor's names) and `only`
    (symbols) are what the plan holds; None is all.
    """

    key: str | None = None
    secret: Secret | None = None
    symbols: int | None = None
    feeds: tuple[str, ...] = FEEDS
    keys: Mapping[str, Secret] | None = None
    channels: frozenset[str] | None = None
    only: frozenset[str] | None = None

    def admits(self, key: str, secret: str) -> bool:
        """Whether these are the credentials asked for."""
        if self.keys is not None:
            known = self.keys.get(key, Secret("")).reveal()
            return bool(known) and hmac.compare_digest(known.encode(), secret.encode())
        wanted = self.secret.reveal() if self.secret else None
        return (self.key in (None, key)) and (wanted in (None, secret))


@dataclass(frozen=True)
class Reply:
    """What the server does with a client's message: send `frames` in order, then close when `close`."""

    frames: tuple[bytes, ...] = ()
    close: bool = False


@dataclass
class Connection:
    """One connection. `admit` is asked at authentication and returns an error code (406) to turn the client away."""

    feed: str = "sip"
    headers: Mapping[str, str] = field(default_factory=dict)
    account: Account = field(default_factory=Account)
    admit: Callable[[], int | None] = lambda: None
    is_authenticated: bool = False
    version: int = 0
    """Counts changes of the subscriptions."""
    _lists: dict[str, dict[str, None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._low = {k.lower(): v for k, v in self.headers.items()}
        self.is_binary = self._low.get("content-type", "").strip().lower() == "application/msgpack"
        self._acknowledged = _TEST if self.feed == "test" else tuple(c for c in _STOCKS if c != "imbalances")
        offered = _TEST if self.feed == "test" else _STOCKS
        self._channels = tuple(c for c in offered if self.account.channels is None or c in self.account.channels)
        self._lists = {name: {} for name in self._channels}

    def opened(self) -> Reply:
        """The greeting; with login headers the authentication follows at once."""
        greeting = self._frame({"T": "success", "msg": "connected"})
        key, secret = self._low.get("apca-api-key-id"), self._low.get("apca-api-secret-key")
        if key is None or secret is None:
            return Reply((greeting,))
        reply = self._authenticate({"key": key, "secret": secret})
        return Reply((greeting, *reply.frames), reply.close)

    def receive(self, message: bytes) -> Reply:
        """Take one whole client message."""
        request = self._parse(message)
        if request is None:
            return self.error(400)
        action = request.pop("action", None)
        if action == "auth":
            return self._authenticate(request)
        if action not in ("subscribe", "unsubscribe"):
            return self.error(400)
        return self._change(action == "subscribe", request) if self.is_authenticated else self.error(401)

    def timed_out(self) -> Reply:
        """The client let `AUTH_TIMEOUT_S` pass: 404 and the end, or nothing when it is authenticated."""
        return Reply() if self.is_authenticated else self.error(404, close=True)

    def error(self, code: int, close: bool = False) -> Reply:
        """An error message of the documented table."""
        return Reply((self._frame({"T": "error", "code": code, "msg": ERRORS[code]}),), close)

    @property
    def is_subscribed(self) -> bool:
        """Whether anything is subscribed."""
        return any(self._lists.values())

    def symbols(self, channel: str) -> frozenset[str] | None:
        """Symbols subscribed on a vendor channel, None for all of them. Corrections and cancels ride on trades."""
        listed = self._lists.get("trades" if channel in _RIDERS else channel, {})
        return self.account.only if "*" in listed else frozenset(listed)

    def wants(self, channel: str, symbol: str) -> bool:
        """Whether a message of a vendor channel goes to this client."""
        symbols = self.symbols(channel)
        return symbols is None or symbol in symbols

    def _parse(self, message: bytes) -> dict[str, Any] | None:
        decode = msgspec.msgpack.decode if self.is_binary else msgspec.json.decode
        try:
            found = decode(message)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        return found if isinstance(found, dict) and all(isinstance(k, str) for k in found) else None

    def _authenticate(self, request: Mapping[str, Any]) -> Reply:
        if self.is_authenticated:
            return self.error(403)
        key, secret = request.get("key"), request.get("secret")
        if not isinstance(key, str) or not isinstance(secret, str):
            return self.error(400)
        if not self.account.admits(key, secret):
            return self.error(402)
        if self.feed not in self.account.feeds:
            return self.error(409, close=True)
        refusal = self.admit()
        if refusal is not None:
            return self.error(refusal, close=True)
        self.is_authenticated = True
        return Reply((self._frame({"T": "success", "msg": "authenticated"}),))

    def _change(self, adds: bool, request: Mapping[str, Any]) -> Reply:
        asked = {k: v for k, v in request.items() if k not in _RIDERS}
        problem = self._problem(asked)
        if problem is not None:
            return self.error(problem)
        changed = {name: dict(listed) for name, listed in self._lists.items()}
        for name, symbols in asked.items():
            for symbol in symbols or ():
                if adds:
                    changed[name][symbol] = None
                else:
                    changed[name].pop(symbol, None)
        if adds and self._is_over_limit(changed):
            return self.error(405)
        self._lists, self.version = changed, self.version + 1
        return Reply((self._acknowledgement(),))

    def _problem(self, asked: Mapping[str, Any]) -> int | None:
        if not asked:
            return 400
        for name, symbols in asked.items():
            if name not in self._channels:
                return 410 if name in _STOCKS or name in _ELSEWHERE else 400
            if symbols is not None and not isinstance(symbols, list):
                return 400
            if not all(isinstance(s, str) and _SYMBOL.fullmatch(s) for s in symbols or ()):
                return 400
        return None

    def _is_over_limit(self, lists: Mapping[str, Mapping[str, None]]) -> bool:
        symbols = {s for listed in lists.values() for s in listed}
        if self.account.only is not None and not symbols <= self.account.only | {"*"}:
            return True
        if self.account.symbols is None:
            return False
        return "*" in symbols or len(symbols) > self.account.symbols

    def _acknowledgement(self) -> bytes:
        lists = {name: list(self._lists.get(name, ())) for name in self._acknowledged}
        if self.feed != "test":
            lists |= {name: list(self._lists.get("trades", ())) for name in _RIDERS}
        if self._lists.get("imbalances"):
            lists["imbalances"] = list(self._lists["imbalances"])
        return self._frame({"T": "subscription", **lists})

    def _frame(self, message: dict[str, Any]) -> bytes:
        return msgspec.msgpack.encode([message]) if self.is_binary else msgspec.json.encode([message])

"""What we ask to be subscribed to, request by request, and what of it the vendor acknowledges.

A burst of 1,800 requests of one symbol was cut at 1,400 by the vendor: so requests hold many symbols and go out one at
a time, the next after the answer to the one before. Acknowledgements are cumulative: each lists everything subscribed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tickerplant.errors import Fatal, RequestFailed, Retryable, TickerplantError

BAD_REQUEST, SYMBOL_LIMIT, NOT_ON_THIS_FEED = 400, 405, 410
REFUSALS = (BAD_REQUEST, SYMBOL_LIMIT, NOT_ON_THIS_FEED)

_MOST_REFUSALS = 100
"""Refused requests after which no smaller parts are tried."""


@dataclass(frozen=True)
class Request:
    """One subscribe request: our channels x symbols."""

    channels: tuple[str, ...]
    symbols: tuple[str, ...]

    def __str__(self) -> str:
        return f"{', '.join(self.channels)} of {some(self.symbols)}"

    def parts(self, code: int) -> list[Request]:
        """Smaller requests of which one alone may be to blame for `code`; empty when it cannot be parted."""
        if code == BAD_REQUEST:
            return [Request(self.channels, half) for half in _halves(self.symbols)]
        if code == NOT_ON_THIS_FEED:
            return [Request(half, self.symbols) for half in _halves(self.channels)]
        return []


def _halves(values: tuple[str, ...]) -> list[tuple[str, ...]]:
    middle = len(values) // 2
    return [values[:middle], values[middle:]] if middle else []


def some(symbols: Iterable[str]) -> str:
    """Up to five of the symbols, and how many more there are."""
    ordered = sorted(symbols)
    rest = len(ordered) - 5
    return " ".join(ordered[:5]) + (f" and {rest} more" if rest > 0 else "")


def requests(channels: Sequence[str], symbols: Sequence[str], chunk: int) -> list[Request]:
    """Requests of at most `chunk` symbols; `*` among the symbols is all of them, in one request."""
    wanted = ("*",) if "*" in symbols else tuple(dict.fromkeys(symbols))
    return [Request(tuple(channels), wanted[at : at + chunk]) for at in range(0, len(wanted), chunk)]


class Subscriptions:
    """The state of one connection's subscriptions: to ask, asked, acknowledged."""

    def __init__(self, todo: Iterable[Request]) -> None:
        self._todo = deque(todo)
        self._waiting: Request | None = None
        self._asked: dict[str, set[str]] = {}
        self._acknowledged: dict[str, set[str]] = {}
        self._named: set[tuple[str, str]] = set()
        self._refused = 0
        self._refusal: str | None = None

    @property
    def acknowledged(self) -> Mapping[str, frozenset[str]]:
        """Channel -> symbols we asked for and are subscribed to, by the vendor's last word."""
        return {channel: frozenset(symbols) for channel, symbols in self._acknowledged.items() if symbols}

    @property
    def waiting(self) -> bool:
        """Whether a request is unanswered."""
        return self._waiting is not None

    def next(self) -> Request | None:
        """The next request to send; None while one is unanswered and when all are answered."""
        if self._waiting is None and self._todo:
            self._waiting = self._todo.popleft()
            return self._waiting
        return None

    def outcome(self) -> TickerplantError | None:
        """Once all are answered: None when anything at all is subscribed, else what to do about it."""
        if self.acknowledged:
            return None
        if self._refusal:
            return Fatal(f"alpaca: expected a subscription, was refused altogether: {self._refusal}")
        return Retryable("alpaca: expected an acknowledgement of what was asked, was an empty one; do connect again")

    def acknowledge(self, lists: Mapping[str, Iterable[str]]) -> RequestFailed | None:
        """Take an acknowledgement (our channel -> symbols). What is missing from it is named, once."""
        if self._waiting:
            for channel in self._waiting.channels:
                self._asked.setdefault(channel, set()).update(self._waiting.symbols)
            self._waiting = None
        missing: dict[str, set[str]] = {}
        for channel, asked in self._asked.items():
            given = set(lists.get(channel, ()))
            self._acknowledged[channel] = set(asked) if "*" in given else asked & given
            lost = {s for s in asked - self._acknowledged[channel] if (channel, s) not in self._named}
            if lost:
                missing[channel] = lost
                self._named |= {(channel, symbol) for symbol in lost}
        if not missing:
            return None
        named = "; ".join(f"{channel} of {some(symbols)}" for channel, symbols in missing.items())
        return RequestFailed(
            f"alpaca: expected everything asked for in the acknowledgement, was without {named}; "
            "do check that this feed has the channel and the symbols"
        )

    def refuse(self, code: int, reason: str) -> RequestFailed | None:
        """Take the refusal of the unanswered request: ask again in parts, or give it up and say so."""
        request, self._waiting = self._waiting, None
        if request is None:
            return RequestFailed(reason)
        self._refused += 1
        parts = request.parts(code) if self._refused <= _MOST_REFUSALS else []
        if parts:
            self._todo.extendleft(reversed(parts))
            return None
        self._refusal = reason
        left = self._give_up(code, request)
        return RequestFailed(f"{reason}; not subscribed: {'; '.join(map(str, left))}")

    def _give_up(self, code: int, request: Request) -> list[Request]:
        """Drop from what is left to ask everything that would meet the same refusal; returns what is given up."""
        if code == SYMBOL_LIMIT or self._refused > _MOST_REFUSALS:
            symbols = (*request.symbols, *(s for todo in self._todo for s in todo.symbols))
            self._todo.clear()
            return [Request(request.channels, tuple(dict.fromkeys(symbols)))]
        if code == NOT_ON_THIS_FEED:
            kept = [
                Request(tuple(c for c in todo.channels if c not in request.channels), todo.symbols)
                for todo in self._todo
            ]
            self._todo = deque(todo for todo in kept if todo.channels)
        return [request]

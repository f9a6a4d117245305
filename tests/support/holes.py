"""A log of a made-up market with holes cut into it, and the market's whole past at a vendor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tickerplant.jobs.capture_gaps import Hole, connected_payload, disconnected_payload
from tickerplant.logs import open_log
from tickerplant.model import Kind, LogWriter
from tickerplant.simulator.history import MarketHistory
from tickerplant.simulator.market import Market, seeded
from tickerplant.simulator.source import Slice, Source
from tickerplant.stores import AnyStore
from tickerplant.vendors.dialect import Dialect

CHANNELS = ("quotes", "trades", "bars", "updated_bars")
_LATENCY_NS = 3_000_000
_FRAME = 7
_SECOND = 1_000_000_000

LATEST = {
    "quotes": "select * from quotes",
    "trades": "select * from trades_latest",
    "bars": "select * from bars_latest",
}
_OURS = ("vendor", "feed", "received_at", "seq", "revision", "session", "corrected_at", "correction_received_at")
_OURS_TOO = ("original_id", "original_price", "original_size", "original_conditions")


@dataclass(frozen=True)
class Cut:
    """Nothing is received in `[start, end)`, seconds of market time."""

    start: float
    end: float
    reason: str = "disconnected"


def market(symbols: int = 12, minutes: int = 4, rate: float = 60.0, corrected: float = 0.02) -> Source:
    """A small market with corrections, to be played any number of times."""
    made = seeded(Market(7, symbols, minutes, rate=rate, corrected=corrected))
    return replace(made, slices=tuple(made.slices))


def past(source: Source) -> MarketHistory:
    """A vendor that knows all of it."""
    known = MarketHistory(source.history)
    for part in source.slices:
        known.played(part, np.arange(len(part.messages)))
    return known


def write_log(url: Path | str, source: Source, cuts: Sequence[Cut] = (), symbols: tuple[str, ...] = ("*",)) -> None:
    """What a capture would have written, had the line been down in the cuts."""
    parts = list(source.slices)
    first = int(parts[0].ts[0])
    with open_log(str(url)).writer("alpaca.sip") as writer:
        tape = _Tape(writer, symbols, first)
        for part in parts:
            for places in _frames(part):
                tape.take(part, places, [c for c in cuts if c.end * _SECOND + first <= part.ts[places[-1]]], cuts)


def _frames(part: Slice) -> list[list[int]]:
    return [list(range(i, min(i + _FRAME, len(part.ts)))) for i in range(0, len(part.ts), _FRAME)]


class _Tape:
    """Frames and the records of the cuts between them."""

    def __init__(self, writer: LogWriter, symbols: tuple[str, ...], first: int) -> None:
        self._writer, self._symbols, self._first = writer, symbols, first
        self._dialect, self._at, self._done = Dialect(), first, 0
        self._record(Kind.CONNECTED, self._connected(None))

    def take(self, part: Slice, places: list[int], over: Sequence[Cut], cuts: Sequence[Cut]) -> None:
        """Append a frame, unless it was due in a cut."""
        for cut in over[self._done :]:
            self._cut(cut)
        due = int(part.ts[places[-1]])
        if any(c.start * _SECOND <= due - self._first < c.end * _SECOND for c in cuts):
            return
        self._at = max(self._at + 1000, due + _LATENCY_NS)
        payload = self._dialect.frame([part.messages[i] for i in places], False)
        self._writer.append(Kind.DATA, self._at, payload)

    def _cut(self, cut: Cut) -> None:
        hole = Hole(cut.reason, dict.fromkeys(CHANNELS, self._at), "cut")
        self._record(Kind.DISCONNECTED, disconnected_payload(1, cut.reason, "cut", hole))
        self._at = int(self._first + cut.end * _SECOND) + _LATENCY_NS
        self._record(Kind.CONNECTED, self._connected(hole))
        self._done += 1

    def _connected(self, hole: Hole | None) -> bytes:
        return connected_payload(1, "ws://127.0.0.1/v2/sip", CHANNELS, self._symbols, hole)

    def _record(self, kind: Kind, payload: bytes) -> None:
        self._at += 1000
        self._writer.append(kind, self._at, payload)


def latest(store: AnyStore, table: str) -> list[tuple[Any, ...]]:
    """What the vendor said, in the newest version of each row, sorted."""
    rows = store.query(LATEST[table])
    names = [n for n in sorted(rows.schema.names) if n not in (*_OURS, *_OURS_TOO)]
    return sorted(zip(*(rows.column(n).to_pylist() for n in names), strict=True), key=repr)


def places(store: AnyStore, table: str) -> set[tuple[Any, ...]]:
    """Which received rows are there: receipt, place, symbol, time."""
    rows = store.query(f"select received_at, seq, symbol, ts, ns from {table}").to_pylist()
    return {tuple(r.values()) for r in rows}

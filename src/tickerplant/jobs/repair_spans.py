"""Which stretch of event time a hole is, and in which requests to ask for it.

The bounds of a gap are receipts. Feeds may be delayed and recorded markets play another day, so the stretch is taken
from the data: from the newest event received before the hole to the newest received just after it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tickerplant.calendar import sessions
from tickerplant.jobs.repair_holes import Hole
from tickerplant.model import Store
from tickerplant.rest import Ask, Endpoint

LIVE = ("quotes", "trades", "bars")
_NEAR = timedelta(minutes=20)
"""How far event times are from receipts on a feed that is not a recording (delayed ones: 15 minutes)."""
_BEFORE, _AFTER, _LATER = timedelta(seconds=60), timedelta(seconds=1), timedelta(seconds=60)
_SLACK = timedelta(seconds=2)
_BAR = timedelta(minutes=1)
_SEEN = timedelta(minutes=30)
_LONG = timedelta(hours=1)
_ROWS_A_REQUEST = 300_000
_SHORTEST, _LONGEST = timedelta(minutes=1), timedelta(hours=1)


@dataclass(frozen=True)
class Stretch:
    """`[start, end)` of event time, and the rows a second just before it."""

    table: str
    start: datetime
    end: datetime
    rate: float = 0.0

    @property
    def shown(self) -> list[str]:
        """The bounds as text."""
        return [self.start.isoformat(), self.end.isoformat()]


def stretches(store: Store, hole: Hole, look_back: timedelta) -> list[Stretch]:
    """What to ask for, by table. Trades reported late carry older times: `look_back` reaches for them."""
    last = _newest_after(store, hole)
    found: list[Stretch] = []
    for table in LIVE:
        silent = hole.start_of(table)
        if silent is None:
            continue
        first = _newest(store, hole, silent - _BEFORE, silent, silent)
        length = hole.end - silent
        start, end = first or (last - length if last else silent), last or (first + length if first else hole.end)
        start, end = min(start, end) - _SLACK, end + _SLACK
        if table == "trades":
            start -= look_back
        elif table == "bars":
            start = _minute(start) - 2 * _BAR
        found.append(Stretch(table, start, end, _rate(store, hole, table, start)))
    return found


def _newest_after(store: Store, hole: Hole) -> datetime | None:
    """The newest event received in the first second after the hole, or, on a quiet feed, in the first minute."""
    at = hole.end
    return _newest(store, hole, at, at + _AFTER, at) or _newest(store, hole, at, at + _LATER, at)


def _newest(store: Store, hole: Hole, after: datetime, until: datetime, near: datetime) -> datetime | None:
    """The newest event of the feed received in `(after, until]`; first near that time, then wherever."""
    for low, high in ((near - _NEAR, near + _NEAR), (None, None)):
        found = [_newest_of(store, hole, table, after, until, low, high) for table in ("quotes", "trades")]
        if times := [f for f in found if f is not None]:
            return max(times)
    return None


def _newest_of(
    store: Store,
    hole: Hole,
    table: str,
    after: datetime,
    until: datetime,
    low: datetime | None,
    high: datetime | None,
) -> datetime | None:
    sql = f"select max(ts) as ts from {table} where vendor = ? and feed = ? and received_at > ? and received_at <= ?"
    values = [hole.vendor, hole.feed, after, until]
    if low is not None and high is not None:
        sql, values = f"{sql} and ts >= ? and ts < ?", [*values, low, high]
    found: datetime | None = store.query(sql, values).to_pylist()[0]["ts"]
    return found


def _rate(store: Store, hole: Hole, table: str, until: datetime) -> float:
    sql = f"select count(*) as n from {table} where vendor = ? and feed = ? and ts >= ? and ts < ?"
    rows = store.query(sql, [hole.vendor, hole.feed, until - _BEFORE, until]).to_pylist()
    return float(rows[0]["n"]) / _BEFORE.total_seconds()


def seen_symbols(store: Store, hole: Hole, stretch: Stretch) -> list[str]:
    """Symbols that the feed brought around a stretch."""
    sql = f"select distinct symbol from {stretch.table} where vendor = ? and feed = ? and ts >= ? and ts < ?"
    values = [hole.vendor, hole.feed, stretch.start - _SEEN, stretch.end + _SEEN]
    return sorted(r["symbol"] for r in store.query(sql, values).to_pylist())


def asks(stretch: Stretch, symbols: Sequence[str], endpoint: Endpoint, feed: str) -> Iterator[Ask]:
    """Requests for a stretch: groups of symbols, times cut so that an answer keeps a size that memory holds."""
    interval = "1m" if stretch.table == "bars" else None
    many = endpoint.symbols_per_call
    share = max(stretch.rate * min(1.0, many / max(1, len(symbols))), 0.001)
    length = min(_LONGEST, max(_SHORTEST, timedelta(seconds=min(86_400.0, _ROWS_A_REQUEST / share))))
    for start, end in _open_parts(stretch.start, stretch.end):
        for a, b in _cut(start, end, length):
            for i in range(0, len(symbols), many):
                yield Ask(stretch.table, tuple(symbols[i : i + many]), a, b, interval, feed)


def _open_parts(start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """A long stretch without the hours in which nobody trades."""
    if end - start <= _LONG:
        yield start, end
        return
    for session in sessions(start.date() - timedelta(days=1), end.date() + timedelta(days=1)):
        first, last = max(start, session.pre_open - _BAR), min(end, session.post_close + _LONG)
        if first < last:
            yield first, last


def _cut(start: datetime, end: datetime, length: timedelta) -> Iterator[tuple[datetime, datetime]]:
    while start < end:
        yield start, min(end, start + length)
        start += length


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)

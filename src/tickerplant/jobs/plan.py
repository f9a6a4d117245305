"""The plan of a fetch: what is missing becomes requests, by the endpoint that needs the fewest calls."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from tickerplant.calendar import Session
from tickerplant.errors import UsageError
from tickerplant.jobs.coverage import Coverage, Mask, span
from tickerplant.rest import ALL, Ask, Endpoint, RateLimit, Rest

_ROWS_A_SESSION = {"quotes": 100_000, "trades": 30_000, "bars": 960, "daily_bars": 1, "index_bars": 1, "snapshots": 1}
"""Rows of a symbol and session, for estimates only: an active stock's; minute bars of pre-market to after-hours."""

_SECONDS_A_CALL = 0.05


@dataclass(frozen=True)
class Plan:
    """Requests through one endpoint. `pages` is the estimate of calls, each page being one."""

    endpoint: Endpoint
    asks: tuple[Ask, ...]
    pages: int

    @property
    def first_calls(self) -> int:
        """Requests without their later pages."""
        return len(self.asks)


@dataclass(frozen=True)
class Cost:
    """What a plan takes under an account's limits, by estimate."""

    calls: int
    minutes: float
    quota_days: float


def plans(rest: Rest, missing: Coverage, feed: str | None = None, endpoint: str | None = None) -> list[Plan]:
    """A plan for each endpoint that can fill the holes, the cheapest first; of two that cost the same the narrower one.

    Raises UsageError when the vendor has no endpoint for the table (or none of that name).
    """
    d = missing.dataset
    fitting = [
        e
        for e in rest.endpoints
        if d.table in e.tables
        and (d.interval is None or not e.intervals or d.interval in e.intervals)
        and endpoint in (None, e.name)
    ]
    if not fitting:
        names = ", ".join(sorted({e.name for e in rest.endpoints if d.table in e.tables})) or "no endpoint"
        wanted = f" through {endpoint}" if endpoint else f" of interval {d.interval}" if d.interval else ""
        raise UsageError(f"fetch: expected {d.vendor} to have {d.table}{wanted}, was {names}")
    made = [_plan(e, missing, feed) for e in fitting]
    return sorted(made, key=lambda p: (p.pages, p.endpoint.shape == "day"))


def cost(plan: Plan, limits: Sequence[RateLimit], parallel: int) -> Cost:
    """Calls, minutes and days of quota that a plan takes, by estimate."""
    daily = [limit for limit in limits if limit.seconds >= 86_400]
    pace = max((limit.seconds / limit.calls for limit in limits if limit.seconds < 86_400), default=0.0)
    seconds = plan.pages * max(pace, _SECONDS_A_CALL / parallel)
    days = max((plan.pages / limit.calls for limit in daily), default=0.0)
    return Cost(plan.pages, seconds / 60, days)


def _plan(endpoint: Endpoint, missing: Coverage, feed: str | None) -> Plan:
    asks = tuple(_ASKS[endpoint.shape](endpoint, missing, feed))
    rows = _ROWS_A_SESSION.get(missing.dataset.table, 1)
    if endpoint.shape in ("day", "market"):
        return Plan(endpoint, asks, len(asks))
    days = {s: i for i, s in enumerate(span(s, missing.dataset.is_live)[0] for s in missing.sessions)}
    ends = {s: i for i, s in enumerate(span(s, missing.dataset.is_live)[1] for s in missing.sessions)}
    sizes = (len(a.symbols) * (ends[a.end] - days[a.start] + 1) * rows for a in asks)
    return Plan(endpoint, asks, sum(max(1, math.ceil(n / endpoint.rows_per_page)) for n in sizes))


def _runs(row: Mask) -> list[tuple[int, int]]:
    """`[first, last]` of each run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], row, [False])).astype(np.int8)))
    return [(int(a), int(b) - 1) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _pieces(first: int, last: int, sessions: Sequence[Session], max_days: int | None) -> Iterator[tuple[int, int]]:
    """A run divided so that no piece spans more than `max_days`."""
    begin = first
    for i in range(first, last + 1):
        if max_days is not None and (sessions[i].day - sessions[begin].day).days >= max_days:
            yield begin, i - 1
            begin = i
    yield begin, last


def _by_day(endpoint: Endpoint, missing: Coverage, feed: str | None) -> Iterator[Ask]:
    d = missing.dataset
    for column in np.flatnonzero(missing.missing().any(axis=0)):
        start, end = span(missing.sessions[int(column)], d.is_live)
        yield Ask(d.table, ALL, start, end, d.interval, feed)


def _by_symbols(endpoint: Endpoint, missing: Coverage, feed: str | None) -> Iterator[Ask]:
    """Symbols with the same holes share requests."""
    d, holes = missing.dataset, missing.missing()
    alike: dict[tuple[int, int], list[str]] = defaultdict(list)
    for row in np.flatnonzero(holes.any(axis=1)):
        for first, last in _runs(holes[row]):
            for piece in _pieces(first, last, missing.sessions, endpoint.max_days):
                alike[piece].append(missing.symbols[int(row)])
    for (first, last), symbols in sorted(alike.items()):
        start, end = span(missing.sessions[first], d.is_live)[0], span(missing.sessions[last], d.is_live)[1]
        for i in range(0, len(symbols), endpoint.symbols_per_call):
            yield Ask(d.table, tuple(symbols[i : i + endpoint.symbols_per_call]), start, end, d.interval, feed)


def _market(endpoint: Endpoint, missing: Coverage, feed: str | None) -> Iterator[Ask]:
    """One list of everything, asked once for the whole span."""
    d = missing.dataset
    if missing.missing().any():
        start, end = span(missing.sessions[0], d.is_live)[0], span(missing.sessions[-1], d.is_live)[1]
        yield Ask(d.table, ALL, start, end, d.interval, feed)


_ASKS = {"day": _by_day, "symbol": _by_symbols, "symbols": _by_symbols, "market": _market}

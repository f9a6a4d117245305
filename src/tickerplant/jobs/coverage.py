"""Coverage: what is expected minus what is there, and a reason for every hole.

Expected is every symbol in every session. A matrix of one byte a cell holds the reasons, so that thousands of symbols
over years are one question.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tickerplant.calendar import NEW_YORK, UTC, Session
from tickerplant.model import Store
from tickerplant.rest import Call
from tickerplant.schema import TIMESTAMP
from tickerplant.tables import TABLES

Cells = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


class Reason(IntEnum):
    """Why a cell is as it is. From NOT_FETCHED on nobody knows better yet: those are the unexplained ones."""

    PRESENT = 0
    NO_TRADE = 1
    """The vendor answered for the day, without a row of this symbol."""
    VENDOR_HAS_NONE = 2
    """Asked, empty: the vendor has nothing of the symbol in the whole span asked for."""
    NOT_ENTITLED = 3
    REFUSED = 4
    """The vendor refused the request for this symbol."""
    NOT_LISTED = 5
    HALTED = 6
    GAP = 7
    """Ours: we did not listen for a part of it."""
    NOT_FETCHED = 8


_REFUSED = ("not_entitled", "not_asked")
_OUTCOMES = {
    **dict.fromkeys(_REFUSED, Reason.NOT_ENTITLED),
    "bad_request": Reason.REFUSED,
    "no_data": Reason.VENDOR_HAS_NONE,
}
_HALTED = ("2", "H", "P")
"""Status codes that stop trading: CTA 2; UTP H and P (https://docs.alpaca.markets/docs/real-time-stock-pricing-data)."""

_NEVER = datetime(9999, 12, 31, tzinfo=UTC)
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)

_ASKED = """
with mine as (select * from coverage where vendor = ? and table_name = ? and coalesce("interval", '') = ?),
done as (select chain, max(received_at) as answered from mine where is_last group by chain)
select m.chain, m.endpoint, m.symbol, m."start", m."end", m.outcome, d.answered, sum(m."rows")::bigint as n
from mine m join done d on d.chain = m.chain
group by m.chain, m.endpoint, m.symbol, m."start", m."end", m.outcome, d.answered
order by d.answered, case when m.outcome in ('rows', 'no_data') then 0 else 1 end
"""
_POLLED = """
select symbol, "start", "end" from coverage
where vendor = ? and table_name = ? and coalesce("interval", '') = ? and chain like 'poll-%'
"""
_GAPS = """
select "start", coalesce("end", timestamptz '9999-12-31') as "end" from gaps
where vendor = ? and channel in (?, '*') and state <> 'healed'
"""
_STATUSES = """
select symbol, ts, status_code from statuses where session >= ? and session <= ? order by ts, ns
"""
_LISTING = """
with named as (
    select symbol, vendor, vendor_symbol, min(listed_on) as first,
        max(case when feed <> 'details' then coalesce(delisted_on, date '9999-12-31') end) as last
    from tickers_latest group by symbol, vendor, vendor_symbol
)
select symbol, min(first) as first, max(coalesce(last, date '9999-12-31')) as last, bool_or(first is null) as is_open
from named group by symbol
"""


@dataclass(frozen=True)
class Dataset:
    """What is to be there: a table of a vendor; `interval` for bars. Any feed will do."""

    vendor: str
    table: str
    interval: str | None = None

    @property
    def is_live(self) -> bool:
        """Whether the table is also captured, so that gaps concern it."""
        return TABLES[self.table].time is not None


@dataclass(frozen=True)
class Coverage:
    """Cells of symbols x sessions, each a Reason."""

    dataset: Dataset
    symbols: tuple[str, ...]
    sessions: tuple[Session, ...]
    cells: Cells

    def counts(self) -> dict[str, int]:
        """Cells by reason, in words; every reason is there."""
        found = np.bincount(self.cells.ravel(), minlength=len(Reason))
        return {r.name.lower(): int(found[r]) for r in Reason}

    @property
    def unexplained(self) -> int:
        """Cells that are neither there nor explained by somebody else's silence."""
        return int((self.cells >= Reason.GAP).sum())

    def missing(self) -> Mask:
        """Cells to fetch."""
        return self.cells == Reason.NOT_FETCHED


@dataclass(frozen=True)
class Refusals:
    """For how long a plan's refusals count: those before `since` do not.

    With `by_endpoint` one speaks for all: they count until the endpoint answers anybody, and when the last one is from
    before `since`, one symbol is open again, to try.
    """

    since: datetime
    by_endpoint: bool = False


@dataclass(frozen=True)
class _Grid:
    """The cells with what finds them fast: the row of a symbol, the bounds of each session in microseconds UTC."""

    found: Coverage
    row_of: dict[str, int]
    days: pa.Array
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]
    closes: npt.NDArray[np.int64]

    @classmethod
    def of(cls, found: Coverage) -> _Grid:
        bounds = [span(s, found.dataset.is_live) for s in found.sessions]
        return cls(
            found,
            {s: i for i, s in enumerate(found.symbols)},
            pa.array([s.day for s in found.sessions], pa.date32()),
            _micros([a for a, _ in bounds]),
            _micros([b for _, b in bounds]),
            _micros([s.close for s in found.sessions]),
        )

    def within(self, start: datetime | None, end: datetime | None, answered: datetime) -> Mask:
        """Which sessions lie wholly in `[start, end)` and were over when the answer came."""
        inside: Mask = self.closes <= _micro(answered)
        if start is not None:
            inside &= self.starts >= _micro(start)
        if end is not None:
            inside &= self.ends <= _micro(end)
        return inside

    def mark(self, symbol: str, columns: Mask, reason: Reason, keep: tuple[Reason, ...]) -> None:
        """Give the cells of a symbol (or of all) a reason, unless they have one of `keep`."""
        at = slice(None) if symbol == "*" else self.row_of.get(symbol)
        if at is not None:
            was = self.found.cells[at, columns]
            self.found.cells[at, columns] = np.where(np.isin(was, keep), was, reason)


def _micro(at: datetime) -> int:
    return int((at - _EPOCH) // _MICROSECOND)


def _micros(times: Sequence[datetime]) -> npt.NDArray[np.int64]:
    return np.array([_micro(t) for t in times], np.int64)


def span(session: Session, is_live: bool) -> tuple[datetime, datetime]:
    """`[start, end)` that a session means in a request: its trading hours, or for daily tables its day in New York."""
    return (session.pre_open, session.post_close) if is_live else day_span(session.day)


def day_span(day: date) -> tuple[datetime, datetime]:
    """A day in New York, midnight to midnight, in UTC."""
    first, second = (datetime.combine(d, time(), NEW_YORK).astimezone(UTC) for d in (day, day + timedelta(days=1)))
    return first, second


def coverage(
    store: Store,
    dataset: Dataset,
    symbols: Sequence[str],
    sessions: Sequence[Session],
    *,
    again: bool = False,
    refusals: Refusals | None = None,
    asked_since: datetime | None = None,
) -> Coverage:
    """Compare what a store holds with what is expected. With `again` what was asked in vain counts as not asked, with
    `asked_since` what was answered before.

    Without `refusals` those of the plan count for ever.
    """
    names, days = tuple(dict.fromkeys(symbols)), tuple(sessions)
    found = Coverage(dataset, names, days, np.full((len(names), len(days)), Reason.NOT_FETCHED, np.uint8))
    if not found.cells.size:
        return found
    grid = _Grid.of(found)
    if dataset.is_live:
        _mark_gaps(store, grid)
        _mark_halted(store, grid)
    _mark_listing(store, grid)
    if not again:
        _mark_asked(store, grid, refusals, asked_since)
    _mark_present(store, grid, _half_run(store, grid))
    return found


def stale(store: Store, found: Coverage, since: datetime) -> Coverage:
    """The same cells, where to be fetched is what is there but was not answered since a moment."""
    cells = np.where(found.cells == Reason.PRESENT, Reason.NOT_FETCHED, Reason.NO_TRADE).astype(np.uint8)
    old = Coverage(found.dataset, found.symbols, found.sessions, cells)
    if cells.size:
        _mark_asked(store, _Grid.of(old), None, since)
    return old


def without(found: Coverage, calls: Sequence[Call]) -> Coverage:
    """The same, where what these calls ask for is no longer missing."""
    left = Coverage(found.dataset, found.symbols, found.sessions, found.cells.copy())
    if left.cells.size:
        grid = _Grid.of(left)
        for call in calls:
            if call.interval == found.dataset.interval:
                for symbol in call.symbols:
                    grid.mark(symbol, grid.within(call.start, call.end, _NEVER), Reason.NO_TRADE, ())
    return left


def _mark_gaps(store: Store, grid: _Grid) -> None:
    d = grid.found.dataset
    rows = store.query(_GAPS, [d.vendor, d.table]).to_pylist()
    for row in rows:
        touched = (grid.ends > _micro(row["start"])) & (grid.starts < _micro(row["end"]))
        grid.mark("*", touched, Reason.GAP, ())


def _mark_halted(store: Store, grid: _Grid) -> None:
    """Sessions before whose opening the last status of a symbol was a halt."""
    days = grid.found.sessions
    for row in store.query(_STATUSES, [days[0].day - timedelta(days=30), days[-1].day]).to_pylist():
        is_halt = row["status_code"] in _HALTED
        grid.mark(
            row["symbol"],
            grid.starts >= _micro(row["ts"]),
            Reason.HALTED if is_halt else Reason.NOT_FETCHED,
            (Reason.GAP,),
        )


def _mark_listing(store: Store, grid: _Grid) -> None:
    """Sessions before the first and after the last day of a ticker."""
    days = np.array([s.day for s in grid.found.sessions], "datetime64[D]")
    for row in store.query(_LISTING).to_pylist():
        outside = days > np.datetime64(row["last"])
        if row["first"] and not row["is_open"]:
            outside |= days < np.datetime64(row["first"])
        if row["symbol"] in grid.row_of:
            grid.mark(row["symbol"], outside, Reason.NOT_LISTED, ())


def _mark_asked(store: Store, grid: _Grid, refusals: Refusals | None, since: datetime | None = None) -> None:
    """Sessions that a complete request answered for, after they had ended (and not before `since`)."""
    d = grid.found.dataset
    rows = store.query(_ASKED, [d.vendor, d.table, d.interval or ""]).to_pylist()
    void = _void(rows, refusals, grid.row_of) if refusals else set()
    for row in rows:
        if since is not None and row["answered"] < since:
            continue
        is_files_refusal = row["outcome"] in _REFUSED and row["endpoint"].startswith("flat_")
        if row["chain"] in void or (refusals is not None and is_files_refusal):
            continue  # what the files' plan lacks, requests may have
        nothing = Reason.NO_TRADE if row["n"] else Reason.VENDOR_HAS_NONE
        reason = _OUTCOMES.get(row["outcome"], nothing)
        columns = grid.within(row["start"], row["end"], row["answered"])
        grid.mark(row["symbol"], columns, reason, (Reason.NOT_LISTED,))


def _void(rows: Sequence[dict[str, Any]], refusals: Refusals, known: Container[str]) -> set[str]:
    """Chains that the plan refused so long ago, or before it grew, that they are to be asked for again."""
    refused = [r for r in rows if r["outcome"] in _REFUSED]
    if not refusals.by_endpoint:
        return {r["chain"] for r in refused if r["answered"] < refusals.since}
    answered, last, tried = dict[str, datetime](), dict[str, datetime](), dict[str, str]()
    for row in rows:  # in the order of their answers
        if row["outcome"] in ("rows", "no_data"):
            answered[row["endpoint"]] = row["answered"]
        elif row["outcome"] == "not_entitled":
            last[row["endpoint"]] = row["answered"]
        if row["outcome"] in _REFUSED and row["symbol"] in known:
            tried.setdefault(row["endpoint"], row["symbol"])

    def is_void(row: dict[str, Any]) -> bool:
        endpoint = row["endpoint"]
        is_due = last.get(endpoint, _EPOCH) < refusals.since and tried.get(endpoint) == row["symbol"]
        return is_due or answered.get(endpoint, _EPOCH) > row["answered"]

    return {r["chain"] for r in refused if is_void(r)}


def _half_run(store: Store, grid: _Grid) -> Mask:
    """Cells of which polls asked for a part while the session ran, and nothing asked for the whole since."""
    d = grid.found.dataset
    touched = np.zeros(grid.found.cells.shape, bool)
    for row in store.query(_POLLED, [d.vendor, d.table, d.interval or ""]).to_pylist():
        at = grid.row_of.get(row["symbol"])
        if at is not None:
            touched[at] |= (grid.ends > _micro(row["start"])) & (grid.starts < _micro(row["end"]))
    return touched & (grid.found.cells == Reason.NOT_FETCHED)


def _mark_present(store: Store, grid: _Grid, half_run: Mask) -> None:
    """Cells with rows: of a daily table those that came after the close, since a running total is no day; those of a
    live table stay gaps while a gap in them is not healed, and stay to be fetched while polls alone asked for them.
    """
    d, days, cells = grid.found.dataset, grid.found.sessions, grid.found.cells
    interval = ' and "interval" = ?' if "interval" in TABLES[d.table].schema.names else ""
    rows = store.query(
        f'select symbol, session, max(received_at) as "last" from "{d.table}" '
        f"where vendor = ? and session >= ? and session <= ?{interval} group by symbol, session",
        [d.vendor, days[0].day, days[-1].day, *([d.interval] if interval else [])],
    )
    row = _places(rows.column("symbol"), pa.array(grid.found.symbols, pa.string()))
    column = _places(rows.column("session"), grid.days)
    last = rows.column("last").cast(TIMESTAMP).cast(pa.int64()).to_numpy()
    good = (row >= 0) & (column >= 0)
    good &= (cells[row, column] != Reason.GAP) if d.is_live else (last >= grid.closes[column])
    good &= ~half_run[row, column]
    cells[row[good], column[good]] = Reason.PRESENT


def _places(values: pa.ChunkedArray, known: pa.Array) -> npt.NDArray[np.int64]:
    """The index of each value in `known`, -1 where it is not."""
    return pc.fill_null(pc.index_in(values, value_set=known), -1).to_numpy().astype(np.int64)

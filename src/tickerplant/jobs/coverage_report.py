"""Coverage for people and programs: each dataset of a store in a line, a symbol in a line, a map of all cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import numpy as np

from tickerplant.calendar import last_session, sessions
from tickerplant.clock import utc_now
from tickerplant.jobs.coverage import Coverage, Dataset, Reason, coverage
from tickerplant.jobs.universe import listed
from tickerplant.model import Store

_DATASETS = """
select vendor, table_name, "interval" from coverage
where table_name in ('quotes', 'trades', 'bars', 'daily_bars', 'index_bars') group by 1, 2, 3
union select vendor, 'bars', "interval" from bars group by 1, 3
order by 1, 2, 3
"""
_SYMBOLS = """
select distinct symbol from coverage where vendor = ? and table_name = ? and coalesce("interval", '') = ?
order by symbol
"""
_SPAN = 'select min("start") as a, max("end") as b from coverage where vendor = ? and table_name = ?'


@dataclass(frozen=True)
class Line:
    """One dataset: cells by reason over the sessions of `[start, end)`. `unexplained` is to be 0."""

    vendor: str
    table: str
    interval: str | None
    symbols: int
    start: date
    end: date
    sessions: int
    cells: dict[str, int]
    unexplained: int


def datasets(store: Store) -> list[Dataset]:
    """What has been asked for or captured, session by session."""
    rows = store.query(_DATASETS).to_pylist()
    return [Dataset(r["vendor"], r["table_name"], r["interval"]) for r in rows]


def expected_symbols(store: Store, dataset: Dataset) -> list[str]:
    """Symbols that were ever asked for or are there; every active ticker where the whole market was asked for."""
    asked = store.query(_SYMBOLS, [dataset.vendor, dataset.table, dataset.interval or ""]).to_pylist()
    names = {r["symbol"] for r in asked}
    if "*" in names:
        names |= set(listed(store, dataset.vendor))
    found = store.query(f'select distinct symbol from "{dataset.table}" where vendor = ?', [dataset.vendor])
    return sorted((names | set(found.column("symbol").to_pylist())) - {"*"})


def report(
    store: Store,
    dataset: Dataset,
    symbols: Sequence[str] | None = None,
    start: date | None = None,
    end: date | None = None,
    now: datetime | None = None,
) -> Coverage:
    """Coverage of a dataset; without a span that of everything asked for or there, until the last session."""
    at = now or utc_now()
    first, last = _span(store, dataset)
    newest = last_session(at).day
    begin = start or first or newest
    stop = min(d for d in (end or last, date.fromordinal(newest.toordinal() + 1)) if d is not None)
    names = expected_symbols(store, dataset) if symbols is None else list(symbols)
    return coverage(store, dataset, names, sessions(begin, max(begin, stop)))


def _span(store: Store, dataset: Dataset) -> tuple[date | None, date | None]:
    """First day and the day after the last that was asked for or is there."""
    from tickerplant.calendar import NEW_YORK

    asked = store.query(_SPAN, [dataset.vendor, dataset.table]).to_pylist()[0]
    sql = f'select min(session) as a, max(session) as b from "{dataset.table}" where vendor = ?'
    there = store.query(sql, [dataset.vendor]).to_pylist()[0]
    firsts = [d for d in (there["a"], asked["a"] and asked["a"].astimezone(NEW_YORK).date()) if d]
    lasts = [there["b"] and date.fromordinal(there["b"].toordinal() + 1)]
    lasts.append(asked["b"] and _day_after(asked["b"].astimezone(NEW_YORK)))
    return min(firsts, default=None), max((d for d in lasts if d), default=None)


def _day_after(at: datetime) -> date:
    """The first day that begins at or after a moment in New York."""
    is_midnight = at.time() == at.time().min
    return at.date() if is_midnight else date.fromordinal(at.date().toordinal() + 1)


def line(found: Coverage) -> Line:
    """The summary of one dataset."""
    d, days = found.dataset, found.sessions
    first = days[0].day if days else date.min
    last = date.fromordinal(days[-1].day.toordinal() + 1) if days else date.min
    return Line(
        d.vendor, d.table, d.interval, len(found.symbols), first, last, len(days), found.counts(), found.unexplained
    )


def by_symbol(found: Coverage) -> list[dict[str, Any]]:
    """Cells by reason for each symbol, those with the most holes first."""
    rows = []
    for symbol, cells in zip(found.symbols, found.cells, strict=True):
        counts = np.bincount(cells, minlength=len(Reason))
        rows.append({"symbol": symbol, **{r.name.lower(): int(counts[r]) for r in Reason}})
    return sorted(rows, key=lambda r: (r["present"], r["symbol"]))


MARKS = {
    Reason.PRESENT: "█",
    Reason.NO_TRADE: "·",
    Reason.VENDOR_HAS_NONE: "○",
    Reason.NOT_ENTITLED: "x",
    Reason.REFUSED: "!",
    Reason.NOT_LISTED: " ",
    Reason.HALTED: "H",
    Reason.GAP: "▒",
    Reason.NOT_FETCHED: "?",
}
"""A character for each reason; where several cells share a place, the worst of them shows."""


def heat_map(found: Coverage, width: int, height: int) -> list[tuple[str, str]]:
    """`(label, marks)` lines: symbols down, sessions across, folded to fit; a place shows its worst cell."""
    if not found.cells.size:
        return []
    rows = np.array_split(np.arange(len(found.symbols)), min(height, len(found.symbols)))
    columns = np.array_split(np.arange(len(found.sessions)), min(width, len(found.sessions)))
    lines = []
    for row in rows:
        marks = "".join(MARKS[Reason(int(found.cells[np.ix_(row, c)].max()))] for c in columns)
        first, last = found.symbols[row[0]], found.symbols[row[-1]]
        lines.append((first if first == last else f"{first}-{last}", marks))
    return lines

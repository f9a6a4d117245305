"""What polls of a running session ask for, and what has to be asked for once more when it has ended.

A poll takes the bars from where the last one stopped, the one that was forming then included; the bar that is forming
now is in the answer and comes again with the next. After the session all of it is asked for once more, since trades
are reported late. The answers are compared with the store, so only new and changed bars are added (0211-polls.md).
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np

from tickerplant.calendar import NEW_YORK, session_at
from tickerplant.jobs.coverage import Coverage, Dataset, Reason
from tickerplant.jobs.fetch import Todo, todo_of
from tickerplant.jobs.plan import plans
from tickerplant.model import Store
from tickerplant.rest import Ask, Rest
from tickerplant.tables import BARS, DAILY_BARS, INDEX_BARS

POLLED = (BARS.name,)
"""Tables of which a running session is asked for. Snapshots are lists, asked for at each poll anyway."""

RECHECKED = (DAILY_BARS.name, INDEX_BARS.name, BARS.name)
"""Tables whose history can be asked for once more, since one symbol's rows fit memory to be compared."""

_MINUTES = {"m": 1, "h": 60}
_SPANS = """
select symbol, max("end") as "end", bool_or(outcome = 'bad_request') as is_refused from coverage
where vendor = ? and table_name = ? and coalesce("interval", '') = ? and chain like 'poll-%' and is_last
and "start" >= ? and outcome in ('rows', 'no_data', 'bad_request') group by symbol
"""
_DAYS = """
select distinct "start" from coverage
where vendor = ? and table_name = ? and coalesce("interval", '') = ? and chain like 'poll-%'
"""


def polled_days(store: Store, dataset: Dataset) -> frozenset[date]:
    """Sessions that were asked for while they ran."""
    rows = store.query(_DAYS, [dataset.vendor, dataset.table, dataset.interval or ""]).to_pylist()
    return frozenset(r["start"].astimezone(NEW_YORK).date() for r in rows)


def apart(found: Coverage, days: frozenset[date]) -> tuple[Coverage, Coverage]:
    """The holes in other sessions, and those in sessions of `days`."""
    is_polled = np.array([s.day in days for s in found.sessions], bool)
    return _masked(found, ~is_polled), _masked(found, is_polled)


def _masked(found: Coverage, columns: np.typing.NDArray[np.bool_]) -> Coverage:
    cells = np.where(columns[None, :], found.cells, np.uint8(Reason.NO_TRADE)).astype(np.uint8)
    return replace(found, cells=cells)


def whole_todos(rest: Rest, half_run: Coverage, feed: str | None) -> list[Todo]:
    """Requests for sessions that were polled and have ended."""
    return _chosen("poll", rest, half_run, feed)


def recheck_todos(rest: Rest, old: Coverage, feed: str | None) -> list[Todo]:
    """Requests for sessions that are there, to learn what the vendor has changed since."""
    return _chosen("recheck", rest, old, feed)


def _chosen(kind: str, rest: Rest, holes: Coverage, feed: str | None) -> list[Todo]:
    if not holes.missing().any():
        return []
    chosen = plans(rest, holes, feed)[0]
    return _chains(kind, todo_of(chosen.endpoint, chosen.asks))


def so_far(
    store: Store, rest: Rest, dataset: Dataset, symbols: Sequence[str], feed: str | None, at: datetime
) -> list[Todo]:
    """Requests for the part of the session running at `at` that no poll has asked for, with the bar forming then."""
    session = session_at(at)
    names = tuple(dict.fromkeys(symbols))
    if session is None or not names:
        return []
    cells = np.full((len(names), 1), Reason.NOT_FETCHED, np.uint8)
    endpoint = plans(rest, Coverage(dataset, names, (session,), cells), feed)[0].endpoint
    starts = _starts(store, dataset, session.pre_open)
    alike: dict[datetime, list[str]] = defaultdict(list)
    for name in names:
        start = starts.get(name, session.pre_open)
        if start is not None and start < at:
            alike[start].append(name)
    asks = _asks(alike, dataset, feed, at, endpoint.symbols_per_call)
    return _chains("poll", todo_of(endpoint, asks))


def _starts(store: Store, dataset: Dataset, since: datetime) -> dict[str, datetime | None]:
    """Where the last poll of each symbol stopped, at the start of the bar forming then; None when it is refused."""
    rows = store.query(_SPANS, [dataset.vendor, dataset.table, dataset.interval or "", since]).to_pylist()
    width = _width(dataset.interval)
    return {r["symbol"]: None if r["is_refused"] else _floor(r["end"], since, width) for r in rows}


def _width(interval: str | None) -> timedelta:
    text = interval or "1m"
    return timedelta(minutes=int(text[:-1]) * _MINUTES[text[-1]])


def _floor(at: datetime, since: datetime, width: timedelta) -> datetime:
    """The start of the window that holds the last moment before `at`; pre-market opens on a full hour."""
    return since + max(at.astimezone(UTC) - since - timedelta(microseconds=1), timedelta()) // width * width


def _asks(
    alike: dict[datetime, list[str]], dataset: Dataset, feed: str | None, at: datetime, most: int
) -> Iterator[Ask]:
    for start, names in sorted(alike.items()):
        for i in range(0, len(names), most):
            yield Ask(dataset.table, tuple(names[i : i + most]), start, at, dataset.interval, feed)


def _chains(kind: str, todos: Sequence[Todo]) -> list[Todo]:
    return [replace(todo, chain=f"{kind}-{secrets.token_hex(8)}") for todo in todos]

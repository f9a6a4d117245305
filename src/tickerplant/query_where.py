"""What a query asks for: moments, symbols and spans, as SQL conditions with their parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import Any

from tickerplant.calendar import NEW_YORK, UTC
from tickerplant.errors import UsageError
from tickerplant.schema import Table, quoted
from tickerplant.tables import TABLES

Moment = datetime | date | str
Symbols = str | Iterable[str] | None


def moment(value: Moment | None) -> datetime | None:
    """A bound in UTC: an aware datetime, ISO text with an offset, or a day (midnight in New York)."""
    if value is None:
        return None
    if isinstance(value, str):
        value = _parsed(value)
    if not isinstance(value, datetime):
        return _midnight(value)
    if value.tzinfo is None:
        raise UsageError(f"time: expected one with a zone, was {value.isoformat()}; do add +00:00 or tzinfo=UTC")
    return value.astimezone(UTC)


def _parsed(text: str) -> datetime | date:
    for parse in (date.fromisoformat, datetime.fromisoformat):
        try:
            return parse(text)
        except ValueError:
            continue
    raise UsageError(f"time: expected 2026-11-20 or 2026-11-20T09:30:00-05:00, was {text!r}")


def known(name: str) -> Table:
    """The table of that name. Raises UsageError when there is none."""
    if name not in TABLES:
        raise UsageError(f"table: expected one of {', '.join(TABLES)}, was {name!r}")
    return TABLES[name]


def chosen(symbols: Symbols) -> tuple[str, ...] | None:
    """Names of symbols; None is all of them."""
    if symbols is None or symbols == "*":
        return None
    return (symbols,) if isinstance(symbols, str) else tuple(symbols)


def state_of(table: str, raw: bool, known_at: Moment | None) -> tuple[str, list[Any]]:
    """The table, or the view that shows its present state or the state known at a moment, with its parameters."""
    if raw:
        not_both(table, known_at)
        return table, []
    at = moment(known_at)
    return (f"{table}_latest", []) if at is None else (f"{table}_known_at(?::timestamptz)", [at.isoformat()])


def not_both(table: str, known_at: Moment | None) -> None:
    """Raise UsageError when a moment is given for raw rows."""
    if known_at is not None:
        raise UsageError(f"{table}: expected raw or known_at, were both; raw rows have `received_at`")


def condition(table: Table, symbols: Symbols, start: Moment | None, end: Moment | None) -> tuple[str, list[Any]]:
    """The `where` of a selection with its parameters; sessions are bounded too, so that files are pruned."""
    names, low, high = chosen(symbols), moment(start), moment(end)
    terms, parameters = [], list[Any]()
    if names is not None:
        if "symbol" not in table.schema.names:
            raise UsageError(f"{table.name}: expected no symbols (the table has none), was {names}")
        terms.append(f"symbol in ({', '.join('?' * len(names))})" if names else "false")
        parameters += names
    for more, values in (_sessions(table, low, high), _times(table, low, high)):
        terms += more
        parameters += values
    return " and ".join(terms) or "true", parameters


def _sessions(table: Table, low: datetime | None, high: datetime | None) -> tuple[list[str], list[Any]]:
    """Bounds of the session; one session is an equality, which planners pass on further than a range."""
    if low is None and high is None:
        return [], []
    if table.time is None and "session" not in table.schema.names:
        raise UsageError(f"{table.name}: expected no start or end (the table has no time), was {low or high}")
    if table.time is None:
        # A day belongs to `[start, end)` when its midnight does.
        return _given([("session >= ?", _day_from(low)), ("session < ?", _day_from(high))])
    first = None if low is None else low.astimezone(NEW_YORK).date()
    last = None if high is None else (high - timedelta.resolution).astimezone(NEW_YORK).date()
    if first == last:
        return ["session = ?"], [first]
    return _given([("session >= ?", first), ("session <= ?", last)])


def _times(table: Table, low: datetime | None, high: datetime | None) -> tuple[list[str], list[Any]]:
    if table.time is None:
        return [], []
    bounds = ((sign, None if at is None else at.isoformat()) for sign, at in ((">=", low), ("<", high)))
    return _given([(f"{quoted(table.time)} {sign} ?::timestamptz", at) for sign, at in bounds])


def _given(bounds: Sequence[tuple[str, Any]]) -> tuple[list[str], list[Any]]:
    there = [(term, value) for term, value in bounds if value is not None]
    return [term for term, _ in there], [value for _, value in there]


def _day_from(at: datetime | None) -> date | None:
    """The first day whose midnight is not before `at`."""
    if at is None:
        return None
    local = at.astimezone(NEW_YORK)
    return local.date() if local.time() == time() else local.date() + timedelta(days=1)


def spans_back(sessions: Sequence[date], end: datetime | None) -> Iterator[tuple[datetime | None, datetime | None]]:
    """Spans that meet, from `end` back over all sessions. Each is as long as all before it, the first a minute.

    Without `end` the first begins a minute before now, or before the end of the last session, and is open. The last one
    has no start.
    """
    if not sessions:
        yield None, end
        return
    first, last = (_midnight(min(sessions)), _midnight(max(sessions) + timedelta(days=1)))
    origin = min(last, end or max(datetime.now(UTC), first))
    high, length = end, timedelta(minutes=1)
    while high is None or high > first:
        low = origin - length
        yield (low if low > first else None), high
        high, length = low, length * 2


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), NEW_YORK).astimezone(UTC)

"""The call after a call. The vendor has no pages: the months of bars, the days before the last 100, and the delisted
after the active are asked for one after the other.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta

import msgspec

from tickerplant.calendar import FIRST_SESSION, NEW_YORK, session
from tickerplant.errors import BadData
from tickerplant.rest import Answer, Call
from tickerplant.vendors.alphavantage import times
from tickerplant.vendors.alphavantage.endpoints import FULL, first_month
from tickerplant.vendors.alphavantage.series import series

COMPACT = 100
"""Days in an answer with `outputsize=compact`, the newest ones."""

DAILY_KEY = "Time Series (Daily)"


def param(call: Call, name: str) -> str:
    """A parameter of a call, empty when it has none."""
    return next((v for k, v in call.params if k == name), "")


def follow(call: Call, answer: Answer) -> Call | None:
    """The call for the next page, None at the end. Raises BadData when the page cannot be read."""
    return following(call, answer.body)


def following(call: Call, body: bytes) -> Call | None:
    """The same, of a body."""
    function = param(call, "function")
    if function == "TIME_SERIES_INTRADAY":
        return _earlier_month(call)
    if function == "LISTING_STATUS":
        return _next(call, "state", "delisted") if param(call, "state") == "active" else None
    if function == "TIME_SERIES_DAILY" and param(call, "outputsize") == "compact":
        return _all_days(call, [i.stamp for i in series(body, DAILY_KEY).items])
    return None


def _next(call: Call, name: str, value: str) -> Call:
    params = tuple((k, value if k == name else v) for k, v in call.params)
    return msgspec.structs.replace(call, params=params, page=call.page + 1)


def _earlier_month(call: Call) -> Call | None:
    month = param(call, "month")
    if not month:
        return None
    try:
        first = date.fromisoformat(f"{month}-01")
    except ValueError:
        raise BadData(f"alphavantage: expected a month like 2025-11, was {month[:40]!r}") from None
    if month <= first_month(call):
        return None
    return _next(call, "month", (first - timedelta(days=1)).isoformat()[:7])


def _all_days(call: Call, stamps: list[str]) -> Call | None:
    """Everything, when 100 days came and the span holds sessions before them."""
    if len(stamps) < COMPACT or call.start is None:
        return None
    try:
        oldest = min(map(times.day, stamps))
    except ValueError as error:
        raise BadData(f"alphavantage {DAILY_KEY}: {error}") from None
    if not _has_session(call.start, oldest):
        return None
    return msgspec.structs.replace(_next(call, "outputsize", "full"), endpoint=FULL)


def _has_session(start: datetime, oldest: date) -> bool:
    """Whether the exchange was open on a day that begins at `start` or later, before `oldest`."""
    local = start.astimezone(NEW_YORK)
    day = local.date() if local.time() == time() else local.date() + timedelta(days=1)
    while day < oldest:
        if day < FIRST_SESSION or session(day):
            return True
        day += timedelta(days=1)
    return False

"""Stamps of the vendor: wall time of New York without a zone -> the UTC time at which the window starts.

Until about 2022 an intraday bar carried the end of its window (last of the day 20:00), since then its start (19:55 for
5min). The rule: an answer to a question with `month`, which exists since 2023, carries starts; any other one carries
ends when its newest bar is before 2023, else starts. What a frame shows by itself must agree: trading is from 04:00
to 20:00, so a bar stamped 04:00 is a start and one stamped 20:00 an end. Sources: recordings of 2017, 2020, 2024, 2025;
https://github.com/ellisvalentiner/AlphaVantage.jl/issues/63 (2023-08: `month` is new).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

from tickerplant.calendar import NEW_YORK
from tickerplant.errors import BadData
from tickerplant.rest import Call

STARTS_SINCE = "2023-01-01"
"""The first day whose bars carry the start of their window, for answers without `month`."""

_STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)?", re.ASCII)
_DAY = re.compile(r"(\d{4}-\d\d-\d\d)(?: \d\d:\d\d(?::\d\d)?)?", re.ASCII)
_FIRST_START, _LAST_END = "04:00", "20:00"


def are_ends(stamps: Sequence[str], has_month: bool) -> bool:
    """Whether the stamps of one answer are ends of windows. Raises BadData when they are of both kinds."""
    valid = [s for s in stamps if _STAMP.fullmatch(s)]
    if not valid:
        return False
    oldest, newest = min(valid)[:10], max(valid)[:10]
    if not has_month and oldest < STARTS_SINCE <= newest:
        raise BadData(f"alphavantage: expected bars of one meaning, was both, {oldest} to {newest}")
    by_rule = not has_month and newest < STARTS_SINCE
    clocks = {s[11:16] for s in valid}
    against = _FIRST_START if by_rule else _LAST_END
    if against in clocks:
        rule = "the end" if by_rule else "the start"
        raise BadData(
            f"alphavantage: expected stamps at {rule} of each bar, was one at {against}, {oldest} to {newest}"
        )
    return by_rule


def utc(stamp: str) -> datetime:
    """The UTC time of a wall time in New York. Raises ValueError also for the hours that clocks skip or repeat."""
    if not _STAMP.fullmatch(stamp):
        raise ValueError(f"expected a time like 2025-11-06 19:55:00, was {stamp[:40]!r}")
    local = datetime.fromisoformat(stamp).replace(tzinfo=NEW_YORK)
    if local.utcoffset() != local.replace(fold=1).utcoffset():
        raise ValueError(f"expected a time that is once in New York, was {stamp}")
    try:
        return local.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"expected a time before the year 10000, was {stamp}") from None


def day(stamp: str) -> date:
    """The day of a daily row; a running one may carry a time. Raises ValueError."""
    found = _DAY.fullmatch(stamp)
    if found is None:
        raise ValueError(f"expected a day like 2025-11-06, was {stamp[:40]!r}")
    return date.fromisoformat(found[1])


def is_within(call: Call, at: datetime) -> bool:
    """Whether a time lies in the span asked for."""
    return (call.start is None or at >= call.start) and (call.end is None or at < call.end)


def has_day(call: Call, session: date) -> bool:
    """Whether the midnight in New York that a session begins with lies in the span asked for."""
    return is_within(call, datetime.combine(session, time(), NEW_YORK))


def window(text: str) -> timedelta:
    """The length of `5min`. Raises BadData."""
    minutes = text.removesuffix("min")
    if not (minutes.isascii() and minutes.isdigit() and 0 < len(minutes) < 4):
        raise BadData(f"alphavantage: expected an interval like 5min, was {text[:40]!r}")
    return timedelta(minutes=int(minutes))

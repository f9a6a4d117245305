"""Sessions of the US equities exchanges, with pre-market and after-hours. New York time lives here and on screens only.

Session dates, early closes and unscheduled closures come from `exchange_calendars` (XNYS). Pre-market opens at 04:00;
after-hours end at 20:00, on early closes at 17:00. `calendar_days.txt` holds what one version of that package computes
and is used while that version is installed; `python -m tickerplant.calendar` prints it anew.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    import pyarrow as pa

NEW_YORK = ZoneInfo("America/New_York")
UTC = ZoneInfo("UTC")
FIRST_SESSION, LAST_SESSION = date(2000, 1, 3), date(2028, 12, 29)


@dataclass(frozen=True)
class Session:
    """One trading day: `[pre_open, post_close)` around the regular hours `[open, close)`, all in UTC."""

    day: date
    pre_open: datetime
    open: datetime
    close: datetime
    post_close: datetime

    @property
    def is_early_close(self) -> bool:
        """Whether regular hours end before 16:00 New York."""
        return self.close.astimezone(NEW_YORK).time() < time(16)

    def is_regular(self, at: datetime) -> bool:
        """Whether `at` is in regular hours."""
        return self.open <= at < self.close


@cache
def _schedule() -> dict[date, tuple[datetime, datetime]]:
    """Opening and closing times as `exchange_calendars` computes them, which takes a second and 70 MB."""
    import warnings

    import exchange_calendars

    with warnings.catch_warnings():  # exchange_calendars 4.13 uses what pandas 4 will change
        warnings.simplefilter("ignore", DeprecationWarning)
        calendar: Any = exchange_calendars.get_calendar(
            "XNYS", start=FIRST_SESSION.isoformat(), end=LAST_SESSION.isoformat()
        )
        frame = calendar.schedule
    return {
        day.date(): (opened.to_pydatetime().astimezone(UTC), closed.to_pydatetime().astimezone(UTC))
        for day, opened, closed in zip(frame.index, frame["open"], frame["close"], strict=True)
    }


def unusual_days() -> str:
    """The text of `calendar_days.txt`: the version of `exchange_calendars`, then each weekday that is not ordinary."""
    lines = [version("exchange_calendars")]
    for day in (FIRST_SESSION + timedelta(days=i) for i in range((LAST_SESSION - FIRST_SESSION).days + 1)):
        if (hours := _schedule().get(day)) != _hours(day, {}):
            clock = "-".join(f"{t.astimezone(NEW_YORK):%H:%M}" for t in hours) if hours else "closed"
            lines.append(f"{day} {clock}")
    return "\n".join([*lines, ""])


@cache
def _unusual() -> dict[date, str] | None:
    """What `calendar_days.txt` says; None when it is of another version of `exchange_calendars` than is installed."""
    made_by, *lines = Path(__file__).with_name("calendar_days.txt").read_text().split("\n")
    if made_by != version("exchange_calendars"):
        return None
    return {date.fromisoformat(line[:10]): line[11:] for line in lines if line}


def _hours(day: date, unusual: dict[date, str]) -> tuple[datetime, datetime] | None:
    clock = unusual.get(day, "closed" if day.weekday() >= 5 else "09:30-16:00")
    if clock == "closed":
        return None
    opened, closed = (_at(day, time.fromisoformat(text)) for text in clock.split("-"))
    return opened, closed


def _at(day: date, clock: time) -> datetime:
    return datetime.combine(day, clock, NEW_YORK).astimezone(UTC)


def session(day: date) -> Session | None:
    """The session of a day, None when the exchange is closed. Raises ValueError outside the calendar's years."""
    if not FIRST_SESSION <= day <= LAST_SESSION:
        raise ValueError(f"calendar: expected a day in {FIRST_SESSION} to {LAST_SESSION}, was {day}")
    unusual = _unusual()
    hours = _schedule().get(day) if unusual is None else _hours(day, unusual)
    if hours is None:
        return None
    opened, closed = hours
    early = closed.astimezone(NEW_YORK).time() < time(16)
    return Session(day, _at(day, time(4)), opened, closed, _at(day, time(17 if early else 20)))


def session_at(at: datetime) -> Session | None:
    """The session whose pre-market, regular or after-hours time holds `at`; None overnight and on closed days."""
    found = session(at.astimezone(NEW_YORK).date())
    return found if found and found.pre_open <= at < found.post_close else None


def next_session(at: datetime) -> Session:
    """The first session that has not ended at `at` (the running one, if any)."""
    day = at.astimezone(NEW_YORK).date()
    while True:
        found = session(day)
        if found and at < found.post_close:
            return found
        day += timedelta(days=1)


def last_session(at: datetime) -> Session:
    """The newest session that has ended at `at`, after-hours included."""
    day = at.astimezone(NEW_YORK).date()
    while True:
        found = session(day)
        if found and found.post_close <= at:
            return found
        day -= timedelta(days=1)


def finished_before(at: datetime) -> date:
    """The first day whose session may still bring rows at `at`: New York's date, and from the end of its session's
    after-hours the day after."""
    day = at.astimezone(NEW_YORK).date()
    found = session(day)
    return day + timedelta(days=1) if found is not None and found.post_close <= at else day


def sessions(start: date, end: date) -> Sequence[Session]:
    """All sessions of `[start, end)`."""
    days = (start + timedelta(days=i) for i in range((end - start).days))
    return [found for day in days if (found := session(day))]


def session_dates(ts: pa.Array) -> pa.Array:
    """The New York calendar date of each UTC timestamp of an Arrow array, as date32."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.local_timestamp(ts.cast(pa.timestamp("us", "America/New_York"))).cast(pa.date32())


if __name__ == "__main__":
    sys.stdout.write(unusual_days())

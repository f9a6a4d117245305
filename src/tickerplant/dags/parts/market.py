"""When a run has something to do: the exchange's calendar behind Airflow's clock. Pure."""

from __future__ import annotations

from datetime import datetime, timedelta

from tickerplant.calendar import NEW_YORK, UTC, session
from tickerplant.errors import UsageError

RHYTHMS = ("daily", "hourly")
_AFTER_CLOSE = timedelta(hours=1)


def capture_end(at: datetime) -> datetime | None:
    """Until when to capture on the New York day of `at`: the end of after-hours (20:00; 17:00 on early closes). None
    when the exchange is closed that day or after-hours are over."""
    found = session(at.astimezone(NEW_YORK).date())
    return found.post_close.astimezone(UTC) if found and at < found.post_close else None


def is_session_day(at: datetime) -> bool:
    """Whether the exchange is open on the New York day of `at`."""
    return session(at.astimezone(NEW_YORK).date()) is not None


def snapshots_due(at: datetime, rhythm: str) -> bool:
    """Whether snapshots are due in the hour of `at`: hourly in regular hours and once after the close, daily then only.

    Raises UsageError for another rhythm.
    """
    if rhythm not in RHYTHMS:
        raise UsageError(f"tickerplant_snapshots: expected the rhythm {' or '.join(RHYTHMS)}, was {rhythm!r}")
    found = session(at.astimezone(NEW_YORK).date())
    if found is None:
        return False
    is_last = found.close < at <= found.close + _AFTER_CLOSE
    return is_last or (rhythm == "hourly" and found.is_regular(at))


def freshness(rhythm: str) -> str:
    """How old a snapshot may be so that a retry of the same run does not ask again, and the next run does."""
    return "45m" if rhythm == "hourly" else "12h"

"""The vendor's times: ms and ns since 1970 -> our columns, sessions, spans; dates and RFC 3339 texts.

Bars of a ticker carry the start of their window, midnight in New York for a day (00:00 in Chicago for an index);
grouped days and `prev` carry its end, 16:00 in New York. Both lie on the session's own date in New York.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tickerplant.calendar import NEW_YORK, UTC, session_dates
from tickerplant.rest import Call
from tickerplant.schema import TIMESTAMP
from tickerplant.vendors.polygon.endpoints import first_day

MILLION, BILLION = 1_000_000, 1_000_000_000
FIRST_NS, LAST_NS = 315_532_800 * BILLION, 4_102_444_800 * BILLION
"""1980 to 2100: what is outside of it is no time."""

Nanos = npt.NDArray[np.int64]


def wrong_time(nanos: int | None) -> str | None:
    """What is wrong with a time, None when nothing is."""
    if nanos is None:
        return "expected a time, was none"
    return None if FIRST_NS <= nanos < LAST_NS else f"expected a time since 1980, was {nanos} ns"


def time_columns(nanos: Nanos) -> dict[str, Any]:
    """`ts` and `ns`."""
    return {"ts": pa.array(nanos // 1000).view(TIMESTAMP), "ns": pa.array((nanos % 1000).astype(np.int16))}


def sessions_of(nanos: Nanos) -> pa.Array:
    """Dates in New York."""
    return session_dates(pa.array(nanos // 1000).view(TIMESTAMP))


def session_of(nanos: int) -> date:
    """The date in New York of one moment."""
    return datetime.fromtimestamp(nanos // BILLION, UTC).astimezone(NEW_YORK).date()


def _nanos(at: datetime) -> int:
    return int(at.timestamp()) * BILLION + at.microsecond * 1000


def inside(call: Call, nanos: Nanos) -> npt.NDArray[np.bool_]:
    """Which moments are in the span that was asked for."""
    keep = np.ones(len(nanos), bool)
    if call.start is not None:
        keep &= nanos >= _nanos(call.start)
    if call.end is not None:
        keep &= nanos < _nanos(call.end)
    return keep


def days_inside(call: Call, days: Sequence[date | None]) -> list[bool]:
    """Which days begin, in New York, in the span that was asked for; a day that is not said does."""
    first = date.min if call.start is None else first_day(call.start)
    end = date.max if call.end is None else first_day(call.end)
    return [day is None or first <= day < end for day in days]


def day(text: str | None) -> date | None:
    """A date, or the date of an instant: midnight UTC as it stands, any other moment in New York. Raises ValueError."""
    if not text:
        return None
    if len(text) <= 10:
        return date.fromisoformat(text)
    at = instant(text)
    if at is None or at.time() == datetime.min.time():
        return date.fromisoformat(text[:10])
    return at.astimezone(NEW_YORK).date()


def instant(text: str | None) -> datetime | None:
    """An RFC 3339 text; without a zone it is UTC. Raises ValueError."""
    if not text:
        return None
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)

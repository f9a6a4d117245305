"""The sessions around now, without the calendar's memory: a short-lived child computes them, a file keeps them.

`exchange_calendars` brings pandas, 70 MB that a capture would hold for a whole session to learn four times a day.
`python -m tickerplant.jobs.capture_sessions 2024-07-01 2024-07-20` prints them as JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Self

import structlog

from tickerplant.calendar import NEW_YORK, Session, sessions

log = structlog.get_logger()

_AHEAD = timedelta(days=20)


@dataclass(frozen=True)
class _Known:
    """Sessions of `[start, end)`."""

    start: date
    end: date
    sessions: tuple[Session, ...]

    def covers(self, day: date) -> bool:
        return self.start <= day < self.end - timedelta(days=10)

    @classmethod
    def read(cls, text: str) -> Self:
        data = json.loads(text)
        found = tuple(
            Session(date.fromisoformat(day), *(datetime.fromtimestamp(t, UTC) for t in times))
            for day, *times in data["sessions"]
        )
        return cls(date.fromisoformat(data["start"]), date.fromisoformat(data["end"]), found)


class NearSessions:
    """Sessions of the next days. `cache` is a file to keep them in; None keeps nothing."""

    def __init__(self, cache: Path | None = None) -> None:
        self._cache = cache
        self._known: _Known | None = None
        self._child: subprocess.Popen[str] | None = None
        self._failed_on: date | None = None
        if cache is not None:
            with suppress(OSError, ValueError, KeyError, TypeError):
                self._known = _Known.read(cache.read_text())

    def at(self, now: datetime, wait: bool = False) -> Session | None:
        """The session that holds `now`, pre-market to after-hours; None also while it is not known yet.

        Never blocks unless `wait` is set.
        """
        known = self._known_at(now, wait)
        return next((s for s in known.sessions if s.pre_open <= now < s.post_close), None) if known else None

    def coming(self, now: datetime) -> Session | None:
        """The running session, or else the next one. May take a second."""
        known = self._known_at(now, wait=True)
        return next((s for s in known.sessions if now < s.post_close), None) if known else None

    def _known_at(self, now: datetime, wait: bool) -> _Known | None:
        day = now.astimezone(NEW_YORK).date()
        if self._known is None or not self._known.covers(day):
            self._fetch(day)
            self._take(day, wait)
        return self._known if self._known and self._known.covers(day) else None

    def _fetch(self, day: date) -> None:
        if self._child is None and self._failed_on != day:
            command = [sys.executable, "-m", __spec__.name, f"{day - timedelta(days=1)}", f"{day + _AHEAD}"]
            self._child = subprocess.Popen(
                command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True
            )

    def _take(self, day: date, wait: bool) -> None:
        if self._child is None or (not wait and self._child.poll() is None):
            return
        output, _ = self._child.communicate()
        self._child = None
        try:
            self._known = _Known.read(output)
        except (ValueError, KeyError, TypeError):
            self._failed_on = day
            log.warning("no sessions: the watchdog is off today", day=str(day))
            return
        if self._cache is not None:
            with suppress(OSError):
                self._cache.write_text(output)

    def close(self) -> None:
        """End a child that still computes; idempotent."""
        if self._child is not None:
            self._child.kill()
            self._child.communicate()
            self._child = None


def dump(start: date, end: date) -> str:
    """The sessions of `[start, end)` as JSON: day, pre_open, open, close, post_close in seconds since 1970."""
    rows = [
        [s.day.isoformat(), *(t.timestamp() for t in (s.pre_open, s.open, s.close, s.post_close))]
        for s in sessions(start, end)
    ]
    return json.dumps({"start": start.isoformat(), "end": end.isoformat(), "sessions": rows}) + "\n"


if __name__ == "__main__":
    sys.stdout.write(dump(date.fromisoformat(sys.argv[1]), date.fromisoformat(sys.argv[2])))

"""Poll: the same pass again and again while the market is open, and once more when a session has settled.

Time is the clock's on the wall, looked at every second: after a sleep of the machine the poll that was missed is made
up at once, and a clock that is set back delays the next one by no more than one distance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event

import structlog

from tickerplant.calendar import Session, last_session, next_session, session_at
from tickerplant.clock import utc_now
from tickerplant.errors import UsageError

log = structlog.get_logger()

SETTLING = timedelta(minutes=20)
"""From the end of after-hours to the pass that completes the session: delayed plans are 15 minutes behind."""

_LOOK_S = 1.0


@dataclass(frozen=True)
class Clock:
    """The time, and a wait in seconds that is True when it ended because of a stop."""

    now: Callable[[], datetime]
    wait: Callable[[float], bool]


def wall_clock(stop: Event) -> Clock:
    """The real one."""
    return Clock(utc_now, stop.wait)


@dataclass(frozen=True)
class Rhythm:
    """How often, and whether in pre-market and after-hours too."""

    every: timedelta
    is_extended: bool = False

    def hours(self, session: Session) -> tuple[datetime, datetime]:
        """`[start, end)` of a session's polls."""
        return (session.pre_open, session.post_close) if self.is_extended else (session.open, session.close)

    def is_open(self, at: datetime) -> bool:
        """Whether polls are due at `at`."""
        found = session_at(at)
        return found is not None and self.hours(found)[0] <= at < self.hours(found)[1]

    def after(self, last: datetime) -> datetime:
        """The poll after one at `last`: a distance later, when the next session opens, or when this one has settled."""
        wanted, day = last + self.every, last_session(last)
        while True:
            start, end = self.hours(day)
            if wanted < end:
                return max(wanted, start)
            if last < day.post_close + SETTLING:
                return day.post_close + SETTLING
            day = next_session(day.post_close)

    def due(self, last: datetime, now: datetime) -> datetime:
        """The next poll as things stand. One missed while nobody looked is made up, unless the market has closed."""
        at = self.after(last)
        settled = last_session(now - SETTLING).post_close + SETTLING
        is_late_and_closed = at <= now and not self.is_open(now) and not last < settled <= now
        return self.after(now) if is_late_and_closed else at


@dataclass
class Polled:
    """What a run of polls did."""

    polls: int = 0
    failed: int = 0
    problems: list[str] = field(default_factory=list)


def poll(once: Callable[[datetime], bool], rhythm: Rhythm, stop: Event, clock: Clock) -> Polled:
    """Call `once` with the time, now and whenever it is due, until `stop`; it says whether all went well.

    Whatever a pass raises is logged and counted, and the next one comes; only a UsageError of the first is raised.
    """
    done = Polled()
    while not stop.is_set():
        last = clock.now()
        _pass(once, last, done)
        if not _wait(rhythm, last, stop, clock):
            break
    log.info("polling ended", polls=done.polls, failed=done.failed)
    return done


def _pass(once: Callable[[datetime], bool], at: datetime, done: Polled) -> None:
    done.polls += 1
    try:
        done.failed += not once(at)
    except UsageError as error:
        if done.polls == 1:
            raise
        _failed(done, error)
    except Exception as error:
        _failed(done, error)


def _failed(done: Polled, error: Exception) -> None:
    done.failed += 1
    done.problems = [*done.problems[-9:], f"{type(error).__name__}: {error}"]
    log.warning("poll failed", poll=done.polls, problem=done.problems[-1])


def _wait(rhythm: Rhythm, last: datetime, stop: Event, clock: Clock) -> bool:
    """Wait until the next poll is due; False when told to stop."""
    until: datetime | None = None
    while not stop.is_set():
        now = clock.now()
        last = min(last, now)
        due = rhythm.due(last, now)
        if due <= now:
            return True
        if due - last > rhythm.every and due != until:
            until = due
            log.info("polling paused", until=due.isoformat(timespec="seconds"))
        if clock.wait(min((due - now).total_seconds(), _LOOK_S)):
            return False
    return False

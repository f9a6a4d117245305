"""When polls are due: market hours, the pass after a session, clocks that jump, passes that fail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event
from zoneinfo import ZoneInfo

import pytest
from structlog.testing import capture_logs

from tickerplant.errors import Fatal, UsageError
from tickerplant.jobs.poll import Clock, Polled, Rhythm, poll

HOURLY = Rhythm(timedelta(hours=1))
FIVE = Rhythm(timedelta(minutes=5))
EXTENDED = Rhythm(timedelta(hours=1), is_extended=True)


def ny(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo("America/New_York")).astimezone(UTC)


@dataclass
class Steps:
    """A clock that goes on by what is waited for, at least `step`, and jumps where told."""

    at: datetime
    stop: Event = field(default_factory=Event)
    step: timedelta = timedelta(seconds=1)
    jumps: dict[datetime, datetime] = field(default_factory=dict)
    until: datetime | None = None

    def wait(self, seconds: float) -> bool:
        self.at += max(self.step, timedelta(seconds=seconds))
        for start in [j for j in self.jumps if j <= self.at]:
            self.at = self.jumps.pop(start)
        if not self.jumps and self.until is not None and self.at >= self.until:
            self.stop.set()
        return self.stop.is_set()

    def clock(self) -> Clock:
        return Clock(lambda: self.at, self.wait)


def times(rhythm: Rhythm, steps: Steps) -> list[str]:
    """When passes were made, in New York, until the clock's end."""
    made: list[str] = []

    def once(at: datetime) -> bool:
        made.append(f"{at.astimezone(ZoneInfo('America/New_York')):%d %H:%M}")
        return True

    poll(once, rhythm, steps.stop, steps.clock())
    return made


def test_polls_in_regular_hours_once_after_the_session_and_not_over_the_weekend() -> None:
    steps = Steps(ny("2025-11-21 13:30"), step=timedelta(minutes=1), until=ny("2025-11-24 12:00"))
    with capture_logs() as logged:
        assert times(HOURLY, steps) == [
            *("21 13:30", "21 14:30", "21 15:30", "21 20:20"),
            *("24 09:30", "24 10:30", "24 11:30"),
        ]
    paused = [line["until"] for line in logged if line["event"] == "polling paused"]
    assert paused == ["2025-11-22T01:20:00+00:00", "2025-11-24T14:30:00+00:00"]


def test_extended_polls_begin_at_4_and_end_at_17_on_an_early_close() -> None:
    steps = Steps(ny("2025-11-26 18:30"), step=timedelta(minutes=1), until=ny("2025-11-28 23:00"))
    found = times(EXTENDED, steps)
    assert found[:4] == ["26 18:30", "26 19:30", "26 20:20", "28 04:00"], "Thanksgiving is no session"
    assert found[-2:] == ["28 16:00", "28 17:20"]


def test_after_a_sleep_the_missed_poll_is_made_up_at_once_and_once() -> None:
    woken = Steps(ny("2025-11-19 10:00"), jumps={ny("2025-11-19 10:02"): ny("2025-11-19 11:47")})
    woken.until = ny("2025-11-19 11:53")
    assert times(FIVE, woken) == ["19 10:00", "19 11:47", "19 11:52"]


def test_a_sleep_over_the_close_is_made_up_by_the_pass_that_completes_the_session() -> None:
    woken = Steps(ny("2025-11-21 15:00"), step=timedelta(minutes=1))
    woken.jumps, woken.until = {ny("2025-11-21 15:02"): ny("2025-11-22 12:00")}, ny("2025-11-24 09:31")
    assert times(FIVE, woken) == ["21 15:00", "22 12:00", "24 09:30"]


def test_a_sleep_that_ends_while_the_market_is_closed_waits() -> None:
    woken = Steps(ny("2025-11-21 15:00"), step=timedelta(minutes=1))
    woken.jumps, woken.until = {ny("2025-11-21 15:02"): ny("2025-11-21 18:00")}, ny("2025-11-21 21:00")
    assert times(FIVE, woken) == ["21 15:00", "21 20:20"]


def test_a_clock_set_back_delays_a_poll_by_one_distance_at_most() -> None:
    back = Steps(ny("2025-11-19 12:00"), jumps={ny("2025-11-19 12:01"): ny("2025-11-19 10:00")})
    back.until = ny("2025-11-19 10:11")
    assert times(FIVE, back) == ["19 12:00", "19 10:05", "19 10:10"]


def test_a_failed_pass_is_counted_and_the_next_one_comes() -> None:
    steps = Steps(ny("2025-11-19 10:00"), until=ny("2025-11-19 10:31"))
    answers: Iterator[bool | Exception] = iter(
        [Fatal("refused"), True, OSError("away"), False, True, UsageError("odd"), True]
    )

    def once(at: datetime) -> bool:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    done = poll(once, FIVE, steps.stop, steps.clock())
    assert done == Polled(7, 4, ["Fatal: refused", "OSError: away", "UsageError: odd"])


def test_what_was_asked_for_wrongly_is_told_at_once() -> None:
    steps = Steps(ny("2025-11-19 10:00"))

    def once(at: datetime) -> bool:
        raise UsageError("no such table")

    with pytest.raises(UsageError, match="no such table"):
        poll(once, FIVE, steps.stop, steps.clock())

"""Seeded trading days for the watchdog: message counts a tick, for channels of every temper."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np
import numpy.typing as npt

from tickerplant.calendar import NEW_YORK, Session, session
from tickerplant.net.watchdog import Alarm, Watchdog

TICK_S = 0.5
SECOND = 1_000_000_000

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Temper:
    """How a channel behaves: mean messages a second, how many come at once, how often a burst of 54 x the mean."""

    rate: float
    together: int = 1
    bursts: bool = False
    per_minute: bool = False


def times(start: datetime, end: datetime) -> Counts:
    """Ends of ticks in `[start, end)`, ns."""
    first, last = int(start.timestamp() * SECOND), int(end.timestamp() * SECOND)
    return np.arange(first, last, int(TICK_S * SECOND), dtype=np.int64)


def shape(at: Counts, day: Session | None) -> npt.NDArray[np.float64]:
    """Activity over the day: a U in regular hours (4.4 x at the ends), a hundredth outside."""
    if day is None:
        return np.full(len(at), 0.01)
    opened, closed = day.open.timestamp() * SECOND, day.close.timestamp() * SECOND
    place = (at - opened) / (closed - opened)
    inside = (place >= 0) & (place < 1)
    return np.where(inside, 0.55 + 12.0 * (place - 0.55) ** 4 * 2.2, 0.01)


def counts(temper: Temper, at: Counts, day: Session | None, chance: np.random.Generator) -> Counts:
    """Messages in each tick."""
    if temper.per_minute:
        second = at // SECOND % 60
        return np.where(second < 3, chance.poisson(temper.rate * 60 / 6 * shape(at, day)), 0)
    rate = temper.rate * shape(at, day)
    found = chance.poisson(rate * TICK_S / temper.together) * temper.together
    if temper.bursts:
        is_burst = chance.random(len(at)) < 0.001
        found = found + np.where(is_burst, chance.poisson(54 * rate * TICK_S), 0)
    return found.astype(np.int64)


def play(
    watchdog: Watchdog, at: Counts, channels: dict[str, Counts], day: Session | None, until_alarm: bool = False
) -> Iterator[tuple[int, Alarm]]:
    """Let the watchdog see it; after an alarm it is told of a new connection, as a capture would."""
    rows = {name: found.tolist() for name, found in channels.items()}
    inside = range(0)
    if day is not None:
        inside = range(int(day.pre_open.timestamp() * SECOND), int(day.post_close.timestamp() * SECOND))
    for i, now in enumerate(at.tolist()):
        seen = {name: found[i] for name, found in rows.items()}
        alarm = watchdog.observe(now, seen, day if now in inside else None)
        if alarm is not None:
            yield now, alarm
            if until_alarm:
                return
            watchdog.connected(now)


def whole_day(day: date) -> tuple[Counts, Session | None]:
    """Ticks from 09:00 to 17:30 New York: pre-market, regular hours, and after."""
    start = datetime(day.year, day.month, day.day, 9, tzinfo=NEW_YORK)
    return times(start, start + timedelta(hours=8.5)), session(day)


def faulty(found: Counts, at: Counts, start: int, share: float, chance: np.random.Generator) -> Counts:
    """The same counts, of which only `share` arrive from `start` on."""
    return np.where(at > start, chance.binomial(found, share), found)

"""Faults on demand: what goes wrong, when, and for how long."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tickerplant.errors import UsageError

KINDS: dict[str, float] = {
    "disconnect": 0.0,
    "mute": 15.0,
    "slow_rate": 30.0,
    "half_dead": 30.0,
    "garbled": 0.0,
    "duplicate": 0.0,
    "unknown": 0.0,
    "406": 1.0,
    "407": 0.0,
    "429": 1.0,
    "slow": 2.0,
}
"""Kinds of fault and the duration in seconds when none is given."""

_FORM = re.compile(r"(?P<kind>[a-z0-9_]+)@(?P<when>\d+(?:\.\d+)?)(?P<unit>[sm]?)(?::(?P<duration>\d+(?:\.\d+)?)s?)?")


@dataclass(frozen=True)
class Fault:
    """One fault, due `at_s` seconds of wall time after the market's start or before message number `at_messages`."""

    kind: str
    at_s: float | None = None
    at_messages: int | None = None
    duration_s: float = 0.0


def parse(text: str) -> Fault:
    """A fault from `KIND@WHEN[:DURATION]`, WHEN `3.5s` (seconds) or `5000m` (messages). Raises UsageError."""
    found = _FORM.fullmatch(text.strip())
    if not found or found["kind"] not in KINDS:
        raise UsageError(
            f"fault: expected KIND@WHEN[:DURATION] such as disconnect@3.5s:2s or garbled@5000m with KIND one of "
            f"{', '.join(KINDS)}, was {text!r}"
        )
    duration = KINDS[found["kind"]] if found["duration"] is None else float(found["duration"])
    if found["unit"] == "m":
        return Fault(found["kind"], at_messages=int(float(found["when"])), duration_s=duration)
    return Fault(found["kind"], at_s=float(found["when"]), duration_s=duration)


def random_plan(seed: int, span_s: float, every_s: float = 10.0) -> tuple[Fault, ...]:
    """Faults of all kinds at random moments of `span_s` seconds of wall time, `every_s` apart on average."""
    chance = random.Random(seed)
    plan: list[Fault] = []
    at = chance.expovariate(1 / every_s)
    while at < span_s:
        kind = chance.choice(list(KINDS))
        longest = min(KINDS[kind], 2.0)
        plan.append(Fault(kind, at_s=at, duration_s=chance.uniform(0.2, 1.0) * longest))
        at += chance.expovariate(1 / every_s)
    return tuple(plan)


def random_plan_by_messages(seed: int, messages: int, every: int = 50_000) -> tuple[Fault, ...]:
    """The same by message numbers, for a market without a clock."""
    plan = random_plan(seed, messages / every * 10.0)
    return tuple(replace(f, at_s=None, at_messages=int((f.at_s or 0.0) / 10.0 * every)) for f in plan)


class Schedule:
    """The faults still to come."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self._by_time = sorted((f for f in faults if f.at_s is not None), key=lambda f: f.at_s or 0.0)
        self._by_count = sorted((f for f in faults if f.at_messages is not None), key=lambda f: f.at_messages or 0)

    def due(self, elapsed_s: float, messages: int) -> list[Fault]:
        """Take the faults whose moment has come."""
        found = []
        while self._by_time and (self._by_time[0].at_s or 0.0) <= elapsed_s:
            found.append(self._by_time.pop(0))
        while self._by_count and (self._by_count[0].at_messages or 0) <= messages:
            found.append(self._by_count.pop(0))
        return found

    @property
    def next_s(self) -> float | None:
        """Wall seconds of the next timed fault."""
        return self._by_time[0].at_s if self._by_time else None

    @property
    def next_message(self) -> int | None:
        """Message number of the next counted fault."""
        return self._by_count[0].at_messages if self._by_count else None

"""When to try again: full-jitter exponential back-off with a floor, and a least distance between connects.

Pure: time comes in as seconds of a monotonic clock, chance from a `random.Random` that a test can seed. Full jitter
(a uniform draw between 0 and the growing cap) is what keeps many clients from coming back together:
https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from tickerplant.errors import Retryable, SlowRetry


@dataclass(frozen=True)
class Curve:
    """Waits that are uniform in `[0, min(cap_s, base_s * 2**attempt)]`."""

    base_s: float
    cap_s: float

    def draw(self, attempt: int, chance: Random) -> float:
        """The wait in seconds before try number `attempt` (from 0)."""
        return chance.uniform(0.0, min(self.cap_s, self.base_s * 2.0 ** min(attempt, 32)))


@dataclass(frozen=True)
class BackoffOptions:
    """How fast to come back.

    `slow` is for a vendor that still holds a slot of ours (406) or asks for patience (HTTP 429); its waits have a
    floor of half the curve, since a fast retry keeps such a slot busy. `health_s`: a connection that lived this long
    counts as healthy even without data.
    """

    quick: Curve = Curve(0.5, 30.0)
    slow: Curve = Curve(2.0, 60.0)
    min_distance_s: float = 1.0
    health_s: float = 10.0


@dataclass
class Backoff:
    """The state of one reconnect loop. Call `started`, then `failed` or `lost`, then wait until `next_at`."""

    options: BackoffOptions = BackoffOptions()
    chance: Random = field(default_factory=Random)
    attempts: int = 0
    """Failures in a row; 0 after health."""
    next_at: float = 0.0
    """The earliest moment of the next connect, seconds of the caller's monotonic clock."""
    _last_start: float | None = None

    def started(self, now: float) -> None:
        """A connect begins at `now`."""
        self._last_start = now

    def failed(self, now: float, problem: Exception | None = None) -> float:
        """A try failed or a connection without health ended; returns and stores the wait in seconds."""
        slow = isinstance(problem, SlowRetry)
        curve = self.options.slow if slow else self.options.quick
        wait = curve.draw(self.attempts, self.chance)
        if slow:
            wait = max(wait, min(curve.cap_s, curve.base_s * 2.0 ** min(self.attempts, 32)) / 2)
        if isinstance(problem, Retryable) and problem.retry_after is not None:
            wait = max(wait, problem.retry_after)
        self.attempts += 1
        if self._last_start is not None:
            wait = max(wait, self._last_start + self.options.min_distance_s - now)
        self.next_at = now + wait
        return wait

    def lost(self, now: float, *, live_s: float, data: bool, problem: Exception | None = None) -> float:
        """A live connection ended. Only data or `health_s` of life make the next wait short again.

        An acknowledged login is no health: some vendors refuse after it
        (quirk: max_connections comes after auth_success).
        """
        if data or live_s >= self.options.health_s:
            self.attempts = 0
        return self.failed(now, problem)

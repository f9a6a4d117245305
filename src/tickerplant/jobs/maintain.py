"""Maintain a store: finished sessions rewritten for reading, those past the retention and replaced files dropped."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

from tickerplant.calendar import finished_before
from tickerplant.clock import utc_now
from tickerplant.errors import UsageError
from tickerplant.model import Maintained, Store


def maintain(
    store: Store,
    keep: timedelta,
    before: date | None = None,
    on_done: Callable[[Maintained], None] | None = None,
) -> list[Maintained]:
    """Maintain the sessions before `before`, by default and at most those that are over, after-hours included.

    Idempotent. `on_done` is called after each session's commit. Raises UsageError for a later day.
    """
    limit = finished_before(utc_now())
    if before is not None and before > limit:
        raise UsageError(f"maintain: expected a day up to {limit} (its session may be running), was {before}")
    done = []
    for item in store.maintain(before or limit, keep):
        done.append(item)
        if on_done:
            on_done(item)
    return done

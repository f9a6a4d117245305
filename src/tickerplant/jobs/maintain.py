"""Maintain a store: finished sessions rewritten for reading, those past the retention and replaced files dropped."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, timedelta

from tickerplant.calendar import NEW_YORK, UTC
from tickerplant.errors import UsageError
from tickerplant.model import Maintained, Store


def today() -> date:
    """The New York date now; its session is never maintained."""
    return datetime.now(UTC).astimezone(NEW_YORK).date()


def maintain(
    store: Store,
    keep: timedelta,
    before: date | None = None,
    on_done: Callable[[Maintained], None] | None = None,
) -> list[Maintained]:
    """Maintain the sessions before `before`, by default and at most the New York date now.

    Idempotent. `on_done` is called after each session's commit. Raises UsageError for a day after today.
    """
    now = today()
    if before is not None and before > now:
        raise UsageError(f"maintain: expected a day up to {now} (its session may be running), was {before}")
    done = []
    for item in store.maintain(before or now, keep):
        done.append(item)
        if on_done:
            on_done(item)
    return done

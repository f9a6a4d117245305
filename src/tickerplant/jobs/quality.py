"""Quality: the rules run over sessions, what they flag and the grades stored, history kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING

import pyarrow as pa

from tickerplant.clock import utc_now
from tickerplant.errors import UsageError
from tickerplant.jobs.joblog import LEDGERS, job, note
from tickerplant.model import Batch
from tickerplant.quality.outcome import Outcome, collect
from tickerplant.quality.rule import Rule
from tickerplant.quality.run import days_with_rows, run_rules
from tickerplant.schema import Table
from tickerplant.tables import QUALITY, QUALITY_FLAGS

if TYPE_CHECKING:
    from tickerplant.stores import AnyStore

_LEDGER = LEDGERS + "quality"
_AT_FIRST = 20


def quality(
    store: AnyStore,
    days: Sequence[date],
    now: datetime | None = None,
    told: Callable[[Rule, date], None] = lambda rule, day: None,
) -> Outcome:
    """Run every rule over the days and store what it found, whether a rule of severity error failed or not.

    Days of which the store has no rows are left out. `now` (default: now) decides which sessions are over. `told` is
    called before each question. Run again, it adds a run; nothing is replaced.
    """
    at = now or utc_now()
    about = {"days": len(days), "start": str(min(days, default="")), "end": str(max(days, default=""))}
    with job(store, "quality", about) as run:
        outcome = collect(run_rules(store, days, at, told), run.job, at)
        batches = [*_batches(QUALITY_FLAGS, outcome.flags), *_batches(QUALITY, outcome.rows)]
        if batches:
            note(store, _LEDGER, batches)
        run.rows = outcome.rows.num_rows + outcome.flags.num_rows
    return outcome


def chosen_days(store: AnyStore, start: date | None = None, end: date | None = None) -> list[date]:
    """The days of `[start, end)` with quotes, trades, bars or daily bars; without bounds the newest one.

    Raises UsageError when there is none.
    """
    there = sorted({day for days in days_with_rows(store).values() for day in days})
    if start is None and end is None:
        found = there[-1:]
    else:
        found = [d for d in there if (start is None or d >= start) and (end is None or d < end)]
    if not found:
        held = f"rows from {there[0]} to {there[-1]}" if there else "no rows at all"
        raise UsageError(f"quality: expected sessions with rows in [{start or ''}, {end or ''}), was {held}")
    return found


def days_after_transform(store: AnyStore, touched: Sequence[date] | None) -> list[date]:
    """The days to check after a transform: those that were touched; when all were, the newest that has no grade yet and
    up to 19 before it."""
    there = sorted({day for days in days_with_rows(store).values() for day in days})
    if touched is not None:
        return [day for day in touched if day in there]
    known = {row["session"] for row in store.query("select distinct session from quality").to_pylist()}
    return [day for day in there[-_AT_FIRST:] if day not in known]


def _batches(table: Table, rows: pa.Table) -> list[Batch]:
    return [Batch(table, part) for part in rows.to_batches() if part.num_rows]

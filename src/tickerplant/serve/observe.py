"""Look at a plant for those who ask over HTTP: findings at most seconds old, counts as often as they are cheap."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime

import structlog

from tickerplant.errors import TickerplantError
from tickerplant.jobs.finding import Check
from tickerplant.jobs.health import health
from tickerplant.jobs.status import status
from tickerplant.logs import open_log
from tickerplant.serve.metrics import Counts
from tickerplant.settings import Settings
from tickerplant.stores import StoreOptions, open_store

log = structlog.get_logger()

_FRESH_S = 5.0
_COUNTS_FRESH_S, _REST = 15.0, 20.0
_PATIENCE_S = 5.0
_GAPS = "select vendor || '.' || feed as feed, state, count(*) as n from gaps group by 1, 2 order by 1, 2"
_JOBS = """
select what, outcome, rows, started_at as "start", ended_at as "end" from (
    select j.*, row_number() over (partition by what order by started_at desc) as n from jobs j
) newest where n = 1 order by what
"""


def find(settings: Settings, options: StoreOptions) -> list[Check]:
    """The findings of `health`; one that cannot be had is a finding too."""
    try:
        return health(settings, options)
    except TickerplantError as error:
        return [Check("health", "fail", str(error), "tickerplant config")]


def count(settings: Settings, options: StoreOptions) -> Counts:
    """Count lag, rows, gaps and jobs. Reads the whole store: as long as `tickerplant status` takes."""
    began = time.perf_counter()
    with closing(open_store(settings.store, read_only=True, options=options)) as store:
        found = status(open_log(settings.log), store, gap_limit=0)
        gaps, jobs = store.query(_GAPS).to_pylist(), store.query(_JOBS).to_pylist()
    return Counts(found, tuple(gaps), tuple(jobs), datetime.now(UTC), time.perf_counter() - began)


class Observer:
    """Findings and counts of one plant, shared by all who ask.

    Counting goes on beside the answers and rests twenty times as long as it took, at least 15 s: an answer never waits
    for it, but the first, for up to 5 s. While it fails, what was counted last stays.
    """

    def __init__(
        self,
        look: Callable[[], list[Check]],
        count: Callable[[], Counts],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look, self._count, self._clock = look, count, clock
        self._looking = asyncio.Lock()
        self._checks: tuple[float, list[Check]] | None = None
        self._counts: Counts | None = None
        self._due = float("-inf")
        self._counting: asyncio.Task[None] | None = None

    async def checks(self) -> list[Check]:
        """The findings, at most 5 s old."""
        async with self._looking:
            if self._checks is None or self._clock() - self._checks[0] > _FRESH_S:
                found = await asyncio.to_thread(self._look)
                self._checks = (self._clock(), found)
            return self._checks[1]

    async def counts(self) -> Counts | None:
        """What was counted last; None when nothing could be so far."""
        if self._counting is None and self._clock() >= self._due:
            self._counting = asyncio.create_task(self._recount())
        if self._counts is None and self._counting is not None:
            await asyncio.wait({self._counting}, timeout=_PATIENCE_S)
        return self._counts

    async def _recount(self) -> None:
        began = self._clock()
        try:
            self._counts = await asyncio.to_thread(self._count)
        except TickerplantError as error:
            log.warning("not counted", problem=str(error))
        finally:
            self._due = self._clock() + max(_COUNTS_FRESH_S, _REST * (self._clock() - began))
            self._counting = None

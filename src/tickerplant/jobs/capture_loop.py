"""The loop of a capture: connect, stay, come back after a while, until stopped or its time is over."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from math import inf
from random import Random
from typing import Any, Literal

import structlog

from tickerplant.errors import Fatal, TickerplantError
from tickerplant.jobs.capture_link import End, Link, Traffic
from tickerplant.jobs.capture_options import CaptureState, CaptureSummary, Job
from tickerplant.jobs.capture_records import Journal
from tickerplant.jobs.capture_watch import Watch, starts_of
from tickerplant.net.backoff import Backoff

log = structlog.get_logger()

Ended = Literal["ended", "stopped"]

_LOOK_S = 1.0


class Loop:
    """One run of a capture, over all of its connections."""

    def __init__(self, job: Job) -> None:
        self._began = time.monotonic()
        self._job, self._traffic = job, Traffic()
        self._backoff = Backoff(job.options.backoff, Random(job.options.seed))
        channels = job.dialogue().channels
        self._watch = Watch(job, channels, self._traffic)
        self._journal = Journal(job, channels)

    async def run(self) -> Ended:
        """Capture until stopped or over. Raises Fatal when the vendor refuses for good, or too many connects failed."""
        over = asyncio.create_task(self._over())
        watching = asyncio.create_task(self._watch.run(self._report))
        watching.add_done_callback(self._watch.failed)
        link = None
        try:
            while not over.done():
                await asyncio.wait({over}, timeout=max(0.0, self._backoff.next_at - time.monotonic()))
                if not over.done():
                    link = await self._one_connection(over)
            return self._ended(link)
        finally:
            await _cancelled(over, watching)
            self._watch.save()

    def summary(self, partition: str, ended: Ended) -> CaptureSummary:
        """What was done."""
        journal, traffic = self._journal, self._traffic
        return CaptureSummary(
            partition,
            ended,
            journal.connections,
            journal.disconnects,
            journal.attempts,
            traffic.frames,
            traffic.bytes,
            traffic.control,
            dict(self._job.tally.messages),
            journal.gaps,
            journal.last_error,
            round(time.monotonic() - self._began, 3),
        )

    async def _over(self) -> None:
        """Wait for the end; a clock that is set, or a machine that slept, is noticed within a second."""
        job, began = self._job, time.monotonic()
        while not job.stop.is_set() and (left := self._left_s(began)) > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(job.stop.wait(), min(left, _LOOK_S))

    def _left_s(self, began: float) -> float:
        options, left = self._job.options, inf
        if options.duration_s is not None:
            left = options.duration_s - (time.monotonic() - began)
        if options.until is not None:
            left = min(left, options.until.timestamp() - self._job.clock() / 1e9)
        return left

    async def _one_connection(self, over: asyncio.Task[None]) -> Link | None:
        """Connect, and stay until the connection or the capture is over. Returns the link if it was live to the end."""
        self._backoff.started(time.monotonic())
        link = Link(self._job.dialogue(), self._job.writer, self._traffic, self._job.tally, self._went_live)
        self._watch.link = link
        try:
            problem = await self._until_live(link, over)
            live_at = time.monotonic()
            end = await self._stay(link, over) if link.is_live else None
        finally:
            self._watch.link = None
            await link.close()
        if end is not None:
            problem = end.problem
            self._journal.lost(end, starts_of(self._journal.channels, link, end.alarm, self._job.options.watchdog))
            now = time.monotonic()
            self._backoff.lost(now, live_s=now - live_at, data=link.has_data, problem=problem)
        elif problem is not None:
            self._attempt_failed(problem)
        _raise_unless_passing(problem)
        return link if link.is_live and end is None else None

    async def _until_live(self, link: Link, over: asyncio.Task[None]) -> Exception | None:
        timeout_s = self._job.vendor.limits.dialogue_timeout_s
        opening = asyncio.create_task(
            link.open(self._job.url, self._job.options.socket, self._journal.stamp, timeout_s)
        )
        await asyncio.wait([opening, over], return_when=asyncio.FIRST_COMPLETED)
        if not opening.done():
            await _cancelled(opening)
            return None
        problem = opening.exception()
        assert problem is None or isinstance(problem, Exception)
        return problem

    async def _stay(self, link: Link, over: asyncio.Task[None]) -> End | None:
        """Wait for the end of a live connection; None when the capture is over before it."""
        options = self._job.options
        throttle = asyncio.create_task(
            link.throttle(self._job.pending_bytes, options.high_water_bytes, options.low_water_bytes)
        )
        try:
            either: list[asyncio.Future[Any]] = [link.end, over]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancelled(throttle)
        return link.end.result() if link.end.done() else None

    def _went_live(self) -> int:
        at = self._journal.went_live()
        self._watch.connected()
        return at

    def _attempt_failed(self, problem: Exception) -> None:
        attempt, limit = self._journal.failed(problem), self._job.options.max_attempts
        if limit and attempt >= limit and isinstance(problem, TickerplantError) and not isinstance(problem, Fatal):
            raise Fatal(f"{problem}; gave up after {limit} attempts (MAX_RECONNECT_ATTEMPTS)") from problem
        if not isinstance(problem, Fatal):
            wait = self._backoff.failed(time.monotonic(), problem)
            log.warning("no connection", problem=str(problem), attempt=attempt, next_in_s=round(wait, 1))

    def _ended(self, link: Link | None) -> Ended:
        """The capture is over, with a live connection or while down."""
        reason: Ended = "stopped" if self._job.stop.is_set() else "ended"
        is_cut_short = link is not None and reason == "stopped" and self._job.session(wait=True) is not None
        self._journal.ended(reason, link is not None, link.last_at if link is not None and is_cut_short else None)
        return reason

    def _report(self) -> None:
        if self._job.report:
            self._job.report(self._state())

    def _state(self) -> CaptureState:
        link, traffic = self._watch.link, self._traffic
        return CaptureState(
            link is not None and link.is_live,
            self._journal.connections,
            traffic.frames,
            traffic.bytes,
            dict(self._job.tally.messages),
            self._job.pending_bytes(),
            time.monotonic() - self._began,
            self._journal.last_error,
        )


def _raise_unless_passing(problem: Exception | None) -> None:
    """Raise what a new connection cannot mend: a Fatal, or a failure of our own (a full disk)."""
    if isinstance(problem, Fatal) or (problem is not None and not isinstance(problem, TickerplantError)):
        raise problem


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)

"""How a capture watches its connection: counts a tick, the watchdog, and the profile that outlives the process."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import structlog

from tickerplant.jobs.capture_link import End, Link, Traffic
from tickerplant.jobs.capture_options import Job
from tickerplant.net.watchdog import Alarm, Watchdog, WatchdogOptions

log = structlog.get_logger()

_PROFILE_EVERY_S = 60.0
_COUNTED_AFTER_NS = 1_000_000_000
_FIREHOSE = ("quotes", "trades")


class Watch:
    """Looks every `tick_s` at what `link` brings and ends it when the watchdog raises an alarm."""

    def __init__(self, job: Job, channels: tuple[str, ...], traffic: Traffic) -> None:
        self.link: Link | None = None
        self._job, self._traffic = job, traffic
        firehose = [c for c in _FIREHOSE if c in channels and job.selection.symbols == ("*",)]
        self._watchdog = Watchdog(channels, firehose, job.options.watchdog)
        self._counted, self._frames = dict(job.tally.messages), 0
        self._learn()

    @property
    def _profile(self) -> Path | None:
        state = self._job.options.state
        return state / "profile.json" if state else None

    def _learn(self) -> None:
        if self._profile is not None and self._profile.is_file():
            try:
                self._watchdog.learn(json.loads(self._profile.read_text()))
            except (ValueError, OSError) as error:
                log.warning("profile not used", problem=str(error))

    def save(self) -> None:
        """Keep what was learned for the next process."""
        if self._profile is not None:
            with suppress(OSError):
                fresh = self._profile.with_suffix(".tmp")
                fresh.write_text(json.dumps(self._watchdog.as_json()))
                fresh.replace(self._profile)

    def connected(self) -> None:
        """A new connection is live."""
        self._watchdog.connected(self._job.clock())

    async def run(self, report: Callable[[], None]) -> None:
        """Look until cancelled, and call `report` after each look."""
        saved_at = time.monotonic()
        while True:
            await asyncio.sleep(self._job.options.tick_s)
            fresh = self._fresh()
            if fresh is not None:
                self._look(fresh)
            report()
            if time.monotonic() - saved_at >= _PROFILE_EVERY_S:
                saved_at = time.monotonic()
                self.save()

    def failed(self, watching: asyncio.Task[None]) -> None:
        """A failure of our own must not leave a connection unwatched."""
        error = None if watching.cancelled() else watching.exception()
        if isinstance(error, Exception) and self.link is not None:
            self.link.finish(End("failed", repr(error), error))

    def _fresh(self) -> dict[str, int] | None:
        """Messages by channel since the last look; None when what arrived is not written, and so not counted, yet."""
        fresh = {c: n - self._counted[c] for c, n in self._job.tally.messages.items()}
        if self._traffic.frames > self._frames and not any(fresh.values()) and self._job.pending_bytes() > 0:
            return None
        self._counted = {c: self._counted[c] + n for c, n in fresh.items()}
        self._frames = self._traffic.frames
        return fresh

    def _look(self, fresh: dict[str, int]) -> None:
        link, now = self.link, self._job.clock()
        session = self._job.session()
        if link is None or not link.is_live or link.end.done():
            return
        if link.was_paused:
            link.was_paused = False
            self._watchdog.excuse(now)
            return
        alarm = self._watchdog.observe(now, fresh, session)
        if alarm is not None:
            log.warning("alarm", reason=alarm.reason, channel=alarm.channel, detail=alarm.detail)
            link.finish(End(alarm.reason, alarm.detail, alarm=alarm))


def starts_of(channels: tuple[str, ...], link: Link, alarm: Alarm | None, watchdog: WatchdogOptions) -> dict[str, int]:
    """For each channel the receipt (ns) of its last sure frame.

    Messages are counted when they are on disk, so an alarm's start can be late by as much as that took.
    """
    starts = dict.fromkeys(channels, link.last_at)
    if alarm is None:
        return starts
    is_wholly_mute = alarm.reason == "mute" and link.last_at - alarm.start < watchdog.mute_s / 2 * 1e9
    if not is_wholly_mute:
        early = {c: start - _COUNTED_AFTER_NS for c, start in alarm.starts.items() if c in starts}
        starts |= {c: min(max(start, link.live_at), link.last_at) for c, start in early.items()}
    return starts

"""Capture a live feed into the log: connect, land every frame, name every hole, come back, until told to end.

Besides the vendor's frames (kinds `data` and `control`) two kinds of record are written, with JSON payloads. `load`
turns their gaps into rows of `gaps`: a `disconnected` record opens a row for each channel, the `connected` record that
ends the hole carries the same starts and closes it. Times are receipts, in ns since 1970.

connected: everything asked for is acknowledged.

    {"connection": 2, "url": "wss://host/v2/sip", "channels": ["quotes"], "symbols": ["*"], "gap": null}
    "symbols": at most 50, then also "symbol_count"
    "gap": null, or {"reason", "starts": {"quotes": 1763649000123456789}, "attempts": 3, "detail": "close 1006"}
    "attempts": connects that failed in between; after an alarm also "expected_per_s" and "found_per_s"

disconnected: nothing is listened to from here on.

    {"connection": 2, "reason": "disconnected", "detail": "close 1006 connection lost", "gap": as above}

| reason | what happened | gap |
|---|---|---|
| `disconnected` | the line was cut or the vendor closed it, whatever the code | yes |
| `mute`, `half_dead` | the watchdog ended a connection that was not what it usually is | yes |
| `failed` | never connected yet, or refused for good (402, 409, 411; HTTP 4xx) | yes |
| `stopped` | SIGTERM or SIGINT; inside a session (pre-market to after-hours) the rest of it is missing | in a session |
| `ended` | the time asked for is over | null |
| `killed` | only in the gap of the next `connected`: the owner before did not end its log | yes |

`starts` is the receipt of the last data frame of the lost connection (of its `connected` record when there was none),
for the channels of an alarm the moment when they were last usual. Failed connects write nothing, except the first one
when no `disconnected` record has opened the hole yet.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from inspect import signature
from pathlib import Path
from random import Random
from typing import Any, Literal

import structlog

from tickerplant.calendar import Session
from tickerplant.errors import Fatal, TickerplantError, UsageError
from tickerplant.jobs.capture_gaps import Hole, connected_payload, disconnected_payload, inherited_hole
from tickerplant.jobs.capture_link import End, Link, Tally, Traffic
from tickerplant.jobs.capture_options import CaptureOptions, CaptureState, CaptureSummary
from tickerplant.jobs.capture_sessions import NearSessions
from tickerplant.model import Credentials, Dialogue, Kind, Log, LogWriter, Selection, Vendor
from tickerplant.net.backoff import Backoff
from tickerplant.net.watchdog import Alarm, Watchdog, WatchdogOptions
from tickerplant.net.websocket import public_url, receipts

__all__ = ["CaptureOptions", "CaptureState", "CaptureSummary", "capture", "partition_of"]

log = structlog.get_logger()

_DEFAULTS = CaptureOptions()
_PROFILE_EVERY_S = 60.0
_COUNTED_AFTER_NS = 1_000_000_000
_FIREHOSE = ("quotes", "trades")


@dataclass
class _Capture:
    """State over all connections of one run."""

    vendor: Vendor
    url: str
    selection: Selection
    credentials: Credentials
    options: CaptureOptions
    writer: LogWriter
    tally: Tally
    stop: asyncio.Event
    clock: Callable[[], int]
    report: Callable[[CaptureState], None] | None
    sessions: NearSessions
    link: Link | None = None
    hole: Hole | None = None
    connections: int = 0
    disconnects: int = 0
    attempts: int = 0
    gaps: int = 0
    last_error: str | None = None
    traffic: Traffic = field(default_factory=Traffic)

    def __post_init__(self) -> None:
        self.began = time.monotonic()
        self.stamp = receipts(self.clock, self.writer.last_received_at)
        self.backoff = Backoff(self.options.backoff, Random(self.options.seed))
        self.channels = self._dialogue().channels
        firehose = [c for c in _FIREHOSE if c in self.channels and self.selection.symbols == ("*",)]
        self.watchdog = Watchdog(self.channels, firehose, self.options.watchdog)
        self._learn()
        last = getattr(self.writer, "last_connection", None)
        self.began_at = self.stamp()
        self.hole = inherited_hole(last, self.writer.last_received_at, self.channels)
        self.gaps += self.hole is not None

    def _dialogue(self) -> Dialogue:
        assert self.vendor.dialogue is not None
        return self.vendor.dialogue(self.selection, self.credentials)

    def session(self, wait: bool = False) -> Session | None:
        now = datetime.fromtimestamp(self.clock() / 1e9, UTC)
        return self.options.session_at(now) if self.options.session_at else self.sessions.at(now, wait)

    # -- what is remembered over processes

    @property
    def _profile(self) -> Path | None:
        return self.options.state / "profile.json" if self.options.state else None

    def _learn(self) -> None:
        if self._profile is not None and self._profile.is_file():
            try:
                self.watchdog.learn(json.loads(self._profile.read_text()))
            except (ValueError, OSError) as error:
                log.warning("profile not used", problem=str(error))

    def save_profile(self) -> None:
        if self._profile is not None:
            with suppress(OSError):
                fresh = self._profile.with_suffix(".tmp")
                fresh.write_text(json.dumps(self.watchdog.as_json()))
                fresh.replace(self._profile)

    # -- records

    def _record(self, kind: Kind, payload: bytes) -> int:
        at = self.stamp()
        self.writer.append(kind, at, payload)
        return at

    def _went_live(self) -> int:
        """Write the `connected` record; the hole is over."""
        self.connections += 1
        hole, self.hole = self.hole, None
        url = public_url(self.url)
        payload = connected_payload(self.connections, url, self.channels, self.selection.symbols, hole)
        at = self._record(Kind.CONNECTED, payload)
        gap_s = round((at - min(hole.starts.values())) / 1e9, 3) if hole and hole.starts else 0
        log.info("connected", url=url, connection=self.connections, gap_s=gap_s, after=hole.reason if hole else None)
        self.watchdog.connected(self.clock())
        return at

    def _opens(self, hole: Hole) -> None:
        """A hole begins."""
        self.gaps += 1
        self.hole = hole

    def _note(self, reason: str, detail: str) -> None:
        """Write a `disconnected` record with the present hole, if any."""
        self._record(Kind.DISCONNECTED, disconnected_payload(self.connections, reason, detail, self.hole))
        if self.hole:
            self.hole.is_recorded = True

    def _lost(self, link: Link, end: End) -> None:
        """A live connection is over and the capture is not."""
        self.disconnects += 1
        self.last_error = end.detail
        alarm = end.alarm
        evidence = {"expected_per_s": alarm.expected_per_s, "found_per_s": alarm.found_per_s} if alarm else {}
        starts = _starts(self.channels, link, alarm, self.options.watchdog)
        self._opens(Hole(end.reason, starts, end.detail, evidence=evidence))
        self._note(end.reason, end.detail)
        log.warning("disconnected", reason=end.reason, detail=end.detail, connection=self.connections)

    def _attempt_failed(self, problem: Exception) -> None:
        self.attempts += 1
        self.last_error = str(problem)
        if self.hole is None:
            starts = dict.fromkeys(self.channels, self.began_at)
            self._opens(Hole("failed", starts, str(problem)))
        assert self.hole is not None
        self.hole.attempts += 1
        if not self.hole.is_recorded:
            self._note(self.hole.reason, str(problem))
        if not isinstance(problem, Fatal):
            wait = self.backoff.failed(time.monotonic(), problem)
            log.warning("no connection", problem=str(problem), attempt=self.hole.attempts, next_in_s=round(wait, 1))

    def _ended(self, link: Link | None) -> Literal["ended", "stopped"]:
        """The capture is over, with a live connection or while down: write the last record."""
        reason: Literal["ended", "stopped"] = "stopped" if self.stop.is_set() else "ended"
        if link is not None and reason == "stopped" and self.session(wait=True) is not None:
            self._opens(Hole(reason, dict.fromkeys(self.channels, link.last_at), "stopped inside a session"))
        if link is None and self.hole is not None:
            self._note(self.hole.reason, f"{reason} while down")
        else:
            self._note(reason, "stopped by a signal" if reason == "stopped" else "its time is over")
        log.info("capture over", reason=reason, down=link is None)
        return reason

    # -- the loop

    async def run(self) -> Literal["ended", "stopped"]:
        """Capture until stopped or over. Raises Fatal when the vendor refuses for good."""
        over = asyncio.create_task(self._over())
        ticker = asyncio.create_task(self._tick())
        ticker.add_done_callback(self._tick_failed)
        link = None
        try:
            while not over.done():
                await asyncio.wait({over}, timeout=max(0.0, self.backoff.next_at - time.monotonic()))
                if not over.done():
                    link = await self._one_connection(over)
            return self._ended(link)
        finally:
            await _cancelled(over, ticker)
            self.save_profile()

    async def _over(self) -> None:
        ends = [self.options.duration_s] if self.options.duration_s is not None else []
        if self.options.until is not None:
            ends.append(self.options.until.timestamp() - self.clock() / 1e9)
        with suppress(TimeoutError):
            await asyncio.wait_for(self.stop.wait(), max(0.0, min(ends)) if ends else None)

    async def _one_connection(self, over: asyncio.Task[None]) -> Link | None:
        """Connect, and stay until the connection or the capture is over. Returns the link if it was live to the end."""
        self.backoff.started(time.monotonic())
        link = self.link = Link(self._dialogue(), self.writer, self.traffic, self.tally, self._went_live)
        end = None
        try:
            problem = await self._until_live(link, over)
            live_at = time.monotonic()
            if link.is_live:
                await self._stay(link, over)
                end = link.end.result() if link.end.done() else None
        finally:
            self.link = None
            await link.close()
        if end is not None:
            problem = end.problem
            self._lost(link, end)
            now = time.monotonic()
            self.backoff.lost(now, live_s=now - live_at, data=link.has_data, problem=problem)
        elif problem is not None:
            self._attempt_failed(problem)
        _raise_unless_passing(problem)
        return link if link.is_live and end is None else None

    async def _until_live(self, link: Link, over: asyncio.Task[None]) -> Exception | None:
        opening = asyncio.create_task(
            link.open(self.url, self.options.socket, self.stamp, self.vendor.limits.dialogue_timeout_s)
        )
        await asyncio.wait({opening, over}, return_when=asyncio.FIRST_COMPLETED)
        if not opening.done():
            await _cancelled(opening)
            return None
        problem = opening.exception()
        assert problem is None or isinstance(problem, Exception)
        return problem

    async def _stay(self, link: Link, over: asyncio.Task[None]) -> None:
        throttle = asyncio.create_task(
            link.throttle(self.pending_bytes, self.options.high_water_bytes, self.options.low_water_bytes)
        )
        try:
            either: list[asyncio.Future[Any]] = [link.end, over]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await _cancelled(throttle)

    def pending_bytes(self) -> int:
        """Bytes taken but not on disk."""
        return getattr(self.writer, "pending_bytes", 0)

    # -- watching

    async def _tick(self) -> None:
        counted, frames = dict(self.tally.messages), 0
        profile_at = time.monotonic()
        while True:
            await asyncio.sleep(self.options.tick_s)
            fresh = {c: n - counted[c] for c, n in self.tally.messages.items()}
            is_unwritten = self.traffic.frames > frames and not any(fresh.values()) and self.pending_bytes() > 0
            if not is_unwritten:  # what arrived but is not written is not counted yet: wait for the disk
                counted, frames = {c: counted[c] + n for c, n in fresh.items()}, self.traffic.frames
                self._watch(fresh)
            if self.report:
                self.report(self.state())
            if time.monotonic() - profile_at >= _PROFILE_EVERY_S:
                profile_at = time.monotonic()
                self.save_profile()

    def _tick_failed(self, ticker: asyncio.Task[None]) -> None:
        """A failure of our own must not leave a connection unwatched."""
        error = None if ticker.cancelled() else ticker.exception()
        if isinstance(error, Exception) and self.link is not None:
            self.link.finish(End("failed", repr(error), error))

    def _watch(self, fresh: dict[str, int]) -> None:
        link, now = self.link, self.clock()
        session = self.session()
        if link is None or not link.is_live or link.end.done():
            return
        if link.was_paused:
            link.was_paused = False
            self.watchdog.excuse(now)
            return
        alarm = self.watchdog.observe(now, fresh, session)
        if alarm is not None:
            log.warning("alarm", reason=alarm.reason, channel=alarm.channel, detail=alarm.detail)
            link.finish(End(alarm.reason, alarm.detail, alarm=alarm))

    def state(self) -> CaptureState:
        """Where it is."""
        return CaptureState(
            self.link is not None and self.link.is_live,
            self.connections,
            self.traffic.frames,
            self.traffic.bytes,
            dict(self.tally.messages),
            self.pending_bytes(),
            time.monotonic() - self.began,
            self.last_error,
        )


def _starts(channels: tuple[str, ...], link: Link, alarm: Alarm | None, watchdog: WatchdogOptions) -> dict[str, int]:
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


def _raise_unless_passing(problem: Exception | None) -> None:
    """Raise what a new connection cannot mend: a Fatal, or a failure of our own (a full disk)."""
    if isinstance(problem, Fatal) or (problem is not None and not isinstance(problem, TickerplantError)):
        raise problem


async def _cancelled(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def partition_of(vendor: Vendor, url: str) -> str:
    """The partition of the log that a capture of `url` owns: vendor and feed."""
    if vendor.feed_of is None or vendor.dialogue is None:
        raise UsageError(f"capture: expected a vendor with a live feed, was {vendor.name}")
    return f"{vendor.name}.{vendor.feed_of(url)}"


def _writer(log: Log, partition: str, tally: Tally) -> LogWriter:
    """The partition's writer; one that calls back with the lines it has written counts messages off the read path."""
    make: Callable[..., LogWriter] = log.writer
    if "on_chunk" not in signature(make).parameters:
        return make(partition)
    tally.counts_lines = True
    return make(partition, on_chunk=tally.add)


async def capture(
    vendor: Vendor,
    url: str,
    selection: Selection,
    credentials: Credentials,
    log: Log,
    options: CaptureOptions = _DEFAULTS,
    *,
    stop: asyncio.Event,
    clock: Callable[[], int] = time.time_ns,
    report: Callable[[CaptureState], None] | None = None,
) -> CaptureSummary:
    """Land what `vendor` sends for `selection` in `log` until `stop` is set or the time of `options` is over.

    Reconnects for ever with back-off. Raises Busy before any connect when another capture owns the partition, Fatal
    when the vendor refuses for good (after a `disconnected` record), OSError when the log cannot be written. The log
    is sealed on return.
    """
    partition = partition_of(vendor, url)
    assert vendor.dialogue is not None
    tally = Tally(vendor.dialogue(selection, credentials).markers)
    writer = _writer(log, partition, tally)
    sessions = NearSessions(options.state / "sessions.json" if options.state else None)
    try:
        run = _Capture(vendor, url, selection, credentials, options, writer, tally, stop, clock, report, sessions)
        ended = await run.run()
    finally:
        sessions.close()
        writer.close()
    return CaptureSummary(
        partition,
        ended,
        run.connections,
        run.disconnects,
        run.attempts,
        run.traffic.frames,
        run.traffic.bytes,
        run.traffic.control,
        dict(run.tally.messages),
        run.gaps,
        run.last_error,
        round(time.monotonic() - run.began, 3),
    )

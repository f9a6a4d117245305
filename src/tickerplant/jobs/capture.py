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
from collections.abc import Callable
from inspect import signature

from tickerplant.clock import now_ns
from tickerplant.errors import UsageError
from tickerplant.jobs.capture_link import Tally
from tickerplant.jobs.capture_loop import Loop
from tickerplant.jobs.capture_options import CaptureOptions, CaptureState, CaptureSummary, Job
from tickerplant.jobs.capture_sessions import NearSessions
from tickerplant.jobs.capture_shards import Shard
from tickerplant.model import Credentials, Log, LogWriter, Selection, Vendor

__all__ = ["CaptureOptions", "CaptureState", "CaptureSummary", "capture", "partition_of"]

_DEFAULTS = CaptureOptions()


def partition_of(vendor: Vendor, url: str, shard: Shard | None = None) -> str:
    """The partition of the log that a capture of `url` owns: vendor and feed, and the shard's name."""
    if vendor.feed_of is None or vendor.dialogue is None:
        raise UsageError(f"capture: expected a vendor with a live feed, was {vendor.name}")
    return f"{vendor.name}.{vendor.feed_of(url)}" + (f".{shard.name}" if shard else "")


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
    clock: Callable[[], int] = now_ns,
    report: Callable[[CaptureState], None] | None = None,
) -> CaptureSummary:
    """Land what `vendor` sends for `selection` in `log` until `stop` is set or the time of `options` is over.

    Reconnects for ever with back-off. Raises Busy before any connect when another capture owns the partition, Fatal
    when the vendor refuses for good (after a `disconnected` record), OSError when the log cannot be written. The log
    is sealed on return.
    """
    partition = partition_of(vendor, url, options.shard)
    assert vendor.dialogue is not None
    tally = Tally(vendor.dialogue(selection, credentials).markers)
    writer = _writer(log, partition, tally)
    sessions = NearSessions(options.state / "sessions.json" if options.state else None)
    try:
        job = Job(
            vendor, url, selection, credentials, options, writer, tally, sessions, stop=stop, clock=clock, report=report
        )
        loop = Loop(job)
        ended = await loop.run()
    finally:
        sessions.close()
        writer.close()
    return loop.summary(partition, ended)

"""`tickerplant capture`."""

from __future__ import annotations

import asyncio
import gc
import re
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import structlog
import typer

from tickerplant.calendar import NEW_YORK, Session
from tickerplant.cli import console
from tickerplant.clock import utc_now
from tickerplant.errors import UsageError

if TYPE_CHECKING:
    from tickerplant.jobs.capture import CaptureOptions, CaptureState, CaptureSummary
    from tickerplant.model import Credentials, Log, Selection, Vendor

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
_LINE_EVERY_S = 10.0


def seconds_of(text: str) -> float:
    """`90`, `90s`, `5m` or `2h` in seconds. Raises UsageError for anything else and for 0."""
    match = _SPAN.fullmatch(text.strip().lower())
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if seconds <= 0:
        raise UsageError(f"--for: expected a time such as 90, 90s, 5m or 2h, was {text!r}")
    return seconds


def moment_of(text: str, now: datetime) -> datetime:
    """`16:00` (New York, the day of `now`) or an ISO time, New York when it names no zone. Raises UsageError."""
    try:
        clock = datetime.strptime(text, "%H:%M").time() if len(text) <= 5 else None  # noqa: DTZ007
        parsed = datetime.combine(now.astimezone(NEW_YORK), clock) if clock else datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--until: expected a time such as 16:00 or 2026-11-23T16:00, was {text!r}") from None
    moment = (parsed if parsed.tzinfo else parsed.replace(tzinfo=NEW_YORK)).astimezone(UTC)
    if moment <= now:
        raise UsageError(f"--until: expected a time to come, was {moment.astimezone(NEW_YORK):%Y-%m-%d %H:%M} New York")
    return moment


def _always_open(now: datetime) -> Session:
    """A session around any moment, for feeds that have no closing time."""
    ends = [now + timedelta(days=d) for d in (-2, -1, 1, 2)]
    return Session(now.astimezone(NEW_YORK).date(), *ends)


def _default_end(state: Path, now: datetime) -> datetime | None:
    """The end of the running session; None, said on stderr, when there is none."""
    from tickerplant.jobs.capture_sessions import NearSessions

    coming = NearSessions(state / "sessions.json" if state.is_dir() else None).coming(now)
    if coming and coming.pre_open <= now:
        return coming.post_close
    opens = f"; the next one begins {coming.pre_open.astimezone(NEW_YORK):%Y-%m-%d %H:%M} New York" if coming else ""
    structlog.get_logger().info(f"no session now{opens}; capturing until stopped")
    return None


def _credentials(vendor: Vendor, url: str) -> Credentials:
    from tickerplant.model import Credentials
    from tickerplant.net.websocket import is_loopback

    settings = console.settings()
    found = Credentials(settings.alpaca_key, settings.alpaca_secret)
    if not (found.key and found.secret) and not is_loopback(url):
        raise UsageError(f"{vendor.name}: expected ALPACA_API_KEY and ALPACA_SECRET_KEY, was no key; set both")
    return found


def _with_encoding(vendor: Vendor, encoding: str) -> Vendor:
    if encoding == "json":
        return vendor
    from tickerplant.vendors.alpaca.wire import dialogue

    return replace(vendor, dialogue=partial(dialogue, encoding="msgpack"))


def _progress(ticker: console.Ticker) -> Callable[[CaptureState], None]:
    """Say where the capture is: a live line on a terminal, a log line every 10 s elsewhere."""
    log = structlog.get_logger()
    said_at = time.monotonic()

    def report(state: CaptureState) -> None:
        nonlocal said_at
        total = sum(state.messages.values())
        rate = total / state.seconds if state.seconds else 0.0
        each = ", ".join(f"{n:,} {channel}" for channel, n in state.messages.items())
        status = "live" if state.is_live else f"down: {console.plain(state.last_error or 'connecting')}"
        ticker.say(f"{status} | {each} | {state.bytes / 1e6:,.1f} MB | {rate:,.0f}/s | {state.seconds:,.0f} s")
        if time.monotonic() - said_at >= _LINE_EVERY_S:
            said_at = time.monotonic()
            log.info("capturing", live=state.is_live, **state.messages, frames=state.frames, bytes=state.bytes)

    return report


def run_capture(
    vendor: Vendor,
    url: str,
    selection: Selection,
    credentials: Credentials,
    log: Log,
    options: CaptureOptions,
    report: Callable[[CaptureState], None] | None = None,
) -> CaptureSummary:
    """Capture on an event loop of its own; SIGTERM and SIGINT end it cleanly."""
    import uvloop

    from tickerplant.jobs.capture import capture

    async def main() -> CaptureSummary:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        gc.collect()
        gc.freeze()
        return await capture(vendor, url, selection, credentials, log, options, stop=stop, report=report)

    return uvloop.run(main())


@dataclass(frozen=True)
class Request:
    """What to capture, as typed on the command line; None takes the setting."""

    url: str | None = None
    symbols: str | None = None
    channels: str | None = None
    log: str | None = None
    duration: str | None = None
    until: str | None = None
    encoding: str = "json"
    always_open: bool = False
    shard: str | None = None


def perform(request: Request, quiet: bool) -> CaptureSummary:
    """Capture what was asked for until its time is over or a signal comes."""
    from tickerplant.jobs.capture import CaptureOptions, partition_of
    from tickerplant.jobs.capture_shards import Shard
    from tickerplant.logs import open_log
    from tickerplant.model import Selection
    from tickerplant.settings import names
    from tickerplant.vendors import vendor

    settings, now = console.settings(), utc_now()
    chosen = _with_encoding(vendor("alpaca"), request.encoding)
    where = request.url or settings.alpaca_url
    channels = names(request.channels) if request.channels else settings.channels
    symbols = names(request.symbols) if request.symbols else settings.symbols
    shard = Shard.parse(request.shard) if request.shard else None
    wanted = Selection(channels, shard.share(symbols) if shard else symbols)
    target = open_log(
        request.log or settings.log,
        sync_interval_s=settings.sync_interval_s,
        segment_bytes=settings.segment_bytes,
        segment_age_s=settings.segment_age_s,
    )
    state = target.folder / partition_of(chosen, where, shard)
    span = seconds_of(request.duration) if request.duration else None
    end = moment_of(request.until, now) if request.until else None
    credentials = _credentials(chosen, where)
    if span is None and end is None and not request.always_open:
        end = _default_end(state, now)
    session_at = _always_open if request.always_open else None
    options = CaptureOptions(
        span, end, state=state, session_at=session_at, max_attempts=settings.max_attempts, shard=shard
    )
    with console.Ticker(quiet) as ticker:
        return run_capture(chosen, where, wanted, credentials, target, options, _progress(ticker))


def say(summary: CaptureSummary) -> None:
    """Print a summary for people."""
    each = ", ".join(f"{n:,} {channel}" for channel, n in summary.messages.items())
    console.out.print(
        f"{each}; {summary.connections} connections, {summary.gaps} gaps; "
        f"{summary.bytes / 1e6:,.1f} MB in {summary.seconds:,.1f} s"
    )


Url = Annotated[str | None, typer.Option(help="Websocket of the feed.")]
Symbols = Annotated[str | None, typer.Option(help="Symbols, separated by commas; '*' is all.")]
Channels = Annotated[str | None, typer.Option(help="Channels, separated by commas.")]
LogUrl = Annotated[str | None, typer.Option("--log", help="The log to write.")]
Duration = Annotated[str | None, typer.Option("--for", help="How long: 90, 90s, 5m, 2h.")]
Until = Annotated[str | None, typer.Option(help="When to end: 16:00 (New York, today) or an ISO time.")]
Encoding = Annotated[Literal["json", "msgpack"], typer.Option(help="How the vendor shall send.")]
AlwaysOpen = Annotated[
    bool, typer.Option("--always-open", help="Watch the feed at any hour: the test stream, a simulation.")
]
ShardOf = Annotated[
    str | None,
    typer.Option(
        "--shard", help="Take one share of the symbols, such as 2/4, into a partition of its own; start one of each."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the counters as one JSON line at the end.")]


def command(
    url: Url = None,
    symbols: Symbols = None,
    channels: Channels = None,
    log: LogUrl = None,
    duration: Duration = None,
    until: Until = None,
    encoding: Encoding = "json",
    always_open: AlwaysOpen = False,
    shard: ShardOf = None,
    as_json: AsJson = False,
) -> None:
    """Capture a live feed into the log until its time is over or SIGTERM; without a time, until the session's end."""
    summary = perform(Request(url, symbols, channels, log, duration, until, encoding, always_open, shard), as_json)
    if as_json:
        console.print_json(asdict(summary))
    else:
        say(summary)

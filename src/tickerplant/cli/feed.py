"""The feed of `tickerplant serve`."""

from __future__ import annotations

import asyncio
import gc
import signal
from typing import TYPE_CHECKING

from tickerplant.cli import console
from tickerplant.errors import UsageError

if TYPE_CHECKING:
    from tickerplant.serve.feed import FeedOptions


def serve_the_feed(
    log: str | None,
    host: str,
    port: int,
    span: tuple[str | None, str | None, float | None],
    channels: str | None,
    symbols: str | None,
) -> None:
    """Serve the log as a feed until stopped; `span` is start, end, speed as typed."""
    from tickerplant.query import moment
    from tickerplant.serve.feed import FeedOptions, accepted_keys
    from tickerplant.settings import names

    settings = console.settings()
    start, end, speed = span
    options = FeedOptions(
        host=host,
        port=port,
        start=moment(start),
        end=moment(end),
        speed=speed if start is None and end is None else (1.0 if speed is None else speed),
        buffer_bytes=settings.feed_buffer_bytes,
        keys=accepted_keys(settings.feed_keys.reveal()),
        channels=frozenset(map(_vendor_name, names(channels))) if channels else None,
        symbols=frozenset(names(symbols)) if symbols and symbols.strip() != "*" else None,
    )
    _run(log or settings.log, options)


def _vendor_name(channel: str) -> str:
    from tickerplant.vendors.alpaca.channels import CHANNELS

    if channel not in CHANNELS:
        raise UsageError(f"--channels: expected channels among {', '.join(CHANNELS)}, was {channel!r}")
    return CHANNELS[channel].vendor_name


def _run(log: str, options: FeedOptions) -> None:
    import uvloop

    from tickerplant.logs import open_log
    from tickerplant.serve.feed import serve_feed

    async def serve() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        gc.collect()
        gc.freeze()
        await serve_feed(open_log(log), options, ready=console.print_json, stop=stop)

    uvloop.run(serve())

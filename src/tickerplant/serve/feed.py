"""The feed: serves the log to any number of clients in the vendor's protocol, live or a recorded span of it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

import structlog
from picows import WSCloseCode, WSUpgradeRequest, ws_create_server

from tickerplant.errors import UsageError
from tickerplant.logs.layout import vendor_and_feed
from tickerplant.model import Log, Secret
from tickerplant.net.served import Connection
from tickerplant.net.websocket import is_loopback
from tickerplant.serve.feed_client import Pace, Subscriber
from tickerplant.serve.feed_live import Follower, Live
from tickerplant.serve.feed_recorded import Recorded
from tickerplant.serve.feed_stretch import Need
from tickerplant.vendors.dialect import Dialect

log = structlog.get_logger()

_TILE_NS = 5_000_000
_GOODBYE_S = 2.0


@dataclass(frozen=True)
class FeedOptions:
    """How to serve. `start`, `end` or `speed` given: a recorded span (receipt, half-open) instead of the live end.

    `speed` is seconds of the record a second, 0 as fast as each client takes it. `buffer_bytes`: what a live client
    may be behind, in bytes of the log. `keys`: accepted keys with their secrets, None any. `channels` (the vendor's
    names) and `symbols` are what clients may have, None all.
    """

    host: str = "127.0.0.1"
    port: int = 0
    start: datetime | None = None
    end: datetime | None = None
    speed: float | None = None
    buffer_bytes: int = 16 << 20
    poll_s: float = 0.005
    keys: Mapping[str, Secret] | None = None
    channels: frozenset[str] | None = None
    symbols: frozenset[str] | None = None
    vendor: str = "alpaca"

    @property
    def is_live(self) -> bool:
        """Whether the growing end of the log is served."""
        return self.start is None and self.end is None and self.speed is None

    @property
    def address(self) -> str:
        """The host as it stands in a URL."""
        return f"[{self.host}]" if ":" in self.host else self.host

    def check(self) -> None:
        """Raise UsageError when strangers could come in."""
        if self.keys is None and not is_loopback(f"ws://{self.address}"):
            raise UsageError(f"serve: expected TICKERPLANT_FEED_KEYS to serve on {self.host}, was none; set key:secret")
        if self.start and self.end and self.start >= self.end:
            raise UsageError(f"serve: expected --start before --end, was [{self.start}, {self.end})")


def accepted_keys(text: str) -> dict[str, Secret] | None:
    """Keys and secrets out of `key:secret,key:secret`; None for an empty text. Raises UsageError, which shows none."""
    pairs = [word.strip().partition(":") for word in text.split(",") if word.strip()]
    if not all(key and secret for key, _, secret in pairs):
        raise UsageError("TICKERPLANT_FEED_KEYS: expected key:secret,key:secret, was something else")
    return {key: Secret(secret) for key, _, secret in pairs} or None


@dataclass
class Hub:
    """The clients, and the tape of each feed."""

    source: Log
    options: FeedOptions
    dialect: Dialect
    is_closing: bool = False
    _clients: set[Subscriber] = field(default_factory=set)
    _tapes: dict[str, Live] = field(default_factory=dict)
    _recorded: dict[str, Recorded] = field(default_factory=dict)
    _needs: dict[Need, Need] = field(default_factory=dict)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def listener(self, request: WSUpgradeRequest) -> Any:
        """Answer a handshake; a path that is no feed of the vendor gets a 404."""
        version, _, feed = request.path.decode("ascii", "replace").partition("?")[0].strip("/").partition("/")
        if version != "v2" or feed not in self.dialect.feeds or self.is_closing:
            return None
        headers = {str(k): str(v) for k, v in request.headers.items()}
        pace = Pace(self.options.speed or 0.0)
        return Subscriber(feed, partial(self._connection, feed, headers), self.dialect, self._on_change, pace)

    def live(self, feed: str) -> Live:
        """The live tape of a feed."""
        if feed not in self._tapes:
            self._tapes[feed] = Live(partial(self._look_for_slow, feed))
        return self._tapes[feed]

    async def close(self) -> None:
        """Close every connection; those that do not answer are left."""
        self.is_closing = True
        for client in list(self._clients):
            client.stop()
            client.close("feed ends", WSCloseCode.GOING_AWAY)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._until_empty(), _GOODBYE_S)

    async def _until_empty(self) -> None:
        while self._clients:
            self._changed.clear()
            await self._changed.wait()

    def _connection(self, feed: str, headers: dict[str, str], client: Subscriber) -> Connection:
        o = self.options
        account = self.dialect.account(feeds=self._feeds(), keys=o.keys, channels=o.channels, only=o.symbols)
        return self.dialect.connection(feed, headers, account, lambda: None)

    def _feeds(self) -> tuple[str, ...]:
        """Feeds that the log has; all of them as long as it has none. Others get a 409 at login."""
        named = map(vendor_and_feed, self.source.partitions())
        found = tuple(feed for vendor, feed in named if vendor == self.dialect.vendor and feed in self.dialect.feeds)
        return found or tuple(self.dialect.feeds)

    def _on_change(self, client: Subscriber) -> None:
        self._changed.set()
        if client.is_gone:
            self._leave(client)
        elif client not in self._clients:
            self._clients.add(client)
            log.info("client_connected", feed=client.feed, clients=len(self._clients))
        elif client.protocol.is_authenticated:
            client.renew(self._needs)
            if client.is_live:
                self._begin(client)

    def _begin(self, client: Subscriber) -> None:
        o, feed = self.options, client.feed
        if o.is_live:
            client.play(self.live(feed).start(), True)
            return
        if feed not in self._recorded:
            width = int(_TILE_NS * o.speed) if o.speed else 0
            self._recorded[feed] = Recorded(self.source, feed, self.dialect, _nanos(o.start), _nanos(o.end), width)
        client.play(self._recorded[feed].start(), False)

    def _leave(self, client: Subscriber) -> None:
        if client not in self._clients:
            return
        client.stop()
        self._clients.discard(client)
        self._needs = {c.need: c.need for c in self._clients if c.need is not None}
        log.info("client_gone", reason=client.close_reason, bytes=client.bytes, clients=len(self._clients))

    def _look_for_slow(self, feed: str) -> None:
        head = self._tapes[feed].head
        for client in list(self._clients):
            if client.feed == feed and client.behind(head) > self.options.buffer_bytes:
                log.warning("client_too_slow", feed=feed, behind_bytes=client.behind(head))
                client.dismiss()


def _nanos(at: datetime | None) -> int | None:
    return None if at is None else round(at.timestamp() * 1_000_000) * 1000


async def serve_feed(
    source: Log, options: FeedOptions, *, ready: Callable[[dict[str, Any]], None], stop: asyncio.Event
) -> None:
    """Serve until `stop` is set. `ready` gets `{"ws", "port", "pid", "feeds"}` once connections are accepted.

    Raises UsageError for options that cannot be, what the log raises, and OSError when the port is taken.
    """
    options.check()
    hub = Hub(source, options, Dialect(options.vendor))
    follower = Follower(source, hub.dialect, hub.live, options.poll_s)
    if options.is_live:
        await follower.look(is_first=True)
    quiet = logging.getLogger("picows.feed")
    quiet.setLevel(logging.CRITICAL)
    server = await ws_create_server(hub.listener, options.host, options.port, logger_name=quiet)
    port = server.sockets[0].getsockname()[1]
    try:
        ws = f"ws://{options.address}:{port}/v2/sip"
        ready({"ws": ws, "port": port, "pid": os.getpid(), "feeds": list(hub.dialect.feeds)})
        await _until(stop, follower if options.is_live else None)
    finally:
        server.close()
        await hub.close()


async def _until(stop: asyncio.Event, follower: Follower | None) -> None:
    """Run the follower until `stop`; raise what it raises."""
    tasks = [asyncio.create_task(stop.wait())]
    if follower is not None:
        tasks.append(asyncio.create_task(follower.run()))  # type: ignore[arg-type]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

"""The simulator: a loopback websocket server that speaks a vendor's protocol and plays a source."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import structlog
from picows import WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener, ws_create_server

from tickerplant.model import Secret
from tickerplant.net.served import Connection
from tickerplant.rest import History
from tickerplant.simulator.client import Client
from tickerplant.simulator.faults import Fault, Schedule, random_plan, random_plan_by_messages
from tickerplant.simulator.history import MarketHistory
from tickerplant.simulator.oracle import Ledger
from tickerplant.simulator.player import Player
from tickerplant.simulator.rest import RestOptions, RestServers, serving
from tickerplant.simulator.source import Source
from tickerplant.vendors.dialect import Dialect

log = structlog.get_logger()

_UNKNOWN_SPAN_S = 3600.0
_RANDOM_MESSAGES = 10_000_000


@dataclass(frozen=True)
class Options:
    """How to serve. Times in seconds; `speed` market seconds a wall second, 0 as fast as the clients take it."""

    port: int = 0
    speed: float = 1.0
    per_frame: int = 20
    clients: int = 1
    """Subscribed clients that the market waits for."""
    connections: int | None = None
    """Authenticated connections at once; one more is answered with 406."""
    symbol_limit: int | None = None
    key: str | None = None
    secret: Secret | None = None
    feeds: tuple[str, ...] | None = None
    """Feeds in the plan; another answers 409. None is all."""
    faults: tuple[Fault, ...] = ()
    faults_seed: int | None = None
    linger_s: float = 5.0
    oracle: Path | None = None
    vendor: str = "alpaca"
    rest: RestOptions | None = None
    """Serve the vendors' REST sides as well."""
    is_rest_only: bool = False
    """Play nothing: the whole source is history at once; ends when told to."""


@dataclass
class Hub:
    """The connections, and who may connect."""

    options: Options
    dialect: Dialect
    ledger: Ledger
    refusal: str | None = None
    _clients: set[Client] = field(default_factory=set)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def listener(self, request: WSUpgradeRequest) -> Any:
        """Answer a handshake."""
        if self.refusal in ("503", "429"):
            refused = WSUpgradeResponse.create_error_response(int(self.refusal), b"try again later")
            return WSUpgradeResponseWithListener(refused, None)
        version, _, feed = request.path.decode("ascii", "replace").partition("?")[0].strip("/").partition("/")
        if version != "v2" or feed not in self.dialect.feeds:
            return None
        headers = {str(k): str(v) for k, v in request.headers.items()}
        return Client(feed, partial(self._connection, feed, headers), self.dialect, self._on_change)

    def live(self) -> list[Client]:
        """Clients that have subscribed to something."""
        return [c for c in self._clients if c.is_live]

    def everyone(self) -> list[Client]:
        """All connections."""
        return list(self._clients)

    async def wait_live(self, count: int = 1) -> None:
        """Return when so many clients are subscribed."""
        await self.wait_for(lambda: len(self.live()) >= count)

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Return when a condition on the connections holds."""
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    def _connection(self, feed: str, headers: dict[str, str], client: Client) -> Connection:
        o = self.options
        account = self.dialect.account(o.key, o.secret, o.symbol_limit, o.feeds or tuple(self.dialect.feeds))
        return self.dialect.connection(feed, headers, account, self._admit)

    def _admit(self) -> int | None:
        held = sum(c.protocol.is_authenticated for c in self._clients)
        is_full = self.options.connections is not None and held >= self.options.connections
        return 406 if is_full or self.refusal == "406" else None

    def _on_change(self, client: Client) -> None:
        if client.sent is None:
            client.sent = self.ledger.opened(client.feed)
            self._clients.add(client)
            log.info("client_connected", feed=client.feed, clients=len(self._clients))
        elif client.is_gone and client in self._clients:
            self._clients.discard(client)
            self.ledger.closed(client.sent, client.close_reason)
            log.info("client_gone", reason=client.close_reason, clients=len(self._clients))
        self._changed.set()


def _schedule(source: Source, options: Options) -> Schedule:
    faults = options.faults
    if options.faults_seed is not None:
        if options.speed == 0:
            faults += random_plan_by_messages(options.faults_seed, _RANDOM_MESSAGES)
        else:
            span = source.span_s / options.speed if source.span_s else _UNKNOWN_SPAN_S
            faults += random_plan(options.faults_seed, span)
    return Schedule(faults)


async def simulate(
    source: Source, options: Options, *, ready: Callable[[dict[str, Any]], None], stop: asyncio.Event
) -> dict[str, Any]:
    """Serve `source` on loopback until it has ended and the clients have left, or `stop` is set; return the oracle.

    `ready` is called with `{"ws", "port", "pid", "feeds"}` once connections are accepted; the oracle file is there
    then.
    """
    dialect = Dialect(options.vendor)
    ledger = Ledger(dialect, source.about, options.oracle)
    hub = Hub(options, dialect, ledger)
    quiet = logging.getLogger("picows.simulator")
    quiet.setLevel(logging.CRITICAL)
    server = await ws_create_server(hub.listener, "127.0.0.1", options.port, logger_name=quiet)
    port = server.sockets[0].getsockname()[1]
    ledger.write()
    history = MarketHistory(source.history, dialect)
    player = Player(hub, ledger, _schedule(source, options), options.speed, options.per_frame)
    player.on_played = history.played if options.rest else None
    try:
        with _rest(history, options) as rest:
            ws = {"ws": f"ws://127.0.0.1:{port}/v2/sip", "port": port, "pid": os.getpid(), "feeds": list(dialect.feeds)}
            work = _recall(source, history, stop) if options.is_rest_only else _serve(source, options, hub, player)
            ready(ws | ({"rest": rest.urls} if rest else {}))
            await _until(stop, work, player)
    finally:
        server.close()
        for client in hub.everyone():
            client.close("simulator ends")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(hub.wait_for(lambda: not hub.everyone()), 2.0)
        oracle = ledger.write()
    return oracle


def _rest(history: History, options: Options) -> contextlib.AbstractContextManager[RestServers | None]:
    return serving(history, options.rest) if options.rest else contextlib.nullcontext()


async def _recall(source: Source, history: MarketHistory, stop: asyncio.Event) -> None:
    """Let the whole source be history at once."""
    for part in source.slices:
        history.played(part, np.arange(len(part.messages)))
        await asyncio.sleep(0)
    await stop.wait()


async def _serve(source: Source, options: Options, hub: Hub, player: Player) -> None:
    beat = asyncio.create_task(_write_each_second(hub.ledger))
    try:
        await hub.wait_live(options.clients)
        log.info("market_started", clients=len(hub.live()))
        await player.play(source.slices)
        hub.ledger.is_complete = True
        hub.ledger.write()
        hub.refusal = None
        await _empty_for(hub, options.linger_s)
    finally:
        beat.cancel()


async def _write_each_second(ledger: Ledger) -> None:
    while True:
        await asyncio.sleep(1.0)
        ledger.write_when_due()


async def _empty_for(hub: Hub, linger_s: float) -> None:
    """Return when no client has been connected for so long."""
    while True:
        await hub.wait_for(lambda: not hub.everyone())
        try:
            await asyncio.wait_for(hub.wait_for(lambda: bool(hub.everyone())), linger_s)
        except TimeoutError:
            return


async def _until(stop: asyncio.Event, work: Coroutine[Any, Any, None], player: Player) -> None:
    """Run `work` to its end, or until `stop` and what was being delivered then has been."""
    working, stopping = asyncio.create_task(work), asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
        else:
            player.is_stopping = True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(player.idle.wait(), 2.0)
    finally:
        for task in (working, stopping):
            task.cancel()
        await asyncio.gather(working, stopping, return_exceptions=True)

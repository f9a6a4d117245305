"""The REST sides of the vendors on loopback: each vendor's own pure server over HTTP, with its limits and faults.

Every vendor has a port of its own, since their paths overlap. The servers run in a thread; the history they answer
from may grow meanwhile.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.util import find_spec
from random import Random
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from tickerplant.errors import Fatal, UsageError
from tickerplant.rest import Account, Answer, History, HttpRequest, RateLimit, Refusal, RestServer
from tickerplant.vendors import vendor, vendors

if TYPE_CHECKING:
    import uvicorn

_Scope = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_STARTED_S = 10.0
_SENT_BYTES = 1 << 16


@dataclass(frozen=True)
class RestOptions:
    """`vendors` to serve, all that have a REST side when None; `latency_s` before each answer; `limits` are kept by
    refusing, those of the vendor's first plan when None.

    `faults` is the share of requests that fail (5xx or an outage page), drawn from `seed`.
    """

    vendors: tuple[str, ...] | None = None
    latency_s: float = 0.0
    limits: tuple[RateLimit, ...] | None = ()
    faults: float = 0.0
    seed: int = 0
    account: Account = Account()
    ports: tuple[int, ...] = ()
    bytes_per_s: float | None = None
    """The pace of a body beyond its first 64 KiB, as over a slow line; as fast as it goes when None."""


@dataclass
class RestSide:
    """One vendor's server: an ASGI application."""

    server: RestServer
    history: History
    options: RestOptions
    limits: tuple[RateLimit, ...]
    chance: Random
    clock: Callable[[], float] = time.time
    calls: Counter[str] = field(default_factory=Counter)
    """Requests by path; beside them `refused`, over a limit, and `failed`, by a fault."""
    _sent: deque[float] = field(default_factory=deque)

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Answer one request (ASGI)."""
        if scope["type"] != "http":
            raise UsageError(f"rest: expected http, was {scope['type']}")
        if self.options.latency_s:
            await asyncio.sleep(self.options.latency_s)
        answer = self.answer(_request(scope, self.clock()))
        headers = [(k.encode(), v.encode()) for k, v in answer.headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else answer.body
        pace = self.options.bytes_per_s
        while pace is not None and len(body) > _SENT_BYTES:
            await send({"type": "http.response.body", "body": body[:_SENT_BYTES], "more_body": True})
            body = body[_SENT_BYTES:]
            await asyncio.sleep(_SENT_BYTES / pace)
        await send({"type": "http.response.body", "body": body})

    def answer(self, request: HttpRequest) -> Answer:
        """The answer to a request, or a refusal."""
        self.calls[request.path] += 1
        refusal = self._refusal(request.at.timestamp())
        if refusal is not None:
            self.calls["refused" if refusal in ("rate", "day") else "failed"] += 1
            return self.server.refusal(refusal, request)
        return self.server.answer(request, self.history, self.options.account)

    def _refusal(self, now: float) -> Refusal | None:
        for limit in self.limits:
            if sum(at > now - limit.seconds for at in self._sent) >= limit.calls:
                return "day" if limit.seconds >= 86_400 else "rate"
        self._sent.append(now)
        longest = max((limit.seconds for limit in self.limits), default=0.0)
        while self._sent and self._sent[0] <= now - longest:
            self._sent.popleft()
        if self.chance.random() < self.options.faults:
            return "error" if self.chance.random() < 0.5 else "html"
        return None


def _request(scope: _Scope, now: float) -> HttpRequest:
    headers = {k.decode("latin-1").lower(): v.decode("latin-1") for k, v in scope["headers"]}
    params = tuple(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    base = f"{scope['scheme']}://{headers.get('host', '127.0.0.1')}"
    return HttpRequest(scope["path"], params, headers, datetime.fromtimestamp(now, UTC), base, scope["method"])


@dataclass(frozen=True)
class RestServers:
    """Vendors that accept requests: base URL by vendor."""

    urls: dict[str, str]
    sides: dict[str, RestSide]


def _side(name: str, history: History, options: RestOptions) -> RestSide:
    rest = vendor(name).rest
    if rest is None:
        raise UsageError(f"rest: expected a vendor with a REST side, was {name!r}")
    limits = next(iter(rest.limits.values())) if options.limits is None else options.limits
    return RestSide(rest.server(), history, options, limits, Random(f"{options.seed}:{name}"))


@contextmanager
def serving(history: History, options: RestOptions) -> Iterator[RestServers]:
    """Serve on 127.0.0.1 until the block ends. Raises UsageError without the extra `simulator`."""
    if find_spec("uvicorn") is None:
        raise UsageError("rest: expected the extra `simulator`, was without; do pip install 'tickerplant[simulator]'")
    names = options.vendors or [name for name, found in vendors().items() if found.rest]
    sides = {name: _side(name, history, options) for name in names}
    ports = iter(options.ports)
    running = {name: _start(side, next(ports, 0)) for name, side in sides.items()}
    try:
        yield RestServers({name: f"http://127.0.0.1:{_port(server)}" for name, (server, _) in running.items()}, sides)
    finally:
        for server, _ in running.values():
            server.should_exit = True
        for _, thread in running.values():
            thread.join(_STARTED_S)


def _start(side: RestSide, port: int) -> tuple[uvicorn.Server, threading.Thread]:
    import uvicorn

    config = uvicorn.Config(
        side,
        "127.0.0.1",
        port,
        log_config=None,
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, name="rest", daemon=True)
    thread.start()
    deadline = time.monotonic() + _STARTED_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise Fatal(f"rest: expected to listen on port {port}, was not able to")
        time.sleep(0.005)
    return server, thread


def _port(server: uvicorn.Server) -> int:
    return int(server.servers[0].sockets[0].getsockname()[1])

"""A websocket server that speaks just enough Alpaca and misbehaves by script: one function a connection, in order."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

Script = Callable[[ServerConnection], Awaitable[None]]


@dataclass(frozen=True)
class Refuse:
    """Answer the handshake with this status."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()


@dataclass
class Feed:
    """A running server. The last script serves every further connection."""

    scripts: Sequence[Script | Refuse]
    url: str = ""
    connects: list[float] = field(default_factory=list)
    closes: list[int | None] = field(default_factory=list)
    requests: list[Any] = field(default_factory=list)

    def _next(self) -> Script | Refuse:
        self.connects.append(asyncio.get_running_loop().time())
        return self.scripts[min(len(self.connects), len(self.scripts)) - 1]

    def admit(self, connection: ServerConnection, request: Request) -> Response | None:
        script = self._next()
        connection.script = script  # type: ignore[attr-defined]
        if not isinstance(script, Refuse):
            return None
        response = connection.respond(HTTPStatus(script.status), "no\n")
        response.headers.update(dict(script.headers))
        return response

    async def serve(self, connection: ServerConnection) -> None:
        try:
            await connection.script(connection)  # type: ignore[attr-defined]
        except ConnectionClosed:
            pass
        finally:
            await connection.close()
            self.closes.append(connection.close_code)


@contextmanager
def feed(*scripts: Script | Refuse) -> Iterator[Feed]:
    """Serve on loopback in a thread of its own."""
    found, ready = Feed(scripts), Future[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]]()

    async def main() -> None:
        over = asyncio.Event()
        async with serve(
            found.serve, "127.0.0.1", 0, process_request=found.admit, compression=None, close_timeout=1
        ) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            ready.set_result((port, asyncio.get_running_loop(), over))
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    port, loop, over = ready.result(10)
    found.url = f"ws://127.0.0.1:{port}/v2/sip"
    try:
        yield found
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)


def text(*messages: dict[str, Any]) -> str:
    """A frame of messages, T first."""
    return json.dumps(messages, separators=(",", ":"))


def quote(number: int) -> dict[str, Any]:
    return {"T": "q", "S": "AAPL", "ax": "Q", "ap": 10.5, "as": 1, "bx": "Q", "bp": 10.25, "bs": number,
            "c": ["R"], "t": "2026-11-20T15:00:00.123456789Z", "z": "C"}  # fmt: skip


def trade(number: int) -> dict[str, Any]:
    return {"T": "t", "S": "AAPL", "i": number, "x": "Q", "p": 10.5, "s": 1, "c": ["@"],
            "t": "2026-11-20T15:00:00.123456789Z", "z": "C"}  # fmt: skip


async def login(connection: ServerConnection) -> None:
    """Greet, take the key, acknowledge the subscription as asked."""
    await connection.send(text({"T": "success", "msg": "connected"}))
    assert json.loads(await connection.recv())["action"] == "auth"
    await connection.send(text({"T": "success", "msg": "authenticated"}))
    asked = json.loads(await connection.recv())
    assert asked.pop("action") == "subscribe"
    await connection.send(text({"T": "subscription", "trades": [], "quotes": [], "bars": [], **asked}))


def session(*frames: str, then: Callable[[ServerConnection], Awaitable[None]] | None = None) -> Script:
    """Log in, send the frames, and then stay until the client leaves, or do `then`."""

    async def script(connection: ServerConnection) -> None:
        await login(connection)
        for frame in frames:
            await connection.send(frame)
        if then is not None:
            await then(connection)
        else:
            await connection.wait_closed()

    return script


def refuse(code: int, message: str) -> Script:
    """Greet, and answer the key with an error."""

    async def script(connection: ServerConnection) -> None:
        await connection.send(text({"T": "success", "msg": "connected"}))
        await connection.recv()
        await connection.send(text({"T": "error", "code": code, "msg": message}))
        await connection.wait_closed()

    return script


async def cut(connection: ServerConnection) -> None:
    """Drop the line without a close frame."""
    connection.transport.abort()

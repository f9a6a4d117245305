"""Websocket clients that keep each frame with the moment it came, for benchmarks of what is served."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
import numpy.typing as npt
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

_LOGIN = msgspec.json.encode({"action": "auth", "key": "k", "secret": "s"})
_SUBSCRIBE = msgspec.json.encode({"action": "subscribe", "quotes": ["*"]})
_QUOTE = b'"T":"q"'

Nanos = npt.NDArray[np.int64]


@dataclass
class Listener(WSListener):
    """Subscribes to all quotes; counts those of each frame. `payloads` are kept when asked for."""

    keeps: bool = False
    times: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    total: int = 0
    seen: int = 0
    last: bytes = b""
    transport: WSTransport | None = None
    is_over: bool = False

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Keep the transport."""
        self.transport = transport

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Note the end."""
        self.is_over = True

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Log in, subscribe, then count."""
        now = time.time_ns()
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
            return
        self.seen += 1
        if self.seen <= 2:
            transport.send(WSMsgType.TEXT, _LOGIN if self.seen == 1 else _SUBSCRIBE)
            return
        payload = frame.get_payload_as_bytes()
        count = payload.count(_QUOTE)
        if count:
            self.times.append(now)
            self.counts.append(count)
            self.total += count
        else:
            self.last = payload
        if self.keeps and count:
            self.payloads.append(payload)

    def received(self) -> Nanos:
        """When each quote came, in order."""
        return np.repeat(np.array(self.times, np.int64), np.array(self.counts))


async def listen(url: str, count: int, keeps: bool = False) -> list[Listener]:
    """Clients that have subscribed."""
    found = [Listener(keeps) for _ in range(count)]
    for one in found:
        await ws_connect(lambda one=one: one, url)
    await until(lambda: all(one.seen >= 3 for one in found))
    return found


async def until(condition: object, timeout_s: float = 120.0) -> bool:
    """Wait for a condition; False when it did not come true in time."""
    assert callable(condition)
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            return False
        await asyncio.sleep(0.02)
    return True


def stop_reading(one: Listener) -> None:
    """Leave what comes in a kernel's buffer that does not grow."""
    assert one.transport is not None
    transport = one.transport.underlying_transport
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    transport.pause_reading()


def leave(listeners: Sequence[Listener]) -> None:
    """End the connections."""
    for one in listeners:
        if one.transport is not None and not one.is_over:
            one.transport.disconnect(False)

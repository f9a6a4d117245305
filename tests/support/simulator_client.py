"""A client for tests of the simulator: speaks the dialogue, keeps every frame with its time, reconnects when told."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from tickerplant.fingerprint import Tally
from tickerplant.model import Decoded, Entry, Kind, Position, Record
from tickerplant.vendors import vendor

ALL = ("trades", "quotes", "bars", "updatedBars", "dailyBars", "statuses", "lulds", "imbalances")
JSON, MSGPACK = {"Content-Type": "application/json"}, {"Content-Type": "application/msgpack"}


@dataclass
class Heard(WSListener):
    """What one connection heard. `data` are frames after the acknowledgement, `control` decoded messages before it."""

    request: Mapping[str, Sequence[str]]
    is_binary: bool = False
    data: list[bytes] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    control: list[dict[str, Any]] = field(default_factory=list)
    close_code: int | None = None
    transport: WSTransport | None = None
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self._news.set()
        if frame.msg_type == WSMsgType.CLOSE:
            self.close_code = int(frame.get_close_code())  # type: ignore[call-overload]
            transport.send_close()
            transport.disconnect()
        elif frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY):
            self._take(frame.get_payload_as_bytes())

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.ended.set()
        self._news.set()

    def send(self, **request: Any) -> None:
        """Send one request."""
        assert self.transport is not None
        encode = msgspec.msgpack.encode if self.is_binary else msgspec.json.encode
        self.transport.send(WSMsgType.BINARY if self.is_binary else WSMsgType.TEXT, encode(request))

    async def until(self, condition: Callable[[], object], timeout_s: float = 20.0) -> None:
        """Wait until a condition on what was heard holds."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), deadline - time.monotonic())

    def hang_up(self) -> None:
        """End the connection."""
        assert self.transport is not None
        self.transport.disconnect()

    def _take(self, payload: bytes) -> None:
        controls = self._controls(payload)
        if controls is None:
            self.data.append(payload)
            self.times.append(time.monotonic())
            return
        self.control += controls
        if controls[0].get("msg") == "connected":
            self.send(action="auth", key="k", secret="s")
        elif controls[0].get("msg") == "authenticated" and self.request:
            self.send(action="subscribe", **self.request)

    def _controls(self, payload: bytes) -> list[dict[str, Any]] | None:
        try:
            found = msgspec.msgpack.decode(payload) if self.is_binary else json.loads(payload)
        except ValueError:
            return None
        is_control = isinstance(found, list) and found[0]["T"] in ("success", "error", "subscription")
        return found if is_control else None


async def connect(url: str, request: Mapping[str, Sequence[str]], headers: Mapping[str, str] = JSON) -> Heard:
    """A connection that logs in and subscribes by itself. Raises what picows raises when the handshake is refused."""
    heard = Heard(request, headers.get("Content-Type") == "application/msgpack")
    await ws_connect(lambda: heard, url, extra_headers=headers)
    return heard


def everything(symbols: Sequence[str] = ("*",)) -> dict[str, list[str]]:
    """A subscription to all channels."""
    return {channel: list(symbols) for channel in ALL}


def decode(frames: Sequence[bytes]) -> Decoded:
    """The rows of frames, by the vendor's own decoder."""
    return vendor("alpaca").decode(
        [
            Entry(Position(k), Position(k + 1), Record("alpaca", "sip", Kind.DATA, 10**18 + k, payload))
            for k, payload in enumerate(frames)
        ]
    )


def tally(frames: Sequence[bytes]) -> dict[str, Any]:
    """The fingerprints of frames, as an oracle writes them."""
    return Tally.of(decode(frames).batches).as_json()

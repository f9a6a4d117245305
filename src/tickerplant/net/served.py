"""One websocket connection that we serve: login in time, whole messages in, frames of data out, and its end.

What a client may do and is told is the vendor's own server side, without I/O (`Connection`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

_LARGEST_REQUEST = 16 << 20
_MOST_UNREAD_ANSWERS = 4 << 20
_LONGEST_FAREWELL_S = 60.0


class Reply(Protocol):
    """Frames to send in order, and whether to close then."""

    @property
    def frames(self) -> tuple[bytes, ...]:
        """Sent in order."""
        ...

    @property
    def close(self) -> bool:
        """Whether the connection ends then."""
        ...


class Connection(Protocol):
    """The server side of one connection, without I/O."""

    is_binary: bool
    is_authenticated: bool
    version: int

    @property
    def is_subscribed(self) -> bool:
        """Whether anything is subscribed."""
        ...

    def opened(self) -> Reply:
        """The greeting."""
        ...

    def receive(self, message: bytes) -> Reply:
        """Take one whole client message."""
        ...

    def timed_out(self) -> Reply:
        """The client did not authenticate in time."""
        ...

    def error(self, code: int, close: bool = False) -> Reply:
        """An error of the vendor's table."""
        ...

    def symbols(self, channel: str) -> frozenset[str] | None:
        """Symbols subscribed on a vendor channel; None is all."""
        ...


def framed(payloads: Sequence[bytes], is_binary: bool) -> bytes:
    """Payloads as unmasked, unfragmented data frames, ready for the socket (RFC 6455, 5.2)."""
    parts: list[bytes] = []
    for payload in payloads:
        parts.append(_header(len(payload), is_binary))
        parts.append(payload)
    return b"".join(parts)


def _header(size: int, is_binary: bool) -> bytes:
    first = b"\x82" if is_binary else b"\x81"
    if size < 126:
        return first + bytes([size])
    return first + (b"\x7e" + size.to_bytes(2, "big") if size < 65536 else b"\x7f" + size.to_bytes(8, "big"))


class Served(WSListener):
    """A client of ours. `on_change` is called when it comes, goes or has asked for something."""

    def __init__(
        self,
        feed: str,
        make: Callable[[Any], Connection],
        auth_timeout_s: float,
        on_change: Callable[[Any], None],
        farewell_s: float = _LONGEST_FAREWELL_S,
    ) -> None:
        self.feed = feed
        self.protocol = make(self)
        self.close_reason = "client"
        self._auth_timeout_s, self._farewell_s = auth_timeout_s, farewell_s
        self._on_change = on_change
        self._transport: WSTransport | None = None
        self._is_leaving = False
        self._writable = asyncio.Event()
        self._gone = asyncio.Event()
        self._request = bytearray()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_live(self) -> bool:
        """Whether messages go to this client."""
        is_here = self._transport is not None and not self._is_leaving and not self._gone.is_set()
        return is_here and self.protocol.is_subscribed

    @property
    def is_gone(self) -> bool:
        """Whether the connection has ended."""
        return self._gone.is_set()

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Greet."""
        transport.underlying_transport.set_write_buffer_limits(high=0)
        self._transport = transport
        self._writable.set()
        self._on_change(self)
        self._timer = asyncio.get_running_loop().call_later(
            self._auth_timeout_s, lambda: self._answer(self.protocol.timed_out())
        )
        self._answer(self.protocol.opened())

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take a frame; messages may come in fragments (alpaca-py sends its subscription so)."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        elif transport.underlying_transport.get_write_buffer_size() > _MOST_UNREAD_ANSWERS:
            transport.disconnect(False)
        elif frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION):
            self._request += frame.get_payload_as_bytes()
            if len(self._request) > _LARGEST_REQUEST:
                self.close("request too long", WSCloseCode.MESSAGE_TOO_BIG)
            elif frame.fin:
                whole, self._request = bytes(self._request), bytearray()
                self._answer(self.protocol.receive(whole))

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Forget the transport."""
        self._transport = None
        self._gone.set()
        self._writable.set()
        if self._timer:
            self._timer.cancel()
        self._on_change(self)

    def pause_writing(self) -> None:
        """The kernel takes no more for now."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The kernel has everything."""
        self._writable.set()

    async def write(self, frames: bytes) -> bool:
        """Send `framed` data; True once the kernel has all of it, False when the client is gone."""
        if self._transport is None or self._is_leaving:
            return False
        self._transport.underlying_transport.write(frames)
        await self._writable.wait()
        return self._transport is not None

    async def cut(self, reason: str) -> None:
        """End the TCP connection without a closing handshake.

        The client still gets everything sent, then the end of the stream; to us it is gone at once. The socket stays
        half open until the client leaves: closing it here could reset the connection and destroy what is under way.
        """
        self.close_reason = reason
        await self._writable.wait()
        if self._transport is None:
            return
        transport = self._transport
        transport.underlying_transport.write_eof()
        asyncio.get_running_loop().call_later(self._farewell_s, transport.disconnect, False)
        self.on_ws_disconnected(transport)

    def fail(self, code: int) -> None:
        """Send an error and close."""
        self.close_reason = str(code)
        self._answer(self.protocol.error(code, close=True))

    def close(self, reason: str, code: WSCloseCode = WSCloseCode.OK) -> None:
        """Close with a closing handshake, behind what was sent; a client that does not read that in time is cut."""
        if self._transport is not None and not self._is_leaving:
            self._is_leaving = True
            self.close_reason = reason
            self._transport.send_close(code)
            self._transport.disconnect()
            if self._transport is not None:
                asyncio.get_running_loop().call_later(self._farewell_s, self._transport.disconnect, False)

    def _answer(self, reply: Reply) -> None:
        if self._transport is None or self._is_leaving:
            return
        kind = WSMsgType.BINARY if self.protocol.is_binary else WSMsgType.TEXT
        for payload in reply.frames:
            self._transport.send(kind, payload)
        self.answered(len(reply.frames))
        if reply.close:
            self.close(self.close_reason if self.close_reason != "client" else "error")
        self._on_change(self)

    def answered(self, frames: int) -> None:
        """Told of control frames that were sent."""

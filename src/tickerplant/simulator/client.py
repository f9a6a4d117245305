"""One client of the simulator: the websocket listener, and delivery of slices to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport

from tickerplant.simulator.dialect import Connection, Dialect, Reply
from tickerplant.simulator.oracle import Sent
from tickerplant.simulator.source import UNKNOWN, Ints, Slice

_LARGEST_REQUEST = 16 << 20
_LONGEST_FAREWELL_S = 60.0
UNKNOWN_MESSAGE = b'{"T":"zz","S":"ZZZ","NewField":[1,{"deep":null}],"t":"2025-11-20T14:30:00.000000001Z"}'


def _header(size: int, is_binary: bool) -> bytes:
    """The header of an unmasked, unfragmented data frame (RFC 6455, 5.2)."""
    first = b"\x82" if is_binary else b"\x81"
    if size < 126:
        return first + bytes([size])
    return first + (b"\x7e" + size.to_bytes(2, "big") if size < 65536 else b"\x7f" + size.to_bytes(8, "big"))


class Client(WSListener):
    """A connection: what it may see, what it was sent. `on_change` is called when it comes, goes or subscribes."""

    def __init__(
        self, feed: str, make: Callable[[Client], Connection], dialect: Dialect, on_change: Callable[[Client], None]
    ) -> None:
        self.feed = feed
        self.protocol = make(self)
        self.sent: Sent | None = None
        self.close_reason = "client"
        self._dialect = dialect
        self._on_change = on_change
        self._transport: WSTransport | None = None
        self._writable = asyncio.Event()
        self._gone = asyncio.Event()
        self._request = bytearray()
        self._mask: tuple[int, list[str], npt.NDArray[np.bool_]] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_live(self) -> bool:
        """Whether messages go to this client."""
        return self._transport is not None and not self._gone.is_set() and self.protocol.is_subscribed

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
            self._dialect.auth_timeout_s, lambda: self._answer(self.protocol.timed_out())
        )
        self._answer(self.protocol.opened())

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take a frame; messages may come in fragments (alpaca-py sends its subscription so)."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
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

    def mask(self, names: list[str]) -> npt.NDArray[np.bool_]:
        """Which channel codes (first axis) of which symbols (second axis) this client has subscribed."""
        if self._mask is None or self._mask[0] != self.protocol.version or self._mask[1] is not names:
            found = np.zeros((256, len(names)), bool)
            for code, channel in enumerate(self._dialect.channels):
                symbols = self.protocol.symbols(channel.vendor_name)
                found[code] = True if symbols is None else [name in symbols for name in names]
            found[UNKNOWN:] = True
            self._mask = self.protocol.version, names, found
        return self._mask[2]

    async def deliver(self, part: Slice, chosen: Ints, per_frame: int, repeat_first: bool = False) -> bool:
        """Send messages of a slice and count them once the kernel has them all; False when the client is gone."""
        if not len(chosen):
            return True
        frames = self._frames(part, chosen, per_frame)
        payloads = [payload for payload, _ in frames]
        counted = chosen
        if repeat_first:
            payloads.insert(0, payloads[0])
            counted = np.concatenate([chosen[: frames[0][1]], chosen])
        if not await self._write(payloads):
            return False
        assert self.sent is not None
        self.sent.data(part, counted, len(payloads))
        self.sent.duplicates += len(counted) - len(chosen)
        return True

    async def deliver_garbled(self, part: Slice, place: int) -> bool:
        """Send one message as a frame of its own that ends in the middle."""
        payload = self._pack([part.messages[place]])
        if not await self._write([payload[: max(2, len(payload) * 2 // 3)]]):
            return False
        assert self.sent is not None
        self.sent.garbled += 1
        self.sent.frames += 1
        return True

    async def deliver_unknown(self) -> bool:
        """Send a message of a type that nobody documented."""
        if not await self._write([self._pack([UNKNOWN_MESSAGE])]):
            return False
        assert self.sent is not None
        self.sent.unknown += 1
        self.sent.frames += 1
        return True

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
        asyncio.get_running_loop().call_later(_LONGEST_FAREWELL_S, transport.disconnect, False)
        self.on_ws_disconnected(transport)

    def fail(self, code: int) -> None:
        """Send an error and close."""
        self.close_reason = str(code)
        self._answer(self.protocol.error(code, close=True))

    def close(self, reason: str, code: WSCloseCode = WSCloseCode.OK) -> None:
        """Close with a closing handshake."""
        if self._transport is not None:
            self.close_reason = reason
            self._transport.send_close(code)
            self._transport.disconnect()

    def _answer(self, reply: Reply) -> None:
        if self._transport is None:
            return
        kind = WSMsgType.BINARY if self.protocol.is_binary else WSMsgType.TEXT
        for payload in reply.frames:
            self._transport.send(kind, payload)
            if self.sent:
                self.sent.control += 1
        if reply.close:
            self.close(self.close_reason if self.close_reason != "client" else "error")
        self._on_change(self)

    def _pack(self, messages: list[bytes]) -> bytes:
        binary = self.protocol.is_binary
        return self._dialect.frame([self._dialect.packed(m) for m in messages] if binary else messages, binary)

    def _frames(self, part: Slice, chosen: Ints, per_frame: int) -> list[tuple[bytes, int]]:
        """Payloads and the number of messages in each."""
        if part.frames is not None:
            return _kept(part, chosen, self._pack, self.protocol.is_binary)
        first, last = int(chosen[0]), int(chosen[-1]) + 1
        if last - first == len(chosen):
            messages = part.messages[first:last]
        else:
            messages = [part.messages[k] for k in chosen.tolist()]
        cuts = range(0, len(messages), per_frame)
        return [(self._pack(taken), len(taken)) for k in cuts if (taken := messages[k : k + per_frame])]

    async def _write(self, payloads: list[bytes]) -> bool:
        if self._transport is None:
            return False
        binary = self.protocol.is_binary
        parts: list[bytes] = []
        for payload in payloads:
            parts.append(_header(len(payload), binary))
            parts.append(payload)
        self._transport.underlying_transport.write(b"".join(parts))
        await self._writable.wait()
        return self._transport is not None


def _kept(part: Slice, chosen: Ints, pack: Callable[[list[bytes]], bytes], is_binary: bool) -> list[tuple[bytes, int]]:
    """The source's own frames, whole ones byte for byte when the client speaks their encoding."""
    frames: Any = part.frames
    numbers, starts = np.unique(frames[chosen], return_index=True)
    found = []
    for number, places in zip(numbers.tolist(), np.split(chosen, starts[1:]), strict=True):
        first, last = np.searchsorted(frames, [number, number + 1]).tolist()
        payload = part.payloads[number]
        if len(places) == last - first and (payload[:1] not in (b"[", b"{", b" ")) == is_binary:
            found.append((payload, len(places)))
        elif part.channels[places[0]] == 255:
            found.append((payload, 1))
        else:
            found.append((pack([part.messages[k] for k in places.tolist()]), len(places)))
    return found

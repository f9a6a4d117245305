"""One client connection over picows: bytes in with the time of receipt, bytes out, and why it ended.

The read path of a frame is: take the time, hand `(bytes, receipt)` on. Protocol facts: RFC 6455. picows does not offer
permessage-deflate, so nothing is compressed on the wire.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time, time_ns
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import picows

from tickerplant.errors import Fatal, Retryable, SlowRetry, TickerplantError

if TYPE_CHECKING:
    from multidict import CIMultiDict

OnMessage = Callable[[bytes, int], None]
"""Takes a whole message and its receipt in ns UTC; must not block. An exception ends the connection."""


@dataclass(frozen=True)
class SocketOptions:
    """Times in seconds. A ping goes out every `ping_interval_s`; nothing at all within `pong_timeout_s` is the end."""

    connect_timeout_s: float = 10.0
    ping_interval_s: float = 10.0
    pong_timeout_s: float = 10.0
    close_timeout_s: float = 2.0
    max_message_bytes: int = 64 << 20


@dataclass(frozen=True)
class Closed:
    """Why a connection ended: the close code (1006 when none came), its text, and our own failure, if that was it."""

    code: int
    reason: str = ""
    failure: Exception | None = None

    def __str__(self) -> str:
        text = f"close {self.code}"
        return f"{text} {self.reason[:120]}" if self.reason else text


def receipts(clock: Callable[[], int] = time_ns, after: int | None = None) -> Callable[[], int]:
    """A clock (ns) that grows by at least a microsecond from call to call: receipt alone is the order of arrival.

    `after` is the last receipt of an earlier owner of the log. A clock that was set back stands still, a microsecond a
    call, until it has caught up: order is worth more than the seconds.
    """
    least = 0 if after is None else after + 1000

    def stamp() -> int:
        nonlocal least
        now = clock()
        now = max(now, least)
        least = now + 1000
        return now

    return stamp


def public_url(url: str) -> str:
    """`url` without user, password, query and fragment: fit for logs and records."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if parts.hostname and ":" in parts.hostname else parts.hostname or ""
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{host}{port}{parts.path}"


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine."""
    return urlsplit(url).hostname in ("127.0.0.1", "localhost", "::1")


def retry_after_s(value: str | None, now: float | None = None) -> float | None:
    """Seconds that a Retry-After header asks for (a number or an HTTP date, RFC 9110 10.2.3); None when unreadable."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - (time() if now is None else now)
        except (ValueError, TypeError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def handshake_problem(where: str, status: int, headers: Mapping[str, str] | CIMultiDict[str]) -> TickerplantError:
    """The error for an HTTP answer to the handshake that is not 101.

    429 comes when a client returns too fast (QuantConnect/Lean.Brokerages.Alpaca #37); other 4xx need a person; the
    rest passes.
    """
    message = f"{where}: expected HTTP 101, was {status}"
    if status in (408, 425, 429):
        return SlowRetry(message, retry_after_s(headers.get("Retry-After")))
    if 400 <= status < 500:
        return Fatal(f"{message}; check the URL, the keys and the plan")
    return Retryable(message, retry_after_s(headers.get("Retry-After")))


class Connection(picows.WSListener):
    """One open connection. Made by `connect`."""

    def __init__(
        self,
        on_message: OnMessage,
        stamp: Callable[[], int],
        options: SocketOptions,
        on_open: Callable[[Connection], None] | None = None,
    ) -> None:
        super().__init__()
        self._on_message = on_message
        self._stamp = stamp
        self._options = options
        self._transport: picows.WSTransport | None = None
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        self._activity = 0
        self._close: Closed | None = None
        self._paused = False
        self._pinger: asyncio.Task[None] | None = None
        self._on_open = on_open
        self.closed: asyncio.Future[Closed] = asyncio.get_running_loop().create_future()
        """Done when the connection has ended, with the reason; never an exception."""

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        """Start pinging; the owner hears of the connection before its first message."""
        self._transport = transport
        if self._close is not None:
            return transport.disconnect(graceful=False)
        self._pinger = asyncio.get_running_loop().create_task(self._ping())
        if self._on_open:
            self._on_open(self)

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        """The read path."""
        now = self._stamp()
        self._activity += 1
        if self._close is not None:
            return
        kind = frame.msg_type
        if kind is _TEXT or kind is _BINARY or kind is _CONTINUATION:
            payload = frame.get_payload_as_bytes()
            if not frame.fin or self._parts:
                self._assemble(payload, frame.fin, now)
            else:
                self._hand_on(payload, now)
        elif kind is picows.WSMsgType.CLOSE:
            self._close = Closed(_number(frame.get_close_code()) or 1005, _text(frame))
            transport.send_close(frame.get_close_code())
            transport.disconnect()

    def _hand_on(self, payload: bytes, now: int) -> None:
        try:
            self._on_message(payload, now)
        except Exception as error:  # the owner's failure: kept for it, and nothing more is read
            self.abort(Closed(1006, type(error).__name__, error))

    def _assemble(self, payload: bytes, fin: bool, now: int) -> None:
        self._parts.append(payload)
        self._parts_bytes += len(payload)
        if self._parts_bytes > self._options.max_message_bytes:
            self.abort(Closed(1009, f"message above {self._options.max_message_bytes} bytes"))
        elif fin:
            message = b"".join(self._parts)
            self._parts, self._parts_bytes = [], 0
            self._hand_on(message, now)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        """Settle `closed`."""
        if self._pinger:
            self._pinger.cancel()
        if not self.closed.done():
            self.closed.set_result(self._close or Closed(1006, "connection lost"))

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(self._options.ping_interval_s)
            before = self._activity
            self._socket.send_ping()
            await asyncio.sleep(self._options.pong_timeout_s)
            while self._paused:
                await asyncio.sleep(self._options.pong_timeout_s)
            if self._activity == before:
                self.abort(Closed(1006, f"no pong within {self._options.pong_timeout_s:g} s"))

    @property
    def _socket(self) -> picows.WSTransport:
        assert self._transport is not None
        return self._transport

    def send(self, payload: bytes, *, binary: bool = False) -> None:
        """Send one message; dropped when the connection is closing."""
        if self._close is None:
            self._socket.send(_BINARY if binary else _TEXT, payload)

    @property
    def is_paused(self) -> bool:
        """Whether reading is paused."""
        return self._paused

    def pause(self) -> None:
        """Stop reading from the socket; what was read already is still handed on. Idempotent."""
        if not self._paused and not self.closed.done():
            self._paused = True
            self._socket.underlying_transport.pause_reading()

    def resume(self) -> None:
        """Read again. Idempotent."""
        if self._paused and not self.closed.done():
            self._paused = False
            self._activity += 1
            self._socket.underlying_transport.resume_reading()

    def abort(self, why: Closed) -> None:
        """End at once without the closing handshake, for a peer that does not listen. Idempotent."""
        if self._close is None:
            self._close = why
        if self._transport is not None and not self.closed.done():
            self._transport.disconnect(graceful=False)

    async def close(self, code: picows.WSCloseCode = picows.WSCloseCode.OK) -> Closed:
        """Send a close frame, wait for the peer's up to `close_timeout_s`, and return why the connection ended.

        Messages that arrive before the peer's close frame are still handed on.
        """
        if not self.closed.done() and self._close is None:
            self.resume()
            self._socket.send_close(code)
            await asyncio.wait({self.closed}, timeout=self._options.close_timeout_s)
        if not self.closed.done():
            self.abort(Closed(_number(code), "no answer to our close"))
        return await self.closed


_TEXT, _BINARY = picows.WSMsgType.TEXT, picows.WSMsgType.BINARY
_CONTINUATION = picows.WSMsgType.CONTINUATION
_CLEAN_END_S = 0.5
"""How much later than picows, which closes the socket of a handshake without an answer, we give up ourselves."""


def _number(code: picows.WSCloseCode | int) -> int:
    """picows gives a plain int for codes that it has no name for (3000 and above)."""
    return code if isinstance(code, int) else int(code.value)


def _text(frame: picows.WSFrame) -> str:
    return (frame.get_close_message() or b"").decode("utf-8", "backslashreplace")


async def connect(
    url: str,
    headers: Mapping[str, str],
    on_message: OnMessage,
    options: SocketOptions = SocketOptions(),
    stamp: Callable[[], int] | None = None,
    on_open: Callable[[Connection], None] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Connection:
    """Connect and complete the handshake; messages flow from then on, `on_open` is called before the first.

    Redirects are not followed: the headers hold secrets. Raises Retryable, SlowRetry (429) or Fatal (other 4xx, a URL
    that is none).
    """
    where = f"websocket {public_url(url)}"
    made: list[Connection] = []

    def listener() -> Connection:
        made.append(Connection(on_message, stamp or receipts(), options, on_open))
        return made[-1]

    try:
        async with asyncio.timeout(options.connect_timeout_s + _CLEAN_END_S):
            await _open(listener, url, headers, options, tls)
        if not made:
            raise Retryable(f"{where}: expected an answer to the handshake, the connection was closed")
        return made.pop()
    except picows.WSHandshakeError as error:
        raise _refused(where, error) from None
    except TimeoutError:
        raise Retryable(f"{where}: expected an answer within {options.connect_timeout_s:g} s, was none") from None
    except (OSError, picows.WSProtocolError) as error:
        raise Retryable(f"{where}: expected a connection, was {type(error).__name__}: {error}") from None
    except (picows.WSInvalidURL, ValueError):
        raise Fatal(f"{where}: expected a ws:// or wss:// URL; correct it") from None
    finally:
        for abandoned in made:
            abandoned.abort(Closed(1006, "abandoned"))


async def _open(
    listener: Callable[[], Connection],
    url: str,
    headers: Mapping[str, str],
    options: SocketOptions,
    tls: ssl.SSLContext | None,
) -> None:
    await picows.ws_connect(
        listener,
        urlsplit(url)._replace(netloc=urlsplit(url).netloc.rpartition("@")[2]).geturl(),
        ssl_context=tls,
        websocket_handshake_timeout=options.connect_timeout_s,
        max_frame_size=options.max_message_bytes,
        extra_headers=dict(headers),
        max_redirects=0,
        read_buffer_init_size=256 * 1024,
    )


def _refused(where: str, error: picows.WSHandshakeError) -> TickerplantError:
    response = error.response
    if response is None or int(response.status) == 101:
        return Retryable(f"{where}: expected a websocket handshake, was {error.args[0]}")
    return handshake_problem(where, int(response.status), response.headers)

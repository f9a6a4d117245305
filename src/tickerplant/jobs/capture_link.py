"""One connection of a capture: the read path, the dialogue, and the brake when the disk falls behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from tickerplant.errors import Fatal, Retryable, TickerplantError
from tickerplant.model import Dialogue, Kind, LogWriter
from tickerplant.net.watchdog import Alarm
from tickerplant.net.websocket import Connection, SocketOptions, connect

log = structlog.get_logger()

_THROTTLE_S = 0.02


@dataclass(frozen=True)
class End:
    """Why a connection is over: `disconnected`, `mute`, `half_dead`, `failed`, or `over` (the capture ends)."""

    reason: str
    detail: str
    problem: Exception | None = None
    alarm: Alarm | None = None


class Tally:
    """Counts messages by channel: each channel's marker occurs once in each of its messages.

    With `counts_lines` the log's writer brings the lines that it wrote, and only frames that the log does not keep as
    sent are counted one by one.
    """

    def __init__(self, markers: Mapping[str, bytes]) -> None:
        self.messages = dict.fromkeys(markers, 0)
        self.counts_lines = False
        self._markers = tuple(markers.items())

    def add(self, block: bytes) -> None:
        """Count the messages of a frame, or of a block of log lines."""
        for channel, marker in self._markers:
            if found := block.count(marker):
                self.messages[channel] += found


@dataclass
class Traffic:
    """Totals over all connections."""

    frames: int = 0
    bytes: int = 0
    control: int = 0


class Link:
    """One connection, from the handshake to its end."""

    def __init__(
        self, dialogue: Dialogue, writer: LogWriter, traffic: Traffic, tally: Tally, on_live: Callable[[], int]
    ) -> None:
        """`on_live` writes the `connected` record and returns its receipt."""
        self.dialogue = dialogue
        self.last_at = 0
        """Receipt (ns) of the last data frame; of the `connected` record while there is none."""
        self.live_at = 0
        """Receipt (ns) of the `connected` record."""
        self.has_data = False
        self.is_live = False
        self.was_paused = False
        """Whether reading was paused since the owner last reset this."""
        self.end: asyncio.Future[End] = asyncio.get_running_loop().create_future()
        self.live: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._traffic = traffic
        self._tally = tally
        self._append = writer.append
        self._is_control = dialogue.is_control
        self._fast = False
        self._on_live = on_live
        self._socket: Connection | None = None

    def message(self, payload: bytes, now: int) -> None:
        """The read path: land the frame, nothing else."""
        if self._fast and not self._is_control(payload):
            self._append(Kind.DATA, now, payload)
            self.last_at = now
            self._traffic.frames += 1
            self._traffic.bytes += len(payload)
        else:
            self._land(payload, now)

    def _land(self, payload: bytes, now: int) -> None:
        is_control = self._is_control(payload)
        self._append(Kind.CONTROL if is_control else Kind.DATA, now, payload)
        self._traffic.bytes += len(payload)
        if is_control:
            self._traffic.control += 1
        else:
            self._traffic.frames += 1
            self.last_at = now
            self.has_data = True
            in_blocks = self._tally.counts_lines and _is_kept_as_sent(payload)
            self._fast = self.is_live and in_blocks
            if not in_blocks:
                self._tally.add(payload)
        if is_control or not self.is_live:
            self._converse(payload)

    def _converse(self, payload: bytes) -> None:
        step = self.dialogue.receive(payload)
        for message in step.send:
            self._send(message)
        if step.live and not self.is_live:
            self.is_live = True
            self.live_at = self.last_at = self._on_live()
            self.live.set_result(None)
        if step.problem is not None:
            self._refused(step.problem)

    def _refused(self, problem: TickerplantError) -> None:
        if isinstance(problem, Retryable | Fatal):
            self.finish(End("failed" if isinstance(problem, Fatal) else "disconnected", str(problem), problem))
        else:
            log.warning("request refused", problem=str(problem))

    def _send(self, message: bytes) -> None:
        assert self._socket is not None
        try:
            message.decode()
        except UnicodeDecodeError:
            self._socket.send(message, binary=True)
        else:
            self._socket.send(message)

    def finish(self, end: End) -> None:
        """Settle why the connection ends; the first reason stands."""
        if not self.end.done():
            self.end.set_result(end)

    def _opened(self, socket: Connection) -> None:
        self._socket = socket

    async def open(self, url: str, options: SocketOptions, stamp: Callable[[], int], timeout_s: float) -> None:
        """Connect and talk until everything asked for is acknowledged; raises why it was not."""
        socket = await connect(url, self.dialogue.headers, self.message, options, stamp=stamp, on_open=self._opened)
        socket.closed.add_done_callback(
            lambda done: self.finish(End("disconnected", str(done.result()), done.result().failure))
        )
        either: list[asyncio.Future[Any]] = [self.live, self.end]
        await asyncio.wait(either, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if self.is_live:
            return
        if not self.end.done():
            raise Retryable(f"subscribe: expected to be done within {timeout_s:g} s, was not; do connect again")
        end = self.end.result()
        raise end.problem or Retryable(f"subscribe: expected acknowledgements, was {end.detail}")

    async def close(self) -> None:
        """Close with 1000; what still arrives is landed. Idempotent, also for a connection that never was."""
        if self._socket is not None:
            await self._socket.close()

    async def throttle(self, pending: Callable[[], int], high: int, low: int) -> None:
        """Pause reading while more than `high` bytes wait for the disk, until less than `low` do. Runs until cancelled.

        The vendor's buffer and TCP hold what we do not read; memory here stays bounded.
        """
        assert self._socket is not None
        while True:
            await asyncio.sleep(_THROTTLE_S)
            waiting = pending()
            if waiting > high and not self._socket.is_paused:
                log.warning("reading paused: the disk is behind", pending_bytes=waiting)
                self._socket.pause()
            elif waiting < low and self._socket.is_paused:
                log.info("reading again", pending_bytes=waiting)
                self._socket.resume()
            self.was_paused = self.was_paused or self._socket.is_paused


def _is_kept_as_sent(payload: bytes) -> bool:
    """Whether the log keeps a frame byte for byte (JSON on one line), so that markers can be counted in its lines."""
    return payload[:1] in (b"[", b"{") and b"\n" not in payload

"""One client of the feed: its place on the tape, and how it comes along."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

from tickerplant.net.served import Connection, Served
from tickerplant.serve.feed_live import Link
from tickerplant.serve.feed_stretch import Need, Stretch
from tickerplant.vendors.dialect import Dialect

log = structlog.get_logger()

_SLOW_CLIENT, _INTERNAL_ERROR = 407, 500
_FAREWELL_S = 10.0
_SETTLING_S = 0.25


class Piece(Protocol):
    """A piece of a tape."""

    @property
    def stretches(self) -> Sequence[Stretch]:
        """Its messages."""
        ...

    async def after(self) -> Piece | None:
        """The piece behind it, when it is there; None at the end of the tape."""
        ...


@dataclass
class Pace:
    """When messages are due: `speed` seconds of the record a second of the clock; 0 is at once."""

    speed: float
    _origin: float | None = field(default=None, init=False)

    async def wait(self, due_ns: int) -> None:
        """Return when something received at `due_ns` is due; the first that is asked for is due at once."""
        if not self.speed:
            return
        loop = asyncio.get_running_loop()
        moment = due_ns / 1e9 / self.speed
        if self._origin is None:
            self._origin = loop.time() - moment
        wait = self._origin + moment - loop.time()
        if wait > 0:
            await asyncio.sleep(wait)


class Subscriber(Served):
    """A connection to the feed. `start` gives the tape's beginning when it first subscribes.

    It takes one stretch after the other, the next once the kernel has the one before, so that a client that does not
    read holds up nobody and costs no memory but the pieces of a live tape that it has not come to yet.
    """

    def __init__(
        self,
        feed: str,
        make: Callable[[Any], Connection],
        dialect: Dialect,
        on_change: Callable[[Subscriber], None],
        pace: Pace,
    ) -> None:
        super().__init__(feed, make, dialect.auth_timeout_s, on_change, _FAREWELL_S)
        self.bytes = 0
        self.need: Need | None = None
        self._version = -1
        self._dialect, self._pace = dialect, pace
        self._place: Piece | None = None
        self._playing: asyncio.Task[None] | None = None

    def renew(self, known: dict[Need, Need]) -> None:
        """Take over what is subscribed now, as one object with those who need the same."""
        if self._version != self.protocol.version:
            self._version = self.protocol.version
            need = Need.of(self.protocol, self._dialect)
            self.need = known.setdefault(need, need)

    def play(self, start: Piece, is_live: bool) -> None:
        """Begin, once; on a recorded tape after a moment in which more may be subscribed."""
        if self._playing is None:
            self._place = start
            self._playing = asyncio.create_task(self._play(0.0 if is_live else _SETTLING_S))
            self._playing.add_done_callback(self._played)

    def stop(self) -> None:
        """Take no more."""
        self._place = None
        if self._playing is not None:
            self._playing.cancel()

    def behind(self, head: Link) -> int:
        """Bytes of the live log that this client has not been sent yet."""
        return head.total - self._place.total if isinstance(self._place, Link) else 0

    def dismiss(self) -> None:
        """Warn a client that is too slow, and cut it: the warning comes behind what was sent already."""
        self.stop()
        self.fail(_SLOW_CLIENT)

    async def _play(self, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        while self._place is not None and (piece := await self._place.after()) is not None:
            for stretch in piece.stretches:
                await self._pace.wait(stretch.due)
                if self.need is not None and not await self._send(stretch.wire(self.need, self._dialect)):
                    return
            self._place = piece

    def _played(self, task: asyncio.Task[None]) -> None:
        """The tape is over, the client gone, or the log could not be read: then the client is told 500 and cut."""
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            log.error("feed_broken", feed=self.feed, error=str(error))
            self.fail(_INTERNAL_ERROR)
        elif not self.is_gone:
            log.info("span_ended", feed=self.feed, bytes=self.bytes)

    async def _send(self, frames: bytes) -> bool:
        self.bytes += len(frames)
        return not frames or await self.write(frames)

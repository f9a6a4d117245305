"""Plays a source to the clients: pacing, filters, faults, and what was missed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import structlog

from tickerplant.simulator.client import Client
from tickerplant.simulator.faults import Fault, Schedule
from tickerplant.simulator.oracle import Ledger
from tickerplant.simulator.source import UNKNOWN, Ints, Slice

log = structlog.get_logger()

_CHUNK_MESSAGES = 2_000
_LONGEST_SLEEP_S = 0.05
_THIN = 50
"""While half dead, one message in so many is sent."""


class Audience(Protocol):
    """The clients, as the player sees them."""

    refusal: str | None
    """`503`, `406` or `429` while new connections are turned away."""

    def live(self) -> list[Client]:
        """Clients that have subscribed."""
        ...

    async def wait_live(self) -> None:
        """Return when there is one."""
        ...


@dataclass
class Trouble:
    """The faults in force: the wall second (since the market's start) at which each ends, and one-shots waiting."""

    until: dict[str, float] = field(default_factory=dict)
    once: list[str] = field(default_factory=list)

    def is_on(self, kind: str, now: float) -> bool:
        """Whether a fault of that kind lasts at `now`."""
        return now < self.until.get(kind, 0.0)

    def next_end(self, now: float) -> float | None:
        """The next moment at which a fault ends."""
        return min((end for end in self.until.values() if end > now), default=None)


def _set_event() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


@dataclass
class Player:
    """Plays slices. `speed` is market seconds a wall second, 0 as fast as the clients take it.

    With a clock the market waits for nobody: what no client was there to take is missed. Without one (speed 0) it
    waits for a client, and stands still while a fault lasts that keeps everything back.
    """

    audience: Audience
    ledger: Ledger
    schedule: Schedule
    speed: float
    per_frame: int
    position: int = 0
    trouble: Trouble = field(default_factory=Trouble)
    is_stopping: bool = False
    idle: asyncio.Event = field(default_factory=_set_event)
    """Set while nothing is half delivered."""
    on_played: Callable[[Slice, Ints], None] | None = None
    """Told of all messages as the market comes to them, whether or not anybody is sent them."""
    _started: float = 0.0
    _base: int = 0
    _first_ts: int | None = None
    _wanted: npt.NDArray[np.bool_] | None = None
    _wanted_names: list[str] | None = None

    async def play(self, slices: Iterable[Slice]) -> None:
        """Play everything; returns when the last message was handed over or missed."""
        self._started = time.monotonic()
        async with contextlib.aclosing(_prefetched(iter(slices))) as parts:
            async for part in parts:
                await self._play_slice(part)
        log.info("market_ended", messages=self.position)

    @property
    def _now(self) -> float:
        return time.monotonic() - self._started

    async def _play_slice(self, part: Slice) -> None:
        if self._first_ts is None:
            self._first_ts = int(part.ts[0])
        at, base = 0, self.position
        self._base = base
        while at < len(part.messages):
            self.ledger.write_when_due()
            await self._undivided(self._faults())
            end = self._end(part, at, base)
            if self._is_held() or end <= at:
                await self._sleep(part, at)
                continue
            clients = self.audience.live()
            if not clients and self.speed == 0:
                self._readmit()
                await self.audience.wait_live()
                continue
            await self._undivided(self._chunk(part, np.arange(at, end), clients))
            at = end
            self.position = base + at

    def _end(self, part: Slice, at: int, base: int) -> int:
        """The end of what to send in one go: what is due, up to the next fault, in whole frames of the source."""
        end = min(self._due(part, at), at + _CHUNK_MESSAGES)
        if self.schedule.next_message is not None:
            end = min(end, max(at + 1, self.schedule.next_message - base))
        if part.frames is None or end <= at:
            return end
        return int(np.searchsorted(part.frames, part.frames[end - 1], side="right"))

    async def _undivided(self, step: Coroutine[Any, Any, None]) -> None:
        """Do a step whole; after a stop was asked for, do nothing any more (the caller is then cancelled)."""
        if self.is_stopping:
            step.close()
            await asyncio.Event().wait()
        self.idle.clear()
        try:
            await step
        finally:
            self.idle.set()

    def _due(self, part: Slice, at: int) -> int:
        """The end of what is due now."""
        if self.speed == 0:
            return len(part.messages)
        assert self._first_ts is not None
        market = self._first_ts + int(self._now * self.speed * 1e9)
        return at + int(np.searchsorted(part.ts[at:], market, side="right"))

    def _is_held(self) -> bool:
        now, kinds = self._now, ["slow"]
        if self.speed == 0:
            kinds += ["mute", "refuse"]
        return any(self.trouble.is_on(kind, now) for kind in kinds)

    async def _sleep(self, part: Slice, at: int) -> None:
        now = self._now
        moments = [now + _LONGEST_SLEEP_S, self.trouble.next_end(now), self.schedule.next_s]
        if self.speed and self._first_ts is not None:
            moments.append((int(part.ts[at]) - self._first_ts) / 1e9 / self.speed)
        await asyncio.sleep(max(0.001, min(m for m in moments if m is not None and m > now) - now))

    async def _chunk(self, part: Slice, places: Ints, clients: list[Client]) -> None:
        if self.on_played is not None:
            self.on_played(part, places)
        wanted = self._union(part, clients)[part.channels[places], part.symbols[places]]
        if not clients or self.trouble.is_on("mute", self._now):
            self.ledger.miss(part.channels[places[wanted]])
            return
        passed = places
        if self.trouble.is_on("thin", self._now):
            passed = places[(self._base + places) % _THIN == 0]
            thinned = places[wanted & ~np.isin(places, passed)]
            self.ledger.miss(part.channels[thinned])
        once: list[str] = []
        if wanted.any():
            once, self.trouble.once = self.trouble.once, []
        results = await asyncio.gather(*(self._to_client(c, part, passed, once) for c in clients))
        if not any(results):
            self.ledger.miss(part.channels[np.intersect1d(passed, places[wanted])])

    async def _to_client(self, client: Client, part: Slice, places: Ints, once: list[str]) -> bool:
        chosen = places[client.mask(part.names)[part.channels[places], part.symbols[places]]]
        if "unknown" in once and not await client.deliver_unknown():
            return False
        if "garbled" in once and len(chosen) and part.channels[chosen[0]] < UNKNOWN:
            if not await client.deliver_garbled(part, int(chosen[0])):
                return False
            chosen = chosen[1:]
        return await client.deliver(part, chosen, self.per_frame, "duplicate" in once)

    def _union(self, part: Slice, clients: list[Client]) -> npt.NDArray[np.bool_]:
        """What the clients want; what the last ones wanted when nobody is there."""
        if clients:
            self._wanted = np.logical_or.reduce([c.mask(part.names) for c in clients])
            self._wanted_names = part.names
        elif self._wanted is None or self._wanted_names is not part.names:
            self._wanted, self._wanted_names = np.ones((256, len(part.names)), bool), part.names
        return self._wanted

    async def _faults(self) -> None:
        self._readmit()
        for fault in self.schedule.due(self._now, self.position):
            await self._apply(fault)

    def _readmit(self) -> None:
        """Let clients in again once the fault is over that turned them away."""
        if self.audience.refusal and not self.trouble.is_on("refuse", self._now):
            self.audience.refusal = None

    async def _apply(self, fault: Fault) -> None:
        start_ns = time.time_ns()
        entry = {"kind": fault.kind, "start_ns": start_ns, "messages": self.position}
        self.ledger.faults.append(entry)
        log.info("fault", kind=fault.kind, duration_s=fault.duration_s, messages=self.position)
        clients = self.audience.live()
        if fault.kind in ("disconnect", "429", "406"):
            self.audience.refusal = "503" if fault.kind == "disconnect" else fault.kind
            self.trouble.until["refuse"] = self._now + fault.duration_s
        if fault.kind in ("disconnect", "429"):
            await asyncio.gather(*(c.cut(fault.kind) for c in clients))
        elif fault.kind in ("406", "407"):
            for client in clients:
                client.fail(int(fault.kind))
        elif fault.kind in ("mute", "slow"):
            self.trouble.until[fault.kind] = self._now + fault.duration_s
        elif fault.kind in ("slow_rate", "half_dead"):
            self.trouble.until["thin"] = self._now + fault.duration_s
        else:
            self.trouble.once.append(fault.kind)
        entry["end_ns"] = start_ns + int(fault.duration_s * 1e9)


async def _prefetched(slices: Iterator[Slice]) -> AsyncGenerator[Slice]:
    """Slices, each made in a thread while the one before it is played."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, "source") as maker:
        coming = loop.run_in_executor(maker, next, slices, None)
        while (part := await coming) is not None:
            coming = loop.run_in_executor(maker, next, slices, None)
            yield part

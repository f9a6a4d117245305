"""A month of one account's allowance, used by three processes that are killed and started again.

Real processes, a real limits file and real HTTP, on a clock that stands still while anybody works and jumps to the next
event when everybody waits. The vendor's side sees only arrivals, some seconds after the calls were sent, and counts
them on its own.
"""

from __future__ import annotations

import asyncio
import heapq
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import count
from multiprocessing.process import BaseProcess
from pathlib import Path
from random import Random

from tests.support.quota_worker import Time, Worker, work
from tickerplant.calendar import NEW_YORK
from tickerplant.rest import RateLimit
from tickerplant.vendors.alphavantage.endpoints import LIMITS

DAY = 86_400.0
_BEGIN = datetime(2026, 1, 5, 4, 10, tzinfo=UTC).timestamp()
_BODY = b'{"Global Quote": {}}'
_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(_BODY), _BODY)


@dataclass(frozen=True)
class Plan:
    """What an account may: the limits that we keep, and the vendor's own rules as (calls, seconds)."""

    name: str
    limits: tuple[RateLimit, ...]
    rules: tuple[tuple[int, float], ...]


FREE = Plan("25 a day, 1 a second", LIMITS["free"], ((25, DAY), (1, 1.0)))
FORMER = Plan("500 a day, 5 a minute", (RateLimit(500, DAY), RateLimit(5, 60.0)), ((500, DAY), (5, 60.0)))


@dataclass(frozen=True)
class Month:
    """What to play. `kills` is the chance of a kill at each thing that happens to a process."""

    plan: Plan = FREE
    days: float = 30.0
    seed: int = 1
    kills: float = 0.05
    processes: int = 3
    tasks: int = 2
    away_s: float = 3600.0
    latency_s: float = 4.0


@dataclass(frozen=True)
class QuotaReport:
    """What the vendor saw. `most` are the fullest windows by rule, `violations` windows that held too many."""

    plan: str
    days: float
    calls: int
    kills: int
    kills_in_flight: int
    most: dict[str, int]
    violations: int
    used: float
    """Share of the allowance."""

    @property
    def is_well(self) -> bool:
        """No window held too many, and nearly everything allowed was used."""
        return self.violations == 0 and self.used > 0.95


def fullest(arrivals: list[float], seconds: float) -> int:
    """The largest number of arrivals in any half-open window of so many seconds, wherever it begins."""
    most = first = 0
    for last, at in enumerate(arrivals):
        while arrivals[first] <= at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def too_full(labels: Iterable[object], calls: int) -> int:
    """Fixed windows that held more than they may, each arrival given as its window's name."""
    return sum(n > calls for n in Counter(labels).values())


def _violations(arrivals: list[float], plan: Plan) -> int:
    """Windows that are too full: sliding ones, the clock's minutes and seconds, days of UTC and of New York."""
    found = 0
    for calls, seconds in plan.rules:
        found += sum(b - a < seconds for a, b in zip(arrivals, arrivals[calls:], strict=False))
        found += too_full((int(at // seconds) for at in arrivals), calls)
        if seconds == DAY:
            found += too_full((datetime.fromtimestamp(at, NEW_YORK).date() for at in arrivals), calls)
    return found


@dataclass
class _Process:
    """One of the three, in its present life."""

    number: int
    life: int
    handle: BaseProcess


class _Conductor:
    """Moves the clock, is the network and the vendor, and kills."""

    def __init__(self, month: Month, folder: Path) -> None:
        self.month, self.folder = month, folder
        self.clock = Time(folder, _BEGIN)
        self.arrivals: list[float] = []
        self.kills = self.kills_in_flight = 0
        self._chance = Random(month.seed)
        self._events: list[tuple[float, int, Callable[[], int | None]]] = []
        self._numbers, self._lives = count(), count()
        self._busy: set[str] = set()
        self._quiet = asyncio.Event()
        self._running: dict[int, _Process] = {}
        self._failure = ""
        self._open: set[asyncio.StreamWriter] = set()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["__main__", "tests.support.quota_worker"])

    async def play(self) -> None:
        control = await asyncio.start_server(self._control, "127.0.0.1", 0)
        vendor = await asyncio.start_server(self._vendor, "127.0.0.1", 0)
        self._ports = [s.sockets[0].getsockname()[1] for s in (control, vendor)]
        for number in range(self.month.processes):
            self._start(number)
        try:
            await self._until(_BEGIN + self.month.days * DAY)
        finally:
            for process in list(self._running.values()):
                await self._kill(process)
            for writer in self._open:
                writer.close()
            for server in (control, vendor):
                server.close()
            await asyncio.sleep(0.01)

    async def _until(self, end: float) -> None:
        while True:
            async with asyncio.timeout(60):
                await self._quiet.wait()
            if self._failure:
                raise AssertionError(self._failure)
            at, _, happen = heapq.heappop(self._events)
            if at >= end:
                return
            self.clock.set(max(at, self.clock()))
            life = happen()
            if life in self._running and self._chance.random() < self.month.kills:
                # At any moment of what it does now: the clock stands still meanwhile.
                await asyncio.sleep(self._chance.uniform(0, 0.004))
                await self._kill(self._running[life])

    def _at(self, seconds: float, happen: Callable[[], int | None]) -> None:
        heapq.heappush(self._events, (self.clock() + seconds, next(self._numbers), happen))

    def _works(self, name: str, is_busy: bool) -> None:
        (self._busy.add if is_busy else self._busy.discard)(name)
        (self._quiet.clear if self._busy else self._quiet.set)()

    def _start(self, number: int) -> int:
        life = next(self._lives)
        worker = Worker(life, self.month.tasks, self.folder, self.month.plan.limits, *self._ports)
        handle = self._context.Process(target=work, args=(worker,), daemon=True)
        handle.start()
        self._running[life] = _Process(number, life, handle)
        for task in range(self.month.tasks):
            self._works(f"{life}.{task}", True)
        return life

    async def _kill(self, process: _Process) -> None:
        del self._running[process.life]
        process.handle.kill()
        process.handle.join()
        process.handle.close()
        self.kills += 1
        for _ in range(20):
            await asyncio.sleep(0)  # what it had sent is in our buffers: take it in before the clock moves
        for task in range(self.month.tasks):
            self._works(f"{process.life}.{task}", False)
        self._at(self._chance.uniform(0, self.month.away_s), lambda: self._start(process.number))

    def _life(self, name: str) -> int | None:
        life = int(name.partition(".")[0])
        return life if life in self._running else None

    async def _control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Somebody waits until a time of the clock."""
        self._open.add(writer)
        name = (await reader.readline()).decode().strip()
        with suppress(ConnectionError):
            while line := await reader.readline():
                until = float(line)
                self._at(until - self.clock(), lambda: self._wake(name, writer))
                self._works(name, False)
        self._left(writer)
        if name and self._life(name) is not None:
            self._failure = f"quota worker {name}: expected to run until killed, was gone"
            self._quiet.set()

    def _left(self, writer: asyncio.StreamWriter) -> None:
        self._open.discard(writer)
        writer.close()

    def _wake(self, name: str, writer: asyncio.StreamWriter) -> int | None:
        life = self._life(name)
        if life is not None:
            self._works(name, True)
            writer.write(b"\n")
        return life

    async def _vendor(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A call has left: it arrives after a while, whatever becomes of its sender, and so does the answer."""
        self._open.add(writer)
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                return self._left(writer)
            name = head.split(b"/", 2)[1].decode()
            self._at(self._chance.uniform(0, self.month.latency_s), partial(self._arrive, name, writer))
            self._works(name, False)

    def _arrive(self, name: str, writer: asyncio.StreamWriter) -> int | None:
        self.arrivals.append(self.clock())
        life = self._life(name)
        if life is None:
            self.kills_in_flight += 1
        self._at(self._chance.uniform(0, 1.0), lambda: self._answer(name, writer))
        return life

    def _answer(self, name: str, writer: asyncio.StreamWriter) -> int | None:
        life = self._life(name)
        if life is not None:
            self._works(name, True)
            writer.write(_ANSWER)
        return life


CAMPAIGN = (Month(), Month(FORMER, kills=0.005))
"""What `--quota-month` plays."""


def quota_month(month: Month, folder: Path) -> QuotaReport:
    """Play a month and say what the vendor saw."""
    folder.mkdir(parents=True, exist_ok=True)

    async def play() -> _Conductor:
        conductor = _Conductor(month, folder)
        await conductor.play()
        return conductor

    done = asyncio.run(play())
    plan, seen = month.plan, done.arrivals
    allowed = min(calls * month.days * DAY / seconds for calls, seconds in plan.rules)
    return QuotaReport(
        plan.name,
        month.days,
        len(seen),
        done.kills,
        done.kills_in_flight,
        {f"in {seconds:.0f} s": fullest(seen, seconds) for _, seconds in plan.rules},
        _violations(seen, plan),
        len(seen) / allowed,
    )

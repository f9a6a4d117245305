"""A process of the quota campaign: asks as often as its account may, on a clock that the conductor moves."""

from __future__ import annotations

import asyncio
import mmap
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tickerplant.credentials import Credentials, Secret
from tickerplant.net.http import HttpOptions, QuotaSpent, RestClient
from tickerplant.net.limits import Limiter, account_name
from tickerplant.rest import Call, RateLimit
from tickerplant.vendors.alphavantage import VENDOR

CREDENTIALS = Credentials("", Secret("ONE-KEY-OF-ALL"))
CALL = Call(
    endpoint="GLOBAL_QUOTE",
    table="snapshots",
    path="/query",
    params=(("function", "GLOBAL_QUOTE"), ("symbol", "IBM")),
    symbols=("IBM",),
)


@dataclass(frozen=True)
class Worker:
    """Which life of which process this is; ports of the conductor and of the vendor."""

    life: int
    tasks: int
    folder: Path
    limits: tuple[RateLimit, ...]
    conductor: int
    vendor: int


class Time:
    """Seconds since 1970 in a file that several processes map."""

    def __init__(self, folder: Path, at: float | None = None) -> None:
        path = folder / "now"
        if at is not None:
            path.write_bytes(struct.pack("d", at))
        with path.open("r+b") as file:
            self._bytes = mmap.mmap(file.fileno(), 8)

    def __call__(self) -> float:
        """Now."""
        found: float = struct.unpack("d", self._bytes)[0]
        return found

    def set(self, at: float) -> None:
        """Move the clock."""
        self._bytes[:] = struct.pack("d", at)


def work(worker: Worker) -> None:
    """Ask until killed."""
    asyncio.run(_work(worker))


async def _work(worker: Worker) -> None:
    clock = Time(worker.folder)
    limiter = Limiter(
        worker.folder / "limits.sqlite",
        account_name("alphavantage", CREDENTIALS),
        worker.limits,
        clock,
        flight_s=HttpOptions().timeout_s,
    )
    await asyncio.gather(*(_ask(worker, f"{worker.life}.{task}", clock, limiter) for task in range(worker.tasks)))


async def _ask(worker: Worker, name: str, clock: Callable[[], float], limiter: Limiter) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", worker.conductor)
    writer.write(f"{name}\n".encode())

    async def sleep(seconds: float) -> None:
        writer.write(f"{clock() + seconds!r}\n".encode())
        if not await reader.readline():
            raise SystemExit("the conductor has gone")

    assert VENDOR.rest is not None
    hosts = {"data": f"http://127.0.0.1:{worker.vendor}/{name}"}
    async with RestClient("alphavantage", VENDOR.rest, CREDENTIALS, limiter, hosts, sleep=sleep) as client:
        while True:
            try:
                await client.ask(CALL)
            except QuotaSpent as spent:
                await sleep(spent.retry_after or 60.0)

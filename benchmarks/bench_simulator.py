"""How fast the simulator can send: messages a second to a client that only counts, at several frame sizes."""

from __future__ import annotations

import asyncio
import resource
import tempfile
import time
from pathlib import Path

import msgspec
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from tickerplant.simulator.market import Market, seeded
from tickerplant.simulator.process import Running, running

_MESSAGES = 600_000
_LOGIN = msgspec.json.encode({"action": "auth", "key": "k", "secret": "s"})
_SUBSCRIBE = msgspec.json.encode({"action": "subscribe", "quotes": ["*"], "trades": ["*"], "bars": ["*"]})


class _Counter(WSListener):
    """Counts frames and bytes, nothing else."""

    def __init__(self) -> None:
        self.frames = self.bytes = self.seen = 0
        self.first = self.last = 0.0

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        self.seen += 1
        if self.seen <= 2:
            transport.send(WSMsgType.TEXT, _LOGIN if self.seen == 1 else _SUBSCRIBE)
        elif self.seen > 3:
            self.last = time.perf_counter()
            self.first = self.first or self.last
            self.frames += 1
            self.bytes += frame.payload_size


async def _count(simulator: Running) -> _Counter:
    counter = _Counter()
    transport, _ = await ws_connect(lambda: counter, simulator.ws)
    while not (oracle := simulator.oracle())["complete"] or counter.frames < oracle["sent"]["frames"]:
        await asyncio.sleep(0.05)
    transport.disconnect()
    return counter


def _send(per_frame: int, folder: Path) -> tuple[float, float]:
    """Messages and megabytes a second."""
    minutes, symbols = 10, 2000
    arguments = ["--seed", "1", "--symbols", str(symbols), "--minutes", str(minutes), "--speed", "0"]
    arguments += ["--rate", str(_MESSAGES / minutes / 60), "--frame", str(per_frame), "--linger", "0.1"]
    with running(arguments, folder / "oracle.json") as simulator:
        counter = uvloop.run(_count(simulator))
        simulator.wait()
        oracle = simulator.oracle()
    seconds = counter.last - counter.first
    return oracle["sent"]["messages"] / seconds, counter.bytes / seconds / 1e6


def _make() -> float:
    """The seeded market alone: made, rendered and hashed on one core, without a socket."""
    begun, made = time.perf_counter(), 0
    for part in seeded(Market(seed=1, symbols=2000, minutes=10, rate=_MESSAGES / 600)).slices:
        made += len(part.messages)
    return made / (time.perf_counter() - begun)


def run() -> dict[str, float]:
    """Print messages a second made on one core, and sent at 1, 20 and 100 in a frame to a client on the other."""
    figures = {"simulator_made_per_s": _make()}
    with tempfile.TemporaryDirectory() as name:
        for per_frame in (1, 20, 100):
            sent, mbytes = _send(per_frame, Path(name))
            figures[f"simulator_sent_per_s_{per_frame}"] = sent
            print(f"simulator: sent, {per_frame:>3} in a frame  {sent:>12,.0f} messages/s  {mbytes:>8.1f} MB/s")
    figures["simulator_peak_mbytes"] = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"simulator: made, one core          {figures['simulator_made_per_s']:>12,.0f} messages/s")
    print(f"simulator: most memory             {figures['simulator_peak_mbytes']:>12,.0f} MB")
    return figures


if __name__ == "__main__":
    run()

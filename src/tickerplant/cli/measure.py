"""What `tickerplant bench` measures: each step of the live path, on a made-up market, in a temporary folder."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from itertools import islice
from pathlib import Path

from tickerplant.jobs.load import load
from tickerplant.logs import open_log
from tickerplant.model import Entry, Kind, Selection
from tickerplant.simulator.market import Market, seeded
from tickerplant.stores import open_store
from tickerplant.tables import QUOTES
from tickerplant.vendors import vendor

Figures = dict[str, tuple[float, str]]
_PARTITION = "alpaca.sip"
_SESSION = date(2025, 11, 20)
_T0 = 1_763_649_000_000_000_000


def _frames(count: int, per_frame: int) -> Iterator[bytes]:
    """`count` messages of a seeded market, packed into frames."""
    market = seeded(Market(1, 2000, 390, _SESSION, max(1.0, count / 15_000)))
    messages = islice((m for part in market.slices for m in part.messages), count)
    while frame := list(islice(messages, per_frame)):
        yield b"[" + b",".join(frame) + b"]"


def _timed(step: Callable[[], object]) -> float:
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def _append(folder: Path, frames: list[bytes]) -> None:
    with open_log(str(folder)).writer(_PARTITION) as writer:
        for i, frame in enumerate(frames):
            writer.append(Kind.DATA, _T0 + i * 1000, frame)
        writer.sync()


def _entries(folder: Path) -> list[Entry]:
    reader = open_log(str(folder)).reader(_PARTITION)
    found: list[Entry] = []
    while part := reader.read(1 << 20):
        found += part
    reader.close()
    return found


def _decode(entries: list[Entry]) -> None:
    decode = vendor("alpaca").decode
    for first in range(0, len(entries), 400):
        decode(entries[first : first + 400])


def _load(folder: Path) -> None:
    store = open_store(str(folder / "lake"))
    load(open_log(str(folder / "log")), store, vendor)
    store.close()


def _one_symbol(folder: Path) -> float:
    """Median seconds to get a busy symbol's session, warm."""
    store = open_store(str(folder / "lake"), read_only=True)
    busiest = store.query("select symbol from quotes group by 1 order by count(*) desc limit 1").to_pylist()[0][
        "symbol"
    ]
    times = [_timed(lambda: list(store.scan(QUOTES, Selection(("quotes",), (busiest,))))) for _ in range(9)]
    store.close()
    return sorted(times)[4]


def measure(count: int, per_frame: int, say: Callable[[str], None]) -> Figures:
    """`{step: (figure, unit)}` for `count` messages."""
    with tempfile.TemporaryDirectory(prefix="tickerplant-bench-") as name:
        folder = Path(name)
        say("making a market")
        frames = list(_frames(count, per_frame))
        figures: Figures = {}
        say("appending to the log")
        figures["append to log, synced and sealed"] = (
            count / _timed(lambda: _append(folder / "log", frames)),
            "messages/s",
        )
        say("reading the log")
        entries: list[Entry] = []
        figures["read log, CRC checked"] = (
            count / _timed(lambda: entries.extend(_entries(folder / "log"))),
            "messages/s",
        )
        say("decoding")
        figures["decode to Arrow"] = (count / _timed(lambda: _decode(entries)), "messages/s")
        say("loading")
        figures["log to lake"] = (count / _timed(lambda: _load(folder)), "messages/s")
        figures["a symbol's session, not maintained"] = (1000 * _one_symbol(folder), "ms")
        log_bytes, lake_bytes = (
            sum(f.stat().st_size for f in (folder / part).rglob("*") if f.is_file()) for part in ("log", "lake")
        )
        figures["log on disk"] = (log_bytes / count, "bytes/message")
        figures["lake on disk, not maintained"] = (lake_bytes / count, "bytes/message")
        return figures

"""A PostgreSQL server that is away while the log grows: what waiting costs, and how fast the delay is made up."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg

from tests.support.plant import differences, kill, log_tally, query, stop, store_tally, tickerplant, wait_for
from tests.support.postgres import OwnServer
from tests.support.resident import Resident
from tickerplant.fingerprint import Tally
from tickerplant.simulator.process import Running, running
from tickerplant.stores import open_store

_COUNTERS = "select received, stored, quarantined, control from positions where partition not like 'plant.%'"

CHANNELS = "quotes,trades,bars,updated_bars,daily_bars,statuses,lulds,imbalances"
_CAUGHT_UP = re.compile(r"caught up\s.*?\bmessages=(?P<messages>\d+).*?\brate=(?P<rate>\d+).*?\bseconds=(?P<s>[\d.]+)")
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class Outage:
    """About `messages` are sent while the server is away, out of a market of `minutes` at `rate` a second of market
    time in the day's mean, played `speed` times as fast."""

    messages: int = 9_000_000
    symbols: int = 3_000
    minutes: int = 34
    rate: int = 4_400
    speed: float = 14.0
    seed: int = 1


@dataclass(frozen=True)
class OutageReport:
    """What an outage cost. `piled_up` is what was sent meanwhile, some of which the sockets may still hold.

    Memory is resident MB: how far it went up and down while the server was away, by how much the last quarter of that
    time was above the second, and its peak in the catch-up. `server_catch_up_mb` is of all server processes, without
    what they share.
    """

    messages: int
    piled_up: int
    away_s: float
    lost: int
    doubled: int
    is_equal: bool
    is_balanced: bool
    caught_up_messages: int
    caught_up_s: float
    caught_up_rate: int
    capture_away_spread_mb: float
    capture_away_growth_mb: float
    capture_peak_mb: float
    loader_away_spread_mb: float
    loader_away_growth_mb: float
    loader_away_peak_mb: float
    loader_catch_up_peak_mb: float
    server_catch_up_mb: float


class _Plant:
    def __init__(self, url: str, server: OwnServer, folder: Path) -> None:
        self.log, self.store, self.said = folder / "log", server.url, folder / "loader.log"
        self._server = server
        every = ("--symbols", "*", "--channels", CHANNELS, "--for", "2h")
        with self.said.open("w") as file, (folder / "capture.log").open("w") as other:
            capture = ("capture", "--url", url, "--log", self.log, *every)
            self.capture = tickerplant(*capture, stdout=subprocess.DEVNULL, stderr=other)
            load = ("load", "--log", self.log, "--store", self.store, "--follow")
            self.loader = tickerplant(*load, stdout=subprocess.DEVNULL, stderr=file)

    def watched(self) -> dict[str, Iterable[psutil.Process]]:
        found = {"capture": [psutil.Process(self.capture.pid)], "loader": [psutil.Process(self.loader.pid)]}
        try:
            return {**found, "server": self._server.processes()}
        except (OSError, ValueError, psutil.Error):
            return {**found}

    def caught_up(self) -> re.Match[str] | None:
        assert self.loader.poll() is None, self.said.read_text()
        return _CAUGHT_UP.search(_COLOURS.sub("", self.said.read_text()))

    def end(self) -> None:
        codes = {stop(self.capture), stop(self.loader, timeout=120)}
        assert codes == {0}, self.said.read_text()


def prepare(url: str) -> None:
    """Make the tables."""
    store = open_store(url)
    store.init()  # type: ignore[union-attr]
    store.close()


def stored(url: str) -> int:
    """Rows that the positions of a store account for."""
    with psycopg.connect(url) as link:
        row = link.execute("select coalesce(sum(stored), 0)::bigint from tickerplant.positions").fetchone()
    return int(row[0]) if row else 0


def outage_campaign(folder: Path, outage: Outage = Outage()) -> OutageReport:
    """Stop the server, let the log grow, start it again, and hold what is there in the end against the simulator."""
    market = ("--seed", str(outage.seed), "--symbols", str(outage.symbols), "--minutes", str(outage.minutes))
    pace = ("--rate", str(outage.rate), "--speed", f"{outage.speed:g}", "--linger", "600")
    folder.mkdir(parents=True, exist_ok=True)
    server = OwnServer(fsync=True)
    try:
        prepare(server.url)
        with running([*market, *pace], folder / "oracle.json", stderr=subprocess.DEVNULL) as simulator:
            return _away(simulator, server, folder, outage)
    finally:
        server.close()


def _sent(simulator: Running) -> int:
    return int(simulator.oracle()["sent"]["messages"])


def _away(simulator: Running, server: OwnServer, folder: Path, outage: Outage) -> OutageReport:
    plant = _Plant(simulator.ws, server, folder)
    try:
        return _measured(plant, simulator, server, outage)
    finally:
        kill(plant.capture, plant.loader)


def _measured(plant: _Plant, simulator: Running, server: OwnServer, outage: Outage) -> OutageReport:
    with Resident(plant.watched) as memory:
        wait_for(lambda: stored(plant.store) > 0, 60, "the first rows in the store")
        server.stop()
        began, before = time.monotonic(), _sent(simulator)
        memory.phase = "away"
        piled_up = wait_for(lambda: _piled(simulator, before, outage), 3600, "a pile of messages", pause=0.2)
        away_s = time.monotonic() - began
        memory.phase = "catch-up"
        server.start()
        line = wait_for(plant.caught_up, 3600, "the loader's line about the catch-up", pause=0.2)
        assert line is not None
        wait_for(lambda: simulator.oracle()["complete"], 3600, "the end of the market", pause=0.2)
        total = _sent(simulator)
        wait_for(lambda: stored(plant.store) >= total, 600, "the last rows in the store", pause=0.2)
    plant.end()
    return OutageReport(
        total,
        piled_up,
        away_s,
        *_compared(plant, simulator.oracle()),
        int(line["messages"]),
        float(line["s"]),
        int(line["rate"]),
        memory.of("away", "capture").spread,
        memory.of("away", "capture").growth,
        max(memory.of(phase, "capture").most for phase in ("start", "away", "catch-up")),
        memory.of("away", "loader").spread,
        memory.of("away", "loader").growth,
        memory.of("away", "loader").most,
        memory.of("catch-up", "loader").most,
        memory.of("catch-up", "server").most,
    )


def _piled(simulator: Running, before: int, outage: Outage) -> int:
    """How much piled up when it is enough, or all there will be."""
    oracle = simulator.oracle()
    piled = int(oracle["sent"]["messages"]) - before
    return piled if piled >= outage.messages or oracle["complete"] else 0


def _compared(plant: _Plant, oracle: dict[str, Any]) -> tuple[int, int, bool, bool]:
    """Rows lost and doubled; whether store, log and oracle are equal; whether the counters balance."""
    sent, found = Tally.from_json(oracle["tables"]), store_tally(plant.store)
    landed, counted = log_tally(plant.log)
    is_equal = sent.tables == found.tables == landed.tables and not oracle["missed"]
    counters = query(plant.store, _COUNTERS)
    expected = {name: getattr(counted, name) for name in ("received", "stored", "quarantined", "control")}
    stored = sum(f.count for symbols in found.tables.values() for f in symbols.values())
    is_balanced = counters == [expected] and counted.received == stored + counted.quarantined + counted.control
    return *differences(sent, found), is_equal, is_balanced

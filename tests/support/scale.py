"""Four captures and three loaders on a Kinesis stream that is split and merged, killed at random under load.

Every process is a machine of its own: its own data folder, so that loaders share nothing but stream and store. At the
end the store is held against one loader on one log on files of the same lines, and against the market.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from collections import defaultdict
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.kinesis_kills import merge, open_shards, split
from tests.support.kinesis_server import KEYS, Server
from tests.support.plant import (
    differences,
    kill,
    log_end,
    log_tally,
    query,
    run,
    simulator,
    stop,
    tickerplant,
    wait_for,
)
from tests.support.real_ticks import store_url
from tests.support.scale_market import Against, against_market, gaps_of
from tickerplant.fingerprint import Tally, every_column
from tickerplant.jobs.capture_shards import Shard
from tickerplant.logs.files import FilesLog
from tickerplant.logs.kinesis.lanes import split_name
from tickerplant.model import Kind, Log, LogReader, Record
from tickerplant.simulator.market import Market
from tickerplant.simulator.tickers import tickers
from tickerplant.stores import open_store
from tickerplant.tables import VENDOR_TABLES

CAPTURES, LOADERS = 4, 3
_CORRECTED = 0.01
_LIVE_SHARE = 0.7
"""Part of the kills that wait until every capture lands and something is loaded; others may hit one that starts."""


@dataclass(frozen=True)
class ScaleReport:
    """What a campaign found. `lost`, `doubled` and `is_equal` hold the tables, every column, against one loader on one
    log on files; `reordered` are symbols whose messages stand in the stream otherwise than on the captures' disks;
    `missed` are the market's messages that no capture landed, `unnamed` those of them in no gap of their shard;
    `partitions`, and of how many `status` knew in the end that all is loaded (of the others it said `unknown`)."""

    seed: int
    captures_killed: int
    loaders_killed: int
    stream_shards: int
    rows: int
    lost: int
    doubled: int
    is_equal: bool
    gaps: int
    gaps_equal: bool
    reordered: int
    missed: int
    unnamed: int
    foreign: int
    is_balanced: bool
    partitions: int
    told_loaded: int
    seconds: float

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong."""
        wrong = self.lost + self.doubled + self.reordered + self.unnamed + self.foreign
        return self.is_equal and self.gaps_equal and self.is_balanced and not wrong


@dataclass
class _Plant:
    """Captures and loaders by name, each with a data folder of its own."""

    server: Server
    stream: str
    url: str
    symbols: tuple[str, ...]
    folder: Path
    store: str
    processes: dict[str, subprocess.Popen[str]] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    told: list[dict[str, Any]] = field(default_factory=list)

    def start(self, name: str) -> None:
        """Start a process, or start it again."""
        kind, number = name.split()
        log = (self.folder / f"{name}.log").open("a")
        words = ("--url", self.url, "--symbols", ",".join(self.symbols), "--channels", "quotes,trades,bars")
        capture = ("capture", *words, "--shard", f"{number}/{CAPTURES}", "--for", "4h")
        load = ("load", "--store", self.store, "--follow", "--batch-seconds", "1")
        with log:
            self.processes[name] = tickerplant(
                *(capture if kind == "capture" else load), env=self._environment(name), stdout=log, stderr=log
            )

    def _environment(self, name: str) -> dict[str, str]:
        return {
            **os.environ,
            "LOCAL_MODE": "false",
            "KINESIS_STREAM_NAME": self.stream,
            "KINESIS_ENDPOINT_URL": self.server.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": KEYS.key,
            "AWS_SECRET_ACCESS_KEY": KEYS.secret.reveal(),
            "TICKERPLANT_DATA": str(self.folder / name),
            "BATCH_TIMEOUT_SECONDS": "0.3",
            "KINESIS_KEEP_SEGMENTS": "1000000",
        }

    def spool(self, number: int) -> Path:
        """What a capture keeps on its disk."""
        return self.folder / f"capture {number}" / "spool" / f"{self.stream}@kinesis"

    def landed(self) -> dict[str, int]:
        """How far each capture's disk is written, and how many messages are loaded."""
        ends = {f"{n}": log_end(self.spool(n), f"alpaca.sip.{n}of{CAPTURES}") for n in range(1, CAPTURES + 1)}
        return {**ends, "rows": self.rows()}

    def wait_until_at_work(self) -> None:
        """Wait until each capture has landed something since the last kill and something was loaded."""

        def is_at_work() -> bool:
            self.check()
            return all(end > self.seen.get(name, 0) for name, end in self.landed().items())

        wait_for(is_at_work, 120, "captures that land and a loader that loads", pause=0.2)

    def check(self) -> None:
        """No process ends by itself."""
        for name, process in self.processes.items():
            assert process.poll() is None, f"{name} ended by itself with {process.poll()}"

    def kill(self, name: str, again: bool = True) -> None:
        """SIGKILL, and start it again unless it is gone for good."""
        kill(self.processes.pop(name))
        if again:
            self.start(name)
        self.seen = self.landed()

    def status(self) -> list[dict[str, Any]]:
        """What `tickerplant status` says of the partitions, asked on a machine that neither captures nor loads."""
        words = ("status", "--store", self.store, "--json")
        asked = tickerplant(*words, env=self._environment("desk 1"), stderr=subprocess.DEVNULL)
        said, _ = asked.communicate(timeout=100)
        partitions: list[dict[str, Any]] = json.loads(said)["partitions"]
        return partitions

    def rows(self) -> int:
        """Messages stored, as the counters say."""
        found = query(self.store, "select coalesce(sum(stored), 0)::bigint as n from positions")
        return int(found[0]["n"])

    def end(self) -> None:
        """End the captures, which send what is left, wait until all is loaded, end the loaders."""
        self.wait_until_at_work()
        names = sorted(self.processes)
        for name in names:
            if name.startswith("capture"):
                assert stop(self.processes[name], timeout=120) == 0, name
        expected = self.expected()
        try:
            wait_for(lambda: self.rows() >= expected, 240, f"{expected:,} rows in the store", pause=0.5)
            wait_for(self._is_told_loaded, 120, "a status that tells of no lag", pause=0.5)
        finally:
            codes = {name: stop(p, timeout=120) for name, p in self.processes.items() if name.startswith("load")}
        assert not any(codes.values()), codes

    def _is_told_loaded(self) -> bool:
        self.told = self.status()
        return not any(p["lag_seconds"] for p in self.told)

    def expected(self) -> int:
        """Rows in what the captures have on their disks."""
        spools = [log_tally(self.spool(n))[0].tables.values() for n in range(1, CAPTURES + 1)]
        return sum(f.count for tables in spools for table in tables for f in table.values())


def _plan(kills: int) -> dict[int, str]:
    """What else happens, by the number of the kill that it comes before."""
    at = [kills * n // 6 for n in range(1, 6)]
    return dict(zip(at, ("split", "add", "merge", "remove", "move"), strict=True))


def _happen(plant: _Plant, what: str, chance: random.Random) -> None:
    """Something besides kills: the stream changes, or who loads."""
    if what == "split":
        split(plant.server, plant.stream, chance.randrange(len(open_shards(plant.server, plant.stream))))
    elif what == "merge":
        merge(plant.server, plant.stream, chance.randrange(len(open_shards(plant.server, plant.stream)) - 1))
    elif what == "add":
        plant.start(f"load {LOADERS + 1}")
    elif what == "remove":
        plant.kill("load 2", again=False)
    else:
        assert stop(plant.processes.pop("load 1"), timeout=120) == 0
        plant.start(f"load {LOADERS + 2}")


def run_scale(server: Server, folder: Path, kills: int, seed: int, kind: str = "lake", rate: int = 200) -> ScaleReport:
    """Kill captures and loaders `kills` times; meanwhile one split, one merge, a loader added, one gone, one moved."""
    began, chance = time.monotonic(), random.Random(seed)
    market = Market(seed, 40, 390, rate=rate, corrected=_CORRECTED)
    words = ["--seed", seed, "--symbols", market.symbols, "--minutes", market.minutes, "--rate", rate]
    words += ["--corrected", _CORRECTED, "--speed", 1, "--clients", CAPTURES, "--linger", 600]
    folder.mkdir(parents=True, exist_ok=True)
    symbols = tuple(tickers(market.symbols, seed))
    with simulator(*map(str, words), stderr=subprocess.DEVNULL) as (url, _):
        plant = _Plant(server, server.stream(shards=4), url, symbols, folder, store_url(kind, folder))
        killed = _storm(plant, kills, chance)
    return _report(plant, market, killed, began)


def _storm(plant: _Plant, kills: int, chance: random.Random) -> dict[str, int]:
    """Start everything, kill, end; who was killed how often."""
    killed, happens = defaultdict[str, int](int), _plan(kills)
    names = [*(f"capture {n + 1}" for n in range(CAPTURES)), *(f"load {n + 1}" for n in range(LOADERS))]
    try:
        for name in names:
            plant.start(name)
        plant.wait_until_at_work()
        for number in range(kills):
            if number in happens:
                _happen(plant, happens[number], chance)
            if chance.random() < _LIVE_SHARE:
                plant.wait_until_at_work()
            time.sleep(chance.uniform(0.0, 1.0))
            name = chance.choice(sorted(plant.processes))
            killed[name.split()[0]] += 1
            plant.kill(name)
        plant.end()
    finally:
        kill(*plant.processes.values())
    return dict(killed)


def _report(plant: _Plant, market: Market, killed: dict[str, int], began: float) -> ScaleReport:
    log = _one_log(plant)
    alone = str(plant.folder / "alone")
    run("load", "--log", log, "--store", alone, timeout=600)
    expected, found = _tally(alone), _tally(plant.store)
    against = _against(plant, market, log)
    lost, doubled = differences(expected, found)
    gaps = _gaps(alone)
    with closing(plant.server.client()) as client:
        shards = len(client.list_shards(StreamName=plant.stream)["Shards"])
    return ScaleReport(
        market.seed,
        killed.get("capture", 0),
        killed.get("load", 0),
        shards,
        against.rows,
        lost,
        doubled,
        expected.tables == found.tables,
        len(gaps),
        gaps == _gaps(plant.store),
        _reordered(plant, log),
        against.missed,
        against.unnamed,
        against.foreign,
        _is_balanced(alone, plant.store),
        len(plant.told),
        sum(p["lag_seconds"] == 0 for p in plant.told),
        round(time.monotonic() - began, 1),
    )


def _one_log(plant: _Plant) -> Path:
    """The captures' disks put together: a log on files, as if they had written into one folder."""
    log = plant.folder / "log"
    log.mkdir()
    for number in range(1, CAPTURES + 1):
        name = f"alpaca.sip.{number}of{CAPTURES}"
        (plant.spool(number) / name).rename(log / name)
    return log


def _tally(store: str) -> Tally:
    """Count and checksum of every column of all rows, by table and symbol."""
    with closing(open_store(store, read_only=True)) as opened:
        return Tally.of_store(opened, [every_column(table) for table in VENDOR_TABLES])


def _gaps(store: str) -> list[dict[str, Any]]:
    return query(store, 'select * from gaps order by vendor, feed, channel, "start"')


def _is_balanced(*stores: str) -> bool:
    """Whether all stores tell the same sums, every message is accounted for, and none was set aside."""
    sums = "sum(received)::bigint as received, sum(stored)::bigint as stored, sum(control)::bigint as control"
    found = [query(store, f"select {sums} from positions")[0] for store in stores]
    return all(f == found[0] and f["received"] == f["stored"] + f["control"] for f in found)


def _against(plant: _Plant, market: Market, log: Path) -> Against:
    shards = [Shard(number, CAPTURES) for number in range(1, CAPTURES + 1)]
    shard_of = {s: f"alpaca.sip.{shard.name}" for shard in shards for s in shard.share(plant.symbols)}
    return against_market(market, plant.store, gaps_of(log), shard_of)


def _reordered(plant: _Plant, log: Path) -> int:
    """Symbols of which a new reader of the stream gets other messages, or in another order, than the disks hold."""
    with closing(plant.server.log(plant.stream, plant.folder / "reader")) as stream:
        sent, kept = _sequences(stream), _sequences(FilesLog(log))
    return sum(sent.get(key) != kept.get(key) for key in sent.keys() | kept.keys())


def _sequences(log: Log) -> dict[tuple[str, str], list[str]]:
    """The messages of each symbol of each capture, in the order in which a log has them."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    with ExitStack() as opened:
        # Made together: readers of one shard read it once.
        readers = {name: opened.enter_context(closing(log.reader(name))) for name in log.partitions()}
        while sum(_took(found, split_name(name)[0], reader) for name, reader in readers.items()):
            pass
    return found


def _took(found: dict[tuple[str, str], list[str]], partition: str, reader: LogReader) -> bool:
    entries = reader.read(1 << 20)
    for item in (e.item for e in entries):
        if isinstance(item, Record) and item.kind is Kind.DATA:
            for message in json.loads(item.payload):
                found[partition, message.get("S", "")].append(json.dumps(message))
    return bool(entries)

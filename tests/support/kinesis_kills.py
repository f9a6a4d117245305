"""Captures and loaders on Kinesis, killed at random while the stream is split and merged, held against the spool."""

from __future__ import annotations

import os
import random
import subprocess
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.kinesis_server import KEYS, Server, wait_active
from tests.support.plant import (
    differences,
    kill,
    log_end,
    log_tally,
    query,
    simulator,
    stop,
    store_tally,
    tickerplant,
    wait_for,
)

PARTITION = "alpaca.sip"


@dataclass(frozen=True)
class KinesisKillReport:
    """What a campaign found; `lost` and `doubled` are rows, 0 when well."""

    kills: int
    reshards: int
    shards: int
    rows: int
    lost: int
    doubled: int
    is_equal: bool
    seconds: float


class _Plant:
    """A capture into a stream and a loader from it, two processes with the settings that people have."""

    def __init__(self, server: Server, stream: str, url: str, folder: Path) -> None:
        self._env = {
            **os.environ,
            "LOCAL_MODE": "false",
            "KINESIS_STREAM_NAME": stream,
            "KINESIS_ENDPOINT_URL": server.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": KEYS.key,
            "AWS_SECRET_ACCESS_KEY": KEYS.secret.reveal(),
            "TICKERPLANT_DATA": str(folder),
            "BATCH_TIMEOUT_SECONDS": "0.2",
            "KINESIS_KEEP_SEGMENTS": "1000",
        }
        self._url, self.spool, self.store = url, folder / "spool" / f"{stream}@kinesis", folder / "lake"
        self.processes = {name: self._start(name) for name in ("capture", "load")}
        self._seen = 0

    def _start(self, name: str) -> subprocess.Popen[str]:
        words: dict[str, tuple[str, ...]] = {
            "capture": ("--url", self._url, "--symbols", "*", "--channels", "quotes,trades,bars", "--for", "1h"),
            "load": ("--follow",),
        }
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return tickerplant(name, *words[name], env=self._env, **quiet)

    def wait_until_landing(self) -> None:
        """Wait until the capture has written something since the last kill."""
        wait_for(lambda: log_end(self.spool) > self._seen, 90, "a capture that lands")

    def kill(self, *names: str) -> None:
        for name in names:
            process = self.processes[name]
            assert process.poll() is None, f"{name} ended by itself with {process.poll()}"
            kill(process)
            self.processes[name] = self._start(name)
        self._seen = log_end(self.spool)

    def end(self) -> None:
        """End the capture, which sends what is left, then load to the end."""
        self.wait_until_landing()
        assert stop(self.processes["capture"], timeout=90) == 0
        tables = log_tally(self.spool, [PARTITION])[0].tables.values()
        expected = sum(found.count for table in tables for found in table.values())
        try:
            wait_for(lambda: self.rows() >= expected, 120, f"{expected} rows in the store", pause=0.3)
        finally:
            code = stop(self.processes["load"], timeout=60)
        assert code == 0, f"load: exit {code}"

    def rows(self) -> int:
        found = query(self.store, "select coalesce(sum(stored), 0)::bigint as n from positions")
        return int(found[0]["n"])


def _reshard(server: Server, stream: str, chance: random.Random) -> None:
    """Split the first open shard, or merge two that lie side by side."""
    if len(open_shards(server, stream)) > 2 and chance.random() < 0.5:
        merge(server, stream, 0)
    else:
        split(server, stream, 0)


def open_shards(server: Server, stream: str) -> list[dict[str, Any]]:
    """The shards that take records, in the order of their hashes."""
    with closing(server.client()) as client:
        shards = [s for s in client.list_shards(StreamName=stream)["Shards"] if _is_open(s)]
    return sorted(shards, key=lambda s: int(s["HashKeyRange"]["StartingHashKey"]))


def split(server: Server, stream: str, number: int) -> None:
    """Split an open shard in the middle."""
    shard = open_shards(server, stream)[number]
    span = shard["HashKeyRange"]
    middle = (int(span["StartingHashKey"]) + int(span["EndingHashKey"])) // 2
    with closing(server.client()) as client:
        client.split_shard(StreamName=stream, ShardToSplit=shard["ShardId"], NewStartingHashKey=str(middle))
        wait_active(client, stream)


def merge(server: Server, stream: str, number: int) -> None:
    """Merge an open shard with the next one."""
    one, other = open_shards(server, stream)[number : number + 2]
    with closing(server.client()) as client:
        client.merge_shards(StreamName=stream, ShardToMerge=one["ShardId"], AdjacentShardToMerge=other["ShardId"])
        wait_active(client, stream)


def _is_open(shard: dict[str, Any]) -> bool:
    return "EndingSequenceNumber" not in shard["SequenceNumberRange"]


def run_kills(server: Server, folder: Path, kills: int, seed: int = 1, rate: int = 200) -> KinesisKillReport:
    """Kill capture, loader or both `kills` times, with a split or a merge after every second kill."""
    began, chance, reshards = time.monotonic(), random.Random(seed), 0
    stream = server.stream(shards=2)
    market = ("--seed", str(seed), "--symbols", "40", "--minutes", "390", "--speed", "1", "--rate", str(rate))
    with simulator(*market, "--linger", "600", stderr=subprocess.DEVNULL) as (url, _):
        plant = _Plant(server, stream, url, folder)
        try:
            for i in range(kills):
                plant.wait_until_landing()
                time.sleep(chance.uniform(0.0, 1.5))
                plant.kill(*chance.choice((("capture",), ("load",), ("capture", "load"))))
                if i % 2 == 0:
                    _reshard(server, stream, chance)
                    reshards += 1
            plant.end()
        finally:
            kill(*plant.processes.values())
    expected, found = log_tally(plant.spool, [PARTITION])[0], store_tally(plant.store)
    lost, doubled = differences(expected, found)
    client = server.client()
    shards = len(client.list_shards(StreamName=stream)["Shards"])
    client.close()
    return KinesisKillReport(
        kills,
        reshards,
        shards,
        plant.rows(),
        lost,
        doubled,
        expected.tables == found.tables,
        round(time.monotonic() - began, 1),
    )

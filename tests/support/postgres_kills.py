"""A loader and its PostgreSQL server, both killed with SIGKILL at random moments of a busy load."""

from __future__ import annotations

import random
import subprocess
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

import psycopg

from tests.support.many_days import MARKET, STOP
from tests.support.plant import differences, kill, log_end, log_tally, query, stop, store_tally, tickerplant, wait_for
from tests.support.postgres import OwnServer
from tests.support.postgres_outage import prepare
from tickerplant.fingerprint import Tally
from tickerplant.jobs.load import load
from tickerplant.logs import open_log
from tickerplant.simulator.process import Running, running
from tickerplant.stores import open_store
from tickerplant.vendors import vendor

_COUNTERS = "select received, stored, quarantined, control from positions where partition not like 'plant.%'"

Who = Literal["loader", "server", "both"]

_LIVE_SHARE = 0.9
"""Part of the kills that wait until the loader has committed; the others may hit one that only starts."""
_PAUSE_S = 0.6
_POSTMASTER_SHARE = 0.2
"""Part of the server's kills that hit the postmaster alone, which its backends survive for a moment."""
_ACTIVITY = """select state, query from pg_stat_activity where application_name like '%%:' || %s::text
order by xact_start nulls last limit 1"""
_PLACES = {
    "copy": "COPY",
    "update positions": "moving the position",
    "insert into positions": "moving the position",
    "commit": "COMMIT",
    "create ": "making a partition",
    "alter table": "making a partition",
    "select pg_advisory_xact_lock": "making a partition",
    "select _make_partition": "making a partition",
    "select to_regclass": "making a partition",
}


@dataclass(frozen=True)
class PostgresKillReport:
    """What a kill campaign found. `lost` and `doubled` are rows, 0 when well; `moments` is what the loader's connection
    was at, seen a few milliseconds before each kill; `in_transaction` in how many one was open. `again` is what one
    more load then found to do, 0 when well."""

    loader_kills: int
    server_kills: int
    messages: int
    sessions: int
    lost: int
    doubled: int
    is_equal: bool
    is_balanced: bool
    again: int
    in_transaction: int
    server_away_s: float
    seconds: float
    moments: dict[str, int]


def plan(kills: int, chance: random.Random) -> list[Who]:
    """Each is killed `kills` times: first alone, then in any order, a fifth of the times both at once."""
    alone, both = kills * 2 // 5, kills // 5
    rest = kills - alone - both
    mixed: list[Who] = [*(["loader"] * rest), *(["server"] * rest), *(["both"] * both)]  # type: ignore[list-item]
    chance.shuffle(mixed)
    return [*(["loader"] * alone), *(["server"] * alone), *mixed]  # type: ignore[list-item]


@dataclass
class _Plant:
    server: OwnServer
    log: Path
    folder: Path
    chance: random.Random
    moments: Counter[str] = field(default_factory=Counter)
    in_transaction: int = 0
    away_s: float = 0.0

    def __post_init__(self) -> None:
        self.loader = self._start()
        self._watch = self._connect()
        self._position = 0

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self.server.url, autocommit=True)

    def _start(self) -> subprocess.Popen[str]:
        pace = ("--follow", "--batch-seconds", "0.05", "--batch-size", "4000")
        with (self.folder / "loader.log").open("a") as said:
            words = ("load", "--log", self.log, "--store", self.server.url, *pace)
            return tickerplant(*words, stdout=subprocess.DEVNULL, stderr=said)

    def position(self) -> int:
        row = self._watch.execute("select coalesce(sum(position), 0)::bigint from tickerplant.positions").fetchone()
        return int(row[0]) if row else 0

    def wait_until_loading(self) -> None:
        wait_for(lambda: self._lives() and self.position() > self._position, 60, "a loader that commits", pause=0.005)

    def _lives(self) -> bool:
        assert self.loader.poll() is None, (self.folder / "loader.log").read_text()[-4000:]
        return True

    def kill(self, who: Who) -> None:
        self._lives()
        self._note_moment()
        if who != "server":
            self.loader.kill()
        if who != "loader":
            self._kill_server()
        if who != "server":
            self.loader.wait()
            self.loader = self._start()
        if who != "loader":
            self._server_back()
        self._position = self.position()

    def _kill_server(self) -> None:
        if self.chance.random() < _POSTMASTER_SHARE:
            self.server.kill_postmaster()
        else:
            self.server.kill()
        self._watch.close()

    def _server_back(self) -> None:
        began = time.monotonic()
        time.sleep(self.chance.uniform(0.0, 1.0))
        self.server.start()
        self._watch = self._connect()
        self.away_s += time.monotonic() - began

    def _note_moment(self) -> None:
        row = self._watch.execute(_ACTIVITY, [self.loader.pid]).fetchone()
        state, sql = row or ("not connected", "")
        place = next((p for start, p in _PLACES.items() if str(sql).lower().startswith(start)), "another statement")
        self.in_transaction += state.startswith("idle in") or (state == "active" and place != "another statement")
        if state == "idle in transaction":
            place = f"after {place}"
        self.moments[place if state.startswith(("active", "idle in")) else state] += 1

    def end(self) -> None:
        end = log_end(self.log)
        wait_for(lambda: self._lives() and self.position() >= end, 300, "a loader that is at the log's end")
        self._watch.close()
        assert stop(self.loader, timeout=120) == 0, (self.folder / "loader.log").read_text()[-4000:]


def postgres_kill_campaign(kills: int, seed: int, folder: Path, rows_a_day: int = 16_000) -> PostgresKillReport:
    """Kill loader and server `kills` times each, and hold the tables against the log and the simulator."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKET).write_text(f"{seed} {rows_a_day}")
    server, began, chance = OwnServer(), time.monotonic(), random.Random(seed)
    try:
        prepare(server.url)
        words = ("--source", "tests.support.many_days:read", "--path", str(folder), "--speed", "0", "--linger", "600")
        with (
            running(words, folder / "oracle.json", stderr=subprocess.DEVNULL) as simulator,
            _Capture(simulator, folder) as capture,
        ):
            plant = _killed(simulator, capture, server, plan(kills, chance), chance)
        return _report(plant, simulator.oracle(), kills, time.monotonic() - began)
    finally:
        server.close()


class _Capture:
    def __init__(self, simulator: Running, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        words = ("--url", simulator.ws, "--symbols", "*", "--channels", "quotes,trades,bars", "--log", self.log)
        with (folder / "capture.log").open("w") as said:
            self._process = tickerplant(
                "capture", *words, "--for", "2h", "--always-open", stdout=subprocess.DEVNULL, stderr=said
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        kill(self._process)

    def end(self) -> None:
        assert stop(self._process) == 0, (self.folder / "capture.log").read_text()[-4000:]


def _killed(
    simulator: Running, capture: _Capture, server: OwnServer, kills: list[Who], chance: random.Random
) -> _Plant:
    plant = _Plant(server, capture.log, capture.folder, chance)
    try:
        _kill_all(plant, kills)
        (capture.folder / STOP).touch()
        wait_for(lambda: simulator.oracle()["complete"], 120, "the end of the market")
        capture.end()
        plant.end()
    finally:
        kill(plant.loader)
    return plant


def _kill_all(plant: _Plant, kills: list[Who]) -> None:
    plant.wait_until_loading()
    for who in kills:
        if plant.chance.random() < _LIVE_SHARE:
            plant.wait_until_loading()
        time.sleep(plant.chance.uniform(0.0, _PAUSE_S))
        plant.kill(who)


def _report(plant: _Plant, oracle: dict[str, Any], kills: int, seconds: float) -> PostgresKillReport:
    url = plant.server.url
    sent, found = Tally.from_json(oracle["tables"]), store_tally(url)
    landed, counted = log_tally(plant.log)
    counters = query(url, _COUNTERS)
    expected = {name: getattr(counted, name) for name in ("received", "stored", "quarantined", "control")}
    rows = sum(f.count for symbols in found.tables.values() for f in symbols.values())
    with closing(open_store(url)) as store:
        again = load(open_log(str(plant.log)), store, vendor).counters.received
    return PostgresKillReport(
        kills,
        kills,
        oracle["sent"]["messages"],
        query(url, "select count(distinct session) as n from quotes")[0]["n"],
        *differences(sent, found),
        sent.tables == found.tables == landed.tables,
        counters == [expected] and counted.stored == rows,
        again,
        plant.in_transaction,
        plant.away_s,
        seconds,
        dict(plant.moments.most_common()),
    )

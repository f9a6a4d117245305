"""The simulator over real sockets: what a client hears is what the oracle says, whatever goes wrong."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from picows import WSError

from tests.support import simulator_client as client
from tests.support.simulator_client import MSGPACK, Heard, connect, decode, everything, tally
from tickerplant.fingerprint import Tally
from tickerplant.logs import open_log
from tickerplant.model import Kind, Secret
from tickerplant.simulator.faults import parse
from tickerplant.simulator.market import Market, seeded
from tickerplant.simulator.process import running
from tickerplant.simulator.replay import from_log
from tickerplant.simulator.server import Options, simulate
from tickerplant.simulator.source import Source

SMALL = Market(seed=3, symbols=50, minutes=2, rate=100.0)
FAST = Options(speed=0, linger_s=0.05)


@pytest.fixture(scope="module", autouse=True)
def pandas_is_there() -> None:
    """pyarrow imports it with the first list: not in the middle of a market that takes a second."""
    pa.array([0])


@asynccontextmanager
async def serving(source: Source, options: Options) -> AsyncIterator[tuple[str, asyncio.Task[dict[str, Any]]]]:
    address: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    task = asyncio.create_task(simulate(source, options, ready=address.set_result, stop=stop))
    try:
        yield (await address)["ws"], task
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)


def play(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 60))


async def hear_all(url: str, task: asyncio.Task[dict[str, Any]], heard: Heard, oracle: Path) -> dict[str, Any]:
    """Wait until the market has ended and everything arrived, hang up, and return the final oracle."""
    while not json.loads(oracle.read_bytes())["complete"]:
        await asyncio.sleep(0.01)
    sent = sum(c["frames"] for c in json.loads(oracle.read_bytes())["connections"] if c["closed_ns"] is None)
    await heard.until(lambda: len(heard.data) >= sent)
    heard.hang_up()
    return await asyncio.wait_for(task, 10)


async def heard_frames(heard: Heard, count: int) -> None:
    await heard.until(lambda: len(heard.data) >= count)


@pytest.mark.parametrize("headers", [client.JSON, MSGPACK], ids=["json", "msgpack"])
def test_client_hears_exactly_what_the_oracle_says(tmp_path: Path, headers: dict[str, str]) -> None:
    async def scenario() -> None:
        path = tmp_path / "oracle.json"
        async with serving(seeded(SMALL), replace(FAST, oracle=path)) as (url, task):
            heard = await connect(url, everything(), headers)
            oracle = await hear_all(url, task, heard, path)
        assert oracle == json.loads(path.read_bytes())
        assert oracle["tables"] == tally(heard.data)
        assert oracle["sent"]["messages"] == sum(f["count"] for t in oracle["tables"].values() for f in t.values())
        assert oracle["sent"]["frames"] == len(heard.data)
        assert oracle["sent"]["control"] == len(heard.control) == 3
        assert oracle["missed"] == {}
        assert set(oracle["tables"]) >= {"quotes", "trades", "bars", "daily_bars", "lulds"}

    play(scenario)


def test_paced_market_takes_its_time_and_frames_stay_small(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "oracle.json"
        options = replace(FAST, speed=120.0, per_frame=7, oracle=path)
        async with serving(seeded(replace(SMALL, rate=50.0)), options) as (url, task):
            heard = await connect(url, everything())
            oracle = await hear_all(url, task, heard, path)
        # A second of the market; the client may hear its beginning late, and a busy machine its end.
        assert 0.4 < heard.times[-1] - heard.times[0] < 30.0
        sizes = [len(json.loads(payload)) for payload in heard.data]
        assert max(sizes) == 7
        assert oracle["tables"] == tally(heard.data)

    play(scenario)


def test_several_clients_each_with_its_filter(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "oracle.json"
        async with serving(seeded(SMALL), replace(FAST, clients=2, oracle=path)) as (url, task):
            narrow = await connect(url, {"trades": ["BRK.B", "SPY"], "bars": ["NA"]})
            wide = await connect(url, {"quotes": ["*"]}, MSGPACK)
            await wide.until(lambda: wide.control and len(wide.data) > 10)
            while not json.loads(path.read_bytes())["complete"]:
                await asyncio.sleep(0.01)
            connections = json.loads(path.read_bytes())["connections"]
            for heard, kept in ((narrow, connections[0]), (wide, connections[1])):
                await heard_frames(heard, kept["frames"])
            for heard in (narrow, wide):
                heard.hang_up()
            oracle = await task
        symbols = {table: set(found) for table, found in tally(narrow.data).items()}
        assert (symbols["trades"], symbols["bars"]) == ({"BRK.B", "SPY"}, {"NA"})
        assert symbols.keys() <= {"trades", "bars", "trade_corrections"}
        assert set(tally(wide.data)) == {"quotes"}
        by_tables = sorted((c["tables"] for c in oracle["connections"]), key=json.dumps)
        assert by_tables == sorted([tally(narrow.data), tally(wide.data)], key=json.dumps)
        assert oracle["missed"] == {}

    play(scenario)


async def faulty(tmp_path: Path, *faults: str, speed: float = 0) -> tuple[dict[str, Any], list[Heard]]:
    """Play a small market with faults to a client that reconnects until the market has ended."""
    path, heards = tmp_path / "oracle.json", []
    options = replace(FAST, speed=speed, oracle=path, faults=tuple(map(parse, faults)), linger_s=0.3)
    async with serving(seeded(SMALL), options) as (url, task):
        while not json.loads(path.read_bytes())["complete"]:
            try:
                heards.append(await connect(url, everything()))
            except WSError:
                await asyncio.sleep(0.02)
                continue
            while not heards[-1].ended.is_set() and not json.loads(path.read_bytes())["complete"]:
                await asyncio.sleep(0.01)
        sent = json.loads(path.read_bytes())["sent"]["frames"]
        if not heards[-1].ended.is_set():
            await heards[-1].until(lambda: sum(len(h.data) for h in heards) >= sent)
            heards[-1].hang_up()
        return await asyncio.wait_for(task, 10), heards


def frames_of(heards: list[Heard]) -> list[bytes]:
    return [payload for heard in heards for payload in heard.data]


def test_disconnect_loses_only_what_it_says(tmp_path: Path) -> None:
    async def scenario() -> None:
        oracle, heards = await faulty(tmp_path, "disconnect@0.3s:0.4", speed=60.0)
        assert len(heards) == 2
        assert heards[0].close_code is None
        assert oracle["tables"] == tally(frames_of(heards))
        everything_there = Tally()
        for part in seeded(SMALL).slices:
            for code in range(10):
                here = part.channels == code
                table = ("trades", "quotes", "bars", "bars", "daily_bars", "statuses", "lulds", "imbalances")
                name = table[code] if code < 8 else "trade_corrections"
                everything_there.add_hashed(name, part.names, part.symbols[here], part.hashes[here])
        total = sum(everything_there.total(t).count for t in everything_there.tables)
        assert oracle["missed"]["quotes"] > 100
        assert total == oracle["sent"]["messages"] + sum(oracle["missed"].values())
        assert [(f["kind"], f["end_ns"] - f["start_ns"]) for f in oracle["faults"]] == [("disconnect", 400_000_000)]
        assert [c["close_reason"] for c in oracle["connections"]] == ["disconnect", "client"]

    play(scenario)


@pytest.mark.parametrize("duration", ["", ":0.1"])
def test_disconnect_at_a_message_is_exact(tmp_path: Path, duration: str) -> None:
    async def scenario() -> None:
        oracle, heards = await faulty(tmp_path, f"disconnect@1234m{duration}")
        assert sum(len(json.loads(payload)) for payload in heards[0].data) == 1234
        assert oracle["tables"] == tally(frames_of(heards))
        assert oracle["missed"] == {}

    play(scenario)


def test_garbled_duplicate_and_unknown_are_counted_apart(tmp_path: Path) -> None:
    async def scenario() -> None:
        oracle, heards = await faulty(tmp_path, "garbled@500m", "duplicate@900m", "unknown@1500m")
        frames = frames_of(heards)
        bad = [payload for payload in frames if not _is_json(payload)]
        assert len(bad) == oracle["garbled"] == 1
        assert oracle["unknown"] == sum(b'"T":"zz"' in payload for payload in frames) == 1
        assert oracle["duplicates"] == 20
        assert sum(a == b for a, b in pairwise(frames)) == 1
        assert oracle["tables"] == tally(frames)
        rejects = decode(frames).rejects
        assert sorted(r.item for r in rejects) == [-1, 0]
        total = sum(len(part.messages) for part in seeded(SMALL).slices)
        assert oracle["sent"]["messages"] + oracle["garbled"] == total + oracle["duplicates"]

    play(scenario)


def _is_json(payload: bytes) -> bool:
    try:
        json.loads(payload)
    except ValueError:
        return False
    return True


def test_mute_and_half_dead_keep_the_connection(tmp_path: Path) -> None:
    async def scenario() -> None:
        oracle, heards = await faulty(tmp_path, "mute@0.2s:0.3", "half_dead@0.6s:0.3", speed=120.0)
        assert len(heards) == 1
        pauses = [b - a for a, b in pairwise(heards[0].times)]
        assert 0.15 < max(pauses) < 20.0
        assert oracle["tables"] == tally(frames_of(heards))
        total = sum(len(part.messages) for part in seeded(SMALL).slices)
        assert total == oracle["sent"]["messages"] + sum(oracle["missed"].values())
        assert oracle["missed"]["quotes"] > 1000

    play(scenario)


def test_slow_delays_but_loses_nothing(tmp_path: Path) -> None:
    async def scenario() -> None:
        oracle, heards = await faulty(tmp_path, "slow@0.2s:0.4", speed=120.0)
        assert oracle["missed"] == {}
        assert oracle["tables"] == tally(frames_of(heards))
        assert oracle["sent"]["messages"] == sum(len(part.messages) for part in seeded(SMALL).slices)

    play(scenario)


@pytest.mark.parametrize(("kind", "code"), [("406", 406), ("407", 407)])
def test_errors_that_close(tmp_path: Path, kind: str, code: int) -> None:
    async def scenario() -> None:
        oracle, heards = await faulty(tmp_path, f"{kind}@0.3s:0.3", speed=120.0)
        assert heards[0].control[-1]["code"] == code
        assert heards[0].close_code is not None
        turned_away = [h for h in heards[1:] if any(c.get("code") == 406 for c in h.control)]
        assert bool(turned_away) is (kind == "406")
        assert oracle["tables"] == tally(frames_of(heards))

    play(scenario)


def test_429_refuses_the_handshake(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "oracle.json"
        options = replace(FAST, speed=60.0, oracle=path, faults=(parse("429@0.2s:0.4"),))
        async with serving(seeded(SMALL), options) as (url, _):
            heard = await connect(url, everything())
            await asyncio.wait_for(heard.ended.wait(), 10)
            with pytest.raises(WSError, match="429"):
                await connect(url, everything())

    play(scenario)


def test_limits_keys_and_paths() -> None:
    async def scenario() -> None:
        options = replace(FAST, connections=1, key="right", secret=Secret("pass"), clients=9)
        async with serving(seeded(SMALL), options) as (url, _):
            wrong = await connect(url, everything())
            await wrong.until(lambda: len(wrong.control) == 2)
            assert wrong.control[-1] == {"T": "error", "code": 402, "msg": "auth failed"}
            right = {"APCA-API-KEY-ID": "right", "APCA-API-SECRET-KEY": "pass"}
            first = await connect(url.replace("sip", "iex"), {}, right)
            await first.until(lambda: len(first.control) >= 2)
            assert first.control[1]["msg"] == "authenticated"
            second = await connect(url, {}, right)
            await second.until(second.ended.is_set)
            assert [c.get("code") for c in second.control] == [None, 406]
            with pytest.raises(WSError, match="404"):
                await connect(url.replace("sip", "nasdaq"), {})

    play(scenario)


def test_a_client_that_does_not_read_holds_no_memory(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "oracle.json"
        async with serving(seeded(replace(SMALL, rate=1500.0)), replace(FAST, oracle=path)) as (url, task):
            heard = await connect(url, everything())
            await heard.until(lambda: heard.data)
            assert heard.transport is not None
            heard.transport.underlying_transport.pause_reading()
            before = -1
            while (now := json.loads(path.read_bytes())["sent"]["messages"]) != before or now == 0:
                before = now
                await asyncio.sleep(1.2)
            assert not json.loads(path.read_bytes())["complete"]
            heard.transport.underlying_transport.resume_reading()
            oracle = await hear_all(url, task, heard, path)
        assert oracle["tables"] == tally(heard.data)

    play(scenario)


def test_a_log_is_replayed_byte_for_byte(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / "oracle.json"
        async with serving(seeded(SMALL), replace(FAST, oracle=path, faults=(parse("garbled@99m"),))) as (url, task):
            heard = await connect(url, everything())
            first = await hear_all(url, task, heard, path)
        log = open_log(str(tmp_path / "log"))
        with log.writer("alpaca.sip") as writer:
            for k, payload in enumerate(heard.data):
                writer.append(Kind.DATA, 1_763_649_000_000_000_000 + k * 1_000_000, payload)
        async with serving(from_log(log), replace(FAST, oracle=path)) as (url, task):
            again = await connect(url, everything())
            second = await hear_all(url, task, again, path)
        assert again.data == heard.data
        assert second["tables"] == first["tables"]
        assert second["garbled"] == 1
        async with serving(from_log(log), replace(FAST, oracle=path)) as (url, task):
            narrow = await connect(url, {"quotes": ["SPY"]}, MSGPACK)
            third = await hear_all(url, task, narrow, path)
        assert third["tables"] == {"quotes": {"SPY": first["tables"]["quotes"]["SPY"]}}
        assert tally([p for p in narrow.data if p[:1] != b"["]) == third["tables"]

    play(scenario)


def test_process_serves_stops_and_writes_its_oracle(tmp_path: Path) -> None:
    arguments = ["--symbols", "20", "--minutes", "5", "--speed", "1", "--rate", "200"]

    async def scenario(url: str) -> Heard:
        heard = await connect(url, {"quotes": ["*"]})
        await heard.until(lambda: len(heard.data) > 5)
        return heard

    async def until_stop(simulator: Any) -> Heard:
        heard = await scenario(simulator.ws)
        os.kill(simulator.pid, signal.SIGTERM)
        await asyncio.wait_for(heard.ended.wait(), 10)
        return heard

    with running(arguments, tmp_path / "oracle.json") as simulator:
        heard = asyncio.run(until_stop(simulator))
        assert simulator.wait(10) == 0
        oracle = simulator.oracle()
    assert oracle["complete"] is False
    assert oracle["tables"] == tally(heard.data)
    assert oracle["source"]["seed"] == 7


def test_process_ends_by_itself_and_first_line_is_json(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tickerplant", "simulate", "--symbols", "20", "--minutes", "1", "--speed", "0"]
    command += ["--port", "0", "--linger", "0.1", "--oracle", str(tmp_path / "oracle.json")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        assert said["ws"] == f"ws://127.0.0.1:{said['port']}/v2/sip"
        assert said["pid"] == process.pid

        async def scenario() -> Heard:
            heard = await connect(said["ws"], everything())
            deadline = time.monotonic() + 20
            while not json.loads((tmp_path / "oracle.json").read_bytes())["complete"]:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
            frames = json.loads((tmp_path / "oracle.json").read_bytes())["sent"]["frames"]
            await heard.until(lambda: len(heard.data) == frames)
            heard.hang_up()
            return heard

        heard = asyncio.run(scenario())
        assert process.wait(10) == 0
    assert json.loads((tmp_path / "oracle.json").read_bytes())["tables"] == tally(heard.data)

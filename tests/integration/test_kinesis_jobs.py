"""Jobs on a log on Kinesis: how far it is loaded, what waits, one of several captures, the feed, what is not loaded."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import pytest

from tests.support import kinesis_server
from tests.support.kinesis_faults import PARTITION, START_NS, frames, numbers_of
from tests.support.kinesis_proxy import Faults, between
from tests.support.kinesis_server import KEYS, Server
from tickerplant.jobs.health import health
from tickerplant.jobs.load import load
from tickerplant.jobs.pending import pending
from tickerplant.jobs.status import behind, status
from tickerplant.logs.kinesis.lanes import lane_name, split_frame, split_name
from tickerplant.logs.kinesis.log import KinesisLog, open_kinesis
from tickerplant.logs.kinesis.options import options_of
from tickerplant.logs.writer import DEFAULTS
from tickerplant.model import Entry, Kind, Position, Record
from tickerplant.rest import Asked, Call, encode_asked
from tickerplant.serve.feed_live import end_of
from tickerplant.serve.feed_recorded import seek
from tickerplant.settings import Settings, read_settings
from tickerplant.stores import StoreOptions, open_store
from tickerplant.vendors import vendor

SettingsOf: TypeAlias = Callable[[str, str], Settings]
SUNDAY = datetime(2025, 11, 23, 15, tzinfo=UTC)


@pytest.fixture(scope="module")
def server() -> Server:
    if reason := kinesis_server.why_not():
        pytest.skip(reason)
    return kinesis_server.shared()


@pytest.fixture
def settings_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SettingsOf:
    """Sets, for an endpoint and a stream, what people set."""

    def given(url: str, stream: str) -> Settings:
        for name, value in environment(url, stream, tmp_path).items():
            monkeypatch.setenv(name, value)
        return read_settings(None, None)

    return given


def environment(url: str, stream: str, folder: Path) -> dict[str, str]:
    return {
        "LOCAL_MODE": "false",
        "KINESIS_STREAM_NAME": stream,
        "KINESIS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": KEYS.key,
        "AWS_SECRET_ACCESS_KEY": KEYS.secret.reveal(),
        "TICKERPLANT_DATA": str(folder),
        "BATCH_TIMEOUT_SECONDS": "0.02",
    }


def fill(log: KinesisLog, sent: list[bytes], partition: str = PARTITION, first: int = 0) -> None:
    with log.writer(partition) as writer:
        for i, frame in enumerate(sent, first):
            writer.append(Kind.DATA, START_NS + i * 1_000_000, frame)


def test_behind_is_nothing_once_all_is_sent_and_loaded(server: Server, settings_of: SettingsOf) -> None:
    """Also one of several captures: its partition is read as lanes of its own."""
    settings = settings_of(server.url, server.stream())
    assert settings.log.startswith("kinesis://")
    with closing(open_kinesis(settings.log, settings=settings)) as log, closing(open_store(settings.store)) as store:
        fill(log, frames(30))
        fill(log, frames(20, seed=8), f"{PARTITION}.2of4")
        assert behind(log, store) > 0
        shards = {split_name(name)[0] for name in log.partitions()}
        assert shards == {PARTITION, f"{PARTITION}.2of4"}
        done = load(log, store, vendor)
        assert done.counters.received == sum(len(json.loads(f)) for f in [*frames(30), *frames(20, seed=8)])
        assert behind(log, store) == 0
        found = status(log, store)
        assert found.balanced
        assert [p.lag_bytes for p in found.partitions] == [0] * len(log.partitions())


def test_how_far_each_lane_is_behind_is_told_on_any_machine(server: Server, settings_of: SettingsOf) -> None:
    settings = settings_of(server.url, server.stream(shards=2))
    began = time.time_ns() - 20 * 10**9
    with closing(open_kinesis(settings.log, settings=settings)) as log, closing(open_store(settings.store)) as store:
        with log.writer(PARTITION) as writer:
            writer.append(Kind.CONTROL, began - 10**12, b"{}")
            for i, frame in enumerate(frames(50)):
                writer.append(Kind.DATA, began + i * 1_000_000, frame)
        away = replace(options_of(settings.log, settings, DEFAULTS), spool=Path(settings.data) / "elsewhere")
        with closing(KinesisLog(away)) as other:
            before = {p.partition: p for p in status(other, store).partitions}
            assert all(19 < (p.lag_seconds or 0) < 60 for name, p in before.items() if name != PARTITION)
            assert (before[PARTITION].lag_seconds or 0) > 1000
            load(log, store, vendor)
            assert {(p.lag_seconds, p.lag_records) for p in status(other, store).partitions} == {(0.0, 0)}
            late = frames(1, seed=3)[0]
            sent = {lane_name(PARTITION, part.lane, 8) for part in split_frame(late, 8)}
            fill_now(log, late, 3)
            with store.loading(PARTITION):
                for where in (log, other):
                    after = {p.partition: p for p in status(where, store).partitions}
                    assert {name for name, p in after.items() if p.lag_records} == sent
                    assert all(after[name].lag_records == 3 for name in sent)
                    assert all(not after[name].lag_is_least and after[name].lag_seconds for name in sent)
                    assert {p.lag_seconds for name, p in after.items() if name not in sent} == {0.0}
                    assert f"process {os.getpid()} on " in (after[PARTITION].loader or "")
                    assert {p.loader for name, p in after.items() if name != PARTITION} == {None}


@pytest.mark.parametrize("ahead_s", [-100, 0, 100])
def test_a_reader_elsewhere_goes_on_whatever_the_clock_of_the_capture(
    server: Server, tmp_path: Path, ahead_s: int
) -> None:
    """A place is looked for by time; the clocks of capture and service may differ by minutes."""
    frame, stream = b'[{"T":"q","S":"A","i":1}]', server.stream()
    first = time.time_ns() + ahead_s * 10**9
    with closing(server.log(stream, tmp_path / "spool")) as log:
        with log.writer(PARTITION) as writer:
            for i in range(6):
                writer.append(Kind.DATA, first + i * 1_000_000, frame)
                assert writer.flush(20)
        (name,) = [n for n in log.partitions() if log.segments(n) and split_name(n)[2]]
        for number in (0, 3, 5):
            start = Position(first + number * 1_000_000 + 1)
            other = server.log(stream, tmp_path / f"elsewhere {number}")
            with closing(other), closing(other.reader(name, start)) as reader:
                found = [e for _ in range(5 - number) for e in reader.read(1)]
                assert received(found) == [first + i * 1_000_000 for i in range(number + 1, 6)]
                assert reader.read(1) == []


def fill_now(log: KinesisLog, frame: bytes, times: int) -> None:
    with log.writer(PARTITION) as writer:
        for _ in range(times):
            writer.append(Kind.DATA, time.time_ns(), frame)


def test_what_waits_while_the_service_is_away_is_told(server: Server, settings_of: SettingsOf) -> None:
    with between(server.url, Faults()) as (url, proxy):
        settings = settings_of(url, server.stream())
        options = replace(
            options_of(settings.log, settings, DEFAULTS), close_wait_s=0.1, first_wait_s=0.02, longest_wait_s=0.1
        )
        with closing(KinesisLog(options)) as log, closing(open_store(settings.store)) as store:
            fill(log, frames(3))
            load(log, store, vendor)
            proxy.faults.way = "down"
            fill(log, frames(5), first=10)
            (waiting,) = log.waiting(10)
            assert (waiting.partition, waiting.segments, waiting.is_over) == (PARTITION, 1, True)
            assert waiting.trouble is not None
            assert not waiting.trouble.is_refused
            proxy.faults.way = "forward"
            assert behind(log, store) >= waiting.bytes
            spool = next(c for c in health(settings, StoreOptions(), SUNDAY) if c.name == f"spool {PARTITION}")
            assert (spool.outcome, spool.value) == ("warn", waiting.bytes)
            fill(log, frames(1), first=20)
            (waiting,) = log.waiting(10)
            assert (waiting.bytes, waiting.trouble) == (0, None)
            checks = {c.name: c.outcome for c in health(settings, StoreOptions(), SUNDAY)}
            assert checks[f"spool {PARTITION}"] == checks[f"feed {PARTITION}"] == "ok"


def test_the_feed_finds_a_time_and_the_present_end(server: Server, tmp_path: Path) -> None:
    stream = server.stream()
    with closing(server.log(stream, tmp_path / "spool")) as log:
        frame = b'[{"T":"q","S":"A","i":1}]'
        fill(log, [frame] * 100)
        (name,) = [n for n in log.partitions() if log.segments(n)]
        for number in (0, 1, 57, 99):
            with closing(log.reader(name, seek(log, name, START_NS + number * 1_000_000))) as reader:
                assert received(reader.read(1)) == [START_NS + number * 1_000_000]
        with closing(server.log(stream, tmp_path / "elsewhere")) as other:
            end = end_of(other, name)
            assert split_name(name)[0] == PARTITION
            with closing(other.reader(name, end)) as reader:
                assert reader.read() == []
                with log.writer(PARTITION) as writer:
                    writer.append(Kind.DATA, int(end) + 1_000_000_000, frame)
                found = reader.read()
                while not found:
                    found = reader.read()
                assert received(found) == [int(end) + 1_000_000_000]


def received(entries: list[Entry]) -> list[int]:
    return [e.item.received_at for e in entries if isinstance(e.item, Record)]


def test_lanes_may_be_read_in_threads(server: Server, tmp_path: Path) -> None:
    stream = server.stream(shards=2)
    sent = frames(80)
    with closing(server.log(stream, tmp_path / "spool", record_bytes=4_000)) as log:
        fill(log, sent)
        with closing(server.log(stream, tmp_path / "other")) as other, ThreadPoolExecutor(5) as pool:
            found = list(pool.map(lambda name: read(other, name), other.partitions()))
    numbers = [numbers_of(entries) for entries in found]
    assert sum(len(each) for n in numbers for each in n.values()) == sum(len(json.loads(f)) for f in sent)
    assert all(each == sorted(each) for n in numbers for each in n.values())


def read(log: KinesisLog, name: str) -> list[Entry]:
    entries: list[Entry] = []
    with closing(log.reader(name)) as reader:
        while more := reader.read(3_000):
            entries += more
    return entries


def test_answers_that_are_not_loaded_are_known(server: Server, tmp_path: Path) -> None:
    start = datetime(2025, 11, 20, tzinfo=UTC)
    call = Call(endpoint="bars", table="bars", path="/v2/stocks/bars", symbols=("AAPL",), start=start, end=SUNDAY)
    body = b'{"bars":{"AAPL":[]},"next_page_token":null}'
    with closing(server.log(server.stream(), tmp_path / "spool")) as log, closing(open_store(str(tmp_path))) as store:
        with log.writer("alpaca.rest") as writer:
            writer.append(Kind.RESPONSE, START_NS, body, encode_asked(Asked(call=call, chain="chain")))
        assert log.partitions() == ["alpaca.rest"]
        found = pending(log, store, vendor("alpaca"), "bars")
        assert list(found.chains) == ["chain"]
        load(log, store, vendor)
        assert store.progress("alpaca.rest").position == Position(START_NS + 1)
        assert pending(log, store, vendor("alpaca"), "bars").chains == {}

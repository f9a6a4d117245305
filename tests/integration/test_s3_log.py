"""A log on S3 through what goes wrong: outages, spoilt uploads, other machines, kills, a full disk."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import MutableMapping, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.support import s3
from tests.support.plant import wait_for
from tests.support.s3_kills import shipping_kills
from tickerplant.credentials import Secret
from tickerplant.errors import Busy, Fatal, Retryable
from tickerplant.jobs.capture_gaps import connected_payload, inherited_hole
from tickerplant.jobs.health import health
from tickerplant.jobs.load import load
from tickerplant.jobs.status import status
from tickerplant.logs.files import FilesLog
from tickerplant.logs.s3 import open_s3
from tickerplant.logs.writer import FilesWriter, Options
from tickerplant.model import Entry, Kind, LogReader, Record
from tickerplant.settings import Settings
from tickerplant.stores import StoreOptions, open_store
from tickerplant.stores.lake import LakeStore
from tickerplant.vendors import vendor

PARTITION, CHANNELS, URL = "alpaca.sip", ("quotes",), "wss://127.0.0.1/v2/sip"
CONNECTED = connected_payload(1, URL, CHANNELS, ("*",), None)
SMALL = Options(sync_interval_s=0.01, segment_bytes=2_000)
SUNDAY = datetime(2025, 11, 23, 15, tzinfo=UTC)


def record(i: int) -> Record:
    return Record("alpaca", "sip", Kind.DATA, i * 10_000, b'[{"T":"q","S":"A","i":%d}]' % i)


def fill(writer: FilesWriter, first: int, last: int) -> None:
    for i in range(first, last + 1):
        writer.append(Kind.DATA, i * 10_000, record(i).payload)
    writer.sync()


def read(reader: LogReader) -> list[Entry]:
    entries: list[Entry] = []
    while found := reader.read(1000):
        entries += found
    return entries


def items(log: FilesLog) -> list[object]:
    reader = log.reader(PARTITION)
    found: list[object] = [e.item for e in read(reader)]
    reader.close()
    return found


def records(last: int) -> list[Record]:
    return [record(i) for i in range(1, last + 1)]


def elsewhere(url: str, tmp_path: Path) -> FilesLog:
    return open_s3(url, SMALL, s3.settings(tmp_path / "another machine"))


def crossings(lines: Sequence[MutableMapping[str, Any]]) -> list[str]:
    """What was said about the spool's limit, in order."""
    return [str(x["event"]) for x in lines if str(x["event"]).endswith("its limit")]


def spooled(log: FilesLog) -> list[str]:
    return sorted(path.name for path in (log.folder / PARTITION).glob("*.jsonl*"))


def test_a_closed_log_is_all_in_the_bucket_and_nothing_in_the_spool(tmp_path: Path) -> None:
    url = s3.new_url()
    log = open_s3(url, SMALL, s3.settings(tmp_path))
    with log.writer(PARTITION) as writer:
        fill(writer, 1, 200)
    assert spooled(log) == []
    stored = [o.key for o in s3.bucket(f"{url}/{PARTITION}").objects() if o.key.endswith(".jsonl.zst")]
    assert len(stored) > 5
    assert stored == [Path(s.name).name for s in log.segments(PARTITION)]
    assert items(elsewhere(url, tmp_path)) == records(200)
    with log.writer(PARTITION) as again:
        assert (again.last_received_at, again.last_kind) == (2_000_000, Kind.DATA)


def test_the_tail_in_the_spool_is_read_here_and_positions_are_those_of_elsewhere(tmp_path: Path) -> None:
    url = s3.new_url()
    log, other = open_s3(url, SMALL, s3.settings(tmp_path)), elsewhere(url, tmp_path)
    reader = log.reader(PARTITION)
    with log.writer(PARTITION) as writer:
        fill(writer, 1, 50)
        seen = read(reader)
        assert [e.item for e in seen] == records(50)
        fill(writer, 51, 120)
        seen += read(reader)
    assert [e.item for e in seen] == records(120)
    reader.close()
    far = other.reader(PARTITION)
    assert read(far) == seen
    far.close()
    half = other.reader(PARTITION, seen[60].end)
    assert read(half) == seen[61:]
    half.close()


def test_status_tells_how_far_the_log_is_loaded_as_seen_from_here_and_from_elsewhere(tmp_path: Path) -> None:
    url, quote = s3.new_url("log"), b'[{"T":"q","S":"A","bp":1.0,"t":"2025-11-20T15:00:00Z"}]'
    log, other, began = (
        open_s3(url, SMALL, s3.settings(tmp_path)),
        elsewhere(url, tmp_path),
        time.time_ns() - 30 * 10**9,
    )

    def lags(store: LakeStore) -> list[tuple[int | None, bool]]:
        found = [status(where, store).partitions[0] for where in (log, other)]
        return [(None if p.lag_seconds is None else round(p.lag_seconds) // 30, bool(p.lag_bytes)) for p in found]

    with closing(LakeStore(tmp_path / "lake")) as store:
        with log.writer(PARTITION) as writer:
            for i in range(100):
                writer.append(Kind.DATA, began + i * 10_000, quote)
        assert lags(store) == [(1, True), (1, True)]
        load(other, store, vendor)
        assert lags(store) == [(0, False), (0, False)]
        with log.writer(PARTITION) as writer:
            writer.append(Kind.DATA, began + 5 * 10**9, quote)
            writer.sync()
            assert lags(store)[0][1]
            with store.loading(PARTITION):
                assert str(os.getpid()) in (status(other, store).partitions[0].loader or "")


def test_what_was_left_in_the_spool_ships_first(tmp_path: Path) -> None:
    url = s3.new_url()
    log = open_s3(url, SMALL, s3.settings(tmp_path))
    with FilesLog(log.folder, SMALL).writer(PARTITION) as writer:
        fill(writer, 1, 100)
    left = spooled(log)
    assert len(left) > 3
    with log.writer(PARTITION) as again:
        wait_for(lambda: spooled(log) == [], 20, "leftovers shipped before anything is written")
        assert again.last_received_at == 1_000_000
        assert [o.key for o in s3.bucket(f"{url}/{PARTITION}").objects() if ".jsonl" in o.key] == left
        fill(again, 101, 110)
    assert items(elsewhere(url, tmp_path)) == records(110)


def findings(settings: Settings, url: str, tmp_path: Path) -> tuple[str, str]:
    lake = replace(settings, log=url, store_url=Secret(str(tmp_path / "lake")))
    (found,) = (c for c in health(lake, StoreOptions(), SUNDAY) if c.name == f"spool {PARTITION}")
    return found.outcome, found.found


def test_an_outage_fills_the_spool_alarms_at_its_limit_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = s3.new_url()
    with s3.gate() as gate:
        settings = s3.settings(tmp_path, gate.url, spool_bytes=4_000)
        for name, value in {**s3.variables(gate.url), "TICKERPLANT_DATA": str(tmp_path)}.items():
            monkeypatch.setenv(name, value)
        log = open_s3(url, SMALL, settings)
        with capture_logs() as lines, log.writer(PARTITION) as writer:
            fill(writer, 1, 100)
            wait_for(lambda: len(spooled(log)) <= 1, 60, "an empty spool")
            lines.clear()
            gate.is_open = False
            fill(writer, 101, 120)
            wait_for(lambda: any(x["event"] == "shipping stopped" for x in lines), 30, "an outage that is noticed")
            assert findings(settings, url, tmp_path)[0] == "warn"
            fill(writer, 121, 600)
            wait_for(lambda: crossings(lines)[-1:] == ["spool over its limit"], 30, "an alarm")
            wait_for(lambda: findings(settings, url, tmp_path)[0] == "fail", 30, "a failed check")
            assert "4,000 allowed; nothing shipped for" in findings(settings, url, tmp_path)[1]
            gate.is_open = True
            fill(writer, 601, 700)
            wait_for(lambda: len(spooled(log)) <= 1, 60, "an empty spool")
            wait_for(lambda: any(x["event"] == "shipping goes on" for x in lines), 30, "the end of the outage")
        said = crossings(lines)
        assert said == ["spool over its limit", "spool below its limit"] * (len(said) // 2), "once for each crossing"
        assert findings(settings, url, tmp_path)[0] == "ok"
    assert items(elsewhere(url, tmp_path)) == records(700)


def test_a_capture_begins_and_ends_during_an_outage(tmp_path: Path) -> None:
    url = s3.new_url()
    with s3.gate() as gate:
        log = open_s3(url, SMALL, s3.settings(tmp_path, gate.url))
        with log.writer(PARTITION) as writer:
            writer.append(Kind.CONNECTED, 5_000, b"{}")
            fill(writer, 1, 50)
        gate.is_open = False
        with log.writer(PARTITION) as writer:
            assert writer.last_received_at == 500_000
            assert writer.last_connection is not None
            fill(writer, 51, 100)
        assert spooled(log)
    with open_s3(url, SMALL, s3.settings(tmp_path)).writer(PARTITION) as writer:
        fill(writer, 101, 110)
    assert items(elsewhere(url, tmp_path))[1:] == records(110)


def test_without_an_answer_and_without_a_spool_nothing_is_begun(tmp_path: Path) -> None:
    with s3.gate() as gate:
        gate.is_open = False
        with pytest.raises(Retryable, match="expected the service to answer"):
            open_s3(s3.new_url(), SMALL, s3.settings(tmp_path, gate.url)).writer(PARTITION)


def test_an_upload_that_arrives_spoilt_is_sent_again(tmp_path: Path) -> None:
    url = s3.new_url()
    with s3.gate() as gate:
        log = open_s3(url, SMALL, s3.settings(tmp_path, gate.url))
        gate.spoil = 1
        with log.writer(PARTITION) as writer:
            fill(writer, 1, 100)
            wait_for(lambda: len(spooled(log)) <= 1, 30, "an upload that is right")
        assert gate.spoil == 0
    assert items(elsewhere(url, tmp_path)) == records(100)


def test_another_machine_is_refused_while_one_captures(tmp_path: Path) -> None:
    url = s3.new_url()
    with open_s3(url, SMALL, s3.settings(tmp_path)).writer(PARTITION) as writer:
        with pytest.raises(Busy, match=r"alpaca.sip: expected no owner, was owned by process \d+ on .*; stop that"):
            elsewhere(url, tmp_path).writer(PARTITION)
        fill(writer, 1, 10)
    with elsewhere(url, tmp_path).writer(PARTITION) as writer:
        assert writer.last_received_at == 100_000
        fill(writer, 11, 20)
    assert items(open_s3(url, SMALL, s3.settings(tmp_path))) == records(20)


def test_a_segment_of_another_machine_is_never_replaced(tmp_path: Path) -> None:
    url = s3.new_url()
    log = open_s3(url, SMALL, s3.settings(tmp_path))
    theirs = s3.bucket(f"{url}/{PARTITION}")
    with capture_logs() as lines:
        writer = log.writer(PARTITION)
        assert theirs.create("0000000000.jsonl.zst", b"theirs")
        fill(writer, 1, 100)
        wait_for(lambda: any(x["event"] == "shipping stopped" for x in lines), 20, "the conflict")
        writer.close()
    (stopped,) = (x for x in lines if x["event"] == "shipping stopped")
    assert "another machine wrote this partition" in stopped["error"]
    found = theirs.get("0000000000.jsonl.zst")
    assert found is not None
    assert found.data == b"theirs"
    assert items(FilesLog(log.folder)) == records(100)


_FULL = """
import resource, sys
from tickerplant.errors import Fatal
from tickerplant.logs import open_log
from tickerplant.model import Kind
writer = open_log(sys.argv[1], segment_bytes=200_000).writer("alpaca.sip")
writer.append(Kind.CONNECTED, 5_000, sys.argv[2].encode())
for i in range(1, 301):
    writer.append(Kind.DATA, i * 10_000, b'[{"T":"q","S":"A","i":%d}]' % i)
writer.sync()
resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1))
try:
    writer.append(Kind.DATA, 10**8, b"[]")
    writer.sync()
except Fatal as error:
    print(error)
"""


def test_a_full_disk_stops_the_capture_and_the_next_one_knows_since_when(tmp_path: Path) -> None:
    url = s3.new_url()
    environment = {**s3.variables(), "TICKERPLANT_DATA": str(tmp_path), "PYTHONPATH": ":".join(sys.path)}
    words = [sys.executable, "-c", _FULL, url, CONNECTED.decode()]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=60, check=False)
    assert "expected to write to disk, was [Errno 27] File too large" in done.stdout, done.stderr
    log = open_s3(url, SMALL, s3.settings(tmp_path))
    with log.writer(PARTITION) as writer:
        assert writer.last_received_at == 3_000_000
        assert writer.last_connection is not None
        assert writer.last_connection.kind == Kind.CONNECTED
        hole = inherited_hole(writer.last_connection, writer.last_received_at, CHANNELS)
        writer.append(Kind.CONNECTED, 9 * 10**9, connected_payload(1, URL, CHANNELS, ("*",), hole))
    with closing(open_store(str(tmp_path / "lake"))) as store:
        load(elsewhere(url, tmp_path), store, vendor)
        (gap,) = store.query('select channel, reason, "start", "end" from gaps').to_pylist()
        assert (gap["channel"], gap["reason"]) == ("quotes", "killed")
        assert gap["start"] == datetime.fromtimestamp(0.003, UTC)
        assert gap["end"] == datetime.fromtimestamp(9, UTC)


@pytest.mark.campaign
def test_kills_while_shipping_lose_and_double_nothing(tmp_path: Path) -> None:
    report = shipping_kills(3, seed=5, folder=tmp_path)
    assert report.synced > 1_000
    assert report.during > 0
    assert (report.lost, report.doubled, report.is_ordered, report.left_in_spool) == (0, 0, True, 0)


def test_a_bucket_that_is_not_there_is_a_clear_end(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="s3://not-there: expected a bucket, was none"):
        open_s3("s3://not-there/x", SMALL, s3.settings(tmp_path)).writer(PARTITION)

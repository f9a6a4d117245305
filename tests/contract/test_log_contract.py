"""What every kind of log promises (Log, LogReader, LogWriter in model.py). A new kind adds one line to LOGS."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support import kinesis_server, s3
from tickerplant.errors import Busy, Fatal, UsageError
from tickerplant.logs import open_log
from tickerplant.logs.s3 import open_s3
from tickerplant.logs.verify import verify
from tickerplant.logs.writer import Options
from tickerplant.model import Entry, Kind, Log, LogReader, Position, Record, split_position

PARTITION = "alpaca.sip"
MakeLog = Callable[[], Log]


def _files(folder: Path, request: pytest.FixtureRequest) -> MakeLog:
    return lambda: open_log(str(folder / "log"), segment_bytes=2_000, sync_interval_s=0.01)


def _kinesis(folder: Path, request: pytest.FixtureRequest) -> MakeLog:
    """Readers and writers of one machine; the stream is new in each test."""
    server: kinesis_server.Server = request.getfixturevalue("kinesis")
    stream = server.stream(shards=2)

    def make() -> Log:
        log = server.log(stream, folder / "spool")
        request.addfinalizer(log.close)
        return log

    return make


def _s3(folder: Path, request: pytest.FixtureRequest) -> MakeLog:
    url, found = s3.new_url(), s3.settings(folder)
    return lambda: open_s3(url, Options(sync_interval_s=0.01, segment_bytes=2_000), found)


LOGS: dict[str, Callable[[Path, pytest.FixtureRequest], MakeLog]] = {"files": _files, "kinesis": _kinesis, "s3": _s3}
ON_FILES = pytest.mark.parametrize("make", ["files", "s3"], indirect=True)
"""For what only a log of files promises: segments are files, and every byte of them can be checked."""


@pytest.fixture(scope="module")
def kinesis() -> Iterator[kinesis_server.Server]:
    if reason := kinesis_server.why_not():
        pytest.skip(reason)
    with kinesis_server.serving() as server:
        yield server


@pytest.fixture(params=sorted(LOGS))
def make(request: pytest.FixtureRequest, tmp_path: Path) -> MakeLog:
    return LOGS[request.param](tmp_path, request)


def _fill(log: Log, first: int, count: int) -> list[Record]:
    records = [
        Record("alpaca", "sip", Kind.DATA, i * 10_000, b'[{"T":"q","i":%d}]' % i) for i in range(first, first + count)
    ]
    with log.writer(PARTITION) as writer:
        for record in records:
            writer.append(record.kind, record.received_at, record.payload)
    return records


def _all(reader: LogReader, step: int = 500) -> list[Entry]:
    entries: list[Entry] = []
    while found := reader.read(step):
        assert reader.position == found[-1].end
        entries += found
    reader.close()
    reader.close()
    return entries


def _payloads(reader: LogReader, count: int) -> list[bytes]:
    """The next payloads, so many at least; a log that is no file may bring them a moment later."""
    found: list[bytes] = []
    deadline = time.monotonic() + 20
    while len(found) < count and time.monotonic() < deadline:
        entries = reader.read(200)
        found += [e.item.payload for e in entries]
        if not entries:
            time.sleep(0.01)
    return found


def test_a_log_that_does_not_exist_is_empty(make: MakeLog) -> None:
    log = make()
    assert log.partitions() == []
    assert list(log.segments(PARTITION)) == []
    assert log.reader(PARTITION).read(1000) == []
    assert verify(log) == []


def test_records_come_back_in_order_with_positions_that_tile(make: MakeLog) -> None:
    records = _fill(make(), 1, 100)
    entries = _all(make().reader(PARTITION))
    assert [e.item for e in entries] == records
    for one, two in pairwise(entries):
        same_segment = split_position(one.start)[0] == split_position(two.start)[0]
        assert two.start == one.end if same_segment else split_position(two.start)[1] == 0
        assert one.start < one.end <= two.start


def test_reading_resumes_at_any_end(make: MakeLog) -> None:
    _fill(make(), 1, 60)
    entries = _all(make().reader(PARTITION))
    for i in range(0, len(entries), 7):
        assert _all(make().reader(PARTITION, entries[i].end)) == entries[i + 1 :]


@ON_FILES
def test_segments_account_for_every_byte(make: MakeLog) -> None:
    _fill(make(), 1, 100)
    segments = make().segments(PARTITION)
    entries = _all(make().reader(PARTITION))
    ends = {split_position(e.end)[0]: split_position(e.end)[1] for e in entries}
    assert len(segments) > 2
    assert {s.number: s.size_bytes for s in segments} == ends
    assert [s.number for s in segments] == sorted(ends)
    assert {s.partition for s in segments} == {PARTITION}


def test_a_second_writer_is_refused_until_the_first_ends(make: MakeLog) -> None:
    with make().writer(PARTITION) as writer:
        with pytest.raises(Busy, match=r"log partition alpaca.sip: expected no owner, was owned by pid \d+ on"):
            make().writer(PARTITION)
        with make().writer("alpaca.iex") as other:
            other.append(Kind.DATA, 1, b"[]")
        writer.append(Kind.DATA, 1, b"[]")
    with make().writer(PARTITION) as again:
        assert (again.last_received_at, again.last_kind) == (1, Kind.DATA)
    assert make().partitions() == ["alpaca.iex", PARTITION]


def test_a_new_writer_goes_on_behind_the_old_records(make: MakeLog) -> None:
    first = _fill(make(), 1, 5)
    before = _all(make().reader(PARTITION))
    second = _fill(make(), 6, 5)
    after = _all(make().reader(PARTITION))
    assert after[:5] == before
    assert [e.item for e in after] == first + second
    assert after[5].start >= before[-1].end


def test_synced_records_are_readable_while_the_writer_goes_on(make: MakeLog) -> None:
    reader = make().reader(PARTITION)
    seen: list[bytes] = []
    with make().writer(PARTITION) as writer:
        for i in range(200):
            writer.append(Kind.DATA, i * 10_000, b"[%d]" % i)
            if i % 20 == 19:
                writer.sync()
                seen += _payloads(reader, i + 1 - len(seen))
                assert len(seen) == i + 1
    assert reader.read(200) == []
    reader.close()
    assert seen == [b"[%d]" % i for i in range(200)]


def test_receipt_times_grow_by_a_microsecond_at_least(make: MakeLog) -> None:
    given = [5_000_000, 5_000_000, 5_000_999, 4_000_000, 9_000_000]
    with make().writer(PARTITION) as writer:
        for rx in given:
            writer.append(Kind.DATA, rx, b"[]")
    with make().writer(PARTITION) as writer:
        writer.append(Kind.DATA, 1, b"[]")
    found = [e.item.received_at for e in _all(make().reader(PARTITION)) if isinstance(e.item, Record)]
    assert found == [5_000_000, 5_001_000, 5_002_000, 5_003_000, 9_000_000, 9_001_000]


def test_a_closed_writer_refuses_and_closes_twice(make: MakeLog) -> None:
    writer = make().writer(PARTITION)
    writer.close()
    writer.close()
    with pytest.raises(Fatal, match="expected an open writer, was closed"):
        writer.append(Kind.DATA, 1, b"[]")
    assert make().reader(PARTITION, Position(0)).read(10) == []


@pytest.mark.parametrize("name", ["alpaca", "../x.y", "a.b.c.d", "a b.c", ""])
def test_a_name_that_is_no_partition_is_refused(make: MakeLog, name: str) -> None:
    with pytest.raises(UsageError, match=r"log partition: expected a name like alpaca\.sip"):
        make().writer(name)


@ON_FILES
def test_verify_counts_every_line(make: MakeLog) -> None:
    records = _fill(make(), 1, 100)
    checks = verify(make())
    assert sum(c.lines for c in checks) == 100
    assert sum(c.damaged + c.unfinished_bytes for c in checks) == 0
    assert checks[0].first_received_at == records[0].received_at
    assert checks[-1].last_received_at == records[-1].received_at
    assert sum(c.size_bytes for c in checks) == sum(s.size_bytes for s in make().segments(PARTITION))

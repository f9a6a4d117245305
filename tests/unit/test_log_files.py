"""The log on files: power cuts, kills, rotation, sealing, owners. Real files and real processes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from tickerplant.errors import Busy, Fatal, UsageError
from tickerplant.logs import open_log
from tickerplant.logs.files import FilesLog
from tickerplant.logs.line import decode, encode
from tickerplant.logs.sealing import Stopped, seal
from tickerplant.logs.verify import verify
from tickerplant.logs.writer import Options
from tickerplant.model import Damage, Entry, Kind, Log, Position, Record, position, split_position

PARTITION = "alpaca.sip"


def _record(i: int, kind: Kind = Kind.DATA) -> Record:
    return Record("alpaca", "sip", kind, i * 10_000, b'[{"T":"q","S":"A","i":%d}]' % i)


def _write(log: Log, records: list[Record]) -> None:
    with log.writer(PARTITION) as writer:
        for r in records:
            writer.append(r.kind, r.received_at, r.payload)


def _raw(root: Path, number: int, data: bytes) -> Path:
    folder = root / PARTITION
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{number:010d}.jsonl"
    path.write_bytes(data)
    return path


def _entries(log: Log, start: Position = Position(0)) -> list[Entry]:  # noqa: B008
    reader = log.reader(PARTITION, start)
    out: list[Entry] = []
    while found := reader.read(1000):
        out += found
    reader.close()
    return out


def _records(log: Log) -> list[Record]:
    return [e.item for e in _entries(log) if isinstance(e.item, Record)]


def _names(root: Path) -> list[str]:
    return sorted(p.name for p in (root / PARTITION).iterdir())


def _until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "condition not met in time"
        time.sleep(0.005)


@pytest.mark.parametrize("url", ["kafka://topic", "", "http://x", "s3:/b/x://y"])
def test_other_urls_are_refused_by_name(url: str) -> None:
    kinds = "file://<folder>, s3://bucket/prefix or kinesis://stream"
    with pytest.raises(UsageError, match=f"log: expected a folder, {kinds}, was"):
        open_log(url)


def test_a_file_url_is_a_folder(tmp_path: Path) -> None:
    _write(open_log(f"file://{tmp_path}/my%20log"), [_record(1)])
    assert _records(open_log(str(tmp_path / "my log"))) == [_record(1)]


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("x")
    with pytest.raises(UsageError, match="expected a folder, was a file"):
        open_log(str(tmp_path / "log")).partitions()
    with pytest.raises(Fatal, match="expected a folder that can be written to"):
        open_log(str(tmp_path / "log")).writer(PARTITION)


def test_a_power_cut_at_any_byte_costs_only_the_torn_line(tmp_path: Path) -> None:
    lines = [encode(_record(i)) for i in (1, 2, 3)]
    data = b"".join(lines)
    for cut in range(len(data) + 1):
        root = tmp_path / str(cut)
        _raw(root, 0, data[:cut])
        whole = data[:cut].count(b"\n")
        log = open_log(str(root))
        assert [e.item for e in _entries(log)] == [_record(i + 1) for i in range(whole)]
        check = verify(log)[0]
        assert (check.lines, check.damaged, check.unfinished_bytes) == (whole, 0, cut - sum(map(len, lines[:whole])))


def test_after_a_power_cut_the_torn_line_is_damage_between_its_neighbours(tmp_path: Path) -> None:
    lines = [encode(_record(i)) for i in (1, 2)]
    old = lines[0] + lines[1][:-9]
    path = _raw(tmp_path, 0, old)
    log = open_log(str(tmp_path))
    with log.writer(PARTITION) as writer:
        assert (writer.last_received_at, writer.last_kind) == (10_000, Kind.DATA)
        reader = log.reader(PARTITION)
        assert [e.item for e in reader.read(1000)] == [_record(1)]
        assert reader.read(1000) == []
        assert path.read_bytes() == old
        writer.append(Kind.DATA, 70_000, b"[7]")
        writer.sync()
        (damage,) = reader.read(1000)
        assert isinstance(damage.item, Damage)
        assert (damage.item.payload, damage.item.before, damage.item.after) == (lines[1][:-9], 10_000, 70_000)
        assert (damage.start, damage.end) == (position(0, len(lines[0])), position(0, len(old)))
        (record,) = reader.read(1000)
        assert isinstance(record.item, Record)
        assert record.item.payload == b"[7]"
        reader.close()
    assert _names(tmp_path) == ["0000000000.jsonl.zst", "0000000001.jsonl.zst", "owner.lock"]
    assert [type(e.item).__name__ for e in _entries(log)] == ["Record", "Damage", "Record"]


def test_a_whole_last_line_without_newline_is_recovered_once_the_segment_has_ended(tmp_path: Path) -> None:
    _raw(tmp_path, 0, encode(_record(1)) + encode(_record(2))[:-1])
    _raw(tmp_path, 1, encode(_record(3)))
    assert _records(open_log(str(tmp_path))) == [_record(1), _record(2), _record(3)]


def test_opening_and_closing_without_a_record_changes_no_segment(tmp_path: Path) -> None:
    path = _raw(tmp_path, 0, encode(_record(1)) + b'{"crc":"tor')
    open_log(str(tmp_path)).writer(PARTITION).close()
    assert path.read_bytes() == encode(_record(1)) + b'{"crc":"tor'
    assert _names(tmp_path) == ["0000000000.jsonl", "owner.lock"]


def test_damage_at_the_live_end_waits_for_the_line_after_it_but_verify_tells(tmp_path: Path) -> None:
    broken = encode(_record(2)).replace(b'"A"', b'"B"')
    path = _raw(tmp_path, 0, encode(_record(1)) + broken)
    log = open_log(str(tmp_path))
    reader = log.reader(PARTITION)
    assert [e.item for e in reader.read(1000)] == [_record(1)]
    assert reader.read(1000) == []
    assert reader.position == len(encode(_record(1)))
    check = verify(log)[0]
    assert (check.damaged, check.damaged_bytes, check.unfinished_bytes) == (1, len(broken), 0)
    with path.open("ab") as file:
        file.write(encode(_record(3)))
    damage, record = reader.read(1000)
    assert isinstance(damage.item, Damage)
    assert (damage.item.payload, damage.item.before, damage.item.after) == (broken, 10_000, 30_000)
    assert record.item == _record(3)
    reader.close()


def test_segments_rotate_by_size_are_sealed_and_read_through(tmp_path: Path) -> None:
    log = open_log(str(tmp_path), segment_bytes=1000)
    records = [_record(i) for i in range(100)]
    _write(log, records)
    segments = log.segments(PARTITION)
    assert all(s.sealed and s.size_bytes <= 1000 for s in segments)
    assert [s.number for s in segments] == list(range(len(segments)))
    assert len(segments) >= 8
    assert _records(log) == records


@pytest.mark.skipif(not (shutil.which("zstdcat") and shutil.which("jq")), reason="zstdcat and jq are not installed")
def test_zstdcat_and_jq_read_sealed_segments(tmp_path: Path) -> None:
    log = open_log(str(tmp_path), segment_bytes=1000)
    records = [_record(i) for i in range(1, 51)]
    _write(log, records)
    paths = [str(tmp_path / s.name) for s in log.segments(PARTITION)]
    lines = subprocess.run(["zstdcat", *paths], capture_output=True, check=True).stdout
    assert lines == b"".join(map(encode, records))
    found = subprocess.run(["jq", "-c", 'select(.k == "data") | .m[].i'], input=lines, capture_output=True, check=True)
    assert [int(i) for i in found.stdout.split()] == list(range(1, 51))


def test_duckdb_reads_a_sealed_segment(tmp_path: Path) -> None:
    import duckdb

    log = open_log(str(tmp_path))
    _write(log, [*[_record(i) for i in range(1, 4)], Record("alpaca", "sip", Kind.RESPONSE, 50_000, b"a\n\xff")])
    path = tmp_path / log.segments(PARTITION)[0].name
    found = duckdb.execute(
        f"select k, count(*), make_timestamp_ns(min(rx))::varchar from read_json('{path}', "
        "format = 'newline_delimited') group by k order by k"
    ).fetchall()
    assert found == [("data", 3, "1970-01-01 00:00:00.00001"), ("response", 1, "1970-01-01 00:00:00.00005")]


def test_segments_rotate_by_age(tmp_path: Path) -> None:
    log = open_log(str(tmp_path), segment_age_s=1e-9)
    with log.writer(PARTITION) as writer:
        for i in range(1, 4):
            writer.append(Kind.DATA, i * 10_000, _record(i).payload)
            writer.sync()
    assert [(s.number, s.sealed) for s in log.segments(PARTITION)] == [(0, True), (1, True), (2, True)]
    assert _records(log) == [_record(1), _record(2), _record(3)]


def test_a_reader_does_not_notice_that_its_segment_is_sealed_and_removed(tmp_path: Path) -> None:
    records = [_record(i) for i in range(1, 101)]
    _raw(tmp_path, 0, b"".join(map(encode, records)))
    log = open_log(str(tmp_path))
    reader = log.reader(PARTITION)
    entries = reader.read(2000)
    fresh = log.reader(PARTITION, entries[-1].end)
    seal(tmp_path / PARTITION, 0, threading.Event())
    assert _names(tmp_path) == ["0000000000.jsonl.zst"]
    for rest in (reader, fresh):
        found = list(entries)
        while more := rest.read(700):
            found += more
        rest.close()
        assert [e.item for e in found] == records
        assert all(one.end == two.start for one, two in pairwise(found))


def test_a_seal_interrupted_at_any_point_leaves_a_readable_log(tmp_path: Path) -> None:
    records = [_record(i) for i in range(1, 51)]
    data = b"".join(map(encode, records))
    raw = _raw(tmp_path, 0, data)
    log = open_log(str(tmp_path))
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped):
        seal(tmp_path / PARTITION, 0, stop)
    assert _names(tmp_path) == ["0000000000.jsonl"]
    seal(tmp_path / PARTITION, 0, threading.Event())
    raw.write_bytes(data)
    (tmp_path / PARTITION / "0000000000.jsonl.zst.unfinished").write_bytes(b"half")
    assert _records(log) == records
    assert [(s.number, s.sealed) for s in log.segments(PARTITION)] == [(0, False)]
    _write(log, [_record(51)])
    assert _names(tmp_path) == ["0000000000.jsonl.zst", "0000000001.jsonl.zst", "owner.lock"]
    assert _records(log) == [*records, _record(51)]


def test_a_segment_that_cannot_be_sealed_stays_raw_and_readable(tmp_path: Path) -> None:
    (tmp_path / PARTITION / "0000000000.jsonl.zst").mkdir(parents=True)
    raw = _raw(tmp_path, 0, encode(_record(1)))
    log = open_log(str(tmp_path))
    _write(log, [_record(2)])
    assert raw.read_bytes() == encode(_record(1))
    assert _records(log) == [_record(1), _record(2)]


def test_reading_from_the_middle_of_a_large_sealed_segment_reads_one_frame(tmp_path: Path) -> None:
    big = [Record("alpaca", "sip", Kind.DATA, i * 1000, b"[%s]" % (b"%d," % i * 5000 + b"0")) for i in range(300)]
    _raw(tmp_path, 0, b"".join(map(encode, big)))
    seal(tmp_path / PARTITION, 0, threading.Event())
    log = open_log(str(tmp_path))
    entries = _entries(log)
    assert [e.item for e in entries] == big
    assert entries[-1].end == log.segments(PARTITION)[0].size_bytes
    reader = log.reader(PARTITION, entries[250].end)
    assert reader.read(1)[0] == entries[251]
    reader.close()


def test_a_damaged_frame_costs_itself_and_nothing_else(tmp_path: Path) -> None:
    big = [Record("alpaca", "sip", Kind.DATA, i * 1000, b"[%s]" % (b"%d," % i * 5000 + b"0")) for i in range(300)]
    _raw(tmp_path, 0, b"".join(map(encode, big)))
    seal(tmp_path / PARTITION, 0, threading.Event())
    log = open_log(str(tmp_path))
    whole = _entries(log)
    path = tmp_path / PARTITION / "0000000000.jsonl.zst"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    found = _entries(log)
    (damage,) = [e for e in found if isinstance(e.item, Damage)]
    assert [e for e in whole if e.end <= damage.start or e.start >= damage.end] == [e for e in found if e != damage]
    assert isinstance(damage.item, Damage)
    assert 0 < damage.end - damage.start < 2 * 2**20
    assert "expected a whole zstd frame, was damaged" in damage.item.reason
    assert bytes(data[len(data) // 2 - 8 : len(data) // 2 + 8]) in damage.item.payload
    check = verify(log)[0]
    assert (check.damaged, check.damaged_bytes, check.lines) == (1, damage.end - damage.start, len(found) - 1)


def test_a_sealed_segment_cut_anywhere_and_a_missing_one_are_told(tmp_path: Path) -> None:
    log = open_log(str(tmp_path), segment_bytes=3000)
    _write(log, [_record(i) for i in range(1, 101)])
    path = tmp_path / PARTITION / "0000000000.jsonl.zst"
    data = path.read_bytes()
    for cut in (0, 1, 31, 32, 33, len(data) // 2, len(data) - 33, len(data) - 32, len(data) - 1):
        path.write_bytes(data[:cut])
        assert [c.damaged for c in verify(log)][:2] == [1, 0], cut
    path.write_bytes(data)
    (tmp_path / PARTITION / "0000000001.jsonl.zst").unlink()
    assert [(c.segment, c.name == "missing", c.damaged) for c in verify(log)][:3] == [
        (0, False, 0),
        (1, True, 1),
        (2, False, 0),
    ]
    path.unlink()
    assert next(c.segment for c in verify(log)) == 2


def test_the_last_connection_is_found_within_two_segments(tmp_path: Path) -> None:
    log = open_log(str(tmp_path))
    with log.writer(PARTITION) as writer:
        assert (writer.last_received_at, writer.last_kind, writer.last_connection) == (None, None, None)
    _write(log, [_record(1, Kind.CONNECTED), _record(2)])
    _write(log, [_record(3, Kind.DISCONNECTED), *[_record(i) for i in range(4, 3000)]])
    with log.writer(PARTITION) as writer:
        assert writer.last_connection == _record(3, Kind.DISCONNECTED)
        assert (writer.last_received_at, writer.last_kind) == (29_990_000, Kind.DATA)
    _write(log, [_record(3001)])
    with log.writer(PARTITION) as writer:
        assert writer.last_connection == _record(3, Kind.DISCONNECTED)
    _write(log, [_record(3002)])
    with log.writer(PARTITION) as writer:
        assert writer.last_connection is None


def test_on_chunk_sees_every_line_once_it_is_on_disk(tmp_path: Path) -> None:
    log = FilesLog(tmp_path)
    chunks: list[bytes] = []
    with log.writer(PARTITION, on_chunk=chunks.append) as writer:
        for i in range(500):
            writer.append(Kind.DATA, i * 10_000, _record(i).payload)
        writer.sync()
        assert (writer.synced_records, writer.synced_bytes) == (500, sum(map(len, chunks)))
        assert writer.pending_bytes == 0
        assert not writer.is_full
    assert b"".join(chunks) == b"".join(encode(_record(i)) for i in range(500))


def test_the_owner_is_named_and_the_lock_ends_with_its_process(tmp_path: Path) -> None:
    child = _start(tmp_path, "100")
    assert child.stderr is not None
    child.stderr.readline()
    with pytest.raises(Busy, match=f"owned by pid {child.pid} on "):
        open_log(str(tmp_path)).writer(PARTITION)
    child.kill()
    child.wait()
    child.stderr.close()
    open_log(str(tmp_path)).writer(PARTITION).close()


_WRITER = """
import sys
from tickerplant.logs import open_log
from tickerplant.model import Kind
writer = open_log(sys.argv[1], segment_bytes=30_000, sync_interval_s=0.005).writer("alpaca.sip")
i = 0
while True:
    for _ in range(int(sys.argv[2])):
        i += 1
        writer.append(Kind.DATA, i * 10_000, b'[{"T":"q","S":"A","i":%d}]' % i)
    writer.sync()
    sys.stderr.write(f"{i}\\n")
    sys.stderr.flush()
"""


def _start(root: Path, batch: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(root), batch], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.parametrize("reports", [1, 7, 40])
def test_every_line_reported_as_synced_survives_kill_9(tmp_path: Path, reports: int) -> None:
    child = _start(tmp_path, "37")
    assert child.stderr is not None
    for i in range(1, reports + 1):
        assert child.stderr.readline() == f"{i * 37}\n"
    os.kill(child.pid, signal.SIGKILL)
    synced = max((int(line) for line in child.stderr if line.endswith("\n")), default=reports * 37)
    child.wait()
    child.stderr.close()
    log = open_log(str(tmp_path))
    found = _records(log)
    assert len(found) >= synced >= reports * 37
    assert found == [_record(i) for i in range(1, len(found) + 1)]
    _write(log, [_record(len(found) + 1)])
    assert _records(log) == [_record(i) for i in range(1, len(found) + 2)]
    assert all(s.sealed for s in log.segments(PARTITION))


_FULL = """
import resource, sys
from tickerplant.errors import Fatal
from tickerplant.logs import open_log
from tickerplant.model import Kind
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
writer = open_log(sys.argv[1]).writer("alpaca.sip")
for i in range(1, 101):
    writer.append(Kind.DATA, i * 10_000, b'[{"T":"q","S":"A","i":%d}]' % i)
writer.sync()
messages = []
for call in (
    lambda: [writer.append(Kind.DATA, i * 10_000, b'"%s"' % (b"x" * 1000)) for i in range(101, 131)] and writer.sync(),
    lambda: writer.append(Kind.DATA, 10**9, b"[]"),
    writer.close,
):
    try:
        call()
    except Fatal as error:
        messages.append(str(error))
print(writer.synced_records)
print("\\n".join(messages))
"""


def test_a_disk_that_refuses_is_told_by_every_later_call_and_loses_nothing_synced(tmp_path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", _FULL, str(tmp_path)], capture_output=True, text=True, check=True)
    synced, *messages = run.stdout.splitlines()
    assert synced == "100"
    assert len(messages) == 3
    assert all("alpaca.sip: expected to write to disk, was [Errno 27] File too large" in m for m in messages)
    assert all("30 records received after the last sync are not on disk" in m for m in messages)
    log = open_log(str(tmp_path))
    assert _records(log)[:100] == [_record(i) for i in range(1, 101)]
    assert verify(log)[0].damaged == 0


def test_lines_are_on_disk_after_the_interval_without_sync(tmp_path: Path) -> None:
    log = FilesLog(tmp_path, Options(sync_interval_s=0.01))
    with log.writer(PARTITION) as writer:
        writer.append(Kind.DATA, 10_000, _record(1).payload)
        _until(lambda: writer.synced_records == 1)
        data = (tmp_path / PARTITION / "0000000000.jsonl").read_bytes()
        assert decode(data) == _record(1)


def test_the_live_tail_follows_rotation_and_sealing_while_both_go_on(tmp_path: Path) -> None:
    log = open_log(str(tmp_path), segment_bytes=5_000, sync_interval_s=0.001)
    found: list[Entry] = []
    done = threading.Event()

    def follow() -> None:
        reader = log.reader(PARTITION)
        while True:
            last = done.is_set()
            entries = reader.read(1500)
            found.extend(entries)
            if last and not entries:
                break
        reader.close()

    thread = threading.Thread(target=follow)
    thread.start()
    _write(log, [_record(i) for i in range(1, 3001)])
    done.set()
    thread.join(30)
    assert [e.item for e in found] == [_record(i) for i in range(1, 3001)]
    assert split_position(found[-1].end)[0] > 20

"""A log on Kinesis against a real protocol server: faults, resharding, trimmed records, crashes, loading."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.support import kinesis_server
from tests.support.kinesis_faults import PARTITION, START_NS, frames, numbers_of, places_of, read_all, run_faults
from tests.support.kinesis_proxy import Faults, between
from tests.support.kinesis_server import Server, wait_active, wait_gone
from tickerplant.errors import Fatal
from tickerplant.jobs.load import LoadOptions, load
from tickerplant.logs import open_log
from tickerplant.logs.kinesis.lanes import lane_name, split_name
from tickerplant.logs.kinesis.log import KinesisLog
from tickerplant.logs.line import encode
from tickerplant.model import Damage, Entry, Kind, Log, Record, Store
from tickerplant.stores import open_store
from tickerplant.vendors import vendor


@pytest.fixture(scope="module")
def server() -> Server:
    if reason := kinesis_server.why_not():
        pytest.skip(reason)
    return kinesis_server.shared()


def fill(log: Log, sent: list[bytes], first: int = 0) -> None:
    with log.writer(PARTITION) as writer:
        for i, frame in enumerate(sent, first):
            writer.append(Kind.DATA, START_NS + i * 10_000, frame)


def unsent(log: KinesisLog) -> list[str]:
    """Partitions that wait on this machine."""
    return [one.partition for one in log.waiting(0) if one.bytes]


def expected(sent: list[bytes], first: int = 0) -> set[tuple[int, int, str, int]]:
    return {
        (START_NS + i * 10_000, place, message["S"], message["i"])
        for i, frame in enumerate(sent, first)
        for place, message in enumerate(json.loads(frame))
    }


def check(found: dict[str, list[Entry]], wanted: set[tuple[int, int, str, int]]) -> None:
    """Every message once, with its place in its frame, each symbol in order."""
    got = [places_of(entries) for entries in found.values()]
    assert set().union(*got) == wanted
    numbers = [numbers_of(entries) for entries in found.values()]
    assert sum(len(each) for n in numbers for each in n.values()) == len(wanted)
    assert all(a < b for n in numbers for each in n.values() for a, b in pairwise(each))


def test_nothing_is_lost_doubled_or_reordered_under_faults(server: Server, tmp_path: Path) -> None:
    report = run_faults(server, tmp_path, 120)
    assert report.problems == ()
    assert (report.lost, report.doubled, report.reordered) == (0, 0, 0)
    assert report.refused > 0
    assert report.failed_calls >= 9
    assert report.messages > 1_500


def test_a_split_and_a_merge_under_load_are_followed(server: Server, tmp_path: Path) -> None:
    stream, client, sent = server.stream(shards=2), server.client(), frames(90)
    log = server.log(stream, tmp_path / "spool", record_bytes=4_000)
    reader_log = server.log(stream, tmp_path / "reader")
    with log.writer(PARTITION) as writer:
        for i, frame in enumerate(sent):
            writer.append(Kind.DATA, START_NS + i * 10_000, frame)
            if i == 29:
                assert writer.flush(30)
                first = client.list_shards(StreamName=stream)["Shards"][0]
                middle = int(first["HashKeyRange"]["EndingHashKey"]) // 2
                client.split_shard(StreamName=stream, ShardToSplit=first["ShardId"], NewStartingHashKey=str(middle))
                wait_active(client, stream)
            if i == 59:
                assert writer.flush(30)
                shards = client.list_shards(StreamName=stream)["Shards"]
                client.merge_shards(
                    StreamName=stream, ShardToMerge=shards[-2]["ShardId"], AdjacentShardToMerge=shards[-1]["ShardId"]
                )
                wait_active(client, stream)
    assert len(client.list_shards(StreamName=stream)["Shards"]) == 5
    check(read_all(reader_log), expected(sent))
    for open_one in (log, reader_log, client):
        open_one.close()


def test_what_the_stream_no_longer_holds_is_a_named_gap(server: Server, tmp_path: Path) -> None:
    stream, client = server.stream(), server.client()
    log, quote = server.log(stream, tmp_path / "spool"), b'[{"T":"q","S":"A","i":1}]'
    fill(log, [quote])
    name = next(n for n in log.partitions() if log.segments(n))
    reader = log.reader(name)
    (seen,) = reader.read()
    reader.close()
    fill(log, [quote, quote], 5)
    client.delete_stream(StreamName=stream)
    wait_gone(client, stream)
    client.create_stream(StreamName=stream, ShardCount=1)
    wait_active(client, stream)
    fill(log, [quote], 9)
    later = server.log(stream, tmp_path / "later")
    again = later.reader(name, seen.end)
    gap, line = again.read()
    again.close()
    assert isinstance(gap.item, Damage)
    before = START_NS - 1000 * split_name(name)[1]
    assert (gap.item.before, gap.item.after, gap.item.gap) == (before, START_NS + 90_000, "trimmed")
    assert (gap.start, gap.end, line.start) == (seen.end, START_NS + 90_000, gap.end)
    assert isinstance(line.item, Record)
    for machine in ("a", "b"):
        fresh = server.log(stream, tmp_path / machine)
        entries = read_all(fresh)[name]
        fresh.close()
        assert [type(e.item) for e in entries] == [Damage, Record], "a new reader learns of it as well"
        assert isinstance(entries[0].item, Damage)
        assert (entries[0].item.before, entries[0].item.after) == (before, START_NS + 90_000)
    for end in (log, later, client):
        end.close()


def test_what_the_spool_lost_is_a_named_gap_of_each_lane(server: Server, tmp_path: Path) -> None:
    """A power cut tears the last line of the spool; the capture that begins behind it stops before it sends a line."""
    stream, spool = server.stream(), tmp_path / "spool" / PARTITION
    log = server.log(stream, tmp_path / "spool")
    symbols = [f"S{i}" for i in range(12)]
    frame = json.dumps([{"T": "q", "S": s, "i": 1} for s in symbols], separators=(",", ":")).encode()
    fill(log, [frame])
    torn = encode(Record("alpaca", "sip", Kind.DATA, START_NS + 10_000, frame))[:-9]
    (spool / "0000000007.jsonl").write_bytes(torn)
    with between(server.url, Faults(way="down")) as (url, _):
        away = KinesisLog(server.options(stream, tmp_path / "spool", endpoint=url, close_wait_s=0.1))
        fill(away, [frame], 2)
        away.close()
    fill(log, [frame], 3)
    found = {name: entries for name, entries in read_all(log).items() if entries}
    assert set(found) == {lane_name(PARTITION, i, 4) for i in range(4)}
    for name, entries in found.items():
        assert [type(e.item) for e in entries] == [Record, Damage, Record, Record]
        gap = entries[1].item
        assert isinstance(gap, Damage)
        assert (gap.before, gap.after) == (START_NS - 1000 * split_name(name)[1], START_NS + 20_000)
        assert "or the sender's spool was damaged" in gap.reason
    log.close()


def test_an_expired_iterator_is_renewed(server: Server, tmp_path: Path) -> None:
    stream, sent = server.stream(), frames(20)
    fill(server.log(stream, tmp_path / "spool"), sent)
    with between(server.url, Faults(expired=3)) as (url, proxy):
        log = KinesisLog(server.options(stream, tmp_path / "reader", endpoint=url))
        check(read_all(log), expected(sent))
        log.close()
        assert proxy.faults.expired == 0


def test_a_bookmark_that_leads_nowhere_costs_nothing(server: Server, tmp_path: Path) -> None:
    stream, sent = server.stream(), frames(20)
    log = server.log(stream, tmp_path / "spool")
    fill(log, sent)
    whole = read_all(log)
    ends = {name: entries[3].end for name, entries in whole.items() if len(entries) > 3}
    with between(server.url, Faults(unknown=True)) as (url, proxy):
        again = KinesisLog(server.options(stream, tmp_path / "spool", endpoint=url))
        for name, end in ends.items():
            reader = again.reader(name, whole[name][-1].end)
            assert reader.read() == []
            reader.close()
            reader = again.reader(name, end)
            assert [e.item for e in reader.read(2**30)] == [e.item for e in whole[name][4:]]
            reader.close()
        assert proxy.seen.lost > 0
        again.close()
    log.close()


def test_a_line_above_the_limit_goes_in_pieces(server: Server, tmp_path: Path) -> None:
    stream, large = server.stream(), b'{"results":"' + b"x" * 1_200_000 + b'"}'
    with between(server.url, Faults(record_share=0.3)) as (url, proxy):
        log = KinesisLog(server.options(stream, tmp_path / "spool", endpoint=url))
        with log.writer("polygon.rest") as writer:
            for i in range(2):
                writer.append(Kind.RESPONSE, START_NS + i * 10_000, large, request="GET /x")
        (entries,) = read_all(log).values()
        log.close()
        assert [(e.item.payload, e.item.request) for e in entries if isinstance(e.item, Record)] == [
            (large, "GET /x")
        ] * 2
        assert proxy.seen.problems == []
        assert proxy.seen.largest_call > 2**18


def test_an_outage_at_the_end_leaves_lines_for_the_next_writer(server: Server, tmp_path: Path) -> None:
    stream, sent = server.stream(), frames(40)
    with between(server.url, Faults()) as (url, proxy):
        log = KinesisLog(server.options(stream, tmp_path / "spool", endpoint=url, close_wait_s=0.1))
        fill(log, sent[:20])
        proxy.faults.way = "down"
        fill(log, sent[20:30], 20)
        assert unsent(log) == [PARTITION]
        proxy.faults.way = "forward"
        fill(log, sent[30:], 30)
        assert unsent(log) == []
        check(read_all(log), expected(sent))
        log.close()


def test_sending_gives_up_only_where_that_is_asked_for(server: Server, tmp_path: Path) -> None:
    stream = server.stream()
    with between(server.url, Faults(way="down")) as (url, _):
        log = KinesisLog(server.options(stream, tmp_path / "spool", endpoint=url, max_attempts=3))
        with pytest.raises(Fatal, match=r"gave up after 3 attempts, what is unsent stays in .*spool"):
            fill(log, frames(5))
        assert unsent(log) == [PARTITION]
        log.close()


def test_records_sent_twice_after_a_crash_are_read_once(server: Server, tmp_path: Path) -> None:
    """The note of what was sent is older than what was sent: the worst a crash can leave."""
    stream, sent = server.stream(shards=2), frames(60)
    log = server.log(stream, tmp_path / "spool")
    fill(log, sent[:20])
    note = tmp_path / "spool" / PARTITION / "sent.json"
    before = note.read_bytes()
    fill(log, sent[20:40], 20)
    reader_log = server.log(stream, tmp_path / "elsewhere")
    half = {n: entries[-1].end for n, entries in read_all(reader_log).items() if entries}
    note.write_bytes(before)
    fill(log, sent[40:], 40)
    check(read_all(reader_log), expected(sent))
    note.unlink()
    with log.writer(PARTITION) as writer:
        assert writer.flush(30)
    check(read_all(reader_log), expected(sent))
    for name, end in half.items():
        reader = reader_log.reader(name, end)
        assert all(isinstance(e.item, Record) and e.item.received_at >= end for e in reader.read(2**30))
        reader.close()


def _tables(store: Store) -> dict[str, list[Any]]:
    tables = {}
    for name in ("quotes", "trades"):
        rows = store.query(f"select * from {name}").to_pylist()
        tables[name] = sorted(json.dumps(row, default=str, sort_keys=True) for row in rows)
    return tables


def test_tables_equal_those_of_a_log_on_files(server: Server, tmp_path: Path) -> None:
    """Loaders that are killed before a commit, and that go on elsewhere without anything but the store."""
    sent = [_real(frame) for frame in frames(120)]
    stream = server.stream(shards=2)
    kinesis, files = server.log(stream, tmp_path / "spool"), open_log(str(tmp_path / "log"))
    for log in (files, kinesis):
        fill(log, sent)
    stores = [open_store(str(tmp_path / name)) for name in ("one", "two")]
    load(files, stores[0], vendor)
    for run in range(3):
        reader_log = server.log(stream, tmp_path / f"machine{run}")
        names = reader_log.partitions()
        options = LoadOptions(batch_messages=40)
        load(reader_log, stores[1], vendor, options, partitions=names[run::3] if run < 2 else None)
        reader_log.close()
    one, two = (_tables(store) for store in stores)
    assert one == two
    assert len(one["quotes"]) + len(one["trades"]) == sum(len(json.loads(f)) for f in sent)
    again = server.log(stream, tmp_path / "machine9")
    assert load(again, stores[1], vendor).counters.received == 0
    for end in (again, kinesis, *stores):
        end.close()


def _real(frame: bytes) -> bytes:
    """The frame with quotes and trades as the vendor sends them."""
    quote = {"bx": "V", "bp": 1.0, "bs": 1, "ax": "V", "ap": 1.1, "as": 2, "c": ["R"], "z": "C"}
    trade = {"x": "V", "p": 1.0, "s": 5, "c": ["@"], "z": "C"}
    messages = json.loads(frame)
    return json.dumps([m | (quote if m["T"] == "q" else trade) for m in messages], separators=(",", ":")).encode()

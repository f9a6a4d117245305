"""Frames over lanes, lines in records, shards in their order: what a log on Kinesis does without any service."""

from __future__ import annotations

from collections import Counter
from itertools import product
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickerplant.errors import UsageError
from tickerplant.jobs.backup import of_segments
from tickerplant.jobs.capture import partition_of
from tickerplant.jobs.capture_shards import Shard as CaptureShard
from tickerplant.jobs.restore import restore
from tickerplant.logs import open_log
from tickerplant.logs.kinesis.lanes import WHOLE, hash_key, lane_name, lane_of, split_frame, split_name
from tickerplant.logs.kinesis.options import HASH_SPACE, KinesisOptions
from tickerplant.logs.kinesis.packing import Head, Line, head_of, pack, unpack
from tickerplant.logs.kinesis.service import Shard
from tickerplant.logs.kinesis.shards import next_of, root_of
from tickerplant.logs.line import Parser, encode
from tickerplant.model import Damage, Entry, Kind, Position, Record
from tickerplant.vendors import vendor
from tickerplant.vendors.alpaca.decode import decode

SYMBOL = st.one_of(
    st.none(), st.sampled_from(["A", "BRK.B", "SPY", "é"]), st.text(max_size=6), st.integers(-(2**63), 2**64 - 1)
)
MESSAGE = st.fixed_dictionaries({"T": st.sampled_from("qtb"), "i": st.integers(0, 10**9)}, optional={"S": SYMBOL})


@given(st.lists(MESSAGE, max_size=30), st.integers(1, 9), st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_torn_frame_can_be_put_together(messages: list[dict[str, object]], lanes: int, as_json: bool) -> None:
    codec = msgspec.json if as_json else msgspec.msgpack
    frame = codec.encode(messages)
    parts = split_frame(frame, lanes)
    whole: dict[int, object] = {}
    for part in parts:
        found = codec.decode(part.payload)
        whole |= dict(zip(part.places if part.places is not None else range(len(found)), found, strict=True))
        for message in found:
            symbol = message.get("S")
            assert part.lane == (lane_of(symbol, lanes) if isinstance(symbol, str) else WHOLE)
    assert [whole[i] for i in range(len(messages))] == messages
    assert len({part.lane for part in parts}) == len(parts)
    assert all(part.places is None or list(part.places) == sorted(part.places) for part in parts)
    assert all(part.payload == frame for part in parts if part.places is None)


def test_messages_are_kept_byte_for_byte() -> None:
    frame = b'[ {"S":"A","p":1.50} , {"S":"SPY" ,"p":2.0e1},{"S":"A","p":0.10}]'
    parts = {part.payload for part in split_frame(frame, 500)}
    assert parts == {b'[{"S":"A","p":1.50},{"S":"A","p":0.10}]', b'[{"S":"SPY" ,"p":2.0e1}]'}


@pytest.mark.parametrize("payload", [b"", b"no frame", b'{"S":"A"}', b"\xc1\xff", b"[", b"[1,2]", b"{}"])
def test_what_is_no_frame_goes_whole(payload: bytes) -> None:
    (part,) = split_frame(payload, 8)
    assert (part.lane, part.payload, part.places) == (WHOLE, payload, None)


def test_names_of_lanes() -> None:
    assert lane_name("alpaca.sip", 3, 8) == "alpaca.sip.lane3of8"
    assert lane_name("alpaca.sip.part-1", 3, 8) == "alpaca.sip.part-1-lane3of8"
    assert lane_name("alpaca.sip", WHOLE, 8) == "alpaca.sip"
    for name in ("alpaca.sip", "alpaca.sip.part-1"):
        assert split_name(lane_name(name, 3, 8)) == (name, 3, 8)
        assert split_name(name) == (name, WHOLE, 0)


def test_a_lane_is_never_taken_for_one_of_several_captures() -> None:
    shard = partition_of(vendor("alpaca"), "wss://stream.data.alpaca.markets/v2/sip", CaptureShard(3, 8))
    assert split_name(shard) == (shard, WHOLE, 0)
    assert lane_name("alpaca.sip", 3, 8) != shard
    assert split_name(lane_name(shard, 3, 8)) == (shard, 3, 8)


def test_the_symbols_of_one_of_several_captures_use_all_lanes_alike() -> None:
    symbols = tuple("".join(letters) for letters in product("ABCDEFGHIJ", repeat=4))
    for of in (2, 4, 8):
        mine = CaptureShard(1, of).share(symbols)
        counts = Counter(lane_of(symbol, 8) for symbol in mine)
        assert len(counts) == 8
        assert max(counts.values()) < 1.3 * len(mine) / 8


def test_a_stream_is_a_log_with_a_spool_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TICKERPLANT_SPOOL", str(tmp_path))
    log = open_log("kinesis://quotes")
    assert (log.url, log.is_here, log.folder) == ("kinesis://quotes", False, tmp_path / "quotes@kinesis")
    assert log.folder != open_log("s3://quotes").folder
    assert log.segments("alpaca.sip") == []
    with pytest.raises(UsageError, match=r"expected a name that is no lane's, was 'alpaca.sip.lane3of8'"):
        log.writer("alpaca.sip.lane3of8")
    with pytest.raises(UsageError, match="expected kinesis://<name of a stream>, was 'kinesis://'"):
        open_log("kinesis://")
    for job in (lambda: of_segments(log), lambda: restore(tmp_path, log, None)):
        with pytest.raises(UsageError, match=r"was (in )?a stream"):
            job()


def test_lanes_are_spread_over_the_hash_space() -> None:
    for shards in (1, 2, 4, 8):
        width = HASH_SPACE // shards
        of = [hash_key(f"alpaca.sip.lane{i}of8") // width for i in range(8)]
        assert [of.count(shard) for shard in range(shards)] == [8 // shards] * shards
    assert 0 <= hash_key("alpaca.sip") < HASH_SPACE


def _lines(sizes: list[int]) -> list[Line]:
    made = []
    for i, size in enumerate(sizes):
        record = Record("alpaca", "sip", Kind.DATA, 10**18 + i * 1000, b'["' + b"x" * size + b'"]')
        made.append(Line(encode(record), record.received_at, i, (0, 5) if i % 2 else None))
    return made


def test_a_record_gives_its_lines_back() -> None:
    lines = _lines([3, 0, 50])
    (record,) = pack("alpaca.sip.lane0of8", 7, 9, lines, 10_000)
    found = head_of(record)
    assert found is not None
    head, body = found
    assert head == Head(1, "alpaca.sip.lane0of8", 7, 9, [None, (0, 5), None])
    items = list(unpack(head, body, Parser()))
    assert [(i.received_at, i.places) for i in items if isinstance(i, Record)] == [
        (10**18, None),
        (10**18 + 1000, (0, 5)),
        (10**18 + 2000, None),
    ]


@given(st.integers(1, 20_000))
@settings(max_examples=40, deadline=None)
def test_pieces_of_a_long_line_fit_and_join(size: int) -> None:
    (line,) = _lines([size])
    pieces = pack("alpaca.sip", 1, 2, [line], 2_000)
    found = [head_of(piece) for piece in pieces]
    assert all(len(piece) <= 2_000 for piece in pieces)
    assert b"".join(f[1] for f in found if f) == line.data
    if len(pieces) > 1:
        assert [f[0].part for f in found if f] == [(i, len(pieces)) for i in range(len(pieces))]


def test_a_line_with_a_wrong_crc_costs_only_itself() -> None:
    lines = _lines([3, 3, 3])
    spoilt = lines[1]._replace(data=lines[1].data.replace(b"xxx", b"xyx"))
    (record,) = pack("alpaca.sip", 1, 2, [lines[0], spoilt, lines[2]], 10_000)
    found = head_of(record)
    assert found is not None
    kinds = [type(item) for item in unpack(*found, Parser())]
    assert kinds == [Record, Damage, Record]


@pytest.mark.parametrize("record", [b"", b"hello", b'{"kinesis":1,', b'{"kinesis":1,"p":3}\n'])
def test_a_foreign_record_is_none_of_ours(record: bytes) -> None:
    assert head_of(record) is None


def test_shards_are_followed_from_parent_to_child() -> None:
    first, second = Shard("a", 0, 49, ()), Shard("b", 50, 99, ("gone",))
    low, high = Shard("c", 0, 24, ("a",)), Shard("d", 25, 49, ("a",))
    merged = Shard("e", 25, 99, ("d", "b"))
    every = [merged, high, low, second, first]
    assert [root_of(every, key) for key in (10, 30, 70)] == [first, first, second]
    assert next_of(every, "a", 10) == low
    assert next_of(every, "a", 30) == high
    assert next_of(every, "d", 30) == merged
    assert next_of(every, "b", 70) == merged
    assert next_of(every, "e", 70) is None
    assert root_of([merged, high], 30) == high


_QUOTE = '"bx":"V","bp":1.0,"bs":1,"ax":"V","ap":1.1,"as":2,"c":["R"],"z":"C"'


@pytest.mark.parametrize("time", ["2025-11-20T14:30:00Z", "never"])
def test_rows_of_a_torn_frame_are_those_of_the_whole_one(time: str) -> None:
    messages = [f'{{"T":"q","S":"S{i % 5}",{_QUOTE},"t":"2025-11-20T14:30:00Z"}}' for i in range(12)]
    messages[4] = f'{{"T":"q","S":"S4",{_QUOTE},"t":"{time}"}}'
    messages[7] = '{"T":"q","S":"S2","bp":"none"}'
    frame = f"[{','.join(messages)}]".encode()
    record = Record("alpaca", "sip", Kind.DATA, 10**18, frame)
    torn = [msgspec.structs.replace(record, payload=part.payload, places=part.places) for part in split_frame(frame, 4)]
    whole = decode([Entry(Position(0), Position(1), record)])
    parts = decode([Entry(Position(0), Position(1), one) for one in torn])
    assert len(torn) > 1

    def rows(found: object) -> list[tuple[object, ...]]:
        batches = found.batches  # type: ignore[attr-defined]
        return sorted((r["seq"], r["symbol"]) for batch in batches for r in batch.rows.to_pylist())

    assert rows(parts) == rows(whole)
    assert sorted((r.item, r.payload, r.reason) for r in parts.rejects) == [
        (r.item, r.payload, r.reason) for r in whole.rejects
    ]


@pytest.mark.parametrize("stream", ["", "a/b", "a?b=c", "x" * 129])
def test_a_name_that_is_no_stream_is_refused(stream: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    with pytest.raises(UsageError, match=r"log: expected kinesis://<name of a stream>, was"):
        KinesisOptions(stream, tmp_path_factory.mktemp("spool"))

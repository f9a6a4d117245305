"""Whatever happens to the bytes of a log, every whole line is recovered, none is invented, and positions tile."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickerplant.errors import BadData
from tickerplant.logs import frames, open_log
from tickerplant.logs.line import MARKER, decode, encode
from tickerplant.logs.reader import START, FilesReader
from tickerplant.logs.salvage import Joiner, Splitter
from tickerplant.model import Damage, Entry, Kind, Position, Record

PLACES = 10_000


@dataclass(frozen=True)
class Change:
    """`data` after one accident; original bytes outside `[start, end)` are untouched and in their order."""

    data: bytes
    start: int
    end: int


def _flip(data: bytes, at: int, rng: random.Random) -> Change:
    return Change(data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :], at, at + 1)


def _cut(data: bytes, at: int, rng: random.Random) -> Change:
    end = min(len(data), at + rng.choice([1, 2, 9, 40, 200]))
    return Change(data[:at] + data[end:], at, end)


def _zero(data: bytes, at: int, rng: random.Random) -> Change:
    end = min(len(data), at + rng.choice([1, 64, 512]))
    return Change(data[:at] + bytes(end - at) + data[end:], at, end)


def _insert(data: bytes, at: int, rng: random.Random) -> Change:
    return Change(data[:at] + rng.choice([b"\n", b"\n\n", MARKER, b"}", b"\0" * 30]) + data[at:], at, at)


def _newline(data: bytes, at: int, rng: random.Random) -> Change:
    return Change(data[:at] + b"\n" + data[at + 1 :], at, at + 1)


def _join(data: bytes, at: int, rng: random.Random) -> Change:
    """The newline after `at` becomes another byte."""
    at = data.find(b"\n", at)
    return _flip(data, at, rng) if at >= 0 else Change(data, 0, 0)


def _truncate(data: bytes, at: int, rng: random.Random) -> Change:
    return Change(data[:at], at, len(data))


ACCIDENTS: tuple[Callable[[bytes, int, random.Random], Change], ...] = (
    _flip,
    _cut,
    _zero,
    _insert,
    _newline,
    _join,
    _truncate,
)


def _record(i: int, rng: random.Random) -> Record:
    payload = rng.choice(
        [
            b'[{"T":"q","S":"AAPL","bp":%d.25,"c":["R"]}]' % i,
            b'[{"T":"t","S":"BRK.B","i":%d},{"T":"t","S":"X","i":7}]' % i,
            b'[{"T":"success","msg":"connected"}]',
            b'{"text":"a } in a string, and {\\"crc\\":\\"00000000\\""}',
            b'pretty\n{\n  "a": %d\n}\n' % i,
            b'{"crc":"00000000","rx":%d}' % i,
            b"\x00\xff binary %d" % i,
            b"",
        ]
    )
    return Record("alpaca", "sip", rng.choice(list(Kind)), 1_763_649_000_000_000_000 + i * 1000, payload)


def _log(rng: random.Random, count: int) -> tuple[list[Record], list[bytes]]:
    records = [_record(i, rng) for i in range(count)]
    return records, [encode(r) for r in records]


def _expected(lines: list[bytes], change: Change, records: list[Record]) -> list[Record]:
    """Records of the lines whose bytes, but for the newline, no accident touched."""
    kept, at = [], 0
    for line, record in zip(lines, records, strict=True):
        end = at + len(line) - 1
        hit = change.start < end and change.end > at if change.end > change.start else at < change.start < end
        if not hit:
            kept.append(record)
        at += len(line)
    return kept


def _records(entries: list[Entry]) -> list[Record]:
    return [e.item for e in entries if isinstance(e.item, Record)]


def _assert_tiles(entries: list[Entry], size: int) -> None:
    at = 0
    for entry in entries:
        assert entry.start == at
        assert entry.end > at
        at = entry.end
    assert at == size


def _assert_order(found: list[Record], records: list[Record]) -> None:
    """`found` is a subsequence of `records`: nothing invented, doubled or moved."""
    rest = iter(records)
    assert all(any(r == other for other in rest) for r in found)


def test_every_whole_line_of_a_raw_segment_survives_10_000_accidents() -> None:
    rng = random.Random(20261121)
    records, lines = _log(rng, 24)
    data = b"".join(lines)
    for _ in range(PLACES):
        change = rng.choice(ACCIDENTS)(data, rng.randrange(len(data)), rng)
        entries, used = Splitter().split(change.data, 0, final=True)
        assert used == len(change.data)
        found = _records(entries)
        _assert_tiles(entries, len(change.data))
        _assert_order(found, records)
        kept = _expected(lines, change, records)
        assert len(found) >= len(kept)
        _assert_order(kept, found)


def _seal(lines: list[bytes], per_frame: int) -> tuple[bytes, list[tuple[int, int, int, int]]]:
    """Sealed bytes, and of each frame: its place without head, the first and the last line."""
    out, at, compress, places = b"", 0, frames.compressor(), []
    for i in range(0, len(lines), per_frame):
        block = b"".join(lines[i : i + per_frame])
        packed = compress(block, at)
        places.append((len(out) + frames.HEAD_BYTES, len(out) + len(packed), i, min(i + per_frame, len(lines))))
        out, at = out + packed, at + len(block)
    return out + frames.pack_head(at, 0, 0), places


def _read_sealed(data: bytes) -> list[Entry]:
    entries: list[Entry] = []
    for frame in frames.index(lambda at, n: data[at : at + n], len(data)):
        stored = data[frame.at : frame.at + frame.stored]
        try:
            block = frames.content(frame, stored)
        except BadData as error:
            damage = Damage(stored, str(error), None, None)
            entries.append(Entry(Position(frame.start), Position(frame.end), damage))
        else:
            entries += Splitter().split(block, frame.start, final=True)[0]
    return entries


def test_every_line_of_an_undamaged_frame_survives_10_000_accidents_where_it_was() -> None:
    rng = random.Random(7)
    records, lines = _log(rng, 24)
    starts = [sum(map(len, lines[:i])) for i in range(len(lines))]
    data, places = _seal(lines, 6)
    for _ in range(PLACES):
        change = rng.choice(ACCIDENTS)(data, rng.randrange(len(data)), rng)
        entries = _read_sealed(change.data)
        found = {(e.start, e.item.received_at): e.item for e in entries if isinstance(e.item, Record)}
        _assert_tiles(entries, entries[-1].end if entries else 0)
        _assert_order(_records(entries), records)
        for begin, end, first, last in places:
            if change.end > change.start:
                is_hit = change.start < end and change.end > begin
            else:
                is_hit = begin < change.start < end
            if not is_hit:
                for i in range(first, last):
                    assert found[(Position(starts[i]), records[i].received_at)] == records[i]


@pytest.mark.parametrize("sealed", [False, True])
def test_a_damaged_segment_reads_the_same_in_any_steps_and_from_any_position(tmp_path: Path, sealed: bool) -> None:
    rng = random.Random(3)
    lines = _log(rng, 24)[1]
    raw = b"".join(lines)
    data = _seal(lines, 6)[0] if sealed else raw
    folder = tmp_path / "alpaca.sip"
    folder.mkdir()
    (folder / "0000000001.jsonl").write_bytes(encode(_record(99, rng)))
    target = folder / f"0000000000.jsonl{'.zst' if sealed else ''}"
    for _ in range(60):
        change = rng.choice(ACCIDENTS)(data, rng.randrange(len(data)), rng)
        target.write_bytes(change.data)
        whole = _read_all(folder, 10**6)
        assert _read_all(folder, rng.choice([1, 50, 300])) == whole
        for i, entry in enumerate(whole[:-1]):
            assert _read_all(folder, 200, entry.end) == whole[i + 1 :]
        _check_neighbours(whole)


def _read_all(folder: Path, step: int, start: Position = START) -> list[Entry]:
    reader = FilesReader(folder, start)
    entries: list[Entry] = []
    while found := reader.read(step):
        assert reader.position == found[-1].end
        entries += found
    reader.close()
    return entries


def _check_neighbours(entries: list[Entry]) -> None:
    for i, entry in enumerate(entries):
        if isinstance(entry.item, Damage):
            before = [e.item.received_at for e in entries[:i] if isinstance(e.item, Record)]
            after = [e.item.received_at for e in entries[i + 1 :] if isinstance(e.item, Record)]
            assert entry.item.before == (before[-1] if before else None)
            assert entry.item.after == (after[0] if after else None)


@settings(max_examples=200, deadline=None)
@given(payload=st.binary(max_size=200), rx=st.integers(0, 2**63 - 1), request=st.none() | st.text(max_size=30))
def test_any_payload_comes_back_as_it_was(payload: bytes, rx: int, request: str | None) -> None:
    record = Record("alpaca", "sip", Kind.RESPONSE, rx, payload, request)
    line = encode(record)
    assert line.count(b"\n") == 1
    assert line.count(MARKER) == 1
    assert decode(line) == record
    assert encode(decode(line)) == line


@settings(max_examples=200, deadline=None)
@given(pieces=st.lists(st.binary(max_size=60) | st.just(MARKER) | st.just(b"\n") | st.just(bytes(40)), max_size=12))
def test_bytes_that_were_never_a_log_are_damage_in_any_steps(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    joiner = Joiner(lambda at: None, lambda at: None)
    at, entries = 0, []
    while at < len(data):
        end = at + 1
        while True:
            found, used = Splitter().split(data[at:end], at, final=end >= len(data))
            if used:
                break
            end += 1
        entries += joiner.add(found, damaged=True)
        at += used
    entries += joiner.finish()
    assert len(entries) == (1 if data else 0)
    assert b"".join(e.item.payload for e in entries) == data


def test_damage_above_the_limit_is_split_and_keeps_its_bounds(tmp_path: Path) -> None:
    folder = tmp_path / "alpaca.sip"
    folder.mkdir()
    first, last = (encode(Record("alpaca", "sip", Kind.DATA, rx, b"[1]")) for rx in (1000, 9000))
    (folder / "0000000000.jsonl").write_bytes(first + bytes(5 * 2**19) + last)
    log = open_log(str(tmp_path))
    entries = _read_all(folder, 2**16)
    sizes = [len(e.item.payload) for e in entries if isinstance(e.item, Damage)]
    assert sum(sizes) == 5 * 2**19
    assert max(sizes) <= 2**20
    assert {(e.item.before, e.item.after) for e in entries if isinstance(e.item, Damage)} == {(1000, 9000)}
    assert entries[-1].item == decode(last)
    assert log.segments("alpaca.sip")[0].size_bytes == entries[-1].end

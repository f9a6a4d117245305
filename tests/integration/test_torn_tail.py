"""The end of a log that nobody writes to any more: what is torn there is told by a batch load, in its exact place."""

from __future__ import annotations

import json
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from tests.support.plant import query
from tickerplant.jobs.load import LoadOptions, LoadSummary, load
from tickerplant.jobs.status import status
from tickerplant.logs import open_log
from tickerplant.logs.line import encode
from tickerplant.logs.owner import is_owned
from tickerplant.model import Counters, Damage, Entry, Kind, LogReader, Record, position
from tickerplant.stores import open_store
from tickerplant.vendors import vendor

PARTITION = "alpaca.sip"
T0 = 1_763_649_000_000_000_000
NOTHING = Counters()
GAP_KEY = ("vendor", "feed", "channel", "start")


def record(n: int) -> Record:
    quote = {"T": "q", "S": "AAPL", "bx": "N", "bp": 1.5, "bs": n, "ax": "Q", "ap": 1.6, "as": 1}
    message = json.dumps([quote | {"t": "2025-11-20T14:30:00Z"}], separators=(",", ":")).encode()
    return Record("alpaca", "sip", Kind.DATA, T0 + n * 1_000_000, message)


LINES = [encode(record(n)) for n in range(6)]
WHOLE = b"".join(LINES[:3])
TORN = LINES[3][:-9]
TAILS = {
    "torn": TORN,
    "torn in the marker": b'{"cr',
    "zeros": bytes(5000),
    "damaged with its newline": LINES[3].replace(b"AAPL", b"AAPM"),
    "damaged, then torn": LINES[3].replace(b"AAPL", b"AAPM") + LINES[4][:-1][:40],
}


def dead_log(root: Path, data: bytes) -> Path:
    """A log whose owner was killed: its segment is raw, the owner's name still stands in the lock."""
    folder = root / PARTITION
    folder.mkdir(parents=True)
    (folder / "owner.lock").write_text("pid 1 on elsewhere since 2025-11-20T14:29:00+00:00\n")
    (folder / "0000000000.jsonl").write_bytes(data)
    return root


def capture_more(root: Path, *numbers: int) -> None:
    with open_log(str(root)).writer(PARTITION) as writer:
        for n in numbers:
            writer.append(Kind.DATA, record(n).received_at, record(n).payload)


def load_once(root: Path, lake: Path, options: LoadOptions | None = None, stop: Event | None = None) -> LoadSummary:
    store = open_store(str(lake))
    try:
        return load(open_log(str(root)), store, vendor, options, stop=stop)
    finally:
        store.close()


def contents(lake: Path) -> dict[str, list[dict[str, Any]]]:
    order = {"quotes": "received_at, seq", "quarantine": "position, item", "gaps": '"start", channel'}
    return {table: query(lake, f"select * from {table} order by {by}") for table, by in order.items()}


def drained(reader: LogReader) -> list[Entry]:
    found: list[Entry] = []
    while entries := reader.read(1000) or reader.finish():
        found += entries
    return found


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
def test_a_torn_tail_is_quarantined_and_a_gap_in_its_exact_place(tmp_path: Path, tail: bytes) -> None:
    log, lake = dead_log(tmp_path / "log", WHOLE + tail), tmp_path / "lake"

    done = load_once(log, lake)

    assert done.counters == Counters(received=4, stored=3, quarantined=1, control=0)
    assert done.partitions[0].position == position(0, len(WHOLE) + len(tail))
    (aside,) = contents(lake)["quarantine"]
    assert (aside["partition"], aside["position"], aside["item"]) == (PARTITION, position(0, len(WHOLE)), -1)
    assert (aside["payload"], aside["state"]) == (tail, "open")
    times = 'select epoch_us("start") as s, epoch_us("end") as e, channel, reason, state, evidence from gaps'
    (gap,) = query(lake, times)
    assert (gap["s"], gap["e"]) == (record(2).received_at // 1000,) * 2
    assert (gap["channel"], gap["reason"], gap["state"]) == ("*", "damaged", "closed")
    evidence = json.loads(gap["evidence"])
    assert (evidence["position"], evidence["bytes"]) == (position(0, len(WHOLE)), len(tail))


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
def test_loading_again_and_after_a_later_capture_gives_what_one_load_at_the_end_gives(
    tmp_path: Path, tail: bytes
) -> None:
    log, often, once = dead_log(tmp_path / "log", WHOLE + tail), tmp_path / "often", tmp_path / "once"
    load_once(log, often)
    first = contents(often)
    assert load_once(log, often).counters == NOTHING
    assert contents(often) == first

    capture_more(log, 4, 5)
    assert load_once(log, often).counters == Counters(received=2, stored=2)
    assert load_once(log, often).counters == NOTHING
    load_once(log, once)

    ours, theirs = contents(often), contents(once)
    assert [r["bid_size"] for r in ours["quotes"]] == [0, 1, 2, 4, 5]
    assert ours["quotes"] == theirs["quotes"]
    assert ours["quarantine"] == theirs["quarantine"]
    without_end = [[{k: v for k, v in g.items() if k != "end"} for g in c["gaps"]] for c in (ours, theirs)]
    assert without_end[0] == without_end[1]
    assert len(ours["gaps"]) == 1
    assert ours["gaps"][0]["end"] < theirs["gaps"][0]["end"]


def test_two_torn_tails_one_after_the_other_are_both_told(tmp_path: Path) -> None:
    log, often, once = dead_log(tmp_path / "log", WHOLE + TORN), tmp_path / "often", tmp_path / "once"
    load_once(log, often)
    (log / PARTITION / "0000000001.jsonl").write_bytes(LINES[4] + LINES[5][:30])

    load_once(log, often)
    load_once(log, once)

    places = [r["position"] for r in contents(often)["quarantine"]]
    assert places == [position(0, len(WHOLE)), position(1, len(LINES[4]))]
    assert contents(often)["quarantine"] == contents(once)["quarantine"]
    assert [[g[k] for k in GAP_KEY] for g in contents(often)["gaps"]] == [
        [g[k] for k in GAP_KEY] for g in contents(once)["gaps"]
    ]


def test_a_torn_tail_is_left_alone_while_the_partition_has_an_owner(tmp_path: Path) -> None:
    log, lake = dead_log(tmp_path / "log", WHOLE + TORN), tmp_path / "lake"
    with open_log(str(log)).writer(PARTITION):
        assert drained(open_log(str(log)).reader(PARTITION))[-1].item == record(2)
        assert load_once(log, lake).counters == Counters(received=3, stored=3)
    assert load_once(log, lake).counters == Counters(received=1, quarantined=1)


def test_a_follower_leaves_a_torn_tail_to_the_line_after_it(tmp_path: Path) -> None:
    log, lake, stop = dead_log(tmp_path / "log", WHOLE + TORN), tmp_path / "lake", Event()
    stop.set()

    done = load_once(log, lake, LoadOptions(follow=True), stop)

    assert done.counters == Counters(received=3, stored=3)
    assert done.partitions[0].position == position(0, len(WHOLE))


def test_a_whole_last_line_that_only_lacks_its_newline_is_a_row(tmp_path: Path) -> None:
    log, lake = dead_log(tmp_path / "log", WHOLE + LINES[3][:-1]), tmp_path / "lake"

    assert load_once(log, lake).counters == Counters(received=4, stored=4)
    assert contents(lake)["gaps"] == contents(lake)["quarantine"] == []


def test_damage_with_no_whole_line_before_it_waits_for_one_that_tells_its_time(tmp_path: Path) -> None:
    log, often, once = dead_log(tmp_path / "log", LINES[3][:-9]), tmp_path / "often", tmp_path / "once"
    assert load_once(log, often).counters == NOTHING

    capture_more(log, 4)
    load_once(log, often)
    load_once(log, once)

    assert contents(often) == contents(once)
    assert [r["position"] for r in contents(once)["quarantine"]] == [0]


def test_lines_written_after_the_last_read_come_before_the_damage(tmp_path: Path) -> None:
    log = dead_log(tmp_path / "log", WHOLE)
    reader = open_log(str(log)).reader(PARTITION)
    assert len(reader.read(10_000)) == 3
    assert reader.read(10_000) == []
    with (log / PARTITION / "0000000000.jsonl").open("ab") as file:
        file.write(LINES[3] + LINES[4][:-9])

    found = reader.finish() + reader.finish()

    assert [e.item for e in found[:1]] == [record(3)]
    assert isinstance(found[1].item, Damage)
    assert (found[1].start, found[1].end) == (
        position(0, len(WHOLE + LINES[3])),
        position(0, len(WHOLE + LINES[3] + LINES[4]) - 9),
    )
    assert (found[1].item.before, found[1].item.after) == (record(3).received_at, None)
    assert reader.position == found[1].end
    assert reader.finish() == []
    reader.close()


def test_reading_goes_on_in_the_segment_after_a_tail_that_was_told(tmp_path: Path) -> None:
    log = dead_log(tmp_path / "log", WHOLE + TORN)
    reader = open_log(str(log)).reader(PARTITION)
    told = drained(reader)
    capture_more(log, 4, 5)

    assert [e.item for e in drained(reader)] == [record(4), record(5)]
    reader.close()
    fresh = drained(open_log(str(log)).reader(PARTITION))
    assert [(e.start, e.end) for e in fresh[:4]] == [(e.start, e.end) for e in told]


def test_a_long_tail_is_cut_into_the_same_parts_as_later(tmp_path: Path) -> None:
    log = dead_log(tmp_path / "log", WHOLE + LINES[3][:-9] + b"x" * (5 * 2**19))
    told = drained(open_log(str(log)).reader(PARTITION))
    capture_more(log, 4)

    later = drained(open_log(str(log)).reader(PARTITION))

    assert len(told) == 3 + 3
    assert [(e.start, e.end, e.item.payload) for e in told] == [(e.start, e.end, e.item.payload) for e in later[:-1]]


def test_status_sees_a_loaded_log_without_lag(tmp_path: Path) -> None:
    log, lake = dead_log(tmp_path / "log", WHOLE + TORN), tmp_path / "lake"
    load_once(log, lake)
    store = open_store(str(lake), read_only=True)
    found = status(open_log(str(log)), store)
    store.close()

    assert found.balanced
    assert (found.missing_rows, found.partitions[0].lag_bytes) == (0, 0)


def test_asking_for_an_owner_keeps_no_owner_out(tmp_path: Path) -> None:
    over = Event()
    folder = tmp_path / PARTITION
    capture_more(tmp_path, 0)

    def ask() -> None:
        while not over.is_set():
            is_owned(folder)

    asking = [Thread(target=ask) for _ in range(2)]
    for thread in asking:
        thread.start()
    try:
        for _ in range(30):
            with open_log(str(tmp_path)).writer(PARTITION):
                assert is_owned(folder)
    finally:
        over.set()
        for thread in asking:
            thread.join()
    assert not is_owned(folder)

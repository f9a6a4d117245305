"""Quarantined messages come back once a decoder can read them: each once, from the log."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from tests.support.plant import query, store_tally
from tickerplant.jobs.load import load
from tickerplant.jobs.reload import ReloadSummary, reload_quarantined
from tickerplant.logs import open_log
from tickerplant.model import Decoded, Entry, Kind, Log, Record, Reject, Store, Vendor
from tickerplant.stores import open_store
from tickerplant.vendors import vendor

_T0 = 1_763_649_000_000_000_000


def _quote(size: int) -> dict[str, object]:
    return {
        "T": "q",
        "S": "AAPL",
        "bx": "N",
        "bp": 1.5,
        "bs": size,
        "ax": "Q",
        "ap": 1.6,
        "as": 1,
        "t": "2025-11-20T14:30:00Z",
    }


def _write(log: Log) -> None:
    frames = [[_quote(1), _quote(666), _quote(2)], [_quote(3)], [_quote(666)]]
    with log.writer("alpaca.sip") as writer:
        for i, frame in enumerate(frames):
            writer.append(Kind.DATA, _T0 + i * 1_000_000, json.dumps(frame).encode())


def _old_vendor(name: str) -> Vendor:
    """A version of the decoder that cannot read a size of 666."""

    def decode(entries: list[Entry]) -> Decoded:
        good, rejects = vendor(name).decode(entries), []
        batches = []
        for batch in good.batches:
            sizes = batch.rows.column("bid_size").to_pylist()
            batches.append(batch._replace(rows=batch.rows.filter([s != 666 for s in sizes])))
        for entry in entries:
            assert isinstance(entry.item, Record)
            for item, message in enumerate(json.loads(entry.item.payload)):
                if message["bs"] == 666:
                    raw, at = json.dumps(message).encode(), entry.item.received_at
                    rejects.append(Reject(entry.start, item, name, "sip", "quotes", at, "unlucky", raw))
        return replace(good, batches=tuple(batches), rejects=tuple(rejects))

    return replace(vendor(name), decode=decode)  # type: ignore[arg-type]


def _sizes(store: Store) -> list[float]:
    rows = store.query("select bid_size from quotes order by received_at, seq").to_pylist()
    return [r["bid_size"] for r in rows]


def test_a_mended_decoder_loads_each_quarantined_message_once(tmp_path: Path) -> None:
    log, store = open_log(str(tmp_path / "log")), open_store(str(tmp_path / "lake"))
    _write(log)
    load(log, store, _old_vendor)
    assert _sizes(store) == [1, 2, 3]

    assert reload_quarantined(log, store, _old_vendor) == ReloadSummary(0, 2)
    assert reload_quarantined(log, store, vendor) == ReloadSummary(2, 0)
    assert _sizes(store) == [1, 666, 2, 3, 666]
    assert reload_quarantined(log, store, vendor) == ReloadSummary(0, 0)
    assert _sizes(store) == [1, 666, 2, 3, 666]

    states = store.query("select state, count(*) as n from quarantine group by 1").to_pylist()
    assert states == [{"state": "loaded", "n": 2}]
    totals = store.query(
        "select sum(received)::int r, sum(stored)::int s, sum(quarantined)::int q from positions"
    ).to_pylist()
    assert totals == [{"r": 5, "s": 5, "q": 0}]
    store.close()


def test_a_frame_that_becomes_readable_still_sets_its_bad_messages_aside(tmp_path: Path) -> None:
    log, store = open_log(str(tmp_path / "log")), open_store(str(tmp_path / "lake"))
    with log.writer("alpaca.sip") as writer:
        writer.append(Kind.DATA, _T0, json.dumps([_quote(1), {"T": "zz"}, _quote(2)]).encode())
    load(log, store, _blind_vendor)
    assert store.query("select item from quarantine").to_pylist() == [{"item": -1}]

    assert reload_quarantined(log, store, vendor) == ReloadSummary(1, 1)

    assert _sizes(store) == [1, 2]
    rows = store.query("select item, state from quarantine order by item").to_pylist()
    assert rows == [{"item": -1, "state": "loaded"}, {"item": 1, "state": "open"}]
    totals = store.query(
        "select sum(received)::int r, sum(stored)::int s, sum(quarantined)::int q from positions"
    ).to_pylist()
    assert totals == [{"r": 3, "s": 2, "q": 1}]
    store.close()


def _blind_vendor(name: str) -> Vendor:
    """A version of the decoder that cannot read frames at all."""

    def decode(entries: list[Entry]) -> Decoded:
        rejects = [Reject(e.start, -1, name, "sip", None, _T0, "unreadable", b"") for e in entries]
        return Decoded(rejects=tuple(rejects))

    return replace(vendor(name), decode=decode)  # type: ignore[arg-type]


def test_a_reload_that_died_before_it_marked_the_rows_adds_nothing_twice(tmp_path: Path) -> None:
    log, store = open_log(str(tmp_path / "log")), open_store(str(tmp_path / "lake"))
    _write(log)
    load(log, store, _old_vendor)
    reload_quarantined(log, store, vendor)
    expected = store_tally(tmp_path / "lake").tables

    reopened = store.query("select * from quarantine").to_pylist()
    _mark_open(store, reopened)
    assert query(tmp_path / "lake", "select count(*) as n from quarantine where state = 'open'") == [{"n": 2}]
    reload_quarantined(log, store, vendor)

    assert store_tally(tmp_path / "lake").tables == expected
    store.close()


def _mark_open(store: Store, rows: list[dict[str, object]]) -> None:
    """Undo the last step of a reload, as if the process had died before it."""
    import pyarrow as pa

    from tickerplant.model import Batch, Counters, Position
    from tickerplant.tables import QUARANTINE

    batch = pa.RecordBatch.from_pylist([{**r, "state": "open"} for r in rows], QUARANTINE.schema)
    store.write("test.undo", Position(0), Position(1), [Batch(QUARANTINE, batch)], Counters())

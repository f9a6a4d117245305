"""The reader of LEAN ticks, on a made-up file and on the real ones."""

from __future__ import annotations

import zipfile
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from tests.support import lean


def test_rows_times_and_sides(tmp_path: Path) -> None:
    folder = tmp_path / "ibm"
    folder.mkdir()
    with zipfile.ZipFile(folder / "20131007_quote.zip", "w") as archive:
        archive.writestr("q.csv", "34200001,1841234,300,0,0,N,1,0\n34200001,0,0,1841300,200,Q,800,0\n")
    with zipfile.ZipFile(folder / "20131007_trade.zip", "w") as archive:
        archive.writestr("t.csv", "34200002,1841250,100,P,20000020,0\n34200002,1841250,100,P,20000020,0\n")
    ((quotes, trades),) = lean.read(tmp_path)
    at = datetime(2013, 10, 7, 13, 30, 0, 1000, tzinfo=UTC)
    first, second = quotes.rows.to_pylist()
    assert (first["symbol"], first["ts"], first["ns"], first["tape"]) == ("IBM", at, 0, "A")
    bid = ("bid_price", "bid_size", "bid_exchange", "ask_price", "ask_size", "ask_exchange", "conditions")
    assert [first[k] for k in bid] == [184.1234, 300.0, "N", 0.0, 0.0, " ", "1"]
    assert [second[k] for k in bid] == [0.0, 0.0, " ", 184.13, 200.0, "Q", "800"]
    assert [r["trade_id"] for r in trades.rows.to_pylist()] == ["1", "2"]
    assert trades.rows.to_pylist()[0]["conditions"] == "20000020"


@pytest.mark.skipif(not lean.TICKS.is_dir(), reason="the recorded ticks are not beside this repository")
def test_a_real_day_is_whole() -> None:
    batches = lean.read_day(lean.TICKS, date(2013, 10, 7))
    counts = {(b.table.name, b.rows.column("symbol")[0].as_py()): b.rows.num_rows for b in batches}
    assert counts == {
        ("quotes", "AIG"): 1_079_935,
        ("quotes", "BAC"): 476_855,
        ("quotes", "IBM"): 109_067,
        ("trades", "AIG"): 25_351,
        ("trades", "BAC"): 88_172,
        ("trades", "IBM"): 24_293,
        ("trades", "SPY"): 250_601,
    }

"""Bytes a quote takes in the lake after `maintain`: recorded ticks as they are, and made up to nanoseconds.

The recorded ticks have millisecond times, one-sided rows and prices that repeat. The second figure puts a random
sub-millisecond on each time and makes every price walk by cents, both sides filled. Receipt times follow the events in
frames of 20, with up to 3 ms of jitter.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa

from tests.support import lean
from tickerplant.fingerprint import Tally
from tickerplant.model import Batch, Counters, Position, Selection
from tickerplant.stores.lake import LakeStore
from tickerplant.tables import QUOTES

_CHUNK = 250_000


def _merged(day: list[Batch]) -> pa.RecordBatch:
    """The quotes of a day in order of time, equal times in the order of their file."""
    rows = pa.Table.from_batches([b.rows for b in day if b.table is QUOTES])
    order = np.argsort(rows["ts"].cast(pa.int64()).to_numpy(), kind="stable")
    return rows.take(pa.array(order)).combine_chunks().to_batches()[0]


def _replace(rows: pa.RecordBatch, **columns: np.ndarray) -> pa.RecordBatch:
    arrays = [pa.array(columns[f.name]).cast(f.type) if f.name in columns else rows.column(f.name) for f in rows.schema]
    return pa.RecordBatch.from_arrays(arrays, schema=rows.schema)


def _received(rows: pa.RecordBatch, chance: np.random.Generator) -> pa.RecordBatch:
    micros = rows.column("ts").cast(pa.int64()).to_numpy()
    frames = np.maximum.accumulate(micros[::20] + chance.integers(500, 3500, len(micros[::20])))
    frames += np.arange(len(frames))
    return _replace(rows, received_at=np.repeat(frames, 20)[: len(micros)], seq=np.arange(len(micros)) % 20)


def _as_is(rows: pa.RecordBatch, _: np.random.Generator) -> pa.RecordBatch:
    return rows


def _made_up(rows: pa.RecordBatch, chance: np.random.Generator) -> pa.RecordBatch:
    """The same rows with nanosecond times and walking prices."""
    micros = rows.column("ts").cast(pa.int64()).to_numpy()
    nanos = micros * 1000 + chance.integers(0, 1_000_000, len(micros))
    symbols = rows.column("symbol").to_numpy(zero_copy_only=False)
    bid = np.zeros(len(micros))
    for symbol in np.unique(symbols):
        mine = symbols == symbol
        nanos[mine] = np.sort(nanos[mine])
        bid[mine] = np.round(np.abs(50 + np.cumsum(chance.integers(-1, 2, mine.sum())) / 100) + 0.01, 2)
    ask = np.round(bid + chance.integers(1, 4, len(bid)) / 100, 2)
    sizes = (chance.geometric(0.45, (2, len(bid))) * 100).astype(float)
    filled = {"bid_price": bid, "ask_price": ask, "bid_size": sizes[0], "ask_size": sizes[1]}
    return _replace(rows, ts=nanos // 1000, ns=nanos % 1000, **filled)


def _bytes_per_quote(days: Iterator[pa.RecordBatch], folder: Path) -> float:
    store, expected, at = LakeStore(folder), Tally(), 0
    for day in days:
        expected.add(Batch(QUOTES, day))
        for first in range(0, day.num_rows, _CHUNK):
            batch = Batch(QUOTES, day.slice(first, _CHUNK))
            store.write("alpaca.sip", Position(at), Position(at + 1), [batch], Counters())
            at += 1
    done = list(store.maintain(lean.days(lean.TICKS)[-1] + timedelta(days=1), timedelta(0)))
    found = Tally.of(Batch(QUOTES, rows) for rows in store.scan(QUOTES, Selection(("quotes",))))
    assert found.tables == expected.tables
    store.close()
    return sum(d.bytes_after for d in done) / sum(d.rows for d in done)


def run() -> dict[str, float]:
    """Bytes a quote on disk, recorded and made up."""
    if not lean.TICKS.is_dir():
        sys.exit("the recorded ticks are not beside this checkout")
    chance = np.random.default_rng(1)
    days = lean.days(lean.TICKS)[:1]
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name:
        for kind, prepare in (("recorded", _as_is), ("nanoseconds and prices made up", _made_up)):
            merged = (_merged(lean.read_day(lean.TICKS, d, ["AIG", "BAC", "IBM"], "quote")) for d in days)
            rows = (_received(prepare(m, chance), chance) for m in merged)
            figures[kind] = _bytes_per_quote(rows, Path(name) / kind.split()[0])
            print(f"{figures[kind]:6.2f} bytes a quote after maintain, {kind}")
    return figures


if __name__ == "__main__":
    run()

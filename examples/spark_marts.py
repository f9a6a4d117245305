"""Marts computed anew by Spark, in several worker processes, and compared row for row with those `transform` made.

    python examples/spark_marts.py ./data/lake quote_stats bars_from_trades --master 'local-cluster[2,1,1024]'

Each mart is computed from the quotes and trades of all sessions in the lake (or of `[--start, --end)`) with its own
SQL, then joined to the mart in the lake. Prints one line of JSON a mart; the exit code is 1 when rows differ. With the
URL of a cluster as `--master` (`spark://...`, `yarn`, `k8s://...`) its machines do it; they have to see the lake at
the same path or URL.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Any

import tickerplant.spark

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def session(master: str) -> SparkSession:
    """A session of Spark: two executors of one core each, unless the cluster says otherwise."""
    from pyspark.sql import SparkSession

    if master.startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("tickerplant marts").master(master)
    words = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.sql.shuffle.partitions": "8"}
    for name, value in words.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def tasks_done(spark: SparkSession) -> dict[str, int]:
    """How many tasks each executor (a process of its own) has done."""
    found = spark.sparkContext._jsc.sc().statusStore().executorList(True)
    executors = [found.apply(i) for i in range(found.size())]
    return {e.id(): e.completedTasks() for e in executors if e.id() != "driver"}


def seconds_of(rows: DataFrame) -> float:
    """How long it takes to compute every row and column, without keeping them."""
    began = time.perf_counter()
    rows.write.format("noop").mode("overwrite").save()
    return time.perf_counter() - began


def check(lake: tickerplant.spark.SparkLake, mart: str, start: date | None, end: date | None) -> dict[str, Any]:
    """Compute one mart and compare it with the one in the lake."""
    computed = lake.compute(mart, start, end)
    expected = lake.table(mart, start=start, end=end)
    took = seconds_of(computed)
    found = tickerplant.spark.compare(expected, computed, lake.grain(mart))
    return {"mart": mart, **asdict(found), "equal": found.is_none, "seconds": round(took, 2)}


def main() -> None:
    """Check the marts named, each by itself."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lake", help="folder or s3:// URL of the lake")
    parser.add_argument("marts", nargs="*", default=["quote_stats", "bars_from_trades"], help="names of marts")
    parser.add_argument("--master", default="local-cluster[2,1,1024]", help="where Spark runs")
    parser.add_argument("--start", type=date.fromisoformat, help="first session")
    parser.add_argument("--end", type=date.fromisoformat, help="session after the last one")
    words = parser.parse_args()
    spark = session(words.master)
    lake = tickerplant.spark.open(spark, words.lake)
    found = [check(lake, mart, words.start, words.end) for mart in words.marts]
    for line in found:
        print(json.dumps(line))
    print(json.dumps({"tasks_by_executor": tasks_done(spark)}))
    lake.close()
    spark.stop()
    sys.exit(0 if all(line["equal"] for line in found) else 1)


if __name__ == "__main__":
    main()

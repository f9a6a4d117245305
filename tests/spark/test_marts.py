"""Marts computed by two worker processes are row for row those that dbt and DuckDB made; the comparison can tell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

import tickerplant.spark
from examples.spark_marts import tasks_done
from tests.support import spark_sessions
from tickerplant.jobs.transform import run_transform
from tickerplant.spark.models import Models
from tickerplant.stores import StoreOptions, open_store
from tickerplant.stores.lake import LakeStore
from tickerplant.transform import Request

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from tickerplant.spark import SparkLake

ROOT = Path(__file__).resolve().parents[2]
MARTS = sorted(n for n in Models({"vendors": []}).names() if Models({"vendors": []}).config(n).materialized == "mart")


def executors() -> Iterator[int]:
    """Processes of executors below this one."""
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            if any("CoarseGrainedExecutorBackend" in word for word in process.cmdline()):
                yield process.pid


@pytest.mark.parametrize("mart", MARTS)
def test_a_mart_computed_by_spark_is_the_one_in_the_lake(lake: SparkLake, plant: LakeStore, mart: str) -> None:
    found = tickerplant.spark.compare(lake.table(mart), lake.compute(mart), lake.grain(mart))
    assert found.is_none, found
    assert found.rows == plant.query(f"select count(*) from {mart}").column(0)[0].as_py()


def test_some_sessions_by_several_worker_processes(lake: SparkLake, spark: SparkSession) -> None:
    first, *_, last = spark_sessions.days(8)[2:6]
    before = tasks_done(spark)
    expected = lake.table("quote_stats").where(f"session >= date '{first}' and session < date '{last}'")
    found = tickerplant.spark.compare(expected, lake.compute("quote_stats", first, last), lake.grain("quote_stats"))
    assert found.is_none, found
    assert found.rows > 1000
    done = {name: count - before.get(name, 0) for name, count in tasks_done(spark).items()}
    assert len(done) == 2
    assert all(count >= 3 for count in done.values()), done
    assert len(set(executors())) == 2


def test_as_known_at_a_moment(lake: SparkLake, plant: LakeStore, spark: SparkSession) -> None:
    day = spark_sessions.days(8)[6]
    request = Request(
        ("+bars_from_trades",), known_at=datetime(day.year, day.month, day.day, 17, 30, tzinfo=UTC), tests=False
    )
    other = StoreOptions(marts="then")
    store = open_store(plant.url, options=other)
    assert isinstance(store, LakeStore)
    report = run_transform(store, request)
    assert report.ok, report
    then = tickerplant.spark.SparkLake(spark, store)
    found = tickerplant.spark.compare(
        then.table("bars_from_trades"),
        then.compute("bars_from_trades", request=request),
        then.grain("bars_from_trades"),
    )
    assert found.is_none, found
    assert 0 < found.rows < lake.table("bars_from_trades").count()
    then.close()


def test_the_comparison_sees_what_differs(spark: SparkSession) -> None:
    names = ["k", "x", "t"]
    left = spark.createDataFrame([(1, 1.0, "a"), (2, 2.0, None), (3, None, "c")], names)
    assert tickerplant.spark.compare(left, left, ["k"]).is_none
    near = spark.createDataFrame([(1, 1.0 + 1e-12, "a"), (2, 2.0, None), (3, None, "c")], names)
    assert 0 < tickerplant.spark.compare(left, near, ["k"]).largest < 1e-11
    others = {
        "value": ([(1, 1.1, "a"), (2, 2.0, None), (3, None, "c")], (0, 0, 1)),
        "null": ([(1, 1.0, "a"), (2, None, None), (3, None, "c")], (0, 0, 1)),
        "text": ([(1, 1.0, "a"), (2, 2.0, "b"), (3, None, "c")], (0, 0, 1)),
        "missing": ([(1, 1.0, "a"), (3, None, "c")], (1, 0, 0)),
        "more": ([(1, 1.0, "a"), (2, 2.0, None), (3, None, "c"), (4, 1.0, "d")], (0, 1, 0)),
        "zero": ([(1, 0.0, "a"), (2, 2.0, None), (3, None, "c")], (0, 0, 1)),
    }
    for what, (rows, expected) in others.items():
        found = tickerplant.spark.compare(left, spark.createDataFrame(rows, left.schema), ["k"])
        assert (found.only_left, found.only_right, found.unequal) == expected, what


def test_the_example_compares_and_tells_who_worked(plant: LakeStore, tmp_path: Path) -> None:
    words = [sys.executable, "-W", "ignore", "-m", "examples.spark_marts", plant.url, "quote_stats"]
    env = {**os.environ, "SPARK_WORKER_DIR": str(tmp_path), "SPARK_LOCAL_IP": "127.0.0.1"}
    done = subprocess.run(words, cwd=ROOT, env=env, capture_output=True, text=True, timeout=350)
    assert done.returncode == 0, done.stderr[-2000:]
    told, workers = map(json.loads, done.stdout.splitlines())
    assert told["equal"]
    assert told["rows"] > 5000
    assert len(workers["tasks_by_executor"]) == 2
    assert min(workers["tasks_by_executor"].values()) > 0

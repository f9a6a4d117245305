"""These tests need Spark, which has an environment of its own: `make test-spark` runs them. One cluster serves all."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import spark_sessions
from tickerplant.jobs.transform import run_transform
from tickerplant.stores import open_store
from tickerplant.stores.lake import LakeStore
from tickerplant.transform import Request

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from tickerplant.spark import SparkLake

collect_ignore_glob = [] if find_spec("pyspark") else ["test_*.py"]
"""Without Java the tests fail: whoever asks for them has to have it."""

_SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Half of what these tests cost was optimizing Java's code for a longer life."""
SESSIONS, SYMBOLS, ROWS = 8, 8, 2_400


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """A cluster on this machine: a master, two workers and two executors, processes of their own, on loopback."""
    from pyspark.sql import SparkSession

    assert shutil.which("java"), "java: expected 17 or newer on the PATH, was none"
    folder = tmp_path_factory.mktemp("spark")
    os.environ.update(SPARK_LOCAL_IP="127.0.0.1", SPARK_WORKER_DIR=str(folder / "work"))
    os.environ.update(JDK_JAVA_OPTIONS=_SHORT_LIVED, PYSPARK_PYTHON=sys.executable)
    builder: Any = SparkSession.builder.master("local-cluster[2,1,1024]").appName("tests")
    words = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.local.dir": str(folder / "local"),
        "spark.sql.session.timeZone": "Asia/Kolkata",
    }
    for name, value in words.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    try:
        yield session
    finally:
        session.stop()


@pytest.fixture(scope="session")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LakeStore]:
    """A lake of sessions: some sorted by `maintain`, then late rows of one of them, then marts of it all."""
    folder = tmp_path_factory.mktemp("plant") / "a lake {1}, [x]*"
    found = spark_sessions.days(SESSIONS)
    with closing(open_store(str(folder))) as store:
        assert isinstance(store, LakeStore)
        spark_sessions.fill(store, found, SYMBOLS, ROWS)
        spark_sessions.fill_daily(store, spark_sessions.days(1_300), 2)
        assert list(store.maintain(found[5]))
        spark_sessions.fill(store, found[1:2], SYMBOLS, ROWS // 10, seed=2)
        report = run_transform(store, Request(tests=False))
        assert report.ok, report
        yield store


@pytest.fixture(scope="session")
def lake(spark: SparkSession, plant: LakeStore) -> Iterator[SparkLake]:
    """The same lake as Spark sees it."""
    import tickerplant.spark

    with closing(tickerplant.spark.open(spark, plant.url)) as found:
        yield found


@pytest.fixture
def folder(plant: LakeStore) -> Path:
    """Where the lake is."""
    return Path(plant.url)

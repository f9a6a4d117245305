"""Tables, views and marts read by Spark are those that DuckDB reads: after compaction, late rows, and in the past."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

import tickerplant.spark
from tests.support import spark_sessions
from tickerplant.errors import UsageError
from tickerplant.stores import open_store
from tickerplant.stores.lake import LakeStore

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from tickerplant.spark import SparkLake

TABLES = ("quotes", "trades", "trade_corrections", "bars", "daily_bars", "splits", "dividends", "positions")
VIEWS = ("trades_latest", "bars_latest", "daily_bars_latest", "stg_bars", "prices_daily")


def rows(found: DataFrame | pa.Table) -> Counter[tuple[Any, ...]]:
    """The rows of either, whatever their order."""
    table = found if isinstance(found, pa.Table) else found.toArrow()
    names = sorted(table.column_names)
    return Counter(zip(*(table.column(n).to_pylist() for n in names), strict=True))


def same(lake: SparkLake, plant: LakeStore, name: str) -> None:
    got, expected = lake.table(name), plant.query(f"select * from {name}")
    assert sorted(got.columns) == sorted(expected.column_names)
    assert expected.num_rows
    assert rows(got) == rows(expected)


@pytest.mark.parametrize("name", TABLES)
def test_a_table_has_the_rows_that_duckdb_reads(lake: SparkLake, plant: LakeStore, name: str) -> None:
    same(lake, plant, name)


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_shows_what_it_shows_in_duckdb(lake: SparkLake, plant: LakeStore, name: str) -> None:
    same(lake, plant, name)


def test_types_are_kept_and_nanoseconds_stay_beside(lake: SparkLake) -> None:
    quotes = lake.table("quotes")
    kinds = dict(quotes.dtypes)
    assert (kinds["ts"], kinds["ns"], kinds["session"], kinds["bid_price"]) == (
        "timestamp",
        "smallint",
        "date",
        "double",
    )
    last = quotes.orderBy("ts", "ns").limit(3).select("ns").collect()
    assert all(0 <= row.ns < 1000 for row in last)


def test_the_version_was_compacted(lake: SparkLake, plant: LakeStore, folder: Path) -> None:
    """Else the tests above would show little: files of old versions lie beside those that count."""
    named = {Path(f.path).name for f in plant.table_log("quotes").files()}
    there = {p.name for p in (folder / "quotes").rglob("*.parquet")}
    assert there > named
    assert any(name.startswith("sorted-") for name in named)
    assert {Path(p).name.replace("%20", " ") for p in lake.table("quotes").inputFiles()} == named


def test_bounds_open_only_the_files_they_need(lake: SparkLake, plant: LakeStore) -> None:
    day = spark_sessions.days(8)[3]
    found = lake.table("quotes", ["S003", "S004"], day, day + timedelta(days=1), columns=["symbol", "ts", "bid_price"])
    where = f"where session = date '{day}' and symbol in ('S003', 'S004')"
    assert rows(found) == rows(plant.query(f"select symbol, ts, bid_price from quotes {where}"))
    assert {p.split("session=")[1][:10] for p in found.inputFiles()} == {day.isoformat()}
    noon = datetime(day.year, day.month, day.day, 17, tzinfo=UTC)
    half = lake.table("trades", start=noon, end=noon + timedelta(minutes=90))
    expected = plant.query(
        f"from trades where ts >= '{noon}'::timestamptz and ts < '{noon}'::timestamptz + interval 90 minutes"
    )
    assert expected.num_rows > 100
    assert rows(half) == rows(expected)
    assert lake.table("quotes", start=date(1999, 1, 1), end=date(1999, 2, 1)).count() == 0
    two = spark_sessions.days(8)[2:4]
    daily = lake.table("daily_bars", start=two[0], end=two[1] + timedelta(days=1))
    assert {r.session for r in daily.select("session").distinct().collect()} == set(two)


def test_the_past_is_read_as_it_was(spark: SparkSession, tmp_path: Path) -> None:
    first, second = spark_sessions.days(2)
    with closing(open_store(str(tmp_path / "lake"))) as store:
        assert isinstance(store, LakeStore)
        spark_sessions.fill(store, [first], 4, 300)
        before, version = rows(store.query("from trades_latest")), store.table_log("quotes").state.version
        moment = datetime.now(UTC)
        spark_sessions.fill(store, [first, second], 4, 300, seed=5)
        list(store.maintain(second, timedelta(days=1)))
        with closing(tickerplant.spark.open(spark, store.url, moment)) as past:
            assert rows(past.table("trades_latest")) == before
        with closing(tickerplant.spark.open(spark, store.url, version)) as past:
            assert rows(past.table("quotes")) == rows(store.query("from quotes", (), version))
        with closing(tickerplant.spark.open(spark, store.url)) as present:
            assert rows(present.table("trades_latest")) == rows(store.query("from trades_latest"))


def test_a_frame_keeps_its_version_while_the_lake_goes_on(spark: SparkSession, tmp_path: Path) -> None:
    first, second = spark_sessions.days(2)
    with (
        closing(open_store(str(tmp_path / "lake"))) as store,
        closing(tickerplant.spark.open(spark, store.url)) as lake,
    ):
        spark_sessions.fill(store, [first], 4, 300)
        frame = lake.table("quotes")
        before = rows(frame)
        spark_sessions.fill(store, [first, second], 4, 300, seed=5)
        list(store.maintain(second))
        assert rows(frame) == before
        assert sum(rows(lake.table("quotes")).values()) > sum(before.values())


def test_all_are_there_for_sql(lake: SparkLake, plant: LakeStore, spark: SparkSession) -> None:
    names = lake.register("tp_")
    assert {"tp_quotes", "tp_trades_latest", "tp_bars_latest", "tp_quote_stats", "tp_prices_daily"} <= set(names)
    sql = "select symbol, count(*) as bars from {0}bars_latest join {0}prices_daily using (symbol, session) group by 1"
    assert rows(spark.sql(sql.format("tp_"))) == rows(plant.query(sql.format("")))


def test_what_cannot_be_read_is_named(lake: SparkLake, spark: SparkSession) -> None:
    with pytest.raises(UsageError, match=r"expected one of .*quotes.*, was 'qoutes'"):
        lake.table("qoutes")
    with pytest.raises(UsageError, match="the table has none"):
        lake.table("positions", symbols="A")
    with pytest.raises(UsageError, match="not computed by session"):
        lake.compute("returns_daily", start=date(2025, 1, 1))
    with pytest.raises(UsageError, match="expected a lake"):
        tickerplant.spark.open(spark, "postgresql://nobody@127.0.0.1:1/none")

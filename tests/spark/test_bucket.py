"""A lake in a bucket is read by the workers, in ranges; the keys of the bucket are in no plan."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import tickerplant.spark
from tests.spark.test_tables import rows
from tests.support import s3, spark_sessions
from tickerplant.stores import in_bucket
from tickerplant.stores.lake import LakeStore

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_a_lake_on_s3_is_read_and_a_mart_computed(
    spark: SparkSession, plant: LakeStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url, days = s3.new_url("lake"), spark_sessions.days(2)
    with closing(LakeStore(in_bucket(url, s3.settings(Path())))) as store:
        spark_sessions.fill(store, days, 6, 1_500)
        for name, value in s3.variables().items():
            monkeypatch.setenv(name, value)
        with closing(tickerplant.spark.open(spark, url)) as lake:
            for name in ("quotes", "trades_latest"):
                assert rows(lake.table(name)) == rows(store.query(f"from {name}")), name
            assert lake.table("quotes").rdd.getNumPartitions() >= 2
            one = lake.table("quotes", "S002", days[1], columns=["ts", "ns", "bid_price"])
            where = f"where symbol = 'S002' and session = date '{days[1]}'"
            assert rows(one) == rows(store.query(f"select ts, ns, bid_price from quotes {where}"))
            one.explain(extended=True)
            assert s3.SECRET not in capsys.readouterr().out
            minutes = lake.compute("quote_stats", days[1]).where("`interval` = '1m'")
            counted = {
                row.symbol: row.quotes
                for row in minutes.groupBy("symbol").agg({"quote_count": "sum"}).toDF("symbol", "quotes").collect()
            }
            distinct = (
                "select distinct symbol, ts, ns, bid_price, bid_size, bid_exchange, ask_price, ask_size, ask_exchange"
            )
            expected = store.query(
                f"select symbol, count(*) from ({distinct} from quotes where session = '{days[1]}') group by 1"
            )
            assert set(counted) == set(expected.column(0).to_pylist())
            assert sum(counted.values()) == sum(expected.column(1).to_pylist())

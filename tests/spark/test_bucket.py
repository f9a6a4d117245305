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
            for name in ("quotes", "trades", "trades_latest", "bars_latest", "daily_bars"):
                assert rows(lake.table(name)) == rows(store.query(f"from {name}")), name
            one = lake.table("quotes", "S002", days[1], columns=["ts", "ns", "bid_price"])
            where = f"where symbol = 'S002' and session = date '{days[1]}'"
            assert rows(one) == rows(store.query(f"select ts, ns, bid_price from quotes {where}"))
            one.explain(extended=True)
            assert s3.SECRET not in capsys.readouterr().out
            stats = lake.compute("quote_stats").where("`interval` = '1m'")
            assert stats.count() > 300
            counted = stats.groupBy("session").sum("quote_count").collect()
            assert all(row[1] > 1_000 for row in counted)

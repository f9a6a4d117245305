"""The lake read by Spark, for when one machine is not enough: tables, their views, and marts computed anew.

lake = tickerplant.spark.open(spark, "s3://bucket/lake")
lake.table("quotes", symbols=["AAPL"], start="2025-11-20").groupBy("session").count().show()
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tickerplant.spark.compare import Difference, compare
from tickerplant.spark.lake import SparkLake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Difference", "SparkLake", "compare", "open"]


def open(
    spark: SparkSession, url: str | None = None, as_of: datetime | int | None = None, *, models: Path | None = None
) -> SparkLake:
    """Open a lake for reading by a session of Spark; without `url`, the one that TICKERPLANT_STORE names.

    `as_of` shows a past version: a moment, or a version number. `models` is a folder of models of your own; without,
    the one that TICKERPLANT_MODELS names. Raises UsageError for a store that is no lake.
    """
    from tickerplant.errors import UsageError
    from tickerplant.settings import read_settings
    from tickerplant.stores import StoreOptions, is_postgres, open_store
    from tickerplant.stores.lake import LakeStore

    settings = read_settings()
    where = url or settings.store
    if is_postgres(where):
        raise UsageError("spark: expected a lake (a folder or s3://), was PostgreSQL; do read that with Spark's JDBC")
    store = open_store(where, read_only=True, options=StoreOptions(marts=settings.marts))
    assert isinstance(store, LakeStore)
    return SparkLake(spark, store, as_of, models or (Path(settings.models) if settings.models else None))

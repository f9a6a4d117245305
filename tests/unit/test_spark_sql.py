"""What of reading by Spark needs no Spark: the models' SQL in its words, and which files go together."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tickerplant.errors import UsageError
from tickerplant.spark.frames import grouped
from tickerplant.spark.models import Models
from tickerplant.stores.corrections import trades_state
from tickerplant.stores.lake_actions import File, Stats
from tickerplant.tables import TABLES
from tickerplant.transform.facts import variables
from tickerplant.transform.request import Request

NAMES = Models(variables(Request())).names()
_OF_OTHERS = re.compile(r'"|timestamptz|double precision|distinct on|qualify|arg_min|arg_max|epoch_us|at time zone')


@pytest.mark.parametrize("name", NAMES)
def test_every_model_is_said_without_the_words_of_other_dialects(name: str) -> None:
    models = Models(variables(Request()), is_there=lambda mart: True)
    sql = models.sql(name)
    assert _OF_OTHERS.findall(sql) == []
    assert set(re.findall(r"\{(\w+)\}", sql)) <= {*TABLES, *NAMES, "present_trades"}
    assert models.config(name).grain or models.config(name).materialized != "mart"


def test_a_mart_that_is_not_there_is_computed_from_what_it_reads() -> None:
    there = Models(variables(Request()), is_there=lambda mart: True).sql("returns_daily")
    anew = Models(variables(Request()), is_there=lambda mart: False).sql("returns_daily")
    assert set(re.findall(r"\{(\w+)\}", there)) == {"stg_daily_bars", "adjustment_factors"}
    assert set(re.findall(r"\{(\w+)\}", anew)) == {"daily_bars", "splits", "dividends"}


def test_sessions_and_vendors_are_in_the_sql() -> None:
    models = Models(variables(Request(vendors=("polygon",))), slice="session >= date '2025-11-20'")
    sql = models.sql("quote_stats")
    assert "session >= date '2025-11-20'" in sql
    assert "when 'polygon' then 0 else 1 end" in sql
    assert models.config("quote_stats").slice == "session"


def test_a_model_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match=r"expected one of .*quote_stats.*, was 'quotestats'"):
        Models({}).sql("quotestats")


def test_the_state_of_trades_has_no_chains_in_it() -> None:
    sql = trades_state("spark")
    assert '"trade_outcomes"' in sql
    assert "list_filter" not in sql


def test_files_are_read_in_groups_of_some_size() -> None:
    files = [File(f"{n}", size << 20, None, Stats()) for n, size in enumerate((30, 30, 30, 100, 1, 1))]
    assert [[f.path for f in group] for group in grouped(files, 64 << 20)] == [["0", "1"], ["2"], ["3"], ["4", "5"]]
    assert len(list(grouped(files, 0))) == len(files)
    assert list(grouped([], 1)) == []


def test_the_room_can_be_entered_without_spark() -> None:
    code = "import sys, tickerplant.spark; assert not {m.split('.')[0] for m in sys.modules} & {'pyspark', 'dbt'}"
    subprocess.run([sys.executable, "-c", code], check=True)

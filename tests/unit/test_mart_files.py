"""Which files of a mart of the lake a build replaces, and that its rows are right whatever it does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.mart_files import Mart, check_replaced_row, day, on
from tickerplant.errors import Fatal
from tickerplant.stores.lake_files import ROW_GROUP_ROWS
from tickerplant.transform.lake_job import MartJob


def test_rows_that_replace_none_get_a_file_of_their_own_until_there_are_many(tmp_path: Path) -> None:
    mart = Mart(tmp_path)
    wanted = [(s, day(n), 1.0) for s in "AB" for n in range(3)]
    mart.build(wanted)
    first = mart.files()
    for n in range(3, 20):
        assert mart.build([("A", day(n), float(n))], on(n)) == {str(day(n)): ["A"]}
        wanted.append(("A", day(n), float(n)))
        if n < 19:
            assert (len(mart.files()), first.items() <= mart.files().items()) == (1 + n - 2, True)
        assert mart.rows() == sorted(wanted)
    assert list(mart.files().values()) == [len(wanted)]


def test_only_the_file_that_holds_a_replaced_row_is_written_again(tmp_path: Path) -> None:
    check_replaced_row(Mart(tmp_path))


def test_a_bucket_of_one_session_is_one_file(tmp_path: Path) -> None:
    mart = Mart(tmp_path, "session")
    mart.build([("A", day(0), 1.0)])
    mart.build([("A", day(0), 1.0), ("B", day(0), 1.0)], on(0))
    mart.build([("A", day(1), 1.0)], on(1))
    assert sorted(mart.files().values()) == [1, 2]


def test_a_grain_without_the_session_is_told_apart_from_rows_not_computed_again(tmp_path: Path) -> None:
    mart = Mart(tmp_path, grain=("symbol",))
    mart.build([("A", day(0), 1.0)])
    with pytest.raises(Fatal, match="expected one row for each"):
        mart.build([("A", day(1), 1.0)], on(1))
    assert mart.rows() == [("A", day(0), 1.0)]


def test_a_full_file_is_closed_so_that_few_rows_do_not_rewrite_a_year(tmp_path: Path) -> None:
    mart, many = Mart(tmp_path), ROW_GROUP_ROWS + 1000
    mart.database.execute(
        f"create table wide as select 'S' || i as symbol, date '2024-01-01' as session, 1.0 as x "
        f"from range({many}) t(i)"
    )
    job = MartJob("m", "", "select * from wide", "full", "true", None, (), (), "signature", mart.grain, "year")
    mart.write(job)
    counts = sorted(mart.files().values())
    assert (len(counts), sum(counts)) == (2, many)

"""Files of marts in a bucket: which are written again, and commits that meet another one or are not answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import s3
from tests.support.mart_files import Mart, check_replaced_row, day, on
from tickerplant.errors import Busy, Retryable
from tickerplant.stores import in_bucket
from tickerplant.stores.object_path import ObjectPath


def place(url: str, at: str | None = None) -> ObjectPath:
    return in_bucket(url, s3.settings(Path(), at))


def test_only_the_file_that_holds_a_replaced_row_is_written_again() -> None:
    check_replaced_row(Mart(place(s3.new_url("marts"))))


def test_of_two_transforms_that_build_the_same_session_one_is_refused() -> None:
    root = place(s3.new_url("marts"))
    first = Mart(root)
    first.build([("A", day(0), 1.0)])
    second = Mart(root)
    second.build([("A", day(0), 1.0)])
    first.version = second.version
    first.build([("A", day(1), 2.0)], on(1))
    with pytest.raises(Busy, match=r"m: expected to be the only transform, was not: version 3 of m came between"):
        second.build([("A", day(1), 2.0)], on(1))
    assert first.rows() == [("A", day(0), 1.0), ("A", day(1), 2.0)]
    named = {path.name for path in first.log.folder.glob("part-*")}
    assert set(first.files()) <= named
    assert len(named) == len(first.files()) + 1


def test_a_commit_whose_answer_is_lost_for_good_keeps_its_files() -> None:
    url = s3.new_url("marts")
    with s3.gate() as gate:
        mart = Mart(place(url, gate.url))
        mart.build([("A", day(0), 1.0)])
        gate.lose, gate.lose_all = b"PUT /" + url.removeprefix("s3://").encode() + b"/marts/m/_delta_log/", True
        with pytest.raises(Retryable):
            mart.build([("A", day(1), 2.0)], on(1))
        assert not gate.is_open
        gate.is_open, gate.lose_all = True, False
        mart.show()
        assert (mart.version, mart.rows()) == (2, [("A", day(0), 1.0), ("A", day(1), 2.0)])
        mart.build([("A", day(1), 3.0)], on(1))
        assert mart.rows() == [("A", day(0), 1.0), ("A", day(1), 3.0)]

"""Recorded daily bars through simulator, fetch and load: the short form of `python -m tests.campaigns --five-years`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.five_years import ARCHIVE, five_years, source

pytestmark = pytest.mark.campaign

SYMBOLS = [
    *("AAPL", "AIG", "AOS", "BAC", "BF.B", "BRK.B", "DHR", "ES", "FTV", "GOOG"),
    *("GOOGL", "IBM", "JPM", "LEN", "MSFT", "O", "REGN", "UA", "VRTX", "WRK"),
]


@pytest.mark.skipif(not ARCHIVE.exists(), reason="recorded market data are not there")
def test_five_years_of_twenty_symbols_equal_the_source_row_for_row(tmp_path: Path) -> None:
    [report] = five_years(tmp_path, SYMBOLS, ("alpaca",), form="csv")

    assert report.is_lake_equal
    assert (report.rows, report.set_aside) == (22_607, 0)
    assert source(SYMBOLS).column("open").null_count > 0, "the source's missing prices are part of it"

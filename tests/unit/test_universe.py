"""Files of symbols: holdings, spans, lists of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tickerplant.errors import BadData, UsageError
from tickerplant.jobs.universe import import_file, members
from tickerplant.logs import open_log
from tickerplant.model import Log, Store
from tickerplant.rest import Asked, Call
from tickerplant.stores import open_store
from tickerplant.vendors import vendor
from tickerplant.vendors.universe.lists import read

LISTS = Path(__file__).resolve().parents[2].parent / "shared" / "market-data" / "constituents"
needs_lists = pytest.mark.skipif(not LISTS.is_dir(), reason="real lists are not at hand")

HOLDINGS = """\ufeffA Fund of Ours
Fund Holdings as of,"May 21, 2025"
Shares Outstanding,"1,000.00"

Ticker,Name,Sector,Asset Class,Market Value,Weight (%),Notional Value,Quantity,Price,Location,Exchange,Currency
"BRKB","HATHAWAY CLASS B","Financials","Equity","1,000.00","5.99","1","1","1","United States","NYSE","USD"
"GOOGL","SEARCH CLASS A","Communication","Equity","900.00","3.00","1","1","1","United States","NASDAQ","USD"
"NA","A TICKER","Technology","Equity","9.00","0.01","1","1","1","United States","NASDAQ","USD"
"P5N994","ESCROW","Health","Equity","0.00","0.00","1","1","1","United States","NO MARKET","USD"
"USD","US DOLLAR","Cash","Cash","1.00","0.10","1","1","1","United States","-","USD"
"ESM5","FUTURE","Cash","Futures","1.00","0.00","1","1","1","United States","-","USD"

The content is for nobody.
"""


def page(text: str, **params: str) -> list[dict[str, Any]]:
    found = read(
        Asked(call=Call(endpoint="file", table="universe", path="f", params=tuple(params.items())), chain="x"),
        text.encode(),
    )
    columns = found.found[0].columns
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[tuple[Log, Store]]:
    with closing(open_store(str(tmp_path / "lake"))) as store:
        yield open_log(str(tmp_path / "log")), store


def test_holdings_with_preamble_cash_lines_and_class_shares() -> None:
    rows = page(HOLDINGS, universe="ours")
    assert [(r["symbol"], r["vendor_symbol"], r["weight"], r["exchange"]) for r in rows] == [
        ("BRK.B", "BRKB", 5.99, "NYSE"),
        ("GOOGL", "GOOGL", 3.0, "NASDAQ"),
        ("NA", "NA", 0.01, "NASDAQ"),
    ]
    assert {r["as_of"] for r in rows} == {date(2025, 5, 21)}
    assert {r["universe"] for r in rows} == {"ours"}


def test_a_file_without_a_day_needs_one() -> None:
    bare = HOLDINGS.replace('Fund Holdings as of,"May 21, 2025"\n', "")
    with pytest.raises(BadData, match="expected the day of the list"):
        page(bare)
    assert {r["as_of"] for r in page(bare, as_of="2025-06-30")} == {date(2025, 6, 30)}
    with pytest.raises(BadData, match="expected the day of the list"):
        page("AAPL\nMSFT\n")


def test_spans_become_a_list_for_each_day_of_change() -> None:
    rows = page("ticker,start_date,end_date\nA,2020-01-02,\nB,2020-01-02,2021-06-01\nC,2021-06-01,\n")
    lists: dict[date, set[str]] = {}
    for r in rows:
        lists.setdefault(r["as_of"], set()).add(r["symbol"])
    assert lists == {date(2020, 1, 2): {"A", "B"}, date(2021, 6, 1): {"A", "C"}}


@pytest.mark.parametrize("text", ["symbol,name\nTRUE,Trust\nON,Semi\n", "Symbol\nTRUE\nON\n", "TRUE\n\n# no\nON\n"])
def test_quirk_20_words_that_are_tickers_stay_text(text: str) -> None:
    assert [r["symbol"] for r in page(text, as_of="2025-01-02")] == ["TRUE", "ON"]


def test_members_are_those_of_the_newest_list_until_that_day(plant: tuple[Log, Store], tmp_path: Path) -> None:
    log, store = plant
    for on, text in ((date(2025, 1, 2), "A\nB\n"), (date(2025, 7, 1), "B\nC\n?!\n")):
        (tmp_path / "f.csv").write_text(text)
        import_file(log, store, vendor, "mine", tmp_path / "f.csv", on)
    assert members(store, "mine", date(2025, 6, 30)) == ["A", "B"]
    assert members(store, "mine", date(2025, 7, 1)) == ["B", "C"]
    with pytest.raises(UsageError, match=r"expected a list of 2025-01-01 or before, was mine \(from 2025-01-02\)"):
        members(store, "mine", date(2025, 1, 1))
    assert store.query("select payload from quarantine").to_pylist() == [{"payload": b"?!"}]


@needs_lists
def test_the_real_russell_3000(plant: tuple[Log, Store]) -> None:
    log, store = plant
    import_file(log, store, vendor, "russell3000", LISTS / "IWV_holdings_20250521.csv", None)
    found = members(store, "russell3000", date(2025, 5, 21))
    assert len(found) == 2646
    assert {"BRK.B", "BF.A", "BF.B", "LEN.B", "HEI.A", "MOG.A", "CWEN.A", "GEF.B", "UHAL.B"} <= set(found)
    assert {"GOOGL", "CMCSA", "FWONK", "RUSHA", "CENTA", "ON", "TRUE"} <= set(found)
    assert not {"XTSLA", "USD", "ESM5", "BRKB", "P5N994", "-"} & set(found)


@needs_lists
def test_the_real_sp500_has_about_500_members_on_any_day(plant: tuple[Log, Store]) -> None:
    log, store = plant
    import_file(log, store, vendor, "sp500", LISTS / "sp500_ticker_start_end.csv", None)
    now = set(members(store, "sp500", date(2024, 9, 23)))
    assert {"ERIE", "DELL", "PLTR", "BRK.B"} <= now
    assert not {"BIO", "ETSY", "AAL"} & now
    for year in range(1997, 2025):
        assert 485 <= len(members(store, "sp500", date(year, 6, 15))) <= 506


def test_a_class_share_of_nasdaq_keeps_its_letter() -> None:
    rows = page("Symbol\nVIAB\nBFB\nNWSA\n", as_of="2018-02-08")
    assert [r["symbol"] for r in rows] == ["VIAB", "BF.B", "NWSA"]

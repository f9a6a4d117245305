"""Adjusted prices, built by dbt on both stores, against recorded factor files and adjusted closes.

Where sources disagree the test knows each case and its cause; a case that comes or goes fails it.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import pandas as pd
import pytest

from tests.support import corporate_actions as actions
from tests.support import daily_prices
from tests.support.marts_reference import indicators, ranges, returns, volatility
from tests.support.transform import KINDS, place
from tickerplant.model import Counters, Position
from tickerplant.stores import AnyStore
from tickerplant.transform import Request, transform

pytestmark = pytest.mark.skipif(
    not daily_prices.DATA.is_dir(), reason="the recorded data is not beside this repository"
)

OTHER_COMPANY = {
    "BAC": ("1998-10-01", "the ticker was another bank's, this company's was NB"),
    "QQQ": ("2011-03-23", "the ticker was QQQQ"),
    "WM": ("2009-08-05", "the ticker was another company's, this one's was WMI"),
}
"""Of LEAN's daily files the rows before this day are not the security of the factor file (map files)."""
YFINANCE = {"CALM": "CALM-1d-no-bad-divs", "EWG": "EWG-1d-no-bad-divs", "SAND": "SAND-1d-bad-div"}
WIKI_DAYS_MISSING = ["2017-11-10", "2018-02-09"]


@cache
def sources() -> dict[str, tuple[pd.DataFrame, pd.DataFrame]]:
    """Bars and actions of each symbol."""
    found = {}
    for symbol in actions.LEAN_SYMBOLS:
        bars = actions.lean_bars(symbol)
        found[symbol] = (
            actions.around(bars, actions.factor_file(symbol)["day"]),
            actions.lean_actions(symbol, bars["session"]),
        )
    found["WIKI"] = actions.wiki(), actions.wiki()
    return found | {name: (actions.yfinance(file),) * 2 for name, file in YFINANCE.items()}


@pytest.fixture(scope="module", params=KINDS)
def plant(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnyStore]:
    """A store with every source's bars and actions, transformed."""
    with place(request.param, tmp_path_factory.mktemp("plant")) as made:
        store = made.store
        found = actions.batches(sources())
        count = sum(b.rows.num_rows for b in found)
        store.write("test", Position(0), Position(1), found, Counters(count, count, 0, 0))
        report = transform(
            store, Request(select=("+breadth_daily", "volatility_daily"), tests=False), lambda item: None
        )
        assert [r for r in report.results if r.status != "done"] == []
        yield store


def rows(store: AnyStore, sql: str, day: str) -> pd.DataFrame:
    found = store.query(sql, []).to_pandas()
    return found.assign(**{day: pd.to_datetime(found[day])})


def factors(store: AnyStore, symbol: str) -> pd.DataFrame:
    return rows(store, f"select * from adjustment_factors where symbol = '{symbol}' order by ex_date", "ex_date")


def prices(store: AnyStore, symbol: str) -> pd.DataFrame:
    return rows(store, f"select * from prices_daily where symbol = '{symbol}' order by session", "session")


@pytest.mark.parametrize("symbol", actions.LEAN_SYMBOLS)
def test_factors_equal_the_factor_file(plant: AnyStore, symbol: str) -> None:
    """Cumulative factors of each day of the file, where its daily rows are the same security's."""
    file = actions.factor_file(symbol).iloc[:-1].rename(columns={"day": "session"})
    both = file.merge(prices(plant, symbol), on="session", suffixes=("_file", ""))
    since, cause = OTHER_COMPANY.get(symbol, ("1900-01-01", ""))
    same = both[both["session"] >= since]
    assert len(same) >= {"GOOG": 2, "BNO": 2, "USO": 2, "QQQ": 40, "WM": 40}.get(symbol, 35)
    print(f"{symbol}: {len(same)} days equal, {len(both) - len(same)} not compared {cause}")
    assert np.allclose(same["split_factor"], same["split_factor_file"], rtol=1e-9, atol=0)
    assert np.allclose(same["dividend_factor"], same["price_factor"], rtol=1e-9, atol=0)
    if cause:
        before = both[(both["session"] < since) & (both["close"] != both["reference"])]
        assert len(before) > 0, "expected another security's closes"


def test_the_closes_before_are_the_factor_files_reference_prices(plant: AnyStore) -> None:
    for symbol in actions.LEAN_SYMBOLS:
        file = actions.factor_file(symbol).iloc[1:-1]
        found = prices(plant, symbol).merge(file, left_on="session", right_on="day")
        found = found[found["session"] >= OTHER_COMPANY.get(symbol, ("1900-01-01", ""))[0]]
        assert np.allclose(found["close"], found["reference"], rtol=0, atol=1e-9), symbol


def test_wiki_adjusts_at_the_close_of_the_ex_date(plant: AnyStore) -> None:
    """The source's own step is close / (close + dividend) of the ex-date; ours is 1 - dividend / close before."""
    source, ours = actions.wiki(), prices(plant, "WIKI")
    assert np.allclose(ours["split_close"] * ours["dividend_factor"], ours["adjusted_close"], rtol=1e-12)
    step = source["close"] / (source["close"] + source["dividend"]) / source["split"]
    theirs = np.append(np.cumprod(step.to_numpy()[::-1])[::-1][1:], 1.0)
    assert np.allclose(source["close"] * theirs, source["adjusted"], rtol=1e-12)
    apart = (ours["adjusted_close"].to_numpy() / source["adjusted"].to_numpy() - 1)[:-1]
    assert np.abs(apart).max() < 2.6e-4
    changes = source["session"][1:][np.abs(np.diff(np.append(apart, apart[-1]))) > 1e-9]
    assert set(changes) <= set(source["session"][source["dividend"] > 0])
    last = source["session"][source["dividend"] > 0].max()
    after = (source["session"] >= last).to_numpy()
    assert np.allclose(ours["adjusted_close"][after], source["adjusted"][after], rtol=1e-12)


def test_two_sources_of_one_security(plant: AnyStore) -> None:
    """AAPL's dividends as WIKI and as LEAN have them: the first lacks two, two closes are rounded differently."""
    wiki, lean = (factors(plant, symbol).set_index("ex_date")["dividend_step"] for symbol in ("WIKI", "AAPL"))
    both = pd.concat([wiki, lean], axis=1, keys=["wiki", "lean"]).fillna(1.0)
    both = both[(both.index >= "1998-01-06") & (both.index <= "2018-03-27")]
    apart = both[(both["wiki"] - both["lean"]).abs() > 3e-7]
    print(apart)
    assert [f"{d:%Y-%m-%d}" for d in apart.index] == ["2013-11-06", "2014-08-07", *WIKI_DAYS_MISSING]
    assert (apart["wiki"] - apart["lean"]).abs().iloc[:2].max() < 2e-6
    assert apart["wiki"].iloc[2:].to_list() == [1.0, 1.0]


@pytest.mark.parametrize("symbol", ["CALM", "EWG"])
def test_adjusted_closes_equal_those_of_yfinance(plant: AnyStore, symbol: str) -> None:
    """The source's closes have the 24 bits of a float, and its factors go on after the file's end."""
    source, ours = actions.yfinance(YFINANCE[symbol]), prices(plant, symbol)
    theirs = source["adjusted"] / (source["adjusted"] / source["close"]).iloc[-1]
    assert np.allclose(ours["adjusted_close"], theirs, rtol=4e-7, atol=0)


def test_a_wrong_dividend_shows(plant: AnyStore) -> None:
    """SAND: the dividend of 16 January 2024 is listed on the 12th too; the adjusted close steps twice on the 16th."""
    source = actions.yfinance(YFINANCE["SAND"])
    factor = source["adjusted"] / source["close"]
    steps = pd.Series((factor.shift() / factor).to_numpy(), index=source["session"])
    ours = factors(plant, "SAND").set_index("ex_date")["dividend_step"]
    apart = (steps - ours.reindex(steps.index).fillna(1.0)).abs()
    assert [f"{d:%m-%d}" for d in apart[apart > 2e-6].index] == ["01-12", "01-16"]
    assert steps["2024-01-16"] == pytest.approx(ours["2024-01-16"] ** 2, abs=2e-6)


YAHOO_APART = {
    ("AIG", "2004-06-02"): "Yahoo has 0.075 dollars, LEAN 0.065",
    ("AIG", "2011-01-20"): "the warrants handed out are valued 8.70 and 8.42, at closes of 51.02 and 51.20",
    ("AIG", "2014-12-02"): "Yahoo has 0.125, LEAN's rounded file says 0.13",
    ("BAC", "2000-03-01"): "0.50 both; the close before is 46.00 and 45.81",
    ("BAC", "2008-09-03"): "0.64 both; the close before is 32.63 and 32.58",
    ("BAC", "2008-12-03"): "0.32 both; the close before is 14.37 and 14.57",
    ("BAC", "2009-03-04"): "0.01 both; the close before is 3.65 and 3.73",
    ("BAC", "2016-08-31"): "Yahoo has 0.075, LEAN's rounded file says 0.08",
    ("BAC", "2016-11-30"): "Yahoo has 0.075, LEAN's rounded file says 0.08",
    ("BAC", "2017-03-01"): "Yahoo has 0.075, LEAN's rounded file says 0.08",
}


@pytest.mark.parametrize("symbol", ["AAPL", "AIG", "BAC", "IBM"])
def test_dividend_steps_equal_those_of_yahoos_adjusted_closes(plant: AnyStore, symbol: str) -> None:
    steps = actions.yahoo_steps(symbol)
    steps = steps[steps.index <= "2021-03-31"]
    ours = factors(plant, symbol).set_index("ex_date")["dividend_step"].reindex(steps.index).fillna(1.0)
    apart = [(symbol, f"{d:%Y-%m-%d}") for d in steps.index[(steps - ours).abs() > 3e-5]]
    for case in apart:
        print(*case, YAHOO_APART.get(case))
    assert apart == [case for case in YAHOO_APART if case[0] == symbol]
    assert (steps < 0.99999).sum() > 30


@pytest.mark.parametrize("plant", ["lake"], indirect=True)
def test_the_marts_of_the_transformed_store_equal_the_independent_computation(plant: AnyStore) -> None:
    """What dbt built from rows of a vendor, through staging, factors and views: four splits, 54 dividends."""
    given = prices(plant, "WIKI").assign(split_vwap=np.nan)
    expected = {
        "indicators_daily": indicators(given),
        "returns_daily": returns(given),
        "ranges_daily": ranges(given),
        "volatility_daily": volatility(given.iloc[-400:]),
    }
    for name, columns in expected.items():
        got = rows(plant, f"select * from {name} where symbol = 'WIKI' order by session", "session").iloc[
            -len(columns) :
        ]
        for column in columns:
            one, other = got[column].astype(float).to_numpy()[70:], columns[column].astype(float).to_numpy()[70:]
            assert np.allclose(one, other, rtol=1e-9, atol=1e-11, equal_nan=True), (name, column)
    breadth = rows(plant, "select * from breadth_daily order by session", "session").set_index("session")
    assert breadth.loc["2018-03-26", ["symbols", "advances", "declines"]].to_list() == [1, 1, 0]

"""The daily marts against an independent computation, on real prices and on hard ones, on both stores."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import pandas as pd
import pytest

from tests.support import daily_prices
from tests.support.marts import Marts, marts
from tests.support.marts_reference import REFERENCE

recorded = pytest.mark.skipif(not daily_prices.DATA.is_dir(), reason="the recorded data is absent")

DIFFERENCES = ("macd", "macd_signal", "macd_histogram")
"""Differences of prices: where they pass zero, what is left of a price's own last digit is no longer 1e-9 of them."""


@cache
def prices() -> pd.DataFrame:
    """Splits (AAPL since 1999), missing sessions and jumps (NVDA, TSLA), plain, young, one row, and made-up ones."""
    noise = np.random.default_rng(5).normal(0, 0.02, 1500).cumsum()
    parts = [
        daily_prices.aapl().iloc[-4800:],
        daily_prices.sp500("BRK.B", "BHF", "AOS"),
        daily_prices.yahoo("NVDA").iloc[-1500:],
        daily_prices.yahoo("TSLA"),
        daily_prices.sp500("IBM").head(1).assign(symbol="ONE"),
        daily_prices.sp500("IBM").head(5).assign(symbol="FIVE"),
        daily_prices.made("FLAT", np.full(300, 12.34)),
        daily_prices.made("HALTED", np.concatenate([50 * np.exp(noise[:100]), np.full(1400, 47.11)]), 0.001),
        daily_prices.made("FELL", 2e6 * np.exp(noise - np.linspace(0, 16, 1500)), 0.01),
    ]
    return pd.concat(parts).sort_values(["symbol", "session"], ignore_index=True)


@cache
def expected_rows(name: str) -> pd.DataFrame:
    return pd.concat([REFERENCE[name](rows) for _, rows in prices().groupby("symbol")], ignore_index=True)


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def built(request: pytest.FixtureRequest) -> Iterator[Marts]:
    with marts(request.param) as found:
        found.put("prices_daily", prices())
        yield found


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[Marts]:
    with marts(request.param) as found:
        yield found


@recorded
@pytest.mark.parametrize("name", REFERENCE)
def test_every_column_equals_the_independent_computation(built: Marts, name: str) -> None:
    got = built.build(name, "symbol, session")
    expected = expected_rows(name)
    assert list(got["symbol"]) == list(prices()["symbol"])
    assert list(pd.to_datetime(got["session"])) == list(prices()["session"])
    for column in expected:
        one, other = got[column].astype(float).to_numpy(), expected[column].astype(float).to_numpy()
        assert (np.isnan(one) == np.isnan(other)).all(), column
        room = 1e-9 * np.abs(other) + (1e-14 * prices()["split_close"].to_numpy() if column in DIFFERENCES else 1e-15)
        worst = np.nanargmax(np.abs(one - other) / room)
        where = prices().loc[worst, ["symbol", "session"]].to_list()
        assert abs(one[worst] - other[worst]) <= room[worst], (column, *where, one[worst], other[worst])


@recorded
def test_breadth_counts_what_the_symbol_marts_say(built: Marts) -> None:
    inputs = [built.build(name, "symbol, session") for name in ("returns_daily", "ranges_daily", "indicators_daily")]
    got = built.build("breadth_daily", "session")
    returns, ranges, indicators = (rows.reset_index(drop=True) for rows in inputs)
    flags = {
        "advances": returns["price_return"] > 0,
        "declines": returns["price_return"] < 0,
        "unchanged": returns["price_return"] == 0,
        "with_range": ranges["high_52w"].notna(),
        "new_highs": ranges["high"] == ranges["high_52w"],
        "new_lows": ranges["low"] == ranges["low_52w"],
        "with_sma_50": indicators["sma_50"].notna(),
        "above_sma_50": indicators["close"] > indicators["sma_50"],
        "with_sma_200": indicators["sma_200"].notna(),
        "above_sma_200": indicators["close"] > indicators["sma_200"],
    }
    expected = pd.DataFrame(flags).groupby(returns["session"]).sum().sort_index()
    assert got[list(flags)].to_numpy().tolist() == expected.to_numpy().tolist()
    assert got["symbols"].to_list() == returns.groupby("session").size().sort_index().to_list()
    assert got["new_highs"].sum() > 100


def test_prices_that_are_not_positive_fail_nothing(store: Marts) -> None:
    rows = daily_prices.made("BAD", np.linspace(10, 20, 90))
    rows.loc[30, [c for c in rows if c.endswith(("_open", "_close"))]] = 0.0
    rows.loc[31, ["split_low", "adjusted_low"]] = -1.0
    rows.loc[40, ["split_high", "adjusted_high"]] = np.nan
    store.put("prices_daily", rows)
    volatility = store.build("volatility_daily", "session")
    returns = store.build("returns_daily", "session")
    ranges = store.build("ranges_daily", "session")
    indicators = store.build("indicators_daily", "session")
    assert pd.isna(returns["total_return"][31])
    assert pd.isna(returns["log_return"][30])
    assert returns["total_return"][30] == -1
    assert volatility["close_to_close_20"].isna().to_list() == [not (20 <= i < 30 or i >= 51) for i in range(90)]
    assert indicators["sma_5"].notna().sum() == 86
    assert ranges["average_volume_20"][89] == 100


def test_rows_without_a_close_are_left_out(store: Marts) -> None:
    rows = daily_prices.made("GAP", np.linspace(10, 20, 12))
    rows.loc[4, ["split_close", "adjusted_close"]] = np.nan
    store.put("prices_daily", rows)
    got = store.build("returns_daily", "session")
    assert len(got) == 11
    assert pd.to_datetime(got["previous_session"])[4] == rows["session"][3]
    assert got["price_return"][4] == rows["split_close"][5] / rows["split_close"][3] - 1


def test_members_as_of_any_day(store: Marts) -> None:
    lists = {"2024-01-31": "A B C", "2024-02-29": "A C", "2024-03-29": "A B", "2024-04-30": "A B"}
    rows = [
        {"universe": "r3000", "as_of": day, "symbol": symbol, "name": f"{symbol} {day}", "weight": 1.5}
        for day, symbols in lists.items()
        for symbol in symbols.split()
    ]
    other = [{"universe": "sp500", "as_of": "2024-02-29", "symbol": "B", "name": "B", "weight": None}]
    frame = pd.DataFrame(rows + other).assign(as_of=lambda f: pd.to_datetime(f["as_of"]).astype("datetime64[us]"))
    store.put("stg_universe", frame.astype({"weight": float}))
    got = store.build("index_members", "universe, symbol, valid_from")
    found = [
        (
            r.universe,
            r.symbol,
            *(None if pd.isna(d) else f"{pd.Timestamp(d):%m-%d}" for d in (r.valid_from, r.valid_to)),
            r.lists,
            r.name,
        )
        for r in got.itertuples(index=False)
    ]
    assert found == [
        ("r3000", "A", "01-31", None, 4, "A 2024-04-30"),
        ("r3000", "B", "01-31", "02-29", 1, "B 2024-01-31"),
        ("r3000", "B", "03-29", None, 2, "B 2024-04-30"),
        ("r3000", "C", "01-31", "03-29", 2, "C 2024-02-29"),
        ("sp500", "B", "02-29", None, 1, "B"),
    ]

"""Bars from trades and quote statistics: rules by hand, and recorded ticks against recorded bars, on both stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date
from functools import cache

import numpy as np
import pandas as pd
import pytest

from tests.support import lean, lean_bars
from tests.support.marts import Marts, marts
from tests.support.marts_reference import averages, minutes_of_quotes

recorded = pytest.mark.skipif(not lean.TICKS.is_dir(), reason="the recorded ticks are not beside this repository")
MONDAY = date(2013, 10, 7)
PRICES = ["open", "high", "low", "close"]
ORDER = 'symbol, "interval", ts'


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def store(request: pytest.FixtureRequest) -> Iterator[Marts]:
    with marts(request.param) as found:
        yield found


def trades(*rows: tuple[str, float, float, str | None], vendor: str = "alpaca", tape: str = "C") -> pd.DataFrame:
    """Trades of one symbol from (time, price, size, conditions)."""
    frame = pd.DataFrame(rows, columns=["ts", "price", "size", "conditions"])
    frame["ts"] = pd.to_datetime("2026-11-02 " + frame["ts"], utc=True, format="ISO8601").astype("datetime64[us, UTC]")
    day = pd.Timestamp("2026-11-02").as_unit("us")
    constants = {"symbol": "X", "session": day, "vendor": vendor, "tape": tape, "received_at": frame["ts"]}
    return frame.assign(**constants, seq=np.arange(len(frame)), ns=0)


def bars(store: Marts, rows: pd.DataFrame, interval: str = "1m", **variables: object) -> list[tuple[object, ...]]:
    store.put("stg_trades", rows)
    got = store.build("bars_from_trades", ORDER, **variables)
    got = got[got["interval"] == interval]
    names = [*PRICES, "volume", "trade_count"]
    return [(f"{pd.Timestamp(r.ts):%H:%M:%S}", *(getattr(r, n) for n in names)) for r in got.itertuples()]


PLAIN = ("14:30:00", 10.0, 100.0, "@"), ("14:30:30", 11.0, 100.0, "@")


@pytest.mark.parametrize(
    ("conditions", "tape", "vendor", "sets"),
    [
        ("@", "C", "alpaca", "all"),
        (" ", "A", "alpaca", "all"),
        (None, "A", "alpaca", "all"),
        ("", "B", "alpaca", "all"),
        ("@,F", "C", "alpaca", "all"),
        ("@,T", "C", "alpaca", "all"),
        ("@,F,I", "C", "alpaca", "volume"),
        ("@,T,I", "C", "alpaca", "volume"),
        (" ,4", "A", "alpaca", "range"),
        ("@,Z", "C", "alpaca", "range"),
        ("@,P", "C", "alpaca", "range"),
        ("@,W", "C", "alpaca", "volume"),
        ("B", "C", "alpaca", "all"),
        ("B", "A", "alpaca", "volume"),
        ("@,C", "C", "alpaca", "volume"),
        ("@,7", "C", "alpaca", "volume"),
        ("M", "C", "alpaca", "nothing"),
        ("Q", "A", "alpaca", "nothing"),
        ("9", "A", "alpaca", "nothing"),
        ("@,?", "C", "alpaca", "volume"),
        ("9", "C", "polygon", "all"),
        ("14,41", "C", "polygon", "all"),
        ("12,37", "C", "polygon", "volume"),
        ("10", "A", "polygon", "range"),
        ("15", "A", "polygon", "nothing"),
        ("38", "A", "polygon", "nothing"),
    ],
)
def test_what_a_condition_updates(store: Marts, conditions: str | None, tape: str, vendor: str, sets: str) -> None:
    plain = [(*row[:3], "0" if vendor == "polygon" else "@") for row in PLAIN]
    odd = [("14:30:40", 20.0, 7.0, conditions)]
    [got] = bars(store, trades(*plain, *odd, tape=tape, vendor=vendor))
    expected = {
        "all": (10, 20, 10, 20, 207, 3),
        "range": (10, 20, 10, 11, 207, 3),
        "volume": (10, 11, 10, 11, 207, 3),
        "nothing": (10, 11, 10, 11, 200, 2),
    }
    assert got == ("14:30:00", *expected[sets])


def test_order_within_a_bar_and_minutes_without_an_eligible_trade(store: Marts) -> None:
    rows = trades(
        ("14:30:00", 3.0, 1.0, "@"),
        ("14:30:00", 1.0, 1.0, "@"),
        ("14:31:00", 9.0, 5.0, "@,I"),
        ("14:32:59.999999", 4.0, 1.0, "@"),
        ("14:32:59.999999", 5.0, 1.0, "@"),
        ("14:34:10", 2.0, 1.0, "@,4"),
        ("14:34:20", 6.0, 1.0, "@"),
    )
    rows["ns"] = [900, 100, 0, 0, 1, 0, 0]
    one = [("14:30:00", 1, 3, 1, 3, 2, 2), ("14:32:00", 4, 5, 4, 5, 2, 2), ("14:34:00", 6, 6, 2, 6, 2, 2)]
    assert bars(store, rows) == one
    assert bars(store, rows, "5m") == [("14:30:00", 1, 6, 1, 6, 11, 7)]
    shorter = bars(store, rows, "90s", bar_intervals=["2m", "90s"])
    assert [r[0] for r in shorter] == ["14:30:00", "14:31:30", "14:33:00"]
    assert shorter[2] == ("14:33:00", 6, 6, 2, 6, 2, 2)
    same = rows.assign(ns=0, received_at=rows["ts"].iloc[0])
    assert bars(store, same)[0] == ("14:30:00", 3, 3, 1, 1, 2, 2)


def test_vwap_counts_what_volume_counts(store: Marts) -> None:
    rows = trades(("14:30:00", 10.0, 100.0, "@"), ("14:30:01", 20.0, 300.0, "@,I"), ("14:30:02", 99.0, 1e6, "M"))
    store.put("stg_trades", rows)
    assert store.build("bars_from_trades", ORDER)["vwap"].to_list() == [17.5] * 5


@cache
def recorded_trades(rule: Callable[[int], str], *symbols: str) -> pd.DataFrame:
    parts = [lean_bars.trades(s, d) for s in symbols for d in lean_bars.days_of(s)]
    rows = pd.concat(parts, ignore_index=True)
    letters = {word: rule(int(word, 16)) for word in rows["word"].unique()}
    return rows.assign(conditions=rows["word"].map(letters)).drop(columns="word")


@cache
def recorded_bars(*symbols: str) -> pd.DataFrame:
    parts = [lean_bars.minute_bars(s, d).assign(symbol=s, day=d) for s in symbols for d in lean_bars.days_of(s)]
    return pd.concat(parts, ignore_index=True)


def agreement(store: Marts, symbols: tuple[str, ...], rule: Callable[[int], str], rules: object) -> pd.DataFrame:
    """Part of a day's recorded minute bars that ours equal, for each column."""
    store.put("stg_trades", recorded_trades(rule, *symbols))
    got = store.build("bars_from_trades", ORDER, bar_intervals=["1m"], sale_conditions=rules)
    got["ts"] = pd.to_datetime(got["ts"], utc=True).astype("datetime64[us, UTC]")
    both = recorded_bars(*symbols).merge(got, on=["symbol", "ts"], how="left", suffixes=("", "_ours"))
    for name in (*PRICES, "volume"):
        both[name] = np.isclose(both[name], both[f"{name}_ours"], rtol=1e-12)
    return both.groupby(["symbol", "day"])[[*PRICES, "volume"]].mean()


@recorded
def test_minute_bars_of_recorded_ticks_agree_with_the_recorded_ones(store: Marts) -> None:
    symbols = ("AIG", "BAC", "IBM", "SPY") if store.kind == "duckdb" else ("IBM",)
    found = agreement(store, symbols, lean_bars.as_recorded, lean_bars.RECORDED_RULES)
    print(f"\n{found.round(4).to_string()}")
    assert len(found) == 3 * len(symbols)
    assert found[PRICES].to_numpy().min() >= 0.995
    assert found["volume"].min() >= 0.988
    assert found[PRICES].to_numpy().mean() >= 0.997


@recorded
def test_by_the_sip_alone_the_recorded_bars_differ_by_their_sweeps() -> None:
    with marts("duckdb") as store:
        sip = agreement(store, ("AIG", "IBM"), lean_bars.by_meaning, [])
        only = agreement(store, ("AIG", "IBM"), lean_bars.as_recorded, [["intermarket sweep", 0, 0, 1]])
    print(f"\n{sip.round(4).to_string()}\n{only.round(4).to_string()}")
    assert sip["open"].max() < 0.9
    assert only[PRICES].to_numpy().min() >= 0.99


def quotes(*rows: tuple[str, float, float, float, float], day: str = "2026-11-02") -> pd.DataFrame:
    """Quotes of one symbol from (time, bid, bid size, ask, ask size)."""
    frame = pd.DataFrame(rows, columns=["ts", "bid_price", "bid_size", "ask_price", "ask_size"])
    frame["ts"] = pd.to_datetime(f"{day} " + frame["ts"], utc=True).astype("datetime64[us, UTC]")
    return frame.assign(symbol="X", session=pd.Timestamp(day).as_unit("us"), received_at=frame["ts"], seq=0, ns=0)


def test_a_quote_counts_as_long_as_it_is_in_force(store: Marts) -> None:
    store.put(
        "stg_quotes",
        quotes(
            ("14:29:30", 10.0, 100.0, 10.2, 300.0),
            ("14:30:15", 10.0, 200.0, 10.1, 200.0),
            ("14:32:30", 10.1, 200.0, 10.1, 200.0),
            ("14:32:40", 10.2, 100.0, 10.1, 100.0),
            ("14:32:45", 10.0, 100.0, 0.0, 0.0),
        ),
    )
    got = store.build("quote_stats", ORDER)
    minutes = got[got["interval"] == "1m"]
    assert [f"{pd.Timestamp(t):%H:%M}" for t in minutes["ts"]] == ["14:29", "14:30", "14:31", "14:32"]
    assert minutes["quote_count"].to_list() == [1, 1, 0, 3]
    assert minutes["quoted_seconds"].to_list() == [30, 60, 60, 40]
    assert minutes["locked_seconds"].to_list() == [0, 0, 0, 10]
    assert minutes["crossed_seconds"].to_list() == [0, 0, 0, 5]
    spread = [0.2, (15 * 0.2 + 45 * 0.1) / 60, 0.1, 30 * 0.1 / 40]
    assert minutes["spread"].to_list() == pytest.approx(spread, rel=1e-12)
    assert minutes["imbalance"].to_list() == pytest.approx([-0.5, -0.125, 0, 0], abs=1e-12)
    assert minutes["bid_size"].to_list() == pytest.approx([100, 175, 200, 200], rel=1e-12)
    [session] = got[got["interval"] == "session"].to_dict("records")
    assert f"{pd.Timestamp(session['ts']):%H:%M}" == "14:30"
    assert (session["quote_count"], session["quoted_seconds"]) == (4, 160)
    assert session["mid"] == pytest.approx((15 * 10.1 + 105 * 10.05 + 30 * 10.05 + 10 * 10.1) / 160, rel=1e-12)


def test_regular_hours_follow_summer_time_and_early_closes(store: Marts) -> None:
    spans = {"2026-07-02": ("13:29", "13:30", "19:59", "20:00"), "2026-11-27": ("14:29", "14:30", "17:59", "18:00")}
    for day, times in spans.items():
        store.put("stg_quotes", quotes(*((f"{t}:50", 10.0, 1.0, 10.1, 1.0) for t in times), day=day))
        got = store.build("quote_stats", ORDER, early_closes=["2026-11-27"])
        [session] = got[got["interval"] == "session"].to_dict("records")
        assert f"{pd.Timestamp(session['ts']):%H:%M}" == times[1]
        assert session["quote_count"] == 2, day


@recorded
@pytest.mark.parametrize("symbol", ["IBM"])
def test_minutes_of_recorded_quotes_equal_the_independent_computation(store: Marts, symbol: str) -> None:
    rows = lean_bars.quotes(symbol, MONDAY)
    store.put("stg_quotes", rows)
    got = store.build("quote_stats", ORDER)
    sums = minutes_of_quotes(rows)
    regular = sums[(sums["start"] >= 1_381_152_600_000_000_000) & (sums["start"] < 1_381_176_000_000_000_000)]
    compare(got[got["interval"] == "1m"], averages(sums))
    compare(got[got["interval"] == "session"], averages(regular.sum().to_frame().T))
    assert got["quote_count"].iloc[-1] == 53_999
    assert got["locked_seconds"].iloc[-1] > 1


def compare(got: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert len(got) == len(expected)
    for name in expected.columns.drop("start"):
        one, other = got[name].astype(float).to_numpy(), expected[name].astype(float).to_numpy()
        assert np.allclose(one, other, rtol=1e-9, atol=1e-12, equal_nan=True), name

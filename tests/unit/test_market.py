"""The seeded market: the same every time, in order, and true to its own rules."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from functools import cache
from typing import Any

import numpy as np
import pytest

from tests.support.simulator_client import decode
from tickerplant.errors import UsageError
from tickerplant.fingerprint import Tally
from tickerplant.simulator import activity
from tickerplant.simulator.market import Market, seeded
from tickerplant.simulator.source import Slice
from tickerplant.simulator.tickers import tickers
from tickerplant.vendors.alpaca.render import CHANNELS

MINUTE_NS = 60_000_000_000
SESSION = Market(seed=11, symbols=40, minutes=6, rate=150.0)


@cache
def parts(market: Market = SESSION) -> list[Slice]:
    return list(seeded(market).slices)


@cache
def rows() -> dict[str, list[dict[str, Any]]]:
    """The rows a client would decode, by table, in the order sent, each with `sent_ns` and exact `t_ns`."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for part in parts():
        for batch in decode([b"[" + b",".join(part.messages) + b"]"]).batches:
            for row, seq in zip(batch.rows.to_pylist(), batch.rows.column("seq").to_pylist(), strict=True):
                row["sent_ns"] = int(part.ts[seq])
                if "ts" in row:
                    row["t_ns"] = round(row["ts"].timestamp() * 1_000_000) * 1000 + row["ns"]
                found[batch.table.name].append(row)
    return found


def test_same_seed_same_messages_other_seed_others() -> None:
    again = list(seeded(SESSION).slices)
    assert [p.messages for p in again] == [p.messages for p in parts()]
    assert all((a.ts == b.ts).all() for a, b in zip(again, parts(), strict=True))
    other = next(iter(seeded(Market(seed=12, symbols=40, minutes=6, rate=150.0)).slices))
    assert other.messages != parts()[0].messages


def test_slices_are_ordered_bounded_and_know_their_messages() -> None:
    ends = 0
    tally, told = Tally(), Tally()
    for part in parts():
        assert len(part.messages) <= 20_000
        assert (np.diff(part.ts) >= 0).all()
        assert part.ts[0] >= ends
        ends = int(part.ts[-1])
        for batch in decode([b"[" + b",".join(part.messages) + b"]"]).batches:
            tally.add(batch)
        for code in np.unique(part.channels):
            here = part.channels == code
            told.add_hashed(CHANNELS[code].table, part.names, part.symbols[here], part.hashes[here])
    assert told.as_json() == tally.as_json()
    assert set(tally.tables) >= {"quotes", "trades", "bars", "daily_bars", "statuses", "lulds"}


def _expected_bar(prints: list[dict[str, Any]]) -> tuple[Any, ...]:
    ordered = sorted(prints, key=lambda r: r["t_ns"])
    prices = [r["price"] for r in ordered]
    sizes = [round(r["size"] * 100) for r in ordered]
    value = sum(round(p * 10_000) * s for p, s in zip(prices, sizes, strict=True))
    vwap = round(value / sum(sizes) / 10_000, 6)
    return prices[0], max(prices), min(prices), prices[-1], sum(sizes) / 100, len(ordered), vwap


def _bar(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[k] for k in ("open", "high", "low", "close", "volume", "trade_count", "vwap"))


def _by_minute(revision: int) -> dict[tuple[str, int], dict[str, Any]]:
    return {(r["symbol"], r["t_ns"]): r for r in rows()["bars"] if r["revision"] == revision}


def test_minute_bars_follow_exactly_from_the_trades_sent_before_them() -> None:
    prints: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    for trade in rows()["trades"]:
        minute = trade["t_ns"] // MINUTE_NS * MINUTE_NS
        if trade["sent_ns"] < minute + MINUTE_NS:
            prints[trade["symbol"], minute].append(trade)
    bars = _by_minute(0)
    assert bars.keys() == prints.keys()
    for key, bar in bars.items():
        assert _bar(bar) == _expected_bar(prints[key])
        assert 0 < bar["sent_ns"] - key[1] - MINUTE_NS < 1_000_000_000


def test_late_trades_bring_updated_bars_at_the_half_minute() -> None:
    prints: dict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    late = set()
    for trade in rows()["trades"]:
        minute = trade["t_ns"] // MINUTE_NS * MINUTE_NS
        prints[trade["symbol"], minute].append(trade)
        if trade["sent_ns"] >= minute + MINUTE_NS:
            assert trade["conditions"] == "@,Z"
            late.add((trade["symbol"], minute))
    updated = _by_minute(1)
    assert late
    assert updated.keys() == late
    for key, bar in updated.items():
        assert _bar(bar) == _expected_bar(prints[key])
        assert 0 < bar["sent_ns"] - key[1] - MINUTE_NS * 3 // 2 < 1_000_000_000


def test_daily_bars_are_running_totals_of_symbols_that_traded() -> None:
    last = {r["symbol"]: r for r in rows()["daily_bars"]}
    prints: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for trade in rows()["trades"]:
        if trade["sent_ns"] < last[trade["symbol"]]["sent_ns"]:
            prints[trade["symbol"]].append(trade)
    assert {s: _bar(r) for s, r in last.items()} == {s: _expected_bar(p) for s, p in prints.items()}
    assert {r["session"] for r in last.values()} == {SESSION.session}


def test_halted_symbols_are_silent() -> None:
    statuses = rows()["statuses"]
    assert statuses
    for symbol in {s["symbol"] for s in statuses}:
        own = sorted((s for s in statuses if s["symbol"] == symbol), key=lambda s: s["sent_ns"])
        start = own[0]["sent_ns"]
        end = own[1]["sent_ns"] if len(own) > 1 else 1 << 63
        events = [r for t in ("quotes", "trades") for r in rows()[t] if r["symbol"] == symbol]
        assert not [r for r in events if start <= r["sent_ns"] < end]


def test_corrections_name_what_was_sent() -> None:
    market = Market(seed=5, symbols=30, minutes=5, rate=1000.0, corrected=1 / 200)
    stood: dict[tuple[str, str], tuple[Any, ...]] = {}
    corrections: list[dict[str, Any]] = []
    for part in parts(market):
        for batch in decode([b"[" + b",".join(part.messages) + b"]"]).batches:
            if batch.table.name == "trades":
                stood |= {(r["symbol"], r["trade_id"]): _price_size_conditions(r) for r in batch.rows.to_pylist()}
            elif batch.table.name == "trade_corrections":
                corrections += batch.rows.to_pylist()
    assert {r["kind"] for r in corrections} == {"correction", "cancel", "error"}
    unknown = chained = 0
    for row in corrections:
        before = stood.get((row["symbol"], row["original_id"]))
        unknown += before is None
        chained += any(row["original_id"] == other["corrected_id"] for other in corrections)
        assert before is None or before[:2] == (row["original_price"], row["original_size"])
        if row["kind"] == "correction":
            after = _price_size_conditions(row, "corrected_")
            assert after == (round(row["original_price"] + 0.01, 4), row["original_size"], row["original_conditions"])
            stood[row["symbol"], row["corrected_id"]] = after
    assert 0 < unknown < len(corrections) / 8 < chained * 2 < len(corrections)


def _price_size_conditions(row: dict[str, Any], of: str = "") -> tuple[Any, ...]:
    return row[f"{of}price"], row[f"{of}size"], row[f"{of}conditions"]


def test_trades_and_quotes_look_like_a_market() -> None:
    quotes, trades = rows()["quotes"], rows()["trades"]
    assert all(r["ask_price"] >= r["bid_price"] for r in quotes)
    locked = sum(r["ask_price"] == r["bid_price"] for r in quotes) / len(quotes)
    assert 0.01 < locked < 0.04
    assert 0.02 < sum(r["bid_exchange"] == " " for r in quotes) / len(quotes) * 20 < 0.2
    odd = sum(r["size"] < 100 for r in trades) / len(trades)
    assert 0.4 < odd < 0.6
    assert any(r["size"] % 1 for r in trades)
    assert {"@", "@,I", "@,F"} <= {r["conditions"] for r in trades}
    ids: dict[str, list[int]] = defaultdict(list)
    for r in trades:
        ids[r["symbol"]].append(int(r["trade_id"]))
    assert all(found == list(range(1, len(found) + 1)) for found in ids.values())
    assert any(r["ns"] for r in trades)


def test_activity_is_uneven_as_measured() -> None:
    chance = np.random.default_rng(1)
    counts = activity.counts(chance, 0, 23_400, 100.0)
    assert 0.9 < counts.mean() / 100 < 1.1
    assert 40 < counts.max() / counts.mean() < 60
    halves = counts.reshape(13, 1800).sum(1) / counts.sum()
    assert halves[1] > 1.5 * halves[6]
    assert halves[12] > 1.5 * halves[6]
    per_symbol = Tally()
    for part in parts():
        here = part.channels == 1
        per_symbol.add_hashed("quotes", part.names, part.symbols[here], part.hashes[here])
    busiest = sorted((f.count for f in per_symbol.tables["quotes"].values()), reverse=True)
    assert busiest[0] > 5 * busiest[len(busiest) // 2]


def test_ticker_names_are_unique_and_awkward() -> None:
    names = tickers(10_000, 7)
    assert len(set(names)) == 10_000
    assert {"BRK.B", "NA", "TRUE", "ON", "NULL"} <= set(names[:20])
    assert tickers(200, 7) == tickers(200, 8) or tickers(200, 7)[:100] == names[:100]
    assert [n for n in names if len(n.split(".")[0]) > 5] == []


@pytest.mark.parametrize("day", [date(2025, 11, 22), date(2025, 12, 25)])
def test_closed_days_have_no_market(day: date) -> None:
    with pytest.raises(UsageError, match="closed"):
        seeded(Market(session=day))


def test_about_says_what_is_played() -> None:
    source = seeded(Market(seed=9, symbols=10, minutes=1))
    assert source.span_s == 60.0
    assert dict(source.about) == {
        "kind": "market",
        "seed": 9,
        "symbols": 10,
        "minutes": 1,
        "session": "2025-11-20",
        "rate": 30.0,
        "corrected": 1 / 5000,
    }


def slices_of(market: Market) -> Iterator[Slice]:
    yield from seeded(market).slices


def test_busy_seconds_are_cut_into_slices() -> None:
    sizes = [len(p.messages) for p in slices_of(Market(seed=1, symbols=500, minutes=3, rate=3000.0))]
    assert max(sizes) <= 20_000
    assert sum(sizes) > 300_000

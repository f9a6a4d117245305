"""The shipped marts after late, corrected and repeated rows: what is built again equals everything built anew."""

from __future__ import annotations

import math
import os
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import s3
from tests.support.plant import kill, tickerplant, wait_for
from tests.support.rows import rows
from tests.support.transform import KINDS, Place, bars, cancels, contents, day, dividends, place, splits, trades
from tickerplant.model import Batch
from tickerplant.stores.lake import LakeStore

DAILY = ("returns_daily", "indicators_daily", "volatility_daily", "ranges_daily", "breadth_daily")
OTHERS = ("bars_from_trades", "quote_stats", "index_members")
KEYS = dict.fromkeys(DAILY[:4], "symbol, session") | {"breadth_daily": "session"}
SESSIONS = 300


def history() -> list[tuple[str, int, float]]:
    """Closes of A, B (gaps) and C (young)."""
    walk = 100 * np.exp(np.random.default_rng(3).normal(0, 0.02, (3, SESSIONS)).cumsum(axis=1))
    found = [("A", n, float(walk[0, n])) for n in range(SESSIONS)]
    found += [("B", n, float(walk[1, n])) for n in range(SESSIONS) if n % 7]
    return found + [("C", n, float(walk[2, n])) for n in range(SESSIONS - 25, SESSIONS)]


def quotes(*items: tuple[str, int, int, float]) -> Batch:
    """Quotes of (symbol, number of the session, second after noon, bid)."""
    noon = datetime(2024, 1, 2, 17, tzinfo=UTC)
    made = [
        {"symbol": s, "ts": noon + timedelta(days=n, seconds=at), "bid_price": bid, "ask_price": bid + 0.02, "seq": i}
        | {"bid_size": 100.0, "ask_size": 300.0, "vendor": "alpaca", "feed": "sip"}
        for i, (s, n, at, bid) in enumerate(items)
    ]
    return rows("quotes", *made)


def members(number: int, *symbols: str) -> Batch:
    """A list of the day of a session."""
    return rows(
        "universe", *({"universe": "mine", "as_of": day(number), "symbol": s, "vendor": "lists"} for s in symbols)
    )


@pytest.mark.parametrize("kind", KINDS)
def test_windows_that_read_recent_rows_only_are_those_of_a_full_build(kind: str, tmp_path: Path) -> None:
    long, sparse, select = 810, range(0, 800, 25), ("+breadth_daily", "volatility_daily")
    walk = 100 * np.exp(np.random.default_rng(5).normal(0, 0.02, long + 1).cumsum())
    closes = [round(float(c), 2) for c in walk]
    with place(kind, tmp_path) as plant:
        plant.write(
            bars(*[(s, n, closes[n]) for n in range(long) for s in ("A", "B", "SPLIT")]),
            bars(*[("O'N", n, closes[n] / 2) for n in sparse], *[("NEW", n, closes[n]) for n in range(long - 9, long)]),
        )
        plant.transform(select=select)
        plant.write(
            bars(*[(s, long, closes[long]) for s in ("A", "O'N", "NEW")], ("B", long - 4, 70.0)),
            splits(("SPLIT", 700, 2.0)),
        )
        done = plant.transform(select=select)
        assert {done[name].mode for name in DAILY[:4]} == {"symbols"}
        kept = {name: _sorted(plant, name) for name in DAILY}
        assert plant.transform(full=True, select=select)[DAILY[0]].mode == "full"
        for name, found in kept.items():
            anew = _sorted(plant, name)
            assert len(found) == len(anew)
            wrong = [(one, other) for one, other in zip(found, anew, strict=True) if not is_close(one, other)]
            assert wrong == [], name


def _sorted(plant: Place, name: str) -> list[dict[str, Any]]:
    return plant.select(f"select * from {name} order by {KEYS[name]}")


def is_close(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two rows are equal, floats to 1e-9."""
    return one.keys() == other.keys() and all(
        math.isclose(value, one[column], rel_tol=1e-9, abs_tol=1e-11)
        if isinstance(value, float) and isinstance(one[column], float)
        else value == one[column]
        for column, value in other.items()
    )


def begin(plant: Place) -> None:
    """The rows of the first builds."""
    plant.write(
        bars(*history()),
        splits(("A", 150, 2.0)),
        dividends(("B", 100, 0.5)),
        trades(*[("A", n, str(i), 10.0 + i) for n in range(4) for i in range(3)]),
        quotes(*[("A", n, 30 * i, 10.0 + i) for n in range(4) for i in range(5)]),
        members(0, "A", "B"),
        members(31, "A"),
    )


def late(plant: Place) -> None:
    """Rows of a new session, corrected ones, repeated ones, and ones that come late."""
    plant.write(
        bars(("A", SESSIONS, 101.0), ("B", 205, 77.0), ("C", SESSIONS - 3, 55.5), ("D", SESSIONS, 9.0)),
        dividends(("A", 260, 1.0)),
        trades(("A", 1, "0", 10.0), ("A", 2, "9", 99.0), ("B", 2, "1", 5.0)),
        cancels(("A", 0, "2")),
        quotes(("A", 3, 45, 12.0)),
        members(15, "A", "B", "C"),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_after_late_rows_the_marts_equal_a_full_build(kind: str, tmp_path: Path) -> None:
    with place(kind, tmp_path) as plant:
        begin(plant)
        plant.transform()
        late(plant)
        done = plant.transform()
        assert {name: done[name].mode for name in DAILY[:4]} == dict.fromkeys(DAILY[:4], "symbols")
        assert {name: done[name].mode for name in ("breadth_daily", *OTHERS[:2])} == dict.fromkeys(
            ("breadth_daily", *OTHERS[:2]), "sessions"
        )
        assert plant.select("select valid_from, valid_to from index_members where symbol = 'C'") == [
            {"valid_from": day(15), "valid_to": day(31)}
        ]
        kept = contents(plant.store, (*DAILY, *OTHERS))
        assert {r.mode for r in plant.transform(full=True).values() if r.mode} == {"full"}
        anew = contents(plant.store, (*DAILY, *OTHERS))
        for name, found in kept.items():
            assert len(found) > 2, name
            assert found == anew[name], name


def killed_at_its_commit(plant: Place, mart: str, version: int) -> None:
    """Run a transform, and kill it when a version of a mart has reached the bucket, before it hears of that."""
    commit = f"{plant.url.removeprefix('s3://')}/marts/{mart}/_delta_log/{version:020d}.json"
    with s3.gate() as gate:
        gate.lose, gate.lose_all = f"PUT /{commit}".encode(), True
        environment = {**os.environ, **s3.variables(gate.url)}
        words = ("transform", "--store", plant.url, "--no-tests")
        process = tickerplant(*words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: not gate.is_open, 90, "the commit of the mart")
        kill(process)


def test_in_a_bucket_the_marts_after_late_rows_a_split_and_a_kill_are_those_of_a_full_build_on_disk(
    tmp_path: Path,
) -> None:
    (tmp_path / "far").mkdir()
    with place("s3", tmp_path / "far") as far, place("lake", tmp_path) as near:
        assert isinstance(far.store, LakeStore)
        assert isinstance(near.store, LakeStore)
        begin(far)
        far.transform()
        begin(near)
        for plant in (far, near):
            late(plant)
            plant.write(splits(("B", 250, 3.0)))
        killed_at_its_commit(far, "stg_daily_bars", 2)
        assert far.store.marts.log("stg_daily_bars").refresh().version == 2
        done = far.transform()
        assert done["stg_daily_bars"].mode == "none"
        assert {done[name].mode for name in DAILY[:4]} == {"symbols"}
        assert done["breadth_daily"].mode == "sessions"
        near.transform()
        assert far.store.mart_names() == near.store.mart_names()
        expected = contents(near.store, (*DAILY, *OTHERS))
        for name, found in contents(far.store, (*DAILY, *OTHERS)).items():
            assert len(found) > 2, name
            assert found == expected[name], name
        prices = "select * exclude received_at from prices_daily order by symbol, session"
        assert far.select(prices) == near.select(prices)

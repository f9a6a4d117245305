"""The Python API gives the same answers on every kind of store."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.contract.test_store_contract import TIMESCALE
from tests.support.postgres import fresh_schema, server, timescale_url
from tests.support.rows import rows
from tests.unit.test_query_api import FOUND, at, quote
from tickerplant.errors import UsageError
from tickerplant.model import Batch, Counters, Position
from tickerplant.query import Plant
from tickerplant.query_where import spans_back
from tickerplant.stores import AnyStore, open_store

DAY = ("2013-10-07", "2013-10-08")


def trade(number: str, seconds: float, price: float, received: float, **more: Any) -> Batch:
    return rows("trades", {**_common(seconds, received), "trade_id": number, "price": price, "size": 1.0, **more})


def correction(
    original: str, new: str | None, price: float | None, seconds: float, received: float = 0.0, **more: Any
) -> Batch:
    changed = {"original_id": original, "corrected_id": new, "corrected_price": price, "corrected_size": None}
    kind = "cancel" if new is None else "correction"
    own = {**changed, "kind": kind, "corrected_conditions": None if new is None else "C"}
    return rows("trade_corrections", {**_common(seconds, received or seconds), **own, **more})


def _common(seconds: float, received: float) -> dict[str, Any]:
    return {"symbol": "T", "exchange": "N", "ts": at(seconds), "received_at": at(received), "conditions": "@"}


CORRECTED = [
    trade("1", 1, 10.0, 1),
    trade("2", 2, 20.0, 2),
    trade("2", 2, 20.0, 3),
    trade("3", 3, 30.0, 30),
    trade("4", 4, 40.0, 4),
    trade("4", 4, 44.0, 4, exchange="Q", seq=1),
    trade("1", 86_401, 11.0, 86_401, symbol="U"),
    correction("1", "11", 10.5, 10),
    correction("11", "12", 10.7, 11),
    correction("11", "12", 10.7, 11, received=25),
    correction("2", "21", 20.5, 12),
    correction("21", None, None, 13),
    correction("3", "3", 30.5, 14),
    correction("9", "91", 1.0, 15),
    correction("1", "11", 12.0, 86_402, symbol="U"),
    rows("bars", *({"symbol": "T", "interval": "1m", "ts": at(day * 86_400)} for day in (0, 1))),
    quote("T", 0, 9.0, received_at=at(0)),
    quote("T", 1, 9.5, received_at=at(16)),
    quote("OLD", -86_400 * 30, 5.0),
]


@pytest.fixture(scope="module", params=["lake", "postgres", TIMESCALE])
def plant(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """A plant with trades that are corrected, cancelled, twice there, and early and unmatched corrections."""
    if request.param == "lake":
        with closing(open_store(str(tmp_path_factory.mktemp("lake")))) as lake:
            yield Plant(filled(lake, CORRECTED))
        return
    url = timescale_url() if request.param == "timescale" else None
    with fresh_schema(url=url) as options, closing(open_store(url or server().url, options=options)) as postgres:
        yield Plant(filled(postgres, CORRECTED))


def filled(store: AnyStore, found: list[Batch]) -> AnyStore:
    store.write("p", Position(0), Position(1), found, Counters(len(found), len(found)))
    return store


def answers(store: AnyStore) -> list[object]:
    plant = Plant(filled(store, [*FOUND, *CORRECTED]))
    known_at = at(14.5)
    found = [
        plant.quotes().arrow(),
        plant.trades("A", *DAY).arrow(),
        plant.trades().arrow(),
        plant.trades(raw=True).arrow(),
        plant.trades("T", *DAY, known_at=known_at).arrow(),
        plant.last_quotes().arrow(),
        plant.last_quotes(at=at(1)).arrow(),
        plant.last_quotes(["A", "OLD", "none", "B"]).arrow(),
        plant.last_quotes(["A"], "2013-10-08").arrow(),
        plant.bars("A", "5m").arrow(),
        plant.bars("T", "1s", raw=True).arrow(),
        plant.bars("T", "1s", known_at=known_at).arrow(),
        plant.bars("A", "1h", source="bars").arrow(),
        plant.bars("A", "1h", source="bars", known_at=at(-1)).arrow(),
        plant.asof_join("A").arrow(),
        plant.asof_join("T", raw=True).arrow(),
        plant.asof_join("T", *DAY, known_at=known_at).arrow(),
        plant.table("daily_bars", "A", "2013-10-05", "2013-10-08").arrow(),
        plant.sql("select * from trade_corrections_unmatched").arrow().select(["symbol", "original_id", "received_at"]),
    ]
    tables = [(t.column_names, t.to_pylist()) for t in found]
    return [*tables, plant.fingerprints("quotes"), plant.sessions()]


@pytest.mark.parametrize("kind", ["postgres", TIMESCALE])
def test_answers_are_equal(tmp_path: Path, kind: str) -> None:
    url = timescale_url() if kind == "timescale" else None
    with fresh_schema(url=url) as options, closing(open_store(str(tmp_path / "lake"))) as lake:
        ours = answers(lake)
        with closing(open_store(url or server().url, options=options)) as postgres:
            theirs = answers(postgres)
    for number, (mine, other) in enumerate(zip(ours, theirs, strict=True)):
        assert mine == other, number


def test_trades_show_what_became_of_them(plant: Plant) -> None:
    found = plant.trades("T").arrow().to_pylist()
    shown = [(r["trade_id"], r["exchange"], r["price"], r["conditions"], r["original_id"]) for r in found]
    assert shown == [
        ("12", "N", 10.7, "C", "1"),
        ("3", "N", 30.5, "C", "3"),
        ("4", "N", 40.0, "@", None),
        ("4", "Q", 44.0, "@", None),
    ]
    assert [r["original_price"] for r in found] == [10.0, 30.0, None, None]
    assert [r["corrected_at"] for r in found] == [at(11), at(14), None, None]
    assert [r["correction_received_at"] for r in found] == [at(11), at(14), None, None]
    assert (found[0]["size"], found[0]["original_conditions"]) == (1.0, "@")
    assert len(plant.trades("T", raw=True)) == 6


@pytest.mark.parametrize(
    ("seconds", "prices"),
    [
        (0.5, []),
        (9.0, [10.0, 20.0, 40.0, 44.0]),
        (10.0, [10.5, 20.0, 40.0, 44.0]),
        (12.0, [10.7, 20.5, 40.0, 44.0]),
        (13.0, [10.7, 40.0, 44.0]),
        (30.0, [10.7, 30.5, 40.0, 44.0]),
    ],
)
def test_trades_as_known_at_a_moment(plant: Plant, seconds: float, prices: list[float]) -> None:
    assert plant.trades("T", *DAY, known_at=at(seconds)).arrow().column("price").to_pylist() == prices
    last_of_each_second = [p for p in prices if p != 40.0]
    bars = plant.bars("T", "1s", known_at=at(seconds)).arrow()
    assert bars.column("close").to_pylist() == last_of_each_second


def test_joined_and_counted_trades_are_the_right_ones(plant: Plant) -> None:
    assert plant.asof_join("T").arrow().column("bid_price").to_pylist() == [9.5] * 4
    assert plant.asof_join("T", known_at=at(15)).arrow().column("bid_price").to_pylist() == [9.0] * 3
    assert plant.bars("T", "1m").arrow().to_pylist()[0]["volume"] == 4.0
    assert plant.bars("T", "1m", raw=True).arrow().to_pylist()[0]["volume"] == 6.0
    with pytest.raises(UsageError, match="expected raw or known_at, were both"):
        plant.trades("T", raw=True, known_at=at(1))
    with pytest.raises(UsageError, match="raw with source trades only"):
        plant.bars("T", source="bars", raw=True)


def test_corrections_without_a_trade_are_shown(plant: Plant) -> None:
    found = plant.sql("select original_id from trade_corrections_unmatched").arrow().to_pylist()
    assert found == [{"original_id": "9"}]


def test_filters_on_symbol_and_session_reach_the_tables(plant: Plant) -> None:
    """No file and no partition of another session is read."""
    where = "where symbol = 'T' and session = date '2013-10-07'"
    moment = f"timestamptz '{at(20).isoformat()}'"
    views = ("trades_latest", f"trades_known_at({moment})", "bars_latest", "trade_corrections_unmatched")
    for source in views:
        plan = str(plant.sql(f"explain analyze select * from {source} {where}").arrow().to_pylist())
        assert "2013-10-07" in plan
        assert not re.search(r"session=2013-10-08|_20131008", plan), plan


def test_spans_back_meet_and_reach_the_first_session() -> None:
    sessions = [at(0).date(), (at(0) + timedelta(days=3)).date()]
    for end in (None, at(3600), datetime(2030, 1, 1, tzinfo=UTC)):
        spans = list(spans_back(sessions, end))
        assert (spans[0][1], spans[-1][0]) == (end, None)
        assert all(later[0] == earlier[1] for later, earlier in itertools.pairwise(spans))
        assert len(spans) < 20
    assert list(spans_back([], None)) == [(None, None)]

"""Random trades, corrections and cancels: the views of every store say what a model in plain Python says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.postgres import fresh_schema, server
from tests.support.rows import NINE_THIRTY, rows
from tickerplant.model import Counters, Position
from tickerplant.simulator.present import present
from tickerplant.stores import AnyStore, open_store
from tickerplant.tables import TRADES

_FEW = settings(max_examples=4, deadline=None, suppress_health_check=list(HealthCheck))
_MANY = settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))

_ids = st.sampled_from(["1", "2", "3", "4"])
_scope = {
    "symbol": st.sampled_from(["A", "B"]),
    "exchange": st.sampled_from(["N", "Q", None]),
    "session": st.sampled_from([0, 0, 1]),
}
_prices = st.sampled_from([10.0, 11.0, 12.0])
_trades = st.fixed_dictionaries({**_scope, "trade_id": _ids | st.none(), "price": _prices, "second": st.integers(0, 2)})
_corrections = st.fixed_dictionaries(
    {
        **_scope,
        "kind": st.sampled_from(["correction"] * 4 + ["cancel", "error"]),
        "original_id": _ids | st.none(),
        "corrected_id": _ids | st.none(),
        "corrected_price": _prices | st.none(),
        "corrected_conditions": st.sampled_from(["@", "F", None]),
        "second": st.integers(0, 5),
    }
)
_arrivals = st.lists(st.tuples(st.sampled_from(["trades", "trade_corrections"]), _trades, _corrections), max_size=14)
_repeats = st.lists(st.integers(0, 13), max_size=3)


def _messages(arrivals: list[Any], repeats: list[int]) -> list[tuple[str, dict[str, Any]]]:
    """Rows in order of arrival, two in each frame; some arrive a second time at the end."""
    drawn = [(name, trade if name == "trades" else correction) for name, trade, correction in arrivals]
    drawn += [drawn[n] for n in repeats if n < len(drawn)]
    found = []
    for number, (name, row) in enumerate(drawn):
        own = {k: v for k, v in row.items() if k not in ("second", "session")}
        own["ts"] = NINE_THIRTY + timedelta(days=row["session"], seconds=row["second"])
        own["received_at"], own["seq"] = NINE_THIRTY + timedelta(seconds=number // 2), number % 2
        found.append((name, own))
    return found


@contextmanager
def _lake(folder: Path) -> Iterator[AnyStore]:
    with closing(open_store(str(folder))) as store:
        yield store


@contextmanager
def _postgres() -> Iterator[AnyStore]:
    with fresh_schema() as options, closing(open_store(server().url, options=options)) as store:
        yield store


def _model(batches: dict[str, list[dict[str, Any]]], moment: datetime | None) -> list[tuple[Any, ...]]:
    trades, corrections = (
        [row | {"session": row["ts"].date()} for row in batches[name] if moment is None or row["received_at"] <= moment]
        for name in ("trades", "trade_corrections")
    )
    return sorted((_values(row) for row in present(trades, corrections)), key=repr)


def _values(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in TRADES.schema.names)


def _check(store: AnyStore, arrivals: list[Any], repeats: list[int]) -> None:
    messages = _messages(arrivals, repeats)
    found = [rows(name, row) for name, row in messages]
    batches: dict[str, list[dict[str, Any]]] = {"trades": [], "trade_corrections": []}
    for batch in found:
        batches[batch.table.name] += batch.rows.to_pylist()
    if found:
        store.write("p", Position(0), Position(1), found, Counters(len(found), len(found)))
    assert sorted(map(_values, store.query("select * from trades_latest").to_pylist()), key=repr) == _model(
        batches, None
    )
    for moment in sorted({row["received_at"] for _, row in messages})[-2::-3]:
        known = store.query("select * from trades_known_at(?::timestamptz)", [moment.isoformat()]).to_pylist()
        assert sorted(map(_values, known), key=repr) == _model(batches, moment)
    _check_unmatched(store, batches)


def _check_unmatched(store: AnyStore, batches: dict[str, list[dict[str, Any]]]) -> None:
    """A correction is unmatched when taking it away, and all like it, concerns no trade: none names it."""
    found = store.query("select received_at, seq from trade_corrections_unmatched").to_pylist()
    unmatched = {(r["received_at"], r["seq"]) for r in found}
    assert len(unmatched) == len(found)
    for row in batches["trade_corrections"]:
        day = {"session": row["ts"].date()}
        # A cancel in the place of this correction removes a trade, if it concerns one.
        cancel = row | day | {"kind": "cancel", "corrected_id": None}
        others = [r | {"session": r["ts"].date(), "kind": "correction"} for r in batches["trade_corrections"]]
        trades = [r | {"session": r["ts"].date()} for r in batches["trades"]]
        removes = len(present(trades, others)) > len(present(trades, [*others, cancel]))
        assert removes == ((row["received_at"], row["seq"]) not in unmatched), row


@_MANY
@given(arrivals=_arrivals, repeats=_repeats)
def test_views_of_the_lake_equal_the_model(
    arrivals: list[Any], repeats: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with _lake(tmp_path_factory.mktemp("lake")) as store:
        _check(store, arrivals, repeats)


@_FEW
@given(arrivals=_arrivals, repeats=_repeats)
def test_views_of_postgres_equal_the_model(arrivals: list[Any], repeats: list[int]) -> None:
    with _postgres() as store:
        _check(store, arrivals, repeats)

"""Which rows of a history are missing, against a plain count of rows."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from tickerplant.jobs.missing_rows import missing_rows
from tickerplant.schema import Table
from tickerplant.tables import BARS, QUOTES, TRADE_CORRECTIONS, TRADES

NOON = datetime(2025, 11, 20, 17, tzinfo=UTC)
EVENT = st.tuples(st.sampled_from("AB"), st.integers(0, 3), st.sampled_from([1.0, 2.0, None]))


def rows(table: Table, events: list[tuple[Any, ...]], received: datetime, **more: Any) -> pa.Table:
    """Rows of events (symbol, microsecond, price), received one after the other."""
    price = {"quotes": "bid_price", "trades": "price", "bars": "close"}.get(table.name, "original_price")
    made = [
        {"symbol": s, "ts": NOON + timedelta(microseconds=at), "ns": 0, price: value, "vendor": "v", "feed": "f"}
        | {"received_at": received, "seq": seq, **more}
        for seq, (s, at, value) in enumerate(events)
    ]
    full = [{n: row.get(n) for n in table.schema.names} for row in made]
    return pa.Table.from_pylist(full, table.schema)


@settings(deadline=None)
@given(st.lists(EVENT, max_size=12), st.sets(st.integers(0, 11)), st.lists(st.integers(0, 11), max_size=3))
def test_what_the_line_missed_is_found_and_what_came_twice_stays_twice(
    events: list[tuple[Any, ...]], lost: set[int], again: list[int]
) -> None:
    heard = [e for i, e in enumerate(events) if i not in lost]
    heard += [events[i] for i in again if i < len(events) and i not in lost]
    for table in (QUOTES, TRADES):
        history, held = rows(table, events, NOON), rows(table, heard, NOON - timedelta(seconds=1))
        found = missing_rows(table, history, held)
        name = "bid_price" if table is QUOTES else "price"
        missing = Counter(
            (r["symbol"], (r["ts"] - NOON) // timedelta(microseconds=1), r[name]) for r in found.to_pylist()
        )
        assert missing == Counter(events) - Counter(heard)
        whole = pa.concat_tables([held, found])
        assert missing_rows(table, rows(table, events, NOON + timedelta(hours=1)), whole).num_rows == 0


@settings(deadline=None)
@given(st.lists(EVENT, max_size=8))
def test_rows_that_the_same_answer_brought_before_do_not_count_as_held(events: list[tuple[Any, ...]]) -> None:
    history = rows(QUOTES, events, NOON)
    assert missing_rows(QUOTES, history, history).equals(history)


def test_an_event_that_history_spells_differently_is_not_missing() -> None:
    history = rows(TRADES, [("A", 0, 1.0), ("A", 0, 1.0)], NOON, trade_id="7", conditions="@,I")
    held = rows(TRADES, [("A", 0, 1.0)], NOON - timedelta(seconds=1), trade_id="7", conditions="I,@")
    assert missing_rows(TRADES, history, held).num_rows == 1


def test_a_trade_that_a_held_correction_made_is_not_missing() -> None:
    history = rows(TRADES, [("A", 0, 1.0)], NOON, trade_id="8", exchange="D")
    correction = rows(
        TRADE_CORRECTIONS, [("A", 9, 2.0)], NOON, kind="correction", original_id="7", corrected_id="8", exchange="D"
    )
    assert missing_rows(TRADES, history, rows(TRADES, [], NOON), correction).num_rows == 0
    assert missing_rows(TRADES, history, rows(TRADES, [], NOON), correction.slice(0, 0)).num_rows == 1


def test_a_bar_is_missing_when_the_last_revision_says_something_else_and_takes_its_number() -> None:
    history = rows(BARS, [("A", 0, 5.0), ("B", 0, 6.0)], NOON, interval="1m", revision=2)
    first = rows(BARS, [("A", 0, 4.0)], NOON - timedelta(minutes=2), interval="1m", revision=0)
    update = rows(BARS, [("A", 0, 4.5)], NOON - timedelta(minutes=1), interval="1m", revision=1)
    found = missing_rows(BARS, history, pa.concat_tables([first, update]))
    assert [(r["symbol"], r["close"], r["revision"]) for r in found.to_pylist()] == [("A", 5.0, 1), ("B", 6.0, 0)]
    assert missing_rows(BARS, history.slice(0, 1), pa.concat_tables([first, found])).num_rows == 1

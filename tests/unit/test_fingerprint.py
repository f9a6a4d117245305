"""The laws of fingerprints."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.rows import NINE_THIRTY, batches, rows
from tickerplant.fingerprint import Fingerprint, Tally, row_hashes
from tickerplant.model import Batch
from tickerplant.tables import QUOTES, TRADES, VENDOR_TABLES

LAWS = settings(max_examples=40, deadline=None)


def total(*found: Batch) -> Fingerprint:
    return Tally.of(found).total(found[0].table.name)


@LAWS
@given(batches(QUOTES), st.randoms())
def test_order_does_not_matter(batch: Batch, random: Any) -> None:
    order = list(range(batch.rows.num_rows))
    random.shuffle(order)
    assert Tally.of([Batch(QUOTES, batch.rows.take(pa.array(order)))]) == Tally.of([batch])


@LAWS
@given(batches(TRADES), st.integers(0, 8))
def test_parts_add_up(batch: Batch, cut: int) -> None:
    parts = [Batch(TRADES, batch.rows.slice(0, cut)), Batch(TRADES, batch.rows.slice(cut))]
    assert Tally.of(parts) == Tally.of([batch])
    assert total(parts[0]) + total(parts[1]) == total(batch)


@pytest.mark.parametrize("table", VENDOR_TABLES, ids=lambda t: t.name)
def test_a_row_twice_counts_twice(table: Any) -> None:
    one, two = rows(table, {}), rows(table, {}, {})
    assert total(two) == total(one) + total(one)
    assert total(two).checksum == 2 * total(one).checksum % 2**64
    assert total(two).checksum != 0


DIFFERENT = [
    ("conditions", None, ""),
    ("bid_price", None, 0.0),
    ("bid_size", 0.0, 5e-324),
    ("bid_price", 1.0, 1.0000000000000002),
    ("ns", 0, 1),
    ("symbol", "A", "a"),
    ("tape", "", " "),
    ("bid_exchange", "\x00", ""),
]


@pytest.mark.parametrize(("column", "one", "other"), DIFFERENT)
def test_values_that_differ(column: str, one: Any, other: Any) -> None:
    first, second = (row_hashes(QUOTES, rows(QUOTES, {column: v}).rows) for v in (one, other))
    assert first[0] != second[0]


def test_zero_has_no_sign() -> None:
    assert total(rows(QUOTES, {"bid_price": -0.0})) == total(rows(QUOTES, {"bid_price": 0.0}))


def test_values_in_other_columns_or_tables_differ() -> None:
    sides = ({"bid_price": 1.0, "ask_price": 2.0}, {"bid_price": 2.0, "ask_price": 1.0})
    assert total(rows(QUOTES, sides[0])) != total(rows(QUOTES, sides[1]))
    lulds, imbalances = (total(rows(n, {})) for n in ("lulds", "imbalances"))
    assert lulds != imbalances


def test_swapping_values_between_rows_is_seen() -> None:
    straight = rows(QUOTES, {"bid_price": 1.0, "ask_price": 3.0}, {"bid_price": 2.0, "ask_price": 4.0})
    crossed = rows(QUOTES, {"bid_price": 1.0, "ask_price": 4.0}, {"bid_price": 2.0, "ask_price": 3.0})
    assert total(straight) != total(crossed)


def test_envelope_does_not_count() -> None:
    later = NINE_THIRTY + timedelta(hours=1)
    other = rows(QUOTES, {"vendor": "z", "feed": "z", "seq": 9, "received_at": later})
    assert total(other) == total(rows(QUOTES, {}))


def test_hashes_never_change() -> None:
    quote = rows(QUOTES, {"symbol": "AAPL", "bid_price": 1.25, "conditions": None})
    assert total(quote) == Fingerprint(1, 0xE2BB7C3961D588B6)


@LAWS
@given(batches(QUOTES))
def test_json_round_trip(batch: Batch) -> None:
    tally = Tally.of([batch])
    assert Tally.from_json(tally.as_json()) == tally
    assert sum(f.count for f in tally.tables["quotes"].values()) == batch.rows.num_rows


def test_nothing_is_zero() -> None:
    assert Tally().total("quotes") == Fingerprint(0, 0)
    assert Tally.of([Batch(QUOTES, pa.RecordBatch.from_pylist([], QUOTES.schema))]).total("quotes") == Fingerprint()

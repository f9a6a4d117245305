"""A clean session, and one with a defect for each quality rule, each known by its place.

Clean rows are the simulator's, and minute and daily bars of symbols whose names say what they are for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any

import pyarrow as pa

from tests.support.rows import rows
from tests.support.simulator_client import decode
from tickerplant.calendar import NEW_YORK, sessions
from tickerplant.model import Batch, Counters, Position
from tickerplant.schema import TIMESTAMP
from tickerplant.simulator.market import Market, seeded
from tickerplant.stores import AnyStore

DAY, SATURDAY = date(2025, 11, 20), date(2025, 11, 22)
OPEN = datetime(2025, 11, 20, 14, 30, tzinfo=UTC)
AFTER = datetime(2025, 11, 23, tzinfo=UTC)
"""A moment when the session is over."""
PAST = [s.day for s in sessions(DAY - timedelta(days=80), DAY)]
_MARKET = Market(seed=11, symbols=20, minutes=4, rate=60.0, session=DAY)

Place = tuple[str, date, datetime | None]
"""Symbol, session and event time of a flagged row."""


def at(seconds: float) -> datetime:
    """A time of the session, from its open."""
    return OPEN + timedelta(seconds=seconds)


def new_york(hour: int, minute: int = 0, day: date = DAY) -> datetime:
    """A time of the clock in New York."""
    return datetime.combine(day, time(hour, minute), NEW_YORK).astimezone(UTC)


@cache
def market() -> tuple[Batch, ...]:
    """Four minutes of the simulator's market, frames of 500 messages a microsecond apart."""
    found: list[Batch] = []
    for part in seeded(_MARKET).slices:
        for start in range(0, len(part.messages), 500):
            for batch in decode([b"[" + b",".join(part.messages[start : start + 500]) + b"]"]).batches:
                found.append(_received(batch, 1_763_700_000_000_000 + len(found)))
    return tuple(found)


def _received(batch: Batch, micros: int) -> Batch:
    place = batch.rows.schema.get_field_index("received_at")
    stamped = pa.repeat(pa.scalar(micros, pa.int64()).cast(TIMESTAMP), batch.rows.num_rows)
    columns = [*batch.rows.columns[:place], stamped, *batch.rows.columns[place + 1 :]]
    return Batch(batch.table, pa.RecordBatch.from_arrays(columns, schema=batch.rows.schema))


def quote(symbol: str, seconds: float | datetime, bid: float | None, ask: float | None, **more: Any) -> dict[str, Any]:
    own = {"bid_price": bid, "ask_price": ask, "bid_size": 100.0, "ask_size": 100.0, "tape": "A"}
    return {**_event(symbol, seconds), **own, **more}


def trade(symbol: str, seconds: float | datetime, price: float | None, number: int, **more: Any) -> dict[str, Any]:
    own = {"price": price, "size": 100.0, "trade_id": str(number), "exchange": "N", "conditions": "@", "tape": "A"}
    return {**_event(symbol, seconds), **own, **more}


def bar(symbol: str, seconds: float | datetime, price: float, **more: Any) -> dict[str, Any]:
    own = {"interval": "1m", **dict.fromkeys(("open", "high", "low", "close"), price), "volume": 100.0}
    return {**_event(symbol, seconds), **own, **more}


def daily(symbol: str, day: date, price: float, **more: Any) -> dict[str, Any]:
    own = {**dict.fromkeys(("open", "high", "low", "close"), price), "volume": 1e6, "trade_count": 100}
    known = {"vendor": "alpaca", "feed": "sip", "received_at": new_york(21, day=day), "seq": 0}
    return {"symbol": symbol, "session": day, **own, **known, **more}


def _event(symbol: str, seconds: float | datetime) -> dict[str, Any]:
    ts = seconds if isinstance(seconds, datetime) else at(seconds)
    return {"symbol": symbol, "ts": ts, "ns": 0, "vendor": "alpaca", "feed": "sip", "received_at": ts, "seq": 0}


def wiggle(symbol: str, days: Sequence[date], price: float = 100.0, **more: Any) -> Iterator[dict[str, Any]]:
    """Daily bars whose closes go up and down by less than a percent."""
    for place, day in enumerate(days):
        yield daily(symbol, day, price * (1 + 0.002 * ((place * 7) % 5 - 2)), **more)


def clean() -> list[Batch]:
    """What no rule of severity error or warning flags."""
    minutes = [bar("FULL", new_york(9, 30, day) + timedelta(minutes=m), 10.0) for day in PAST[-6:] for m in range(390)]
    today = [bar("FULL", 60 * m, 10.0 + 0.01 * (m % 3)) for m in range(388)]
    days = [*wiggle("CALM", [*PAST, DAY]), *wiggle("CALM", [*PAST, DAY], vendor="polygon")]
    split = [*wiggle("SPLIT", PAST), *wiggle("SPLIT", [DAY], 50.0)]
    return [
        *market(),
        rows("bars", *minutes, *today),
        rows("daily_bars", *days, *split),
        rows("splits", {"symbol": "SPLIT", "ex_date": DAY, "split_from": 1.0, "split_to": 2.0}),
    ]


def _quotes() -> Iterator[tuple[str | None, dict[str, Any]]]:
    """Rows, each with the rule that must flag it."""
    yield None, quote("QUOTE", 0, 10.0, 10.02)
    yield None, quote("QUOTE", new_york(9), 10.5, 10.02)
    yield "quotes_crossed", quote("QUOTE", 60, 10.1, 10.0)
    yield "quotes_locked", quote("QUOTE", 61, 10.0, 10.0)
    yield "quotes_positive", quote("QUOTE", 62, -1.0, 10.0)
    yield "quotes_positive", quote("QUOTE", 63, 10.0, float("nan"))
    yield "quotes_positive", quote("QUOTE", 64, 10.0, 10.1, ask_size=-100.0)
    yield None, quote("QUOTE", 65, 0.0, 10.1, bid_size=0.0)
    yield None, quote("QUOTE", 65.5, None, 10.1, bid_size=None)
    yield "quotes_sizeless", quote("QUOTE", 66, 10.0, 10.1, bid_size=0.0)
    yield None, quote("QUOTE", new_york(4), 10.0, 10.1)
    yield "quotes_out_of_hours", quote("QUOTE", new_york(3, 59), 10.0, 10.1)
    yield "quotes_out_of_hours", quote("QUOTE", new_york(20), 10.0, 10.1)
    yield "quotes_out_of_hours", quote("QUOTE", new_york(12, day=SATURDAY), 10.0, 10.1)
    yield None, quote("QUOTE", new_york(22), 10.0, 10.1, tape="N")
    for _ in range(2):
        yield "quotes_doubled", quote("QUOTE", 70, 10.0, 10.1, seq=5)
    yield None, quote("QUOTE", 70, 10.0, 10.1, seq=6)
    for n in range(5_000):
        yield None, quote("QUIET", 100 + n / 10, 5.0, 5.02)
    for n in range(30):
        yield None, quote("OUTSIDE", 120 + n, 20.0, 20.02)
    yield None, quote("STALE", 5, 30.0, 30.02)
    yield None, quote("UNHEARD", 5, 30.0, 30.02, vendor="polygon")


def _trades() -> Iterator[tuple[str | None, dict[str, Any]]]:
    yield None, trade("QUOTE", 1, 10.0, 1)
    yield "trades_positive", trade("QUOTE", 2, 0.0, 2)
    yield "trades_positive", trade("QUOTE", 3, 10.0, 3, size=None)
    yield "trades_positive", trade("QUOTE", 4, 10.0, 4, size=0.0)
    yield None, trade("QUOTE", 5, 10.0, 5, size=0.0, conditions="@,Q")
    yield None, trade("QUOTE", 5, 0.0, 55)
    yield "trades_out_of_hours", trade("QUOTE", new_york(20, 1), 10.0, 6)
    yield None, trade("QUOTE", new_york(22), 10.0, 7, tape="N")
    for _ in range(2):
        yield "trades_doubled", trade("TWICE", 8, 10.0, 8, seq=3)
    yield None, trade("AGAIN", 9, 10.0, 9)
    yield "trades_repeated", trade("AGAIN", 9, 10.0, 9, received_at=at(5_000))
    yield None, trade("AGAIN", 10, 10.0, 10)
    yield "trades_conflict", trade("AGAIN", 11, 10.1, 10)
    for n in range(40):
        yield None, trade("JUMP", 600 + n, 50.0 + 0.01 * (n % 3), 100 + n)
    yield "trades_jump", trade("JUMP", 650, 60.0, 200)
    yield None, trade("JUMP", 651, 70.0, 201, conditions="@,W")
    yield None, trade("JUMP", 652, 70.0, 202, conditions="12,10", vendor="polygon")
    for n in range(30):
        yield None, trade("OUTSIDE", 120 + n, 20.01, 300 + n)
    yield "trades_outside_quote", trade("OUTSIDE", 151, 20.5, 400)
    yield "trades_outside_quote", trade("OUTSIDE", 152, 19.8, 401)
    yield None, trade("OUTSIDE", 153, 20.03, 402)
    yield None, trade("OUTSIDE", 154, 20.5, 403, conditions="@,Z")
    for n in range(25):
        yield None, trade("STALE", 610 + n, 30.01, 500 + n)
        yield None, trade("STALE", 5 + n, 30.01, 600 + n)


def _bars() -> Iterator[tuple[str | None, dict[str, Any]]]:
    yield "bars_price_order", bar("BAR", 0, 10.0, high=9.0)
    yield "bars_price_order", bar("BAR", 60, 10.0, close=None)
    yield "bars_price_order", bar("BAR", 120, 0.0)
    yield None, bar("BAR", 180, 10.0, volume=0.0)
    yield "bars_volume", bar("BAR", 240, 10.0, volume=-1.0)
    yield "bars_volume", bar("BAR", 300, 10.0, volume=None)
    yield "bars_out_of_hours", bar("BAR", new_york(20), 10.0)
    for m in range(60):
        price = (20.0 if m < 40 else 22.0) + 0.01 * (m % 3)
        is_bad = m == 20
        yield "bars_jump" if is_bad else None, bar("SPIKE", 60 * m, price, low=15.0 if is_bad else price)
    for name, count in (("MISSING", 300), ("ABSENT", 0)):
        for day in PAST[-6:]:
            for m in range(390):
                yield None, bar(name, new_york(9, 30, day) + timedelta(minutes=m), 10.0)
        for m in range(count):
            yield None, bar(name, 60 * m, 10.0)


def _daily() -> Iterator[tuple[str | None, dict[str, Any]]]:
    yield "daily_price_order", daily("DAILY", DAY, 100.0, low=101.0)
    yield "daily_price_order", daily("EMPTY", DAY, 100.0, open=None)
    yield "daily_volume", daily("SHORT", DAY, 100.0, volume=-5.0)
    yield "daily_closed_day", daily("CLOSED", SATURDAY, 100.0)
    for name in ("MOVED", "UNKNOWN", "ADJUSTED", "DIFFER"):
        for row in wiggle(name, PAST):
            yield None, row
    yield "daily_jump", daily("MOVED", DAY, 125.0)
    yield "daily_jump_of_a_split", daily("UNKNOWN", DAY, 25.0)
    yield "daily_split_without_jump", daily("ADJUSTED", DAY, 100.0)
    yield "daily_vendors_differ", daily("DIFFER", DAY, 100.0)
    yield None, daily("DIFFER", DAY, 101.0, vendor="polygon")
    yield None, daily("ONE_VENUE", DAY, 100.0)
    yield None, daily("ONE_VENUE", DAY, 100.0, feed="iex", volume=3e4)


@cache
def defects() -> tuple[list[Batch], dict[str, list[Place]]]:
    """Rows to add to the clean ones, and where each rule must find what; places repeat when rows do."""
    places: dict[str, list[Place]] = {}
    batches = []
    for table, made in (("quotes", _quotes()), ("trades", _trades()), ("bars", _bars()), ("daily_bars", _daily())):
        found = []
        for name, row in made:
            found.append(row)
            if name:
                places.setdefault(name, []).append(_place(row))
        batches.append(rows(table, *found))
    # What concerns a whole session, or follows from rows above.
    places |= {
        "quotes_stale": [("STALE", DAY, at(600))],
        "quotes_without_trades": [("QUIET", DAY, None)],
        "trades_without_quotes": [("JUMP", DAY, None)],
        "bars_missing_minutes": [("ABSENT", DAY, None), ("MISSING", DAY, None)],
        "gap_overlap": [("UNHEARD", DAY, None)],
    }
    places["trades_repeated"].append(("TWICE", DAY, at(8)))
    places["trades_positive"].append(("QUOTE", DAY, at(5)))
    places["daily_jump"].append(("UNKNOWN", DAY, None))
    places["daily_jump"].append(("ADJUSTED", DAY, None))
    adjusted = {"symbol": "ADJUSTED", "ex_date": DAY, "split_from": 1.0, "split_to": 4.0}
    return [*batches, rows("splits", adjusted), rows("gaps", *_gaps())], places


def _place(row: dict[str, Any]) -> Place:
    if "ts" not in row:
        return row["symbol"], row["session"], None
    return row["symbol"], row["ts"].astimezone(NEW_YORK).date(), row["ts"]


def _gaps() -> Iterator[dict[str, Any]]:
    common = {"feed": "sip", "reason": "disconnected", "evidence": None}
    yield {**common, "vendor": "polygon", "channel": "quotes", "start": at(10), "end": at(40), "state": "closed"}
    yield {**common, "vendor": "alpaca", "channel": "*", "start": at(10), "end": at(40), "state": "healed"}
    night = new_york(22, day=DAY - timedelta(days=1))
    yield {**common, "vendor": "alpaca", "channel": "*", "start": night, "end": new_york(3), "state": "closed"}


def fill(store: AnyStore, batches: Sequence[Batch]) -> AnyStore:
    """Write rows in one go."""
    store.write("p", Position(0), Position(1), batches, Counters(len(batches), len(batches)))
    return store

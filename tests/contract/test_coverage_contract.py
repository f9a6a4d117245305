"""Coverage on each kind of store: every hole has a reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from tests.support.postgres import fresh_schema, server
from tests.support.rows import rows
from tickerplant.calendar import Session, session, sessions
from tickerplant.jobs.coverage import Coverage, Dataset, Reason, Refusals, coverage, day_span, span, without
from tickerplant.jobs.universe import listed as listed_by
from tickerplant.model import Batch, Counters, Position, Store
from tickerplant.rest import Call
from tickerplant.stores import open_store

DAILY = Dataset("polygon", "daily_bars")
MINUTES = Dataset("alpaca", "bars", "1m")
WEEK = tuple(sessions(date(2025, 11, 10), date(2025, 11, 15)))
LATER = datetime(2025, 12, 1, tzinfo=UTC)


@contextmanager
def _lake() -> Iterator[Store]:
    with TemporaryDirectory() as folder, closing(open_store(f"{folder}/lake")) as store:
        yield store


@contextmanager
def _postgres() -> Iterator[Store]:
    with fresh_schema() as options, closing(open_store(server().url, options=options)) as store:
        yield store


KINDS = {"lake": _lake, "postgres": _postgres}


@pytest.fixture(params=KINDS)
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    with KINDS[request.param]() as opened:
        yield opened


def write(store: Store, *found: Batch) -> None:
    at = store.progress("polygon.rest").position
    store.write("polygon.rest", at, Position(at + 1), found, Counters())


def daily(symbol: str, day: Session, received_at: datetime = LATER) -> Batch:
    return rows(
        "daily_bars",
        {"symbol": symbol, "vendor": "polygon", "feed": "sip", "session": day.day, "received_at": received_at},
    )


def asked(symbol: str, days: tuple[Session, ...], count: int, **values: Any) -> Batch:
    plain = {
        "table_name": "daily_bars",
        "interval": None,
        "vendor": "polygon",
        "symbol": symbol,
        "rows": count,
        "start": span(days[0], False)[0],
        "end": span(days[-1], False)[1],
        "is_last": True,
        "outcome": "rows",
        "received_at": LATER,
        "chain": symbol,
    }
    return rows("coverage", {**plain, **values})


def reasons(found: Coverage, symbol: str) -> list[str]:
    return [Reason(c).name.lower() for c in found.cells[found.symbols.index(symbol)]]


def test_an_empty_store_misses_everything(store: Store) -> None:
    found = coverage(store, DAILY, ["A", "B"], WEEK)
    assert found.counts() == dict.fromkeys([r.name.lower() for r in Reason], 0) | {"not_fetched": 10}
    assert found.unexplained == 10


def test_each_hole_has_its_reason(store: Store) -> None:
    write(
        store,
        daily("A", WEEK[0]),
        daily("A", WEEK[1]),
        asked("A", WEEK, 2),
        asked("NONE", WEEK, 0),
        asked("PLAN", WEEK[:2], 0, outcome="not_entitled"),
        asked("BAD!", WEEK, 0, outcome="bad_request"),
        rows("tickers", {"symbol": "NEW", "listed_on": WEEK[3].day, "delisted_on": None, "vendor": "polygon"}),
        rows("tickers", {"symbol": "OLD", "listed_on": None, "delisted_on": WEEK[1].day, "vendor": "polygon"}),
    )
    found = coverage(store, DAILY, ["A", "NONE", "PLAN", "BAD!", "NEW", "OLD"], WEEK)
    assert reasons(found, "A") == ["present", "present", "no_trade", "no_trade", "no_trade"]
    assert set(reasons(found, "NONE")) == {"vendor_has_none"}
    assert reasons(found, "PLAN") == ["not_entitled"] * 2 + ["not_fetched"] * 3
    assert set(reasons(found, "BAD!")) == {"refused"}
    assert reasons(found, "NEW") == ["not_listed"] * 3 + ["not_fetched"] * 2
    assert reasons(found, "OLD") == ["not_fetched"] * 2 + ["not_listed"] * 3
    assert found.unexplained == 7


def test_a_whole_market_day_answers_for_every_symbol(store: Store) -> None:
    write(store, daily("A", WEEK[0]), asked("*", WEEK[:1], 1))
    found = coverage(store, DAILY, ["A", "B"], WEEK[:2])
    assert reasons(found, "A") == ["present", "not_fetched"]
    assert reasons(found, "B") == ["no_trade", "not_fetched"]


def test_again_asks_for_what_was_asked_in_vain(store: Store) -> None:
    write(store, daily("A", WEEK[0]), asked("A", WEEK[:2], 1))
    assert reasons(coverage(store, DAILY, ["A"], WEEK[:2], again=True), "A") == ["present", "not_fetched"]


def test_a_request_without_its_last_page_answers_nothing(store: Store) -> None:
    write(store, asked("A", WEEK, 3, is_last=False))
    assert set(reasons(coverage(store, DAILY, ["A"], WEEK), "A")) == {"not_fetched"}


def test_an_answer_from_before_the_close_is_no_answer_for_that_day(store: Store) -> None:
    noon = WEEK[1].open + timedelta(hours=2)
    write(store, asked("A", WEEK[:2], 0, received_at=noon), daily("B", WEEK[1], received_at=noon))
    assert reasons(coverage(store, DAILY, ["A"], WEEK[:2]), "A") == ["vendor_has_none", "not_fetched"]
    assert reasons(coverage(store, DAILY, ["B"], WEEK[:2]), "B") == ["not_fetched", "not_fetched"]


def test_quirk_19_symbols_differ_by_case(store: Store) -> None:
    write(store, daily("AAp", WEEK[0]))
    found = coverage(store, DAILY, ["AAP", "AAp"], WEEK[:1])
    assert reasons(found, "AAP") == ["not_fetched"]
    assert reasons(found, "AAp") == ["present"]


def bar(symbol: str, at: datetime) -> Batch:
    return rows("bars", {"symbol": symbol, "ts": at, "interval": "1m", "vendor": "alpaca", "received_at": at})


def test_quirk_33_gaps_and_halts_of_captured_tables(store: Store) -> None:
    monday, tuesday = WEEK[:2]
    gap = {"vendor": "alpaca", "feed": "sip", "channel": "bars", "state": "closed", "start": tuesday.open}
    write(
        store,
        bar("A", monday.open),
        bar("A", tuesday.open),
        rows("gaps", {**gap, "end": tuesday.open + timedelta(minutes=1)}),
        rows("statuses", {"symbol": "H", "ts": monday.open, "status_code": "H", "vendor": "alpaca"}),
        rows("statuses", {"symbol": "H", "ts": WEEK[2].open, "status_code": "T", "vendor": "alpaca"}),
    )
    found = coverage(store, MINUTES, ["A", "H"], WEEK)
    assert reasons(found, "A") == ["present", "gap", "not_fetched", "not_fetched", "not_fetched"]
    assert reasons(found, "H") == ["not_fetched", "gap", "halted", "not_fetched", "not_fetched"]


def test_what_is_being_asked_for_is_not_missing_any_more(store: Store) -> None:
    begun = Call(
        endpoint="x",
        table="daily_bars",
        path="/",
        symbols=("A",),
        start=day_span(WEEK[1].day)[0],
        end=day_span(WEEK[2].day)[1],
    )
    left = without(coverage(store, DAILY, ["A", "B"], WEEK), [begun])
    assert left.missing().tolist() == [[True, False, False, True, True], [True] * 5]


def test_a_session_is_its_day_in_new_york_on_both_sides_of_a_clock_change() -> None:
    for day, hours in ((date(2025, 3, 7), 24), (date(2025, 3, 9), 23), (date(2025, 11, 2), 25)):
        start, end = day_span(day)
        assert end - start == timedelta(hours=hours)
    early = session(date(2025, 11, 28))
    assert early is not None
    assert span(early, True)[1] == datetime(2025, 11, 28, 22, tzinfo=UTC)


def test_details_of_a_ticker_hide_neither_its_end_nor_its_beginning(store: Store) -> None:
    listed = {"symbol": "OLD", "vendor_symbol": "OLD", "vendor": "polygon", "listed_on": None}
    write(
        store,
        rows("tickers", {**listed, "feed": "sip", "is_active": False, "delisted_on": WEEK[3].day}),
        rows(
            "tickers",
            {**listed, "feed": "details", "is_active": True, "delisted_on": None, "listed_on": WEEK[1].day},
        ),
        rows("tickers", {**listed, "symbol": "ON", "vendor_symbol": "ON", "feed": "sip", "is_active": True}),
    )
    found = coverage(store, DAILY, ["OLD"], WEEK)
    assert reasons(found, "OLD") == ["not_listed", *["not_fetched"] * 3, "not_listed"]
    assert listed_by(store, "polygon") == ["ON"]


def test_an_index_and_its_proxy_are_two_rows(store: Store) -> None:
    index = {"symbol": "SPX", "vendor": "alphavantage", "session": WEEK[0].day, "received_at": LATER}
    write(
        store,
        rows("index_bars", {**index, "feed": "rest", "proxy": None, "close": 6800.0}),
        rows("index_bars", {**index, "feed": "proxy", "proxy": "SPY", "close": 680.0}),
    )
    found = store.query("select feed, proxy, close from index_bars_latest order by feed").to_pylist()
    assert [tuple(r.values()) for r in found] == [("proxy", "SPY", 680.0), ("rest", None, 6800.0)]
    assert reasons(coverage(store, Dataset("alphavantage", "index_bars"), ["SPX"], WEEK[:1]), "SPX") == ["present"]


def refused(symbol: str, days_ago: float, endpoint: str = "FULL", **values: Any) -> Batch:
    at = LATER - timedelta(days=days_ago)
    return asked(symbol, WEEK, 0, **{"outcome": "not_entitled", "endpoint": endpoint, "received_at": at, **values})


@pytest.mark.parametrize(("days_ago", "reason"), [(0.9, "not_entitled"), (1.1, "not_fetched")])
def test_what_a_plan_refused_is_open_again_after_a_day(store: Store, days_ago: float, reason: str) -> None:
    write(store, refused("A", days_ago), asked("A", WEEK[:1], 1, chain="A", page=0, is_last=False, endpoint="FIRST"))
    again = coverage(store, DAILY, ["A"], WEEK, refusals=Refusals(LATER - timedelta(days=1)))
    assert reasons(again, "A") == [reason] * 5
    assert set(reasons(coverage(store, DAILY, ["A"], WEEK), "A")) == {"not_entitled"}, "what is shown stays explained"


def test_of_a_plan_by_endpoint_one_symbol_tries_and_an_answer_opens_all(store: Store) -> None:
    since = Refusals(LATER - timedelta(days=1), by_endpoint=True)
    names = ["A", "B", "C"]
    write(
        store,
        refused("A", 2.0),
        *(refused(n, 1.9, outcome="not_asked") for n in names[1:]),
    )
    found = coverage(store, DAILY, names, WEEK, refusals=since)
    assert [set(reasons(found, n)) for n in names] == [{"not_fetched"}, {"not_entitled"}, {"not_entitled"}]
    write(store, refused("A", 0.5, chain="A again"))
    found = coverage(store, DAILY, names, WEEK, refusals=since)
    assert {r for n in names for r in reasons(found, n)} == {"not_entitled"}
    write(store, asked("A", WEEK, 5, chain="A at last", endpoint="FULL"))
    found = coverage(store, DAILY, names, WEEK, refusals=since)
    assert [set(reasons(found, n)) for n in names] == [{"no_trade"}, {"not_fetched"}, {"not_fetched"}]

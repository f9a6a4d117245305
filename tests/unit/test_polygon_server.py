"""Polygon's own side: a history goes out in the vendor's shapes and comes back as the same rows."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.history_polygon import (
    BASE,
    BY_NAME,
    KEY,
    NOW,
    REST,
    Memory,
    Row,
    ask,
    bar,
    daily,
    days,
    decoded,
    fetch,
    ny,
    quote,
    rows,
    serve,
    ticker,
    trade,
)
from tickerplant.calendar import NEW_YORK
from tickerplant.credentials import Secret
from tickerplant.rest import Account, Answer, Ask, HttpRequest, Outcome
from tickerplant.vendors.polygon.rest_server import SERVER

SYMBOLS = ("AAPL", "BRK.B", "KIM.PRL", "NA", "TRUE")
FIRST = date(2026, 3, 2)
LAST = date(2026, 3, 14)

prices = st.floats(0.0001, 1e6, allow_nan=False)
volumes = st.one_of(st.none(), st.floats(0, 1e10, allow_nan=False), st.integers(0, 10**9).map(float))
moments = st.integers(0, 10 * 24 * 60 - 1).map(lambda m: ny("2026-03-02 00:00") + timedelta(minutes=m))
codes = st.one_of(st.none(), st.lists(st.integers(0, 70), max_size=3).map(lambda c: ",".join(map(str, c))))
venues = st.integers(1, 21).map(str)


@st.composite
def day_rows(draw: st.DrawFn) -> list[Row]:
    keys = draw(st.sets(st.tuples(st.sampled_from(SYMBOLS), st.sampled_from(days(FIRST, 12))), max_size=14))
    return [
        daily(s, d) | {"close": draw(prices), "volume": draw(volumes), "vwap": draw(st.none() | prices)}
        for s, d in sorted(keys)
    ]


@st.composite
def tick_rows(draw: st.DrawFn, kind: str) -> list[Row]:
    keys = sorted(draw(st.sets(st.tuples(moments, st.integers(0, 999)), max_size=12)))
    if kind == "trades":
        sizes = st.sampled_from([0.0, 1.0, 100.0, 0.0406, 2.5, 1e-6])
        return [
            trade("AAPL", at, ns, price=draw(prices), size=draw(sizes), conditions=draw(codes), exchange=draw(venues))
            for at, ns in keys
        ]
    sides = st.tuples(prices, st.integers(0, 10**6).map(float), st.one_of(venues, st.just(" ")))
    made = []
    for at, ns in keys:
        named = [(f"{side}_{n}", i) for side in ("bid", "ask") for i, n in enumerate(("price", "size", "exchange"))]
        drawn = {"bid": draw(sides), "ask": draw(sides)}
        found = {name: drawn[name[:3]][i] for name, i in named}
        made.append(quote("AAPL", at, ns, **found, conditions=draw(codes), tape=draw(st.sampled_from("ABC"))))
    return made


@settings(max_examples=40, deadline=None)
@given(day_rows(), st.sampled_from([None, 1, 2, 5]))
def test_days_come_back_by_ticker_and_by_day(known: list[Row], page_rows: int | None) -> None:
    memory = Memory({"daily_bars": known})
    account = Account(page_rows=page_rows)
    for symbol in SYMBOLS:
        found = fetch(ask("daily_bars", symbol, start=FIRST, end=LAST), memory, "daily_bars", account)
        assert found.rows("daily_bars") == [r for r in known if r["symbol"] == symbol]
    for day in days(FIRST, 12):
        found = fetch(ask("daily_bars", start=day, end=day + timedelta(1)), memory, "grouped_daily", account)
        assert found.rows("daily_bars") == [r for r in known if r["session"] == day]


@settings(max_examples=40, deadline=None)
@given(st.sets(moments, max_size=20), st.tuples(moments, moments), st.sampled_from([None, 1, 3, 50]))
def test_bars_of_any_span_come_back(
    stamps: set[datetime], span: tuple[datetime, datetime], page_rows: int | None
) -> None:
    known = [bar("AAPL", at, close=i + 1.125) for i, at in enumerate(sorted(stamps))]
    start, end = min(span), max(span) + timedelta(seconds=1)
    memory = Memory({"bars": known})
    found = fetch(Ask("bars", ("AAPL",), start, end, "1m"), memory, "bars", Account(page_rows=page_rows))
    assert found.rows("bars") == [r for r in known if start <= r["ts"] < end]
    assert [c.page for c in found.calls] == list(range(len(found.calls)))


@pytest.mark.parametrize("kind", ["trades", "quotes"])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_ticks_of_any_span_come_back(kind: str, data: st.DataObject) -> None:
    known = data.draw(tick_rows(kind))
    start, end = sorted(data.draw(st.tuples(moments, moments)))
    end += timedelta(microseconds=1)
    account = Account(page_rows=data.draw(st.sampled_from([None, 1, 3])))
    found = fetch(Ask(kind, ("AAPL",), start, end), Memory({kind: known}), kind, account)
    assert found.rows(kind) == [r for r in known if start <= r["ts"] < end]


def test_every_version_of_a_bar_counts_once_and_the_last_one() -> None:
    first, second = daily("AAPL", FIRST, 10.0), daily("AAPL", FIRST, 11.0)
    memory = Memory({"daily_bars": [first, second]})
    found = fetch(ask("daily_bars", "AAPL", start=FIRST, end=LAST), memory, "daily_bars")
    assert found.rows("daily_bars") == [second]


def test_pages_of_longer_bars_count_minutes() -> None:
    known = [bar("AAPL", ny("2026-03-02 04:00") + timedelta(hours=i), interval="1h") for i in range(5)]
    call = BY_NAME["bars"].call(Ask("bars", ("AAPL",), ny("2026-03-02 00:00"), ny("2026-03-03 00:00"), "1h"))
    short = msgspec.structs.replace(call, params=(("adjusted", "false"), ("sort", "asc"), ("limit", "120")))
    answer = serve(short, Memory({"bars": known}))
    assert len(json.loads(answer.body)["results"]) == 2
    following = REST.follow(short, answer)
    assert following is not None
    assert following.path != short.path
    assert json.loads(serve(following, Memory({"bars": known})).body)["resultsCount"] == 2


def _index(symbol: str, session: date, proxy: str | None = None) -> Row:
    values = {"open": 1.5, "high": 3.0, "low": 1.0, "close": 2.0}
    return {"symbol": symbol, "session": session, **values, "volume": None, "proxy": proxy}


def test_indices_come_back_and_their_proxies_do_not() -> None:
    known = [_index("SPX", d) for d in (FIRST, date(2026, 3, 9))] + [_index("SPX", LAST, "SPY")]
    found = fetch(
        ask("index_bars", "SPX", start=FIRST, end=date(2026, 4, 1)), Memory({"index_bars": known}), "index_bars"
    )
    assert found.rows("index_bars") == known[:2]
    assert b'"adjusted"' not in found.answers[0].body


@pytest.mark.parametrize("page_rows", [None, 1, 2])
def test_lists_of_tickers_come_back_page_by_page_quirk_16(page_rows: int | None) -> None:
    known = [
        ticker("AA.PR", name="Preferred, Ltd", exchange="XNYS", type="PFD", vendor_symbol="AAp"),
        ticker("AAP", name="Advance", currency="usd", cik="1", figi="BBG1", vendor_id="BBG1"),
        ticker("FB", is_active=False, delisted_on=date(2022, 6, 9)),
        ticker("NA", name="Nano"),
    ]
    memory, asked = Memory({"tickers": known}), ask("tickers", start=FIRST, end=LAST)
    active = fetch(asked, memory, "tickers", Account(page_rows=page_rows))
    assert sorted(active.rows("tickers"), key=lambda r: r["symbol"]) == [known[0], known[1], known[3]]
    assert len(active.calls) == {None: 1, 1: 3, 2: 2}[page_rows]
    assert [r["vendor_symbol"] for r in active.rows("tickers")] == ["AAP", "AAp", "NA"]
    gone = fetch(asked, memory, "tickers_delisted", Account(page_rows=page_rows))
    assert gone.rows("tickers") == [known[2]]


def test_details_of_a_ticker_come_back() -> None:
    more = {"listed_on": date(1980, 12, 12), "market_cap": 1e12, "shares_outstanding": 5e9, "industry": "COMPUTERS"}
    known = ticker("KIM.PRL", vendor_symbol="KIMpL", name="Kimco", **more)
    memory = Memory({"tickers": [known]})
    found = fetch(ask("tickers", "KIM.PRL", start=FIRST, end=LAST), memory, "ticker_details")
    assert found.rows("tickers") == [known]
    nobody = fetch(ask("tickers", "KIMPL", start=FIRST, end=LAST), memory, "ticker_details")
    assert [v.outcome for v in nobody.verdicts] == [Outcome.NO_DATA]
    assert [(r["symbol"], r["outcome"]) for r in nobody.rows("coverage")] == [("KIMPL", "no_data")]


def _split(symbol: str, day: date, number: int) -> Row:
    own = {"symbol": symbol, "ex_date": day, "split_from": 1.0, "split_to": 4.0 + number / 2}
    return {**own, "vendor_id": f"E{number}", "details": None}


def _dividend(symbol: str, day: date, number: int) -> Row:
    own = {"symbol": symbol, "ex_date": day, "amount": 0.25, "currency": "USD", "type": "CD", "frequency": 4}
    later = {"declared_on": None, "record_date": day, "pay_date": day + timedelta(14), "vendor_id": f"E{number}"}
    return own | later


@pytest.mark.parametrize("page_rows", [None, 1, 2])
@pytest.mark.parametrize(
    ("table", "endpoint"),
    [("splits", "splits"), ("splits", "splits_v1"), ("dividends", "dividends"), ("dividends", "dividends_v1")],
)
def test_actions_of_a_span_come_back(table: str, endpoint: str, page_rows: int | None) -> None:
    make = _split if table == "splits" else _dividend
    known = [make(s, d, i) for i, (s, d) in enumerate((s, d) for d in days(FIRST, 14) for s in ("AAPL", "KIM.PRL"))]
    memory, account = Memory({table: known}), Account(page_rows=page_rows)
    inside = [r for r in known if date(2026, 3, 5) <= r["ex_date"] < date(2026, 3, 11)]
    found = fetch(ask(table, start=date(2026, 3, 5), end=date(2026, 3, 11)), memory, endpoint, account)
    made = [r | ({"details": None} if table == "splits" else {}) for r in found.rows(table)]
    assert sorted(made, key=lambda r: (r["ex_date"], r["symbol"])) == inside
    one = fetch(ask(table, "KIM.PRL", start=date(2026, 3, 5), end=date(2026, 3, 11)), memory, endpoint, account)
    assert [r["vendor_id"] for r in one.rows(table)] == [r["vendor_id"] for r in inside if r["symbol"] == "KIM.PRL"]


def test_renames_come_back() -> None:
    asked = ask("corporate_actions", "META", start=FIRST, end=LAST)
    event = {"ticker_change": {"ticker": "FB"}, "type": "ticker_change", "date": "2012-05-18"}
    later = {"ticker_change": {"ticker": "META"}, "type": "ticker_change", "date": "2022-06-09"}
    body = {"status": "OK", "results": {"name": "Meta", "composite_figi": "BBG1", "cik": "1", "events": [later, event]}}
    known = rows(decoded(BY_NAME["ticker_events"].call(asked), msgspec.json.encode(body)), "corporate_actions")
    found = fetch(asked, Memory({"corporate_actions": known}), "ticker_events")
    assert [{k: v for k, v in r.items() if k != "details"} for r in found.rows("corporate_actions")] == [
        {k: v for k, v in r.items() if k != "details"} for r in known
    ]
    again = ask("corporate_actions", "FB", start=FIRST, end=LAST)
    assert len(fetch(again, Memory({"corporate_actions": known}), "ticker_events").rows("corporate_actions")) == 2
    nobody = fetch(ask("corporate_actions", "X", start=FIRST, end=LAST), Memory({}), "ticker_events")
    assert nobody.verdicts[0].outcome is Outcome.NO_DATA


def test_days_ahead_come_back() -> None:
    hours = {"opens_at": ny("2026-11-27 09:30"), "closes_at": ny("2026-11-27 13:00")}
    known = [
        {"exchange": "NYSE", "session": date(2026, 11, 26), "status": "closed", "name": "Thanksgiving"},
        {"exchange": "NYSE", "session": date(2026, 11, 27), "status": "early-close", "name": "Thanksgiving"} | hours,
    ]
    past = [known[0] | {"session": date(2025, 11, 27)}, known[1] | {"session": date(2026, 11, 25), "status": "open"}]
    found = fetch(ask("market_days", start=FIRST, end=LAST), Memory({"market_days": [*known, *past]}), "market_days")
    assert found.rows("market_days") == [known[0] | {"opens_at": None, "closes_at": None}, known[1]]


def _snapshot(symbol: str, **more: Any) -> Row:
    own = {"symbol": symbol, "session": date(2026, 3, 20), "price": 11.0, "open": 10.5, "high": 12.0, "low": 10.0}
    return own | {"volume": 5e6, "previous_close": 10.0, "change": 1.0, "change_percent": 10.0} | more


@pytest.mark.parametrize("endpoint", ["snapshots", "snapshots_of", "snapshots_v3"])
def test_snapshots_come_back(endpoint: str) -> None:
    known = [_snapshot("AAPL"), _snapshot("KIM.PRL", price=3.25)]
    names = () if endpoint == "snapshots" else ("AAPL", "KIM.PRL", "NOBODY")
    found = fetch(ask("snapshots", *names, start=FIRST, end=LAST), Memory({"snapshots": known}), endpoint)
    assert found.rows("snapshots") == known


def test_a_snapshot_is_made_of_the_last_two_days() -> None:
    known = [daily("AAPL", date(2026, 3, 19), 10.0), daily("AAPL", date(2026, 3, 20), 12.5)]
    found = fetch(ask("snapshots", "AAPL", start=FIRST, end=LAST), Memory({"daily_bars": known}), "snapshots_of")
    wanted = {
        "session": date(2026, 3, 20),
        "price": 12.5,
        "previous_close": 10.0,
        "change": 2.5,
        "change_percent": 25.0,
    }
    assert wanted.items() <= found.rows("snapshots")[0].items()
    one = _get("/v2/snapshot/locale/us/markets/stocks/tickers/AAPL", Memory({"daily_bars": known}))
    assert json.loads(one.body)["ticker"]["prevDay"] == {"c": 10.0}


def _get(path: str, history: Memory | None = None, account: Account | None = None, **params: str) -> Answer:
    headers = {"authorization": f"Bearer {KEY}"}
    request = HttpRequest(path, tuple((k.replace("_dot_", "."), v) for k, v in params.items()), headers, NOW, BASE)
    return SERVER.answer(request, history or Memory({}), account or Account())


def test_splits_adjust_unless_declined_quirk_23() -> None:
    known = {
        "daily_bars": [daily("AAPL", date(2026, 3, 5), 40.0), daily("AAPL", date(2026, 3, 9), 10.0)],
        "splits": [_split("AAPL", date(2026, 3, 9), 0)],
        "dividends": [_dividend("AAPL", date(2026, 3, 9), 0)],
    }
    path = "/v2/aggs/ticker/AAPL/range/1/day/2026-03-01/2026-03-13"
    adjusted, raw = (json.loads(_get(path, Memory(known), adjusted=a).body) for a in ("true", "false"))
    assert [(r["c"], r["v"]) for r in adjusted["results"]] == [(10.0, 4000.0), (10.0, 1000.0)]
    assert [(r["c"], r["v"]) for r in raw["results"]] == [(40.0, 1000.0), (10.0, 1000.0)]
    assert (adjusted["adjusted"], raw["adjusted"]) == (True, False)


def test_an_empty_answer_has_no_results_quirk_13() -> None:
    for path in (
        "/v2/aggs/ticker/X/range/1/day/2026-03-01/2026-03-13",
        "/v2/aggs/grouped/locale/us/market/stocks/2026-03-08",
    ):
        body = json.loads(_get(path).body)
        assert body["status"] == "OK"
        assert "results" not in body
    assert json.loads(_get("/v3/trades/X").body)["results"] == []


def test_the_previous_day_carries_its_end_quirk_22() -> None:
    known = [daily("AAPL", date(2026, 3, 18)), daily("AAPL", date(2026, 3, 19), 12.0), daily("AAPL", date(2026, 3, 20))]
    body = json.loads(_get("/v2/aggs/ticker/AAPL/prev", Memory({"daily_bars": known})).body)
    assert [(r["T"], r["c"]) for r in body["results"]] == [("AAPL", 12.0)]
    assert datetime.fromtimestamp(body["results"][0]["t"] / 1000, NEW_YORK).isoformat() == "2026-03-19T16:00:00-04:00"


def test_keys() -> None:
    account = Account(secret=Secret(KEY))
    path = "/v3/reference/tickers"
    for headers, params, status in (
        ({"authorization": f"Bearer {KEY}"}, (), 200),
        ({}, (("apiKey", KEY),), 200),
        ({"authorization": "Bearer other"}, (), 401),
        ({}, (), 401),
    ):
        answer = SERVER.answer(HttpRequest(path, params, headers, NOW, BASE), Memory({}), account)
        assert answer.status == status
        assert KEY.encode() not in answer.body


def test_plans() -> None:
    account = Account(tables=frozenset({"daily_bars", "tickers"}))
    history = Memory({"trades": [trade("AAPL", ny("2026-03-02 10:00"))]})
    asked = Ask("trades", ("AAPL",), ny("2026-03-02 00:00"), ny("2026-03-03 00:00"))
    refused = fetch(asked, history, "trades", account)
    assert [v.outcome for v in refused.verdicts] == [Outcome.NOT_ENTITLED]
    assert json.loads(refused.answers[0].body)["message"].startswith("You are not entitled")
    assert _get("/v2/aggs/ticker/AAPL/range/1/day/2026-03-01/2026-03-13", account=account).status == 200
    assert _get("/v2/aggs/ticker/AAPL/range/1/minute/2026-03-01/2026-03-13", account=account).status == 403
    assert _get("/v2/aggs/ticker/I:SPX/range/1/day/2026-03-01/2026-03-13", account=account).status == 403


def test_delayed_plans_hold_back_and_say_so_quirk_32() -> None:
    known = [bar("AAPL", NOW - timedelta(minutes=m)) for m in (30, 16, 14, 1)]
    asked = Ask("bars", ("AAPL",), NOW - timedelta(hours=1), NOW, "1m")
    found = fetch(asked, Memory({"bars": known}), "bars", Account(is_delayed=True))
    assert found.rows("bars") == known[:2]
    assert json.loads(found.answers[0].body)["status"] == "DELAYED"
    assert found.verdicts[0].outcome is Outcome.ROWS


@pytest.mark.parametrize(
    ("path", "params"),
    [
        ("/v2/aggs/ticker/AAPL/range/1/day/yesterday/2026-03-13", {}),
        ("/v2/aggs/ticker/AAPL/range/1/fortnight/2026-03-01/2026-03-13", {}),
        ("/v2/aggs/ticker/AAPL/range/1/day/2026-03-01/2026-03-13", {"limit": "x"}),
        ("/v2/aggs/ticker/AAPL/range/1/day/2026-03-01/2026-03-13", {"cursor": "%%%"}),
        ("/v2/aggs/grouped/locale/us/market/stocks/2026-13-01", {}),
        ("/v3/trades/AAPL", {"timestamp_dot_gte": "noon"}),
        ("/v3/trades/AAPL", {"limit": "0"}),
        ("/v3/quotes/AAPL", {"order": "sideways"}),
        ("/v3/reference/tickers", {"cursor": "a"}),
        ("/v3/reference/splits", {"execution_date_dot_gte": "x"}),
    ],
)
def test_wrong_parameters(path: str, params: dict[str, str]) -> None:
    answer = _get(path, None, None, **params)
    assert answer.status == 400
    call = BY_NAME["tickers"].call(ask("tickers", start=FIRST, end=LAST))
    assert REST.judge(call, answer).outcome is Outcome.BAD_REQUEST


def test_paths_that_are_not_there() -> None:
    answer = _get("/v9/nothing")
    assert (answer.status, answer.body) == (404, b"404 page not found\n")


def test_defaults_are_the_vendors_quirk_16() -> None:
    known = [trade("AAPL", ny("2026-03-02 10:00") + timedelta(seconds=i)) for i in range(1001)]
    body = json.loads(_get("/v3/trades/AAPL", Memory({"trades": known})).body)
    assert len(body["results"]) == 1000
    assert body["results"][0]["sequence_number"] == 1001
    assert body["next_url"].startswith(f"{BASE}/v3/trades/AAPL?cursor=")
    splits = [_split("AAPL", d, i) for i, d in enumerate(days(FIRST, 14))]
    first = json.loads(_get("/v3/reference/splits", Memory({"splits": splits})).body)
    assert [s["id"] for s in first["results"]] == [f"E{i}" for i in range(13, 3, -1)]


def test_a_cursor_pins_the_query_and_names_no_key() -> None:
    history = Memory({"tickers": [ticker(n) for n in ("A", "B", "C")]})
    request = HttpRequest(
        "/v3/reference/tickers", (("limit", "1"), ("order", "desc"), ("apiKey", KEY)), {}, NOW, "http://h"
    )
    first = json.loads(SERVER.answer(request, history, Account()).body)
    assert KEY not in first["next_url"]
    cursor = first["next_url"].partition("cursor=")[2]
    second = json.loads(_get("/v3/reference/tickers", history, cursor=cursor, limit="1000", order="asc").body)
    assert [r["ticker"] for r in (*first["results"], *second["results"])] == ["C", "B"]


def test_lists_as_csv() -> None:
    history = Memory({"daily_bars": [daily("AAPL", FIRST), daily("AAPL", LAST)]})
    call = BY_NAME["daily_bars"].call(ask("daily_bars", "AAPL", start=FIRST, end=date(2026, 4, 1)))
    answer = serve(call, history, accept="text/csv")
    assert answer.body.splitlines()[0] == b"c,h,l,n,o,t,v,vw"
    assert REST.judge(call, answer).outcome is Outcome.ROWS
    assert rows(decoded(call, answer.body), "daily_bars") == history.tables["daily_bars"]
    grouped = BY_NAME["grouped_daily"].call(ask("daily_bars", start=FIRST, end=FIRST + timedelta(1)))
    told = serve(grouped, history, accept="text/csv")
    assert rows(decoded(grouped, told.body), "daily_bars") == history.tables["daily_bars"][:1]


def test_a_busy_day_takes_several_calls_and_loses_nothing_quirk_10() -> None:
    known = [trade("AAPL", ny("2026-03-02 09:30") + timedelta(milliseconds=i), trade_id=str(i)) for i in range(2500)]
    asked = Ask("trades", ("AAPL",), ny("2026-03-02 04:00"), ny("2026-03-02 20:00"))
    found = fetch(asked, Memory({"trades": known}), "trades", Account(page_rows=400))
    assert len(found.calls) == 7
    assert [r["trade_id"] for r in found.rows("trades")] == [str(i) for i in range(2500)]
    covered = found.rows("coverage")
    assert [r["is_last"] for r in covered] == [False] * 6 + [True]
    assert sum(r["rows"] for r in covered) == 2500


PATHS = ("/v3/trades/A", "/v3/reference/tickers", "/v3/reference/splits", "/stocks/v1/dividends", "/v3/snapshot")
PARTS = ("", "v2", "aggs", "ticker", "A", "range", "1", "day", "2026-03-01", "x")
NAMES = ("limit", "cursor", "order", "sort", "timestamp", "ticker.any_of", "execution_date.gt", "ap")


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(PATHS) | st.text(max_size=30) | st.lists(st.sampled_from(PARTS), max_size=9).map("/".join),
    st.dictionaries(st.sampled_from(NAMES), st.text(max_size=12) | st.integers().map(str), max_size=3),
)
def test_requests_of_any_kind_are_answered(path: str, params: dict[str, str]) -> None:
    request = HttpRequest(path, tuple(params.items()), {"authorization": f"Bearer {KEY}"}, NOW, BASE)
    assert SERVER.answer(request, Memory({}), Account()).status in (200, 400, 403, 404)

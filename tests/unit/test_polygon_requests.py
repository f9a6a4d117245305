"""Symbols, calls, pages and secrets of Polygon."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.history_polygon import BY_NAME, CREDENTIALS, KEY, REST, ask, envelope, ny
from tickerplant.errors import BadData
from tickerplant.rest import Answer, Ask, Asked, Call, encode_asked
from tickerplant.tables import TABLES
from tickerplant.vendors import vendor
from tickerplant.vendors.polygon.endpoints import ENDPOINTS, FLAT, OTHERS
from tickerplant.vendors.polygon.symbols import from_vendor, to_vendor

DAY = date(2025, 11, 19)
START, END = ny("2025-11-19 04:00"), ny("2025-11-19 20:00")

SPELLINGS = [
    ("BRK.B", "BRK.B"),
    ("KIM.PRL", "KIMpL"),
    ("AA.PR", "AAp"),
    ("AAP", "AAP"),
    ("C.PRL.CL", "CpL.CL"),
    ("AAM.WS", "AAM.WS"),
    ("AAM.U", "AAM.U"),
    *((name, name) for name in ("NA", "NAN", "TRUE", "ON", "INF", "NULL", "P", "PR", "APP", "GEVw", "ZVZZT")),
]


@pytest.mark.parametrize(("ours", "theirs"), SPELLINGS)
def test_spellings_quirk_19(ours: str, theirs: str) -> None:
    assert to_vendor(ours) == theirs
    assert from_vendor(theirs) == ours


@given(st.one_of(st.text(max_size=12), st.from_regex(r"\A[A-Z]{1,4}(p[A-Z]?|\.PR[A-Z]?|\.[A-Z])?(\.[A-Z]{1,2})?\Z")))
def test_each_way_undoes_the_other(text: str) -> None:
    assert from_vendor(to_vendor(text)) == text
    assert to_vendor(from_vendor(text)) == text


def test_names_differ_by_case_alone_quirk_19() -> None:
    names = ["AAP", "AAp", "KIMpL", "KIMPL", "AAPL", "aapl"]
    assert len({from_vendor(n) for n in names}) == len(names)


def test_calls_of_one_symbol() -> None:
    call = BY_NAME["daily_bars"].call(ask("daily_bars", "KIM.PRL", start=date(2025, 1, 2), end=date(2025, 3, 1)))
    assert call.path == "/v2/aggs/ticker/KIMpL/range/1/day/2025-01-02/2025-02-28"
    assert dict(call.params) == {"adjusted": "false", "sort": "asc", "limit": "50000"}
    assert (call.symbols, call.feed, call.endpoint) == (("KIM.PRL",), "sip", "daily_bars")
    index = BY_NAME["index_bars"].call(ask("index_bars", "SPX", start=DAY, end=date(2025, 11, 20)))
    assert index.path == "/v2/aggs/ticker/I:SPX/range/1/day/2025-11-19/2025-11-19"


def test_intraday_bounds_are_inclusive_milliseconds() -> None:
    call = BY_NAME["bars"].call(Ask("bars", ("AAPL",), START, END, "5m"))
    first, last = (int(part) for part in call.path.split("/")[-2:])
    assert call.path.startswith("/v2/aggs/ticker/AAPL/range/5/minute/")
    assert datetime.fromtimestamp(first / 1000, UTC) == START
    assert datetime.fromtimestamp((last + 1) / 1000, UTC) == END
    odd = BY_NAME["bars"].call(
        Ask("bars", ("AAPL",), START + timedelta(microseconds=1), END - timedelta(microseconds=1))
    )
    assert [int(p) for p in odd.path.split("/")[-2:]] == [first, last]


def test_ticks_are_asked_for_half_open_and_in_order() -> None:
    call = BY_NAME["trades"].call(Ask("trades", ("BRK.B",), START, END))
    nanos = int(START.timestamp()) * 1_000_000_000
    assert call.path == "/v3/trades/BRK.B"
    assert call.params[:3] == (
        ("timestamp.gte", str(nanos)),
        ("timestamp.lt", str(nanos + 16 * 3600 * 1_000_000_000)),
        ("order", "asc"),
    )
    assert ("limit", "50000") in call.params


def test_a_market_day_is_one_call() -> None:
    call = BY_NAME["grouped_daily"].call(ask("daily_bars", start=DAY, end=date(2025, 11, 20)))
    assert call.path == "/v2/aggs/grouped/locale/us/market/stocks/2025-11-19"
    assert ("adjusted", "false") in call.params
    assert call.symbols == ("*",)


def test_lists_ask_for_full_pages_of_days_in_new_york_quirk_16() -> None:
    asked = ask("splits", start=date(2025, 3, 9), end=date(2025, 11, 2))
    call = BY_NAME["splits"].call(asked)
    wanted = {"execution_date.gte": "2025-03-09", "execution_date.lt": "2025-11-02", "order": "asc", "limit": "1000"}
    assert dict(call.params) == wanted | {"sort": "execution_date"}
    newer = dict(BY_NAME["dividends_v1"].call(ask("dividends", "KIM.PRL", start=DAY, end=DAY + timedelta(1))).params)
    assert (newer["sort"], newer["limit"], newer["ticker"]) == ("ex_dividend_date.asc", "5000", "KIMpL")
    active, gone = (dict(BY_NAME[n].call(asked).params)["active"] for n in ("tickers", "tickers_delisted"))
    assert (active, gone) == ("true", "false")


def test_flat_files_have_a_path_a_day() -> None:
    call = BY_NAME["flat_trades"].call(Ask("trades", ("*",), START, END))
    assert call.path == "/flatfiles/us_stocks_sip/trades_v1/2025/11/2025-11-19.csv.gz"
    assert call.host == "files"


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_every_call_is_whole_and_holds_no_secret(name: str) -> None:
    endpoint = BY_NAME[name]
    for table in endpoint.tables:
        symbols = ("*",) if endpoint.shape in ("day", "market") else ("AAPL",)
        call = endpoint.call(Ask(table, symbols, START, END, "1m" if table == "bars" else None))
        assert (call.endpoint, call.table, call.symbols) == (name, table, symbols)
        assert (call.start, call.end, call.feed, call.page) == (START, END, "sip", 0)
        assert call.host in REST.hosts
        assert table in TABLES
        text = encode_asked(Asked(call=call, chain="c"))
        assert KEY not in text
        sign = REST.sign(call, CREDENTIALS)
        assert sign.params == ()
        assert sign.headers == ((("Authorization", f"Bearer {KEY}"),) if call.host == "data" else ())


def test_plans_and_endpoints() -> None:
    assert next(iter(REST.limits)) == "basic"
    assert [(limit.calls, limit.seconds) for limit in REST.limits["basic"]] == [(5, 60.0)]
    names = [e.name for e in (*ENDPOINTS, *OTHERS, *FLAT)]
    assert len(set(names)) == len(names)
    assert REST.endpoints == ENDPOINTS
    assert vendor("polygon").rest is REST


def _page(next_url: str | None) -> bytes:
    return envelope(results=[], **({"next_url": next_url} if next_url else {}))


CALL = BY_NAME["tickers"].call(ask("tickers", start=DAY, end=DAY + timedelta(1)))


def test_the_next_page_is_a_path_and_a_cursor_of_any_host_quirk_16() -> None:
    for host in ("https://api.massive.com", "https://api.polygon.io", "http://127.0.0.1:9"):
        url = f"{host}/v3/reference/tickers?cursor=YXA9MTAwJmFzPSZsaW1pdA%3D%3D&limit=1"
        following = REST.follow(CALL, Answer(200, _page(url), {}))
        assert following is not None
        assert following.path == "/v3/reference/tickers"
        assert following.params == (("cursor", "YXA9MTAwJmFzPSZsaW1pdA=="), ("limit", "1"))
        assert (following.page, following.table, following.start, following.host) == (1, "tickers", CALL.start, "data")


def test_the_next_page_of_bars_has_another_path() -> None:
    call = BY_NAME["daily_bars"].call(ask("daily_bars", "AAPL", start=date(2020, 1, 2), end=date(2020, 1, 11)))
    url = (
        "https://api.massive.com/v2/aggs/ticker/AAPL/range/1/day/1578114000000/2020-01-10?cursor=bGltaXQ9MiZzb3J0PWFzYw"
    )
    following = REST.follow(call, Answer(200, _page(url), {}))
    assert following is not None
    assert following.path == "/v2/aggs/ticker/AAPL/range/1/day/1578114000000/2020-01-10"
    assert msgspec.structs.replace(following, path=call.path, params=call.params, page=0) == call


def test_the_end_is_where_no_page_is_named() -> None:
    for body in (_page(None), b"[]", b"T,c\nA,1\n", b'{"next_url":null}', b'{"next_url":""}', b'{"results":[1]}'):
        assert REST.follow(CALL, Answer(200, body, {})) is None


def test_a_key_in_an_address_is_dropped() -> None:
    following = REST.follow(CALL, Answer(200, _page(f"https://h/v3/reference/tickers?apiKey={KEY}&cursor=x"), {}))
    assert following is not None
    assert following.params == (("cursor", "x"),)


def test_a_repeated_page_is_no_next_page_quirk_16() -> None:
    again = msgspec.structs.replace(CALL, params=(("cursor", "x"),), page=3)
    with pytest.raises(BadData, match="expected another page"):
        REST.follow(again, Answer(200, _page("https://h/v3/reference/tickers?cursor=x"), {}))


@pytest.mark.parametrize("url", ["nowhere", "https://", "http://[1/x", "javascript:1"])
def test_an_address_without_a_path_is_bad_data(url: str) -> None:
    with pytest.raises(BadData):
        REST.follow(CALL, Answer(200, _page(url), {}))


@given(st.binary(max_size=120) | st.text(max_size=60).map(lambda t: _page(t)))
def test_pages_that_cannot_be_read_raise_nothing_else(body: bytes) -> None:
    try:
        found = REST.follow(CALL, Answer(200, body, {}))
    except BadData:
        return
    assert found is None or isinstance(found, Call)

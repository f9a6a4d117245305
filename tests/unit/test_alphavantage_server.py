"""Alpha Vantage's side: a history goes out in its shapes and comes back as it was; the official client agrees."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.alphavantage import (
    ENDPOINTS,
    KEY,
    NOW,
    REST,
    Memory,
    Row,
    ask,
    bar,
    call,
    daily,
    decoded,
    fetch,
    ny,
    request_of,
    rows,
    ticker,
)
from tests.support.http_vendor import served
from tickerplant.calendar import sessions
from tickerplant.credentials import Secret
from tickerplant.rest import Account, Answer, Call, Outcome
from tickerplant.vendors.alphavantage.rest_server import SERVER

SYMBOLS = ("IBM", "BRK.B", "NA", "TRUE", "BAC.PRM")
SESSIONS = [s.day for s in sessions(date(2025, 9, 2), date(2026, 3, 20))]

prices = st.floats(0.0001, 1e6).map(lambda x: round(x, 6))
volumes = st.one_of(st.integers(0, 10**12).map(float), st.floats(0, 1e9).map(lambda x: round(x, 3)))


def newest_first(found: list[Row], key: str) -> list[Row]:
    return sorted(found, key=lambda r: r[key], reverse=True)


@st.composite
def bars_of_days(draw: st.DrawFn) -> list[Row]:
    """5-minute bars of extended hours, some on both sides of clock changes and month ends."""
    days = draw(st.sets(st.sampled_from(SESSIONS), min_size=1, max_size=5))
    places = draw(st.sets(st.tuples(st.sampled_from(sorted(days)), st.integers(0, 191)), min_size=1, max_size=20))
    return [
        bar("BRK.B", ny(f"{d} 04:00") + timedelta(minutes=5 * i), "5m", draw(prices), draw(volumes)) for d, i in places
    ]


@given(bars_of_days(), st.sampled_from(SESSIONS), st.sampled_from(SESSIONS))
def test_bars_come_back_as_they_are(bars: list[Row], first: date, last: date) -> None:
    asked = ask("bars", "BRK.B", start=min(first, last), end=max(first, last) + timedelta(days=1), interval="5m")
    other = bar("IBM", bars[0]["ts"])
    history = Memory({"bars": [*bars, other], "tickers": [ticker("BRK.B")]})
    fetched = fetch(asked, history)
    assert fetched.rows("bars") == newest_first([b for b in bars if asked.start <= b["ts"] < asked.end], "ts")
    assert not fetched.found.rejects


@given(
    st.sets(st.sampled_from(SESSIONS), min_size=1),
    st.sampled_from(SYMBOLS),
    st.sampled_from(SESSIONS),
    st.lists(st.tuples(prices, volumes), min_size=len(SESSIONS), max_size=len(SESSIONS)),
)
def test_daily_bars_come_back_as_they_are(
    days: set[date], symbol: str, first: date, values: list[tuple[float, float]]
) -> None:
    known = [daily(symbol, d, *values[SESSIONS.index(d)]) for d in days]
    asked = ask("daily_bars", symbol, start=first, end=date(2026, 3, 25))
    fetched = fetch(asked, Memory({"daily_bars": known}))
    assert fetched.rows("daily_bars") == newest_first([r for r in known if r["session"] >= first], "session")
    assert sum(r["rows"] for r in fetched.rows("coverage")) == len(fetched.rows("daily_bars"))
    last = fetched.rows("coverage")[-1]
    assert (last["symbol"], last["is_last"]) == (symbol, True)


def test_dividends_and_splits_come_back_as_they_are() -> None:
    known = [daily("IBM", d, 100.0) for d in SESSIONS[:30]]
    dividend = dict.fromkeys(("currency", "type", "frequency", "declared_on", "record_date", "pay_date", "vendor_id"))
    dividends = [{**dividend, "symbol": "IBM", "ex_date": SESSIONS[7], "amount": 1.675}]
    splits = [
        {"symbol": "IBM", "ex_date": d, "split_from": a, "split_to": b, "vendor_id": None, "details": details}
        for d, a, b, details in (
            (SESSIONS[20], 1.0, 4.0, '{"split_coefficient":"4.0000"}'),
            (SESSIONS[11], 3.0, 2.0, '{"split_coefficient":"0.6666666666666666"}'),
        )
    ]
    history = Memory({"daily_bars": known, "dividends": dividends, "splits": splits})
    fetched = fetch(ask("dividends", "IBM", start=SESSIONS[0], end=date(2026, 3, 20)), history)
    assert [c.endpoint for c in fetched.calls] == ["TIME_SERIES_DAILY_ADJUSTED"]
    assert fetched.rows("dividends") == dividends
    assert fetched.rows("splits") == splits
    assert fetched.rows("daily_bars") == newest_first(known, "session")


def test_the_adjusted_close_follows_from_dividends_and_splits() -> None:
    known = [daily("IBM", SESSIONS[0], 100.0), daily("IBM", SESSIONS[1], 49.0), daily("IBM", SESSIONS[2], 50.0)]
    actions = {
        "splits": [{"symbol": "IBM", "ex_date": SESSIONS[1], "split_from": 1.0, "split_to": 2.0}],
        "dividends": [{"symbol": "IBM", "ex_date": SESSIONS[2], "amount": 4.9}],
    }
    answer = SERVER.answer(
        request_of(call("TIME_SERIES_DAILY_ADJUSTED", "x")), Memory({"daily_bars": known, **actions}), Account()
    )
    days = json.loads(answer.body)["Time Series (Daily)"].values()
    assert [float(d["5. adjusted close"]) for d in days] == pytest.approx([50.0, 44.1, 45.0])


def test_tickers_active_and_delisted_come_back_as_they_are() -> None:
    known = [
        ticker("BRK.B", "BRK-B", name="Berkshire - Class B", exchange="NYSE", type="Stock", listed_on=date(1996, 5, 9)),
        ticker("NA", name="Nano Labs", exchange="NASDAQ", type="Stock", listed_on=date(2022, 7, 12)),
        ticker("SPY", name="SPDR S&P 500 ETF", exchange="NYSE ARCA", type="ETF"),
        ticker("GONE", exchange="NYSE", listed_on=date(2001, 1, 2), delisted_on=date(2015, 6, 30), is_active=False),
        ticker("SOON", exchange="NYSE", listed_on=date(2026, 3, 19)),
    ]
    asked = ask("tickers", "*", start=date(2026, 1, 5), end=date(2026, 1, 6))
    fetched = fetch(asked, Memory({"tickers": known}))
    assert [dict(c.params)["state"] for c in fetched.calls] == ["active", "delisted"]
    found = sorted(fetched.rows("tickers"), key=lambda r: r["symbol"])
    assert found == sorted(known[:4], key=lambda r: r["symbol"])
    assert [(r["symbol"], r["rows"], r["is_last"]) for r in fetched.rows("coverage")] == [
        ("*", 3, False),
        ("*", 1, True),
    ]


def test_a_listing_of_a_day_in_the_past_has_who_was_listed_then() -> None:
    known = [ticker("GONE", listed_on=date(2001, 1, 2), delisted_on=date(2015, 6, 30), is_active=False)]
    fetched = fetch(ask("tickers", "*", start=date(2015, 6, 1), end=date(2015, 6, 2)), Memory({"tickers": known}))
    assert [(r["is_active"], r["delisted_on"]) for r in fetched.rows("tickers")] == [(True, None)]
    dateless = Memory({"tickers": [ticker("OLD", is_active=False)]})
    fetched = fetch(ask("tickers", "*", start=date(2015, 6, 1), end=date(2015, 6, 2)), dateless)
    assert [(r["is_active"], r["delisted_on"]) for r in fetched.rows("tickers")] == [(False, None)]


def test_an_overview_comes_back_as_it_is() -> None:
    known = ticker(
        "BRK.B",
        "BRK-B",
        name="Berkshire",
        exchange="NYSE",
        type="Common Stock",
        currency="USD",
        cik="1067983",
        sector="FINANCE",
        industry="INSURANCE",
        market_cap=1_000_000_000_000.0,
        shares_outstanding=1_300_000_000.0,
        details='{"PERatio":"12.3","Country":"USA"}',
    )
    asked = ask("tickers", "BRK.B", start=date(2026, 1, 5), end=date(2026, 1, 6))
    assert fetch(asked, Memory({"tickers": [known]}), endpoint="OVERVIEW").rows("tickers") == [known]
    bare = ticker("IBM", details="{}")
    asked = ask("tickers", "IBM", start=date(2026, 1, 5), end=date(2026, 1, 6))
    assert fetch(asked, Memory({"tickers": [bare]}), endpoint="OVERVIEW").rows("tickers") == [bare]


def test_index_values_and_their_proxies_come_back_as_they_are() -> None:
    values = {"open": 5000.25, "high": 5100.5, "low": 4990.0, "close": None, "volume": None, "proxy": None}
    known = [{"symbol": "SPX", "session": SESSIONS[3], **values}]
    etf = daily("SPY", SESSIONS[3], 500.0)
    history = Memory({"index_bars": known, "daily_bars": [etf]})
    asked = ask("index_bars", "SPX", start=SESSIONS[0], end=date(2026, 3, 20))
    assert fetch(asked, history, endpoint="INDEX_DATA").rows("index_bars") == known
    own = {k: etf[k] for k in ("session", "open", "high", "low", "close", "volume")}
    fetched = fetch(asked, history)
    assert fetched.rows("index_bars") == [{"symbol": "SPX", "proxy": "SPY", **own}]
    assert not fetched.rows("daily_bars")


def test_a_snapshot_comes_back_as_it_is_or_from_the_last_two_days() -> None:
    values = {"price": 10.5, "open": 10.0, "high": 11.0, "low": 9.0, "volume": 5.0}
    values |= {"previous_close": 10.0, "change": 0.5, "change_percent": 5.0}
    known = {"symbol": "BRK.B", "session": SESSIONS[-1], **values}
    asked = ask("snapshots", "BRK.B", start=SESSIONS[-1], end=date(2026, 3, 20))
    assert fetch(asked, Memory({"snapshots": [known]})).rows("snapshots") == [known]
    days = [daily("BRK.B", SESSIONS[-2], 10.0), daily("BRK.B", SESSIONS[-1], 10.5)]
    made = fetch(asked, Memory({"daily_bars": days})).rows("snapshots")
    kept = ("session", "price", "previous_close", "change", "change_percent")
    assert [tuple(r[k] for k in kept) for r in made] == [(SESSIONS[-1], 10.5, 10.0, 0.5, 5.0)]


@pytest.mark.parametrize("name", ["TIME_SERIES_INTRADAY", "TIME_SERIES_DAILY", "TIME_SERIES_DAILY_ADJUSTED"])
def test_csv_gives_the_rows_that_json_gives(name: str) -> None:
    known = [daily("IBM", d, 100.25 + i, 1000.5) for i, d in enumerate(SESSIONS[-4:])]
    bars = [bar("IBM", ny(f"{SESSIONS[-1]} {clock}")) for clock in ("04:00", "09:30", "19:55")]
    history = Memory({"daily_bars": known, "bars": bars})
    endpoint = ENDPOINTS[name]
    asked = endpoint.call(ask(endpoint.tables[0], "IBM", start=date(2026, 3, 1), end=date(2026, 4, 1), interval="5m"))
    as_csv = Call(
        **{f: getattr(asked, f) for f in asked.__struct_fields__ if f != "params"},
        params=tuple((k, "csv" if k == "datatype" else v) for k, v in asked.params),
    )
    bodies = [SERVER.answer(request_of(c), history, Account()).body for c in (asked, as_csv)]
    assert bodies[0].startswith(b"{")
    assert b"\r\n" in bodies[1]
    table = "bars" if "INTRADAY" in name else "daily_bars"
    both = [rows(decoded(c, b), table) for c, b in zip((asked, as_csv), bodies, strict=True)]
    assert both[0] == both[1]
    assert len(both[0]) == len(bars if "INTRADAY" in name else known)


EMPTY = Memory({"tickers": [ticker("IBM")]})


@pytest.mark.parametrize(
    ("made", "outcome", "body"),
    [
        (call("GLOBAL_QUOTE", "x", symbol="NOPE"), Outcome.NO_DATA, b'{\n    "Global Quote": {}\n}'),
        (call("OVERVIEW", "x", symbol="NOPE"), Outcome.NO_DATA, b"{}"),
        (call("TIME_SERIES_DAILY", "x", symbol="NOPE"), Outcome.BAD_REQUEST, b"Invalid API call"),
        (call("TIME_SERIES_DAILY_ADJUSTED", "x", symbol="NOPE"), Outcome.BAD_REQUEST, b"Invalid API call"),
        (call("TIME_SERIES_INTRADAY", "x", symbol="NOPE", interval="5min"), Outcome.BAD_REQUEST, b"Invalid API call"),
        (call("INDEX_DATA", "x", symbol="NOPE", interval="daily"), Outcome.BAD_REQUEST, b"Invalid API call"),
        (call("TIME_SERIES_INTRADAY", "x", interval="2min"), Outcome.BAD_REQUEST, b"Invalid API call"),
        (call("TIME_SERIES_INTRADAY", "x", interval="5min", month="2026"), Outcome.BAD_REQUEST, b"Invalid API call"),
        (call("TIME_SERIES_INTRADAY", "x", interval="5min", month="1999-12"), Outcome.BAD_REQUEST, b"Invalid"),
        (call("LISTING_STATUS", "x", date="2009-12-31"), Outcome.BAD_REQUEST, b"Invalid API call"),
        (call("LISTING_STATUS", "x", state="resting"), Outcome.BAD_REQUEST, b"Invalid API call"),
        (call("NO_SUCH_FUNCTION", "x"), Outcome.BAD_REQUEST, b"does not exist"),
        (call("TIME_SERIES_DAILY", "x"), Outcome.ROWS, b'"Time Series (Daily)": {}'),
        (
            call("TIME_SERIES_INTRADAY", "x", interval="5min", month="2026-01"),
            Outcome.ROWS,
            b'"Time Series (5min)": {}',
        ),
    ],
)
def test_quirk_14_unknown_symbols_wrong_parameters_and_empties(made: Call, outcome: Outcome, body: bytes) -> None:
    answer = SERVER.answer(request_of(made), EMPTY, Account())
    assert answer.status == 200
    assert body in answer.body
    assert REST.judge(made, answer).outcome is outcome


def test_quirk_27_any_key_will_do_unless_the_account_names_one() -> None:
    made = call("TIME_SERIES_DAILY", "daily_bars")
    named = Account(secret=Secret(KEY))

    def outcome(key: str, account: Account) -> Outcome:
        return REST.judge(made, SERVER.answer(request_of(made, key=key), EMPTY, account)).outcome

    assert outcome("anything", Account()) is Outcome.ROWS
    assert outcome(KEY, named) is Outcome.ROWS
    assert outcome("anything", named) is Outcome.FATAL
    assert outcome("", Account()) is Outcome.FATAL
    assert outcome("demo", Account()) is Outcome.FATAL


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("GLOBAL_QUOTE", "snapshots"),
        ("TIME_SERIES_INTRADAY", "bars"),
        ("TIME_SERIES_DAILY", "daily_bars"),
        ("TIME_SERIES_DAILY_ADJUSTED", "dividends"),
        ("INDEX_DATA", "index_bars"),
        ("OVERVIEW", "tickers"),
    ],
)
def test_quirk_26_what_the_plan_lacks_is_premium(name: str, table: str) -> None:
    made = call(name, table, interval="5min")
    for tables, is_premium in ((frozenset({table}), False), (frozenset({"none"}), True)):
        answer = SERVER.answer(request_of(made), EMPTY, Account(tables=tables))
        assert (REST.judge(made, answer).outcome is Outcome.NOT_ENTITLED) == is_premium


def test_an_accept_header_of_csv_is_refused_and_other_paths_are_not_found() -> None:
    made = call("TIME_SERIES_DAILY", "daily_bars")
    assert SERVER.answer(request_of(made, accept="text/csv"), EMPTY, Account()).status == 406
    elsewhere = Call(endpoint="x", table="x", path="/other")
    assert SERVER.answer(request_of(elsewhere), EMPTY, Account()).status == 404


def test_quirk_32_a_delayed_account_does_not_see_the_last_15_minutes() -> None:
    bars = [bar("IBM", NOW - timedelta(minutes=m)) for m in (20, 10)]
    made = call("TIME_SERIES_INTRADAY", "bars", interval="5min", month="2026-03", outputsize="full")
    for is_delayed, count in ((False, 2), (True, 1)):
        answer = SERVER.answer(request_of(made), Memory({"bars": bars}), Account(is_delayed=is_delayed))
        assert len(json.loads(answer.body)["Time Series (5min)"]) == count


def test_a_compact_answer_has_100_rows_and_regular_hours_can_be_asked_for() -> None:
    start = ny("2026-03-19 04:00")
    bars = [bar("IBM", start + timedelta(minutes=5 * i)) for i in range(192)]
    history = Memory({"bars": bars})

    def stamps(**params: str) -> list[str]:
        made = call("TIME_SERIES_INTRADAY", "bars", interval="5min", **params)
        return list(json.loads(SERVER.answer(request_of(made), history, Account()).body)["Time Series (5min)"])

    assert (len(stamps()), stamps()[0]) == (100, "2026-03-19 19:55:00")
    assert len(stamps(outputsize="full")) == 192
    regular = stamps(outputsize="full", extended_hours="false")
    assert (regular[0], regular[-1], len(regular)) == ("2026-03-19 15:55:00", "2026-03-19 09:30:00", 78)


def same(theirs: dict[str, dict[str, str]], ours: list[Row], stamp: str) -> bool:
    """Whether the client got our rows."""
    names = ("open", "high", "low", "close", "volume")
    told = {k: tuple(float(v[f"{i}. {n}"]) for i, n in enumerate(names, 1)) for k, v in theirs.items()}
    return told == {row[stamp]: tuple(row[n] for n in names) for row in ours}


HISTORY = Memory(
    {
        "daily_bars": [daily("IBM", d, 100.25 + i) for i, d in enumerate(SESSIONS)],
        "bars": [bar("IBM", ny(f"2026-03-{d} {c}")) for d in ("06", "09") for c in ("04:00", "09:30", "19:55")],
        "tickers": [ticker("IBM", name="International Business Machines", cik="51143", details="{}")],
    }
)


@pytest.fixture
def client_url(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The official client, told to ask our server."""
    from alpha_vantage.alphavantage import AlphaVantage

    def answer(request: Any) -> Answer:
        return SERVER.answer(request, HISTORY, Account(secret=Secret(KEY)))

    with served(answer, lambda: NOW) as url:
        monkeypatch.setattr(AlphaVantage, "_ALPHA_VANTAGE_API_URL", f"{url}/query?")
        yield url


@pytest.mark.usefixtures("client_url")
def test_the_official_client_gets_the_bars_that_we_get() -> None:
    from alpha_vantage.timeseries import TimeSeries

    client = TimeSeries(key=KEY)
    theirs, meta = client.get_daily("IBM", outputsize="full")
    ours = fetch(ask("daily_bars", "IBM", start=SESSIONS[0], end=date(2026, 3, 25)), HISTORY).rows("daily_bars")
    assert same(theirs, [r | {"stamp": r["session"].isoformat()} for r in ours], "stamp")
    assert (len(ours), meta["5. Time Zone"], meta["2. Symbol"]) == (len(SESSIONS), "US/Eastern", "IBM")

    theirs, meta = client.get_intraday("IBM", "5min", outputsize="full", month="2026-03", adjusted="false")
    ours = fetch(ask("bars", "IBM", start=date(2026, 3, 1), end=date(2026, 4, 1), interval="5m"), HISTORY).rows("bars")
    local = [r | {"stamp": _wall(r["ts"])} for r in ours]
    assert same(theirs, local, "stamp")
    assert (len(local), meta["6. Time Zone"]) == (6, "US/Eastern")


def _wall(at: datetime) -> str:
    from tickerplant.calendar import NEW_YORK

    return at.astimezone(NEW_YORK).strftime("%Y-%m-%d %H:%M:%S")


@pytest.mark.usefixtures("client_url")
def test_the_official_client_gets_quotes_overviews_and_csv() -> None:
    from alpha_vantage.fundamentaldata import FundamentalData
    from alpha_vantage.timeseries import TimeSeries

    quote, _ = TimeSeries(key=KEY).get_quote_endpoint("IBM")
    ours = fetch(ask("snapshots", "IBM", start=SESSIONS[-1], end=date(2026, 3, 20)), HISTORY).rows("snapshots")[0]
    assert (float(quote["05. price"]), quote["07. latest trading day"]) == (ours["price"], ours["session"].isoformat())
    assert float(quote["10. change percent"].rstrip("%")) == ours["change_percent"]
    overview, _ = FundamentalData(key=KEY).get_company_overview("IBM")
    assert (overview["Name"], overview["CIK"]) == ("International Business Machines", "51143")
    lines, _ = TimeSeries(key=KEY, output_format="csv").get_daily("IBM")
    table = list(lines)
    assert (table[0][0], len(table), table[1][0]) == ("timestamp", 101, SESSIONS[-1].isoformat())


@pytest.mark.usefixtures("client_url")
def test_the_official_client_sees_our_errors_as_errors() -> None:
    from alpha_vantage.timeseries import TimeSeries

    with pytest.raises(ValueError, match="Invalid API call"):
        TimeSeries(key=KEY).get_daily("NOPE")
    with pytest.raises(ValueError, match="apikey is invalid or missing"):
        TimeSeries(key="another").get_daily("IBM")
    assert TimeSeries(key=KEY).get_quote_endpoint("NOPE") == ({}, None)


def test_a_listing_is_csv_as_the_vendor_prints_it() -> None:
    known = [ticker("BRK.B", name="Berkshire (B) & Co", exchange="NYSE", type="Stock", listed_on=date(1996, 5, 9))]
    answer = SERVER.answer(request_of(call("LISTING_STATUS", "tickers")), Memory({"tickers": known}), Account())
    assert list(csv.reader(io.StringIO(answer.body.decode()))) == [
        ["symbol", "name", "exchange", "assetType", "ipoDate", "delistingDate", "status"],
        ["BRK-B", "Berkshire (B) & Co", "NYSE", "Stock", "1996-05-09", "null", "Active"],
    ]
    assert answer.body.count(b"\r\n") == 2

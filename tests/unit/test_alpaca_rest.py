"""Alpaca's REST APIs: our calls, the vendor's side, and what becomes of every recorded and documented answer."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.rows import rows
from tickerplant.credentials import Credentials, Secret
from tickerplant.errors import BadData
from tickerplant.jobs.coverage import day_span
from tickerplant.model import Batch, Entry, Kind, Position, Record
from tickerplant.rest import Account, Answer, Ask, Asked, Call, HttpRequest, Outcome, encode_asked
from tickerplant.simulator.history import MarketHistory
from tickerplant.vendors.alpaca import VENDOR
from tickerplant.vendors.alpaca.rest_calls import ENDPOINTS
from tickerplant.vendors.alpaca.rest_judge import judge

SAMPLES = Path(__file__).resolve().parents[2].parent / "shared" / "vendor-samples" / "alpaca"
NOON = datetime(2025, 11, 20, 17, tzinfo=UTC)
KEYS = Credentials("PK-TEST-KEY", Secret("secret-of-a-test"))
assert VENDOR.rest is not None
REST = VENDOR.rest
SERVER = REST.server()
CALL = {e.name: e.call for e in ENDPOINTS}


def ask(call: Call, history: MarketHistory, account: Account = Account()) -> Answer:  # noqa: B008
    headers = {k.lower(): v for k, v in REST.sign(call, KEYS).headers}
    return SERVER.answer(HttpRequest(call.path, call.params, headers, NOON, "http://x"), history, account)


def pages(call: Call, history: MarketHistory, account: Account = Account()) -> list[tuple[Call, Answer]]:  # noqa: B008
    """Every page of a request."""
    found: list[tuple[Call, Answer]] = []
    following: Call | None = call
    while following is not None:
        answer = ask(following, history, account)
        assert judge(following, answer).outcome == Outcome.ROWS
        found.append((following, answer))
        following = REST.follow(following, answer)
    return found


def decoded(found: list[tuple[Call, Answer]]) -> dict[str, list[dict[str, Any]]]:
    """Rows of every table out of landed answers."""
    entries = [
        Entry(
            Position(i),
            Position(i + 1),
            Record("alpaca", "rest", Kind.RESPONSE, i, a.body, encode_asked(Asked(call=c, chain="x", status=a.status))),
        )
        for i, (c, a) in enumerate(found)
    ]
    result = VENDOR.decode(entries)
    assert result.rejects == ()
    made: dict[str, list[dict[str, Any]]] = {}
    for batch in result.batches:
        made.setdefault(batch.table.name, []).extend(batch.rows.to_pylist())
    return made


def content(table: str, found: list[dict[str, Any]], *but: str) -> list[tuple[Any, ...]]:
    from tickerplant.tables import TABLES

    names = [n for n in TABLES[table].content if n not in but]
    return [tuple(r[n] for n in names) for r in found]


NAMES = st.sampled_from(["A", "BRK.B", "NA", "TRUE"])
MICROS = st.integers(0, 60_000_000)


def _at(micros: int) -> datetime:
    return NOON + timedelta(microseconds=micros)


@st.composite
def ticks(draw: st.DrawFn, table: str) -> Batch:
    price, size = st.floats(0.01, 1e6), st.floats(0, 1e6)
    own: dict[str, Any] = {
        "quotes": {
            "bid_price": price,
            "ask_price": price,
            "bid_size": size,
            "ask_size": size,
            "bid_exchange": st.just("V"),
        },
        "trades": {"price": price, "size": size, "trade_id": st.integers(1, 2**60).map(str), "exchange": st.just("D")},
    }[table]
    own |= {"conditions": st.sampled_from(["@", "@,I", "", None]), "tape": st.sampled_from(["A", None])}
    row = st.fixed_dictionaries({"symbol": NAMES, "ts": MICROS.map(_at), "ns": st.integers(0, 999), **own})
    return rows(table, *draw(st.lists(row, min_size=1, max_size=30)))


@settings(max_examples=40, deadline=None)
@given(st.data(), st.sampled_from(["quotes", "trades"]), st.integers(1, 7), st.tuples(MICROS, MICROS))
def test_what_the_vendor_knows_of_a_span_is_exactly_what_we_get(
    data: st.DataObject, table: str, page_rows: int, span: tuple[int, int]
) -> None:
    history = MarketHistory([data.draw(ticks(table))])
    start, end = _at(min(span)), _at(max(span) + 1)
    call = CALL[table](Ask(table, ("A", "BRK.B", "NA", "TRUE"), start, end))
    found = pages(call, history, Account(page_rows=page_rows))
    truth = history.rows(table, None, start, end).to_pylist()
    made = decoded(found)
    assert content(table, made.get(table, [])) == content(table, truth)
    covered = {r["symbol"]: 0 for r in made["coverage"]}
    for r in made["coverage"]:
        covered[r["symbol"]] += r["rows"]
    assert covered == {n: sum(r["symbol"] == n for r in truth) for n in ("A", "BRK.B", "NA", "TRUE")}
    assert [r["is_last"] for r in made["coverage"] if r["page"] == len(found) - 1] == [True] * 4
    assert len(found) == max(1, -(-len(truth) // page_rows))


def test_daily_bars_are_those_of_the_sessions_asked_for_in_summer_and_winter() -> None:
    days = [date(2025, 3, 7), date(2025, 3, 10), date(2025, 10, 31), date(2025, 11, 3)]
    bars = rows("daily_bars", *({"symbol": "A", "session": d, "close": float(i)} for i, d in enumerate(days)))
    history = MarketHistory([bars])
    for first, last in ((0, 1), (1, 2), (0, 3)):
        span = day_span(days[first])[0], day_span(days[last])[1]
        made = decoded(pages(CALL["daily_bars"](Ask("daily_bars", ("A",), *span)), history))
        assert [(r["session"], r["close"]) for r in made["daily_bars"]] == [
            (d, float(i)) for i, d in enumerate(days) if first <= i <= last
        ]


def test_minute_bars_come_in_their_last_version_and_say_that_they_are_history() -> None:
    bar = {"symbol": "A", "ts": NOON, "interval": "1m"}
    history = MarketHistory([rows("bars", {**bar, "close": 1.0}, {**bar, "close": 2.0}, {**bar, "interval": "5m"})])
    made = decoded(pages(CALL["bars"](Ask("bars", ("A",), NOON, NOON + timedelta(minutes=1), "1m")), history))
    assert [(r["close"], r["revision"], r["interval"]) for r in made["bars"]] == [(2.0, 2, "1m")]


def test_quirk_12_cancelled_trades_stay_and_are_named() -> None:
    trade = {"symbol": "A", "exchange": "D", "ts": NOON, "ns": 7}
    history = MarketHistory(
        [
            rows("trades", {**trade, "trade_id": "1"}, {**trade, "trade_id": "2"}, {**trade, "trade_id": "3"}),
            rows("trade_corrections", {**trade, "kind": "cancel", "original_id": "2"}),
            rows("trade_corrections", {**trade, "kind": "correction", "original_id": "3"}),
        ]
    )
    made = decoded(pages(CALL["trades"](Ask("trades", ("A",), NOON, NOON + timedelta(seconds=1))), history))
    assert [r["trade_id"] for r in made["trades"]] == ["1", "2", "3", "x"], "x stands in the place of 3"
    assert [(r["kind"], r["original_id"], r["ts"], r["ns"]) for r in made["trade_corrections"]] == [
        ("cancel", "2", NOON, 7),
        ("error", "3", NOON, 7),
    ]


def test_reference_data_round_trips() -> None:
    day = date(2025, 11, 20)
    history = MarketHistory(
        [
            rows("tickers", {"symbol": "BRK.B", "is_active": True}, {"symbol": "GONE", "is_active": False}),
            rows("splits", {"symbol": "A", "ex_date": day, "split_from": 1.0, "split_to": 4.0, "vendor_id": "s1"}),
            rows("dividends", {"symbol": "A", "ex_date": day, "amount": 0.25, "vendor_id": "d1"}),
            rows(
                "market_days",
                {"session": date(2025, 11, 28), "status": "early-close"}
                | {"opens_at": datetime(2025, 11, 28, 14, 30, tzinfo=UTC)}
                | {"closes_at": datetime(2025, 11, 28, 18, tzinfo=UTC)},
            ),
        ]
    )
    span = day_span(day)[0], day_span(date(2025, 12, 1))[0]

    def made(endpoint: str, table: str) -> list[dict[str, Any]]:
        return decoded(pages(CALL[endpoint](Ask(table, ("*",), *span)), history))[table]

    assert [(r["symbol"], r["is_active"]) for r in made("assets", "tickers")] == [("BRK.B", True)]
    assert [(r["symbol"], r["is_active"]) for r in made("assets_inactive", "tickers")] == [("GONE", False)]
    (split,) = made("splits", "splits")
    assert (split["symbol"], split["ex_date"], split["split_from"], split["split_to"]) == ("A", day, 1.0, 4.0)
    (dividend,) = made("dividends", "dividends")
    assert (dividend["amount"], dividend["ex_date"], dividend["type"]) == (0.25, day, "cash")
    (market_day,) = made("calendar", "market_days")
    assert (market_day["status"], market_day["closes_at"]) == ("early-close", datetime(2025, 11, 28, 18, tzinfo=UTC))


def answer(status: int, body: str | bytes, **headers: str) -> Answer:
    raw = body.encode() if isinstance(body, str) else body
    return Answer(status, raw, {k.replace("_", "-"): v for k, v in headers.items()})


ERRORS = [
    (answer(429, '{"message":"too many requests."}'), Outcome.WAIT),
    (answer(403, '{"message":"subscription does not permit querying recent SIP data"}'), Outcome.NOT_ENTITLED),
    (answer(422, '{"message":"subscription does not permit querying recent SIP data"}'), Outcome.NOT_ENTITLED),
    (answer(400, '{"message":"invalid symbol: A!"}'), Outcome.BAD_REQUEST),
    (answer(401, '{"code":40110000,"message":"access key verification failed"}'), Outcome.FATAL),
    (answer(404, '{"code":40410000,"message":"asset not found for BLAH"}'), Outcome.NO_DATA),
    (answer(500, "Internal Server Error"), Outcome.RETRY),
    (answer(502, "<html>"), Outcome.RETRY),
    (answer(200, ""), Outcome.RETRY),
    (answer(200, "<html>maintenance</html>"), Outcome.RETRY),
]


@pytest.mark.parametrize(("found", "outcome"), ERRORS, ids=lambda v: getattr(v, "name", None))
def test_errors_are_classed(found: Answer, outcome: Outcome) -> None:
    assert judge(_any_call(), found).outcome == outcome


def test_quirk_17_the_reset_header_says_how_long_to_wait() -> None:
    soon = datetime.now(UTC) + timedelta(seconds=30)
    verdict = judge(_any_call(), answer(429, "{}", x_ratelimit_reset=str(int(soon.timestamp()))))
    assert verdict.wait_s is not None
    assert 20 < verdict.wait_s <= 30
    assert judge(_any_call(), answer(429, "{}", retry_after="7")).wait_s == 7.0


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ('{"bars":null,"symbol":"X","next_page_token":null}', 0),
        ('{"bars":{},"next_page_token":null}', 0),
        ('{"bars":{"X":null},"next_page_token":null}', 0),
        ('{"bars":[],"symbol":"X","next_page_token":""}', 0),
        ('{"bars":{"X":[{"t":"2021-05-26T13:30:00Z","o":1,"unknown":{}}]}}', 1),
    ],
)
def test_quirk_13_null_is_empty_and_a_missing_key_is_null(body: str, count: int) -> None:
    call = CALL["bars"](Ask("bars", ("X",), datetime(2021, 1, 1, tzinfo=UTC), NOON, "1m"))
    made = decoded([(call, answer(200, body))])
    assert [r["trade_count"] for r in made.get("bars", [])] == [None] * count
    assert [(r["symbol"], r["rows"], r["is_last"]) for r in made["coverage"]] == [("X", count, True)]


def test_quirk_16_a_page_without_rows_is_not_the_end() -> None:
    call = CALL["bars"](Ask("bars", ("X", "Y"), NOON, NOON + timedelta(days=1), "1m"))
    found = answer(200, '{"bars":{},"next_page_token":"dG9rZW4="}')
    following = REST.follow(call, found)
    assert following is not None
    assert (dict(following.params)["page_token"], following.page) == ("dG9rZW4=", 1)
    (row,) = decoded([(call, found)])["coverage"]
    assert (row["is_last"], row["rows"]) == (False, 0)
    assert "dG9rZW4=" in row["next_call"]


def test_quirk_15_one_bad_row_costs_itself_only() -> None:
    body = '{"quotes":{"A":[{"t":"2025-11-20T17:00:00Z","bp":1},{"bp":2},{"t":"x","bp":3}]},"next_page_token":null}'
    call = CALL["quotes"](Ask("quotes", ("A",), NOON, NOON + timedelta(days=1)))
    asked = encode_asked(Asked(call=call, chain="x"))
    result = VENDOR.decode(
        [Entry(Position(0), Position(1), Record("alpaca", "rest", Kind.RESPONSE, 0, body.encode(), asked))]
    )
    assert [b.rows.num_rows for b in result.batches if b.table.name == "quotes"] == [1]
    assert sorted(r.reason[:32] for r in result.rejects) == [
        "alpaca quotes: Object missing re",
        "alpaca quotes: expected a time, ",
    ]


def test_quirk_14_an_unknown_symbol_is_an_empty_answer_and_a_malformed_one_is_refused() -> None:
    span = (NOON, NOON + timedelta(days=1))
    (only,) = pages(CALL["trades"](Ask("trades", ("UNKNOWN",), *span)), MarketHistory())
    assert json.loads(only[1].body) == {"trades": {}, "next_page_token": None}
    refused = ask(CALL["trades"](Ask("trades", ("A", "B!"), *span)), MarketHistory())
    assert (refused.status, json.loads(refused.body)) == (400, {"message": "invalid symbol: B!"})


def _any_call() -> Call:
    return CALL["quotes"](Ask("quotes", ("A",), NOON, NOON + timedelta(days=1)))


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([e.name for e in ENDPOINTS]),
    st.binary(max_size=60) | st.sampled_from([b"{}", b"[]", b"null", b'{"bars":5}']),
)
def test_bytes_never_raise(endpoint: str, body: bytes) -> None:
    call = Call(endpoint=endpoint, table=_TABLE[endpoint], path="/")
    record = Record("alpaca", "rest", Kind.RESPONSE, 0, body, encode_asked(Asked(call=call, chain="x")))
    result = VENDOR.decode([Entry(Position(0), Position(1), record)])
    assert len(result.rejects) + len(result.batches) >= 1


_TABLE = {e.name: e.tables[0] for e in ENDPOINTS}

# What becomes of each kind of sample, by its place in the vendor's API: endpoint, table, or a named error.
PLACES: dict[str, str | None] = {
    **dict.fromkeys(("auctions", "v1beta1", "/v1/bars", "/v1/last", "orders", "positions"), None),
    **dict.fromkeys(("announcements", "clock", "/v1/assets", "meta"), None),
    **dict.fromkeys(("corporate-actions", "corporate_actions", "corpactions"), "corporate_actions"),
    **dict.fromkeys(("snapshot", "_v2_ss_"), "snapshots"),
    **dict.fromkeys(("asset",), "assets"),
    **dict.fromkeys(("calendar",), "calendar"),
    **dict.fromkeys(("trade",), "trades"),
    **dict.fromkeys(("quote",), "quotes"),
    **dict.fromkeys(("bar",), "bars"),
}


def _samples() -> list[tuple[str, dict[str, Any]]]:
    manifest = SAMPLES.parent / "manifest.jsonl"
    if not manifest.is_file():
        return []
    found = [json.loads(line) for line in manifest.read_text().splitlines()]
    wanted = [
        d for d in found if d["file"].startswith(("alpaca/rest/", "alpaca/docs/")) and d["file"].endswith(".json")
    ]
    return [(d["file"], d) for d in wanted]


def _rows_in(value: Any) -> int:
    """Rows that a person would count: objects with a time."""
    if isinstance(value, dict):
        return 1 if "t" in value and len(value) > 2 else sum(_rows_in(v) for v in value.values())
    return sum(_rows_in(v) for v in value) if isinstance(value, list) else 0


@pytest.mark.skipif(not _samples(), reason="recorded answers are not at hand")
@pytest.mark.parametrize(("file", "about"), _samples(), ids=lambda v: v if isinstance(v, str) else "")
def test_every_sample_becomes_rows_or_a_named_error(file: str, about: dict[str, Any]) -> None:
    body = (SAMPLES.parent / file).read_bytes()
    status = about.get("status") or 200
    place = f"{file} {about.get('request') or ''}".lower()
    endpoint = next((e for word, e in PLACES.items() if word in place), None)
    if status != 200 or (b'"code"' in body and b'"message"' in body):
        verdict = judge(_any_call(), Answer(status if status != 200 else 404, body, {}))
        assert verdict.outcome in (Outcome.NO_DATA, Outcome.NOT_ENTITLED, Outcome.BAD_REQUEST, Outcome.FATAL)
        assert verdict.reason
        return
    table = _TABLE.get(endpoint or "", "bars")
    call = Call(endpoint=endpoint or "other", table=table, path="/", interval="1m")
    record = Record("alpaca", "rest", Kind.RESPONSE, 0, body, encode_asked(Asked(call=call, chain="x")))
    result = VENDOR.decode([Entry(Position(0), Position(1), record)])
    if endpoint is None:
        assert [r.item for r in result.rejects] == [-1], "no endpoint of ours: the whole answer is set aside"
        assert "was the endpoint 'other'" in result.rejects[0].reason
        return
    assert all(r.item != -1 for r in result.rejects), result.rejects[0].reason
    made = sum(b.rows.num_rows for b in result.batches if b.table.name == table)
    if table in ("trades", "quotes", "bars"):
        assert made + len(result.rejects) == _rows_in(json.loads(body))


@pytest.mark.skipif(not _samples(), reason="recorded answers are not at hand")
def test_values_of_recorded_answers() -> None:
    def made(file: str, endpoint: str) -> dict[str, list[dict[str, Any]]]:
        call = Call(endpoint=endpoint, table=_TABLE[endpoint], path="/", interval="1m")
        return decoded([(call, Answer(200, (SAMPLES / file).read_bytes(), {}))])

    cancelled = made("rest/go_get_trades_update.json", "trades")
    assert [(r["symbol"], r["price"], r["size"], r["conditions"], r["trade_id"]) for r in cancelled["trades"]] == [
        ("A", 129.88, 5.0, " ,T,I", "71697353758036"),
        ("A", 129.88, 2.0, " ,T,I", "71697353815352"),
    ]
    assert [r["kind"] for r in cancelled["trade_corrections"]] == ["cancel", "cancel"]
    spot = {r["symbol"]: r for r in made("rest/r_v2_ss_2.json", "snapshots")["snapshots"]}["SPOT"]
    assert (spot["session"], spot["price"], spot["open"], spot["high"]) == (date(2021, 7, 8), 256.06, 252.86, 257.31)
    actions = made("rest/alpacapy_corpactions_get_corporate_actions.json", "corporate_actions")
    assert [(r["symbol"], r["split_from"], r["split_to"]) for r in actions["splits"]] == [
        ("MNTS", 50.0, 1.0),
        ("SRE", 1.0, 2.0),
        ("TPBAU", 1.0, 1.0),
    ]
    assert [(r["symbol"], r["amount"], r["pay_date"]) for r in actions["dividends"]] == [
        ("FCF", 0.125, date(2023, 5, 19))
    ]
    others = {r["kind"]: r for r in actions["corporate_actions"]}
    assert (others["spin_offs"]["symbol"], others["spin_offs"]["new_symbol"]) == ("JUPW", "SRM")
    days = made("rest/ccjr_calendar.json", "calendar")["market_days"]
    assert (days[0]["session"], days[0]["opens_at"]) == (date(2019, 6, 3), datetime(2019, 6, 3, 13, 30, tzinfo=UTC))


def test_an_endpoint_nobody_knows_is_named() -> None:
    from tickerplant.vendors.alpaca.rest_answers import read

    with pytest.raises(BadData, match="was the endpoint 'news'"):
        read(Asked(call=Call(endpoint="news", table="bars", path="/"), chain="x"), b"{}")


def test_rows_keep_their_exact_schema() -> None:
    made = decoded(pages(_any_call(), MarketHistory([rows("quotes", {"symbol": "A", "ts": NOON})])))
    assert made["quotes"][0]["feed"] == "sip"
    assert pa.types.is_timestamp(rows("quotes", {}).rows.schema.field("ts").type)

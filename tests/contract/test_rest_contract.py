"""What every vendor's REST side must keep to: both sides of each endpoint meet, and what comes is what was there."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, cast, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.rows import rows
from tickerplant.calendar import sessions
from tickerplant.credentials import Credentials, Secret
from tickerplant.jobs.coverage import day_span, span
from tickerplant.model import Decoded, Entry, Kind, Position, Record, Vendor
from tickerplant.rest import (
    LANDED,
    Account,
    Answer,
    Ask,
    Asked,
    Call,
    Endpoint,
    HttpRequest,
    Outcome,
    Refusal,
    decode_asked,
    encode_asked,
)
from tickerplant.simulator.history import MarketHistory
from tickerplant.simulator.reference import Past, past
from tickerplant.tables import TABLES
from tickerplant.vendors import vendors

NOW = datetime(2025, 11, 20, 22, tzinfo=UTC)
KEYS = Credentials("PKEY-OF-A-TEST", Secret("SECRET-OF-A-TEST"))
ABLE = {name: v for name, v in vendors().items() if v.rest is not None}
DAYS = sessions(date(2025, 9, 22), date(2025, 11, 20))
NAMES = ("AAPL", "BRK.B", "NA", "SPY", "TRUE")
each = pytest.mark.parametrize("found", [pytest.param(v, id=name) for name, v in ABLE.items()])
each_endpoint = pytest.mark.parametrize(
    ("found", "endpoint", "table"),
    [
        pytest.param(v, e, t, id=f"{n}-{e.name}-{t}")
        for n, v in ABLE.items()
        for e in (v.rest.endpoints if v.rest else ())
        for t in e.tables
    ],
)


def _history() -> MarketHistory:
    found = MarketHistory(past(Past(7, 60, DAYS[0].day, date(2025, 11, 20))))
    day = DAYS[-1]
    for table in ("quotes", "trades", "bars"):
        moments = [day.open + timedelta(minutes=i) for i in range(40)]
        made = [
            {"symbol": s, "ts": at, "trade_id": f"{i}", "exchange": "D"} for s in NAMES for i, at in enumerate(moments)
        ]
        extra = {"bid_exchange": "V", "ask_exchange": "V", "conditions": "@", "interval": "1m", "ns": 0, "tape": "A"}
        found.add(rows(table, *({**m, **extra} for m in made)))
    return found


HISTORY = _history()


def call_of(endpoint: Endpoint, table: str) -> Call:
    """A call for the last sessions."""
    is_live = TABLES[table].time is not None
    start, end = span(DAYS[-1], True) if is_live else (day_span(DAYS[-20].day)[0], day_span(DAYS[-1].day)[1])
    names = {"day": ("*",), "market": ("*",), "symbol": NAMES[3:4], "symbols": NAMES}[endpoint.shape]
    if table == "index_bars":
        names = ("SPX",)
    if endpoint.shape == "day":
        start, end = span(DAYS[-1], is_live)
    return endpoint.call(Ask(table, names, start, end, "1m" if table == "bars" else None))


def serve(found: Vendor, call: Call, account: Account = Account()) -> Answer:  # noqa: B008
    assert found.rest is not None
    sign = found.rest.sign(call, KEYS)
    request = HttpRequest(call.path, (*call.params, *sign.params), _lower(sign.headers), NOW, "http://127.0.0.1:1")
    return found.rest.server().answer(request, HISTORY, account)


def _lower(headers: tuple[tuple[str, str], ...]) -> dict[str, str]:
    return {k.lower(): v for k, v in headers}


def landed(found: Vendor, call: Call, account: Account = Account()) -> list[tuple[Call, Answer, Outcome]]:  # noqa: B008
    """All pages, as a fetcher would land them."""
    assert found.rest is not None
    made: list[tuple[Call, Answer, Outcome]] = []
    following: Call | None = call
    while following is not None:
        assert len(made) < 500
        answer = serve(found, following, account)
        verdict = found.rest.judge(following, answer)
        made.append((following, answer, verdict.outcome))
        following = found.rest.follow(following, answer) if verdict.outcome == Outcome.ROWS else None
    return made


def decode(found: Vendor, pages: list[tuple[Call, Answer, Outcome]]) -> Decoded:
    return found.decode(
        [
            Entry(
                Position(i * 10),
                Position(i * 10 + 10),
                Record(
                    found.name,
                    "rest",
                    Kind.RESPONSE,
                    1_763_700_000_000_000_000 + i,
                    answer.body,
                    encode_asked(Asked(call=call, chain="c", status=answer.status, outcome=outcome.value)),
                ),
            )
            for i, (call, answer, outcome) in enumerate(pages)
        ]
    )


def table_rows(decoded: Decoded, table: str) -> list[dict[str, Any]]:
    return [r for b in decoded.batches if b.table.name == table for r in b.rows.to_pylist()]


@each_endpoint
def test_every_endpoint_answers_its_table_and_the_coverage_says_so(
    found: Vendor, endpoint: Endpoint, table: str
) -> None:
    pages = landed(found, call_of(endpoint, table))
    assert {outcome for _, _, outcome in pages} <= {Outcome.ROWS, Outcome.NO_DATA, Outcome.NOT_ENTITLED}
    decoded = decode(found, pages)
    assert decoded.rejects == ()
    made, covered = table_rows(decoded, table), table_rows(decoded, "coverage")
    assert sum(r["rows"] for r in covered) == len(made)
    assert [r["is_last"] for r in covered if r["page"] == pages[-1][0].page][-1] is True
    assert {r["table_name"] for r in covered} == {table}
    for batch in decoded.batches:
        batch.table.check(batch.rows)
        batch.rows.validate(full=True)
        assert all(not batch.rows.column(f.name).null_count for f in batch.table.schema if not f.nullable)


@each_endpoint
def test_daily_bars_are_the_history_to_the_last_digit(found: Vendor, endpoint: Endpoint, table: str) -> None:
    if table != "daily_bars":
        return
    call = call_of(endpoint, table)
    assert call.start is not None
    assert call.end is not None
    names = None if call.symbols == ("*",) else call.symbols
    truth = HISTORY.rows(table, names, call.start, call.end).to_pylist()
    made = table_rows(decode(found, landed(found, call)), table)
    content = ("symbol", "session", "open", "high", "low", "close", "volume")
    assert truth
    assert sorted(tuple(r[c] for c in content) for r in made) == sorted(tuple(r[c] for c in content) for r in truth)


@each_endpoint
def test_nothing_secret_is_in_a_call_or_its_record(found: Vendor, endpoint: Endpoint, table: str) -> None:
    for call, answer, outcome in landed(found, call_of(endpoint, table)):
        text = encode_asked(Asked(call=call, chain="c", status=answer.status, outcome=outcome.value))
        assert "OF-A-TEST" not in text
        assert decode_asked(text).call == call


@each
def test_refusals_are_never_landed_and_never_raise(found: Vendor) -> None:
    assert found.rest is not None
    endpoint = found.rest.endpoints[0]
    call = call_of(endpoint, endpoint.tables[0])
    request = HttpRequest(call.path, call.params, {}, NOW, "http://127.0.0.1:1")
    for kind in get_args(Refusal):
        answer = found.rest.server().refusal(cast(Refusal, kind), request)
        outcome = found.rest.judge(call, answer).outcome
        assert outcome not in LANDED, kind
        wanted = {"rate": (Outcome.WAIT,), "day": (Outcome.QUOTA, Outcome.WAIT)}.get(kind, (Outcome.RETRY,))
        assert outcome in wanted, kind


@each
def test_a_wrong_key_is_fatal_or_taken_for_any_other(found: Vendor) -> None:
    """Alpha Vantage takes any key; the others refuse."""
    assert found.rest is not None
    endpoint = found.rest.endpoints[0]
    call = call_of(endpoint, endpoint.tables[0])
    answer = serve(found, call, Account(key="another", secret=Secret("another")))
    assert found.rest.judge(call, answer).outcome in (Outcome.FATAL, Outcome.ROWS)


@each
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_bytes_never_raise_and_are_kept(found: Vendor, data: st.DataObject) -> None:
    assert found.rest is not None
    endpoint = data.draw(st.sampled_from(found.rest.endpoints))
    call = call_of(endpoint, endpoint.tables[0])
    body = data.draw(st.binary(max_size=80) | st.sampled_from([b"{}", b"[]", b"null", b"0", b'"x"', b"a,b\n1,2\n"]))
    found.rest.judge(call, Answer(200, body, {}))
    decoded = decode(found, [(call, Answer(200, body, {}), Outcome.ROWS)])
    assert all(r.payload for r in decoded.rejects) or body == b""
    assert decoded.rejects or table_rows(decoded, "coverage")


@each
def test_limits_have_a_first_plan_and_endpoints_have_names(found: Vendor) -> None:
    assert found.rest is not None
    assert found.rest.limits
    assert all(limit.calls > 0 and limit.seconds > 0 for plan in found.rest.limits.values() for limit in plan)
    names = [e.name for e in found.rest.endpoints]
    assert len(set(names)) == len(names)
    assert all(t in TABLES for e in found.rest.endpoints for t in e.tables)

"""Polygon's flat files: reading, what is wrong in them, the vendor's side, the signature."""

from __future__ import annotations

import gzip
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.history_polygon import (
    BASE,
    BY_NAME,
    CREDENTIALS,
    KEY,
    NOW,
    REST,
    Memory,
    ask,
    bar,
    daily,
    decoded,
    fetch,
    midnight,
    ny,
    quote,
    rows,
    serve,
    trade,
)
from tickerplant.credentials import Credentials, Secret
from tickerplant.rest import Account, Ask, Call, Get, HttpRequest, Outcome
from tickerplant.vendors.polygon.endpoints import FLAT
from tickerplant.vendors.polygon.flat_sign import headers, sign_get
from tickerplant.vendors.polygon.rest_server import SERVER

DAY = date(2026, 3, 9)
NEXT = DAY + timedelta(1)
AGGREGATES = "ticker,volume,open,close,high,low,window_start,transactions"
TRADES = (
    "ticker,conditions,correction,exchange,id,participant_timestamp,price,sequence_number,sip_timestamp,size,tape,"
    "trf_id,trf_timestamp"
)


def nanos(at: datetime) -> int:
    return int(at.timestamp()) * 1_000_000_000


def call(kind: str) -> Call:
    endpoint = BY_NAME[f"flat_{kind}"]
    return endpoint.call(ask(endpoint.tables[0], start=DAY, end=NEXT, interval="1m" if kind == "minute_aggs" else None))


def file(header: str, *lines: str, packed: bool = True) -> bytes:
    text = "".join(f"{line}\n" for line in (header, *lines)).encode()
    return gzip.compress(text, mtime=0) if packed else text


@pytest.mark.parametrize("day", [date(2026, 3, 6), date(2026, 3, 9), date(2025, 10, 31), date(2025, 11, 3)])
def test_each_kind_of_file_comes_back_quirk_21(day: date) -> None:
    at = ny(f"{day} 09:30")
    known = {
        "daily_bars": [daily(s, day) | {"vwap": None} for s in ("BRK.B", "KIM.PRL", "NA", "TRUE")],
        "bars": [bar(s, at + timedelta(minutes=i)) | {"vwap": None} for s in ("KIM.PRL", "NA") for i in range(3)],
        "trades": [trade("NA", at, 7, size=0.0015), trade("NA", at, 8, conditions=None, tape="A", trade_id="9")],
        "quotes": [quote("BRK.B", at, 999, ask_exchange=" ", ask_price=0.0), quote("BRK.B", at + timedelta(1, -3600))],
    }
    for endpoint in FLAT:
        table = endpoint.tables[0]
        asked = ask(table, start=day, end=day + timedelta(1), interval="1m" if table == "bars" else None)
        found = fetch(asked, Memory(known), endpoint.name)
        if table == "quotes":
            assert found.rows("quotes") == known["quotes"][:1]
        else:
            assert found.rows(table) == known[table]
        assert [v.outcome for v in found.verdicts] == [Outcome.ROWS]
        assert not found.found.rejects


def test_the_order_of_columns_is_the_files_own() -> None:
    body = file(AGGREGATES, f"A,100,1,2,4,0.5,{nanos(midnight(DAY))},7")
    found = rows(decoded(call("day_aggs"), body), "daily_bars")[0]
    assert [found[n] for n in ("open", "close", "high", "low", "volume", "trade_count")] == [
        1.0,
        2.0,
        4.0,
        0.5,
        100.0,
        7,
    ]
    turned = file(
        "low,high,close,open,transactions,window_start,ticker,volume", f"0.5,4,2,1,7,{nanos(midnight(DAY))},A,100"
    )
    assert rows(decoded(call("day_aggs"), turned), "daily_bars")[0] == found


def test_only_the_day_asked_for_comes_back() -> None:
    stamps = [nanos(midnight(DAY) - timedelta(1)), nanos(midnight(DAY)), nanos(midnight(NEXT))]
    body = file(AGGREGATES, *(f"A,1,1,1,1,1,{at},1" for at in stamps))
    assert [r["session"] for r in rows(decoded(call("day_aggs"), body), "daily_bars")] == [DAY]
    edges = [nanos(midnight(DAY)) - 1, nanos(midnight(DAY)), nanos(midnight(NEXT)) - 1, nanos(midnight(NEXT))]
    body = file(TRADES, *(f"A,,0,4,{i},,1,1,{at},1,1,," for i, at in enumerate(edges)))
    assert [r["trade_id"] for r in rows(decoded(call("trades"), body), "trades")] == ["1", "2"]


def test_bad_lines_are_set_aside_quirk_13() -> None:
    at = nanos(midnight(DAY))
    good = f"NA,1.5e3,1,1,1,1,{at},"
    lines = [
        "A,1,x,1,1,1,0,1",
        f"A,1,,1,1,1,{at},1",
        "A,1",
        f",1,1,1,1,1,{at},1",
        f"A,1,1,1,1,1,{at},1.5",
        "A,1,1,1,1,1,17,1",
    ]
    lines += [f"A,nan,1,1,1,1,{at},1", f"A,1,1,1,1,1,{at}0,1", f"A,1,1,1,1,1,{at},1,9"]
    found = decoded(call("day_aggs"), file(AGGREGATES, *lines[:5], good, *lines[5:]))
    made = rows(found, "daily_bars")
    assert [(r["symbol"], r["volume"], r["trade_count"]) for r in made] == [("NA", 1500.0, None)]
    assert sorted(r.payload.decode() for r in found.rejects) == sorted(lines)
    sent = [*lines[:5], good, *lines[5:]]
    assert {r.payload.decode(): r.item for r in found.rejects} == {line: sent.index(line) for line in lines}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x1f\x8b",
        file(AGGREGATES, "x")[:-9],
        gzip.compress(b"a") + b"junk",
        b"\x1f\x8b\x08\x00garbage",
        file("ticker,volume"),
        file("ticker,ticker,volume,open,close,high,low,window_start,transactions", "A,A,1,1,1,1,1,1,1"),
        b"<html>",
    ],
    ids=["empty", "head", "cut", "junk", "no_gzip", "no_columns", "column_twice", "html"],
)
def test_files_that_are_none_are_set_aside_whole(body: bytes) -> None:
    found = decoded(call("day_aggs"), body)
    assert [r.item for r in found.rejects] == [-1]
    assert found.rejects[0].reason.startswith("polygon flat")


def test_bytes_that_are_no_text_are_one_bad_line() -> None:
    found = decoded(
        call("day_aggs"), AGGREGATES.encode() + f"\nA,1,1,1,1,1,{nanos(midnight(DAY))},1\n".encode() + b"\xff\n"
    )
    assert [r["symbol"] for r in rows(found, "daily_bars")] == ["A"]
    assert [r.payload for r in found.rejects] == [rb"\xff"]


def test_a_file_in_several_parts_or_not_packed() -> None:
    line = f"A,1,1,1,1,1,{nanos(midnight(DAY))},1\n"
    parts = gzip.compress(f"{AGGREGATES}\n".encode()) + gzip.compress(line.encode()) + gzip.compress(line.encode())
    assert len(rows(decoded(call("day_aggs"), parts), "daily_bars")) == 2
    plain = file(AGGREGATES, line.strip(), packed=False)
    assert len(rows(decoded(call("day_aggs"), plain), "daily_bars")) == 1


def test_corrections_are_those_of_the_api_quirk_12() -> None:
    at = nanos(ny(f"{DAY} 10:00"))
    codes = ("", 0, 1, 7, 8, 10, 11, 12)
    flat = file(TRADES, *(f'A,"12,37",{c},4,{i},,{10 + i},1,{at + i},5,1,,' for i, c in enumerate(codes)))
    found = decoded(call("trades"), flat)
    api = BY_NAME["trades"].call(Ask("trades", ("A",), midnight(DAY), midnight(NEXT)))
    lines = [f'"12,37",{c},4,{i},{10 + i},{at + i},5,1' for i, c in enumerate(codes)]
    body = "\n".join(["conditions,correction,exchange,id,price,sip_timestamp,size,tape", *lines]).encode()
    same = decoded(api, body)
    for table in ("trades", "trade_corrections"):
        assert rows(found, table) == rows(same, table)
    assert [r["trade_id"] for r in rows(found, "trades")] == ["0", "1", "2", "3", "4"]
    assert len(rows(found, "trade_corrections")) == 6


def test_no_file_of_a_closed_day_and_none_outside_of_the_plan() -> None:
    history = Memory({"daily_bars": [daily("A", DAY)]})
    closed = ask("daily_bars", start=date(2026, 3, 8), end=DAY)
    assert fetch(closed, history, "flat_day_aggs").verdicts[0].outcome is Outcome.NO_DATA
    account = Account(tables=frozenset({"bars"}))
    found = fetch(ask("daily_bars", start=DAY, end=NEXT), history, "flat_day_aggs", account)
    assert [v.outcome for v in found.verdicts] == [Outcome.NOT_ENTITLED]


def test_the_signature_is_the_published_one() -> None:
    """The first example of https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html."""
    keys = Credentials("AKIAIOSFODNN7EXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"))
    at = datetime(2013, 5, 24, tzinfo=UTC)
    made = headers("/test.txt", keys, "examplebucket.s3.amazonaws.com", at, {"range": "bytes=0-9"})
    assert made["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )


def test_the_signature_of_a_listing_is_the_published_one() -> None:
    """The last example of the same page: GET Bucket (List Objects)."""
    keys = Credentials("AKIAIOSFODNN7EXAMPLE", Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"))
    at = datetime(2013, 5, 24, tzinfo=UTC)
    asked = Get("examplebucket.s3.amazonaws.com", "/", (("prefix", "J"), ("max-keys", "2")), {}, at)
    assert dict(sign_get(asked, keys).headers)["authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        "SignedHeaders=host;x-amz-content-sha256;x-amz-date,"
        "Signature=34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"
    )


def test_the_server_checks_the_signature() -> None:
    history = Memory({"daily_bars": [daily("A", DAY)]})
    account = Account(key=CREDENTIALS.key, secret=CREDENTIALS.secret)
    asked = call("day_aggs")
    answer = serve(asked, history, account)
    assert (answer.status, REST.judge(asked, answer).outcome) == (200, Outcome.ROWS)
    signed = headers(asked.path, CREDENTIALS, "127.0.0.1:1", NOW)
    other = headers(asked.path, Credentials(CREDENTIALS.key, Secret("other")), "127.0.0.1:1", NOW)
    late = headers(asked.path, CREDENTIALS, "127.0.0.1:1", NOW - timedelta(hours=1))
    for sent, outcome in (
        (other, Outcome.FATAL),
        (late, Outcome.FATAL),
        ({}, Outcome.NOT_ENTITLED),
        (signed | {"x-amz-date": "today"}, Outcome.NOT_ENTITLED),
        (signed, Outcome.ROWS),
    ):
        request = HttpRequest(asked.path, (), {**sent, "host": "127.0.0.1:1"}, NOW, BASE)
        told = SERVER.answer(request, history, account)
        assert REST.judge(asked, told).outcome is outcome
        assert KEY.encode() not in told.body


CELLS = st.sampled_from(
    ["A", "NA", "1", "1.5", "-1", "1e400", "", '"', '"12,37"', "x", "9" * 18, str(nanos(midnight(DAY)))]
)
HEADERS = {
    "day_aggs": AGGREGATES,
    "minute_aggs": AGGREGATES,
    "trades": TRADES,
    "quotes": "ticker,ask_exchange,ask_price,ask_size,bid_exchange,bid_price,bid_size,conditions,sip_timestamp,tape",
}


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(sorted(HEADERS)),
    st.lists(st.lists(CELLS, max_size=13), max_size=5),
    st.booleans(),
    st.binary(max_size=9),
)
def test_bytes_never_raise(kind: str, lines: list[list[str]], packed: bool, tail: bytes) -> None:
    body = file(HEADERS[kind], *(",".join(cells) for cells in lines), packed=packed) + tail
    found = decoded(call(kind), body)
    assert found.rejects or rows(found, "coverage")

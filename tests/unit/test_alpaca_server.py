"""The server side of the protocol and the rendering of rows, held against the vendor's samples and our decoder."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

from tickerplant.fingerprint import Tally
from tickerplant.model import Batch, Entry, Kind, Position, Record, Secret
from tickerplant.schema import Table
from tickerplant.simulator.market import batch
from tickerplant.tables import BARS, DAILY_BARS, IMBALANCES, LULDS, QUOTES, STATUSES, TRADE_CORRECTIONS, TRADES
from tickerplant.vendors import vendor
from tickerplant.vendors.alpaca.render import CHANNELS, frame, packed, render, split
from tickerplant.vendors.alpaca.server import Account, Connection

SAMPLES = Path(__file__).resolve().parents[2].parent / "shared" / "vendor-samples" / "alpaca" / "ws"
NO_ACK: dict[str, list[str]] = {"updatedBars": [], "dailyBars": [], "statuses": [], "lulds": []}


def said(connection: Connection, **request: Any) -> list[dict[str, Any]]:
    reply = connection.receive(msgspec.json.encode(request))
    return [message for payload in reply.frames for message in json.loads(payload)]


def logged_in(**options: Any) -> Connection:
    connection = Connection(**options)
    assert said(connection, action="auth", key="k", secret="s") == [{"T": "success", "msg": "authenticated"}]
    return connection


def error(code: int, text: str) -> list[dict[str, Any]]:
    return [{"T": "error", "code": code, "msg": text}]


def test_session_is_the_documented_one_byte_for_byte() -> None:
    connection = Connection()
    assert connection.opened().frames == (b'[{"T":"success","msg":"connected"}]',)
    assert connection.receive(b'{"action":"auth","key":"k","secret":"s"}').frames == (
        b'[{"T":"success","msg":"authenticated"}]',
    )
    subscribe = b'{"action":"subscribe","trades":["AAPL"],"quotes":["AMD","CLDR"],"bars":["*"]}'
    assert connection.receive(subscribe).frames == (
        b'[{"T":"subscription","trades":["AAPL"],"quotes":["AMD","CLDR"],"bars":["*"],"updatedBars":[],"dailyBars":[],'
        b'"statuses":[],"lulds":[],"corrections":["AAPL"],"cancelErrors":["AAPL"]}]',
    )


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the vendor's samples are not beside this repository")
@pytest.mark.parametrize("name", ["session_subscribe_unsubscribe.jsonl", "session_sip_2023.jsonl"])
def test_recorded_dialogue_is_answered_as_recorded(name: str) -> None:
    connection = Connection()
    connection.opened()
    if "unsubscribe" in name:
        said(connection, action="auth", key="k", secret="s")
    exchange = [json.loads(line) for line in (SAMPLES / name).read_text().splitlines()]
    for step, following in pairwise(exchange):
        if step["dir"] == "client" and following["dir"] == "server":
            reply = connection.receive(step["text"].encode())
            assert [json.loads(f) for f in reply.frames] == [json.loads(following["text"])]


def test_acknowledgement_is_cumulative_and_unsubscribe_subtracts() -> None:
    connection = logged_in()
    said(connection, action="subscribe", trades=["A", "B"], quotes=["*"])
    (ack,) = said(connection, action="subscribe", trades=["C", "A"], imbalances=["Z"])
    assert ack == {"T": "subscription", "trades": ["A", "B", "C"], "quotes": ["*"], "bars": [], **NO_ACK} | {
        "corrections": ["A", "B", "C"],
        "cancelErrors": ["A", "B", "C"],
        "imbalances": ["Z"],
    }
    (ack,) = said(connection, action="unsubscribe", trades=["B"], quotes=["*"], imbalances=["Z"])
    assert (ack["trades"], ack["quotes"], ack["corrections"]) == (["A", "C"], [], ["A", "C"])
    assert "imbalances" not in ack


def test_filters_follow_the_subscription() -> None:
    connection = logged_in()
    said(connection, action="subscribe", trades=["BRK.B"], bars=["*"])
    assert connection.wants("trades", "BRK.B")
    assert connection.wants("corrections", "BRK.B")
    assert connection.wants("cancelErrors", "BRK.B")
    assert connection.wants("bars", "anything")
    assert not connection.wants("trades", "AAPL")
    assert not connection.wants("corrections", "AAPL")
    assert not connection.wants("quotes", "BRK.B")


def test_login_by_headers() -> None:
    connection = Connection(headers={"APCA-API-KEY-ID": "k", "apca-api-secret-key": "s"})
    greeting = [json.loads(payload)[0]["msg"] for payload in connection.opened().frames]
    assert greeting == ["connected", "authenticated"]
    assert said(connection, action="auth", key="k", secret="s") == error(403, "already authenticated")


def test_refusals() -> None:
    account = Account(key="right", secret=Secret("pass"), symbols=2, feeds=("iex",))
    connection = Connection(feed="iex", account=account)
    assert said(connection, action="subscribe", trades=["A"]) == error(401, "not authenticated")
    assert said(connection, action="auth", key="right", secret="wrong") == error(402, "auth failed")
    assert said(connection, action="auth", key=["x"], secret="wrong") == error(400, "invalid syntax")
    assert said(connection, action="auth", key="right", secret="pass")[0]["msg"] == "authenticated"
    assert said(connection, action="auth", key="right", secret="pass") == error(403, "already authenticated")
    assert said(connection, action="subscribe", trades=["A", "B"], quotes=["C"]) == error(405, "symbol limit exceeded")
    assert said(connection, action="subscribe", trades=["*"]) == error(405, "symbol limit exceeded")
    assert not connection.is_subscribed
    assert said(connection, action="subscribe", news=["*"]) == error(410, "invalid subscribe action for this feed")
    assert said(connection, action="subscribe", trades=["A"], quotes=["B", "A"])[0]["T"] == "subscription"


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"no json",
        b"[]",
        b"{}",
        b'{"action":"dance"}',
        b'{"action":"subscribe"}',
        b'{"action":"subscribe","trades":"A"}',
        b'{"action":"subscribe","trades":[1]}',
        b'{"action":"subscribe","trades":["A B"]}',
        b'{"action":"subscribe","trades":[""]}',
        b'{"action":"subscribe","ticks":["A"]}',
        b'{"action":"subscribe","trades":["\xff"]}',
    ],
)
def test_bad_syntax_changes_nothing(message: bytes) -> None:
    connection = logged_in()
    said(connection, action="subscribe", trades=["A"])
    reply = connection.receive(message)
    assert [json.loads(f) for f in reply.frames] == [error(400, "invalid syntax")]
    assert not reply.close
    assert connection.symbols("trades") == frozenset("A")


def test_plan_slots_and_timeout_close() -> None:
    elsewhere = Connection(feed="sip", account=Account(feeds=("iex",)))
    reply = elsewhere.receive(b'{"action":"auth","key":"k","secret":"s"}')
    assert reply.close
    assert json.loads(reply.frames[0]) == error(409, "insufficient subscription")
    full = Connection(admit=lambda: 406)
    reply = full.receive(b'{"action":"auth","key":"k","secret":"s"}')
    assert reply.close
    assert json.loads(reply.frames[0]) == error(406, "connection limit exceeded")
    late = Connection()
    assert late.timed_out().close
    assert json.loads(late.timed_out().frames[0]) == error(404, "auth timeout")
    assert logged_in().timed_out().frames == ()


def test_test_feed_has_three_channels() -> None:
    connection = logged_in(feed="test")
    (ack,) = said(connection, action="subscribe", quotes=["FAKEPACA"], bars=["FAKEPACA"])
    assert ack == {"T": "subscription", "trades": [], "quotes": ["FAKEPACA"], "bars": ["FAKEPACA"]}
    assert said(connection, action="subscribe", lulds=["FAKEPACA"])[0]["code"] == 410


def test_msgpack_dialogue() -> None:
    connection = Connection(headers={"content-type": "application/msgpack"})
    assert msgspec.msgpack.decode(connection.opened().frames[0]) == [{"T": "success", "msg": "connected"}]
    reply = connection.receive(msgspec.msgpack.encode({"action": "auth", "key": "k", "secret": "s"}))
    assert msgspec.msgpack.decode(reply.frames[0])[0]["msg"] == "authenticated"
    assert msgspec.msgpack.decode(connection.receive(b"\xc1").frames[0])[0]["code"] == 400


def rows(table: Table, count: int = 200) -> Batch:
    """Random rows that reach into every corner the wire can carry."""
    chance = np.random.default_rng(len(table.name))
    columns: dict[str, Any] = {}
    for field in table.schema:
        if field.name in ("vendor", "feed", "received_at", "seq", "interval"):
            continue
        columns[field.name] = _values(field, chance, count)
    return batch(table, columns, count)


CORNERS: dict[str, list[Any]] = {
    "symbol": ["AAPL", "BRK.B", "NA", "TRUE", 'Ä"\\'],
    "ts": [1_700_000_000_000_000, 1_700_000_000_500_000, 0, 1_763_649_000_123_456, 1_700_000_000_100_000],
    "ns": [0, 0, 1, 10, 100, 999],
    "kind": ["correction", "cancel", "error"],
    "revision": [0, 1],
    "session": [date(2025, 1, 1) + timedelta(days=d) for d in range(0, 365, 7)],
}
CONDITIONS = ["", "@", "@,I", " ,7", "R"]
IDS = ["0", "7", "52983525033527", "0012", "A-1", "-3"]
REALS = [0.0, 136.0, 0.1, 1e-5, 1e16, 123456789.000001, 1e22, 0.30000000000000004, -2.5, 5e-324]


def _values(field: pa.Field, chance: np.random.Generator, count: int) -> list[Any]:
    corners = CORNERS.get(field.name)
    if corners is None and field.type == pa.float64():
        corners = REALS
    elif corners is None and field.type == pa.int64():
        corners = [0, 1, -5, 10**12]
    elif corners is None:
        corners = CONDITIONS if "conditions" in field.name else IDS if field.name.endswith("_id") else None
    corners = corners or ["N", " ", "", "é", '"\\\n']
    found = [corners[k] for k in chance.integers(0, len(corners), count)]
    return [None if field.nullable and k % 17 == 5 else v for k, v in enumerate(found)]


def expected(made: Batch) -> Batch:
    """What the wire can carry of made-up corrections: cancels have no corrected side and no original conditions."""
    if made.table is not TRADE_CORRECTIONS:
        return made
    kept = made.rows.to_pylist()
    for row in kept:
        if row["kind"] != "correction":
            row |= {k: None for k in row if k.startswith("corrected") or k == "original_conditions"}
    return Batch(made.table, pa.RecordBatch.from_pylist(kept, schema=made.table.schema))


def decoded(payloads: list[bytes]) -> Tally:
    entries = [
        Entry(Position(k), Position(k + 1), Record("alpaca", "sip", Kind.DATA, 1_700_000_000_000_000_000 + k, payload))
        for k, payload in enumerate(payloads)
    ]
    found = vendor("alpaca").decode(entries)
    assert found.rejects == ()
    return Tally.of(found.batches)


ALL = (QUOTES, TRADES, BARS, DAILY_BARS, STATUSES, LULDS, TRADE_CORRECTIONS, IMBALANCES)


@pytest.mark.parametrize("table", ALL, ids=lambda t: t.name)
def test_rendered_rows_decode_to_the_same_rows(table: Table) -> None:
    made = rows(table)
    rendered = render(made)
    assert [json.loads(m)["T"] for m in rendered.messages] == [CHANNELS[c].type for c in rendered.channels]
    assert all(list(json.loads(m))[:2] == ["T", "S"] for m in rendered.messages)
    wanted = Tally.of([expected(made)])
    assert decoded([frame(rendered.messages, False)]).as_json() == wanted.as_json()
    assert decoded([frame([packed(m) for m in rendered.messages], True)]).as_json() == wanted.as_json()


@pytest.mark.parametrize("table", ALL, ids=lambda t: t.name)
def test_no_rows_are_no_messages(table: Table) -> None:
    assert render(Batch(table, rows(table).rows.slice(0, 0))).messages == []


def test_documented_shape_byte_for_byte() -> None:
    at = int(datetime(2023, 4, 6, 13, 26, 30, tzinfo=UTC).timestamp()) * 1_000_000
    columns = {"symbol": ["AMD"], "ts": [at + 838_232], "ns": [220], "trade_id": ["628"], "price": [162.92]}
    columns |= {"size": [3.0], "exchange": ["K"], "conditions": ["@,F,T,I"], "tape": ["C"]}
    (message,) = render(batch(TRADES, columns, 1)).messages
    assert message == (
        b'{"T":"t","S":"AMD","i":628,"x":"K","p":162.92,"s":3,"c":["@","F","T","I"],"z":"C",'
        b'"t":"2023-04-06T13:26:30.83823222Z"}'
    )


def test_split_keeps_bytes_of_text_and_nanoseconds_of_msgpack() -> None:
    text = b'[{"T":"t","S":"A","p":1.50},{"T":"zz","S":"B","t":"2021-02-22T15:51:44.208000001Z"}]'
    assert split(text) == [b'{"T":"t","S":"A","p":1.50}', b'{"T":"zz","S":"B","t":"2021-02-22T15:51:44.208000001Z"}']
    assert split(frame([packed(m) for m in split(text)], True))[1] == split(text)[1]
    for seconds in (0, 2**31, 2**34 + 5):
        ext = (7).to_bytes(4, "big") + seconds.to_bytes(8, "big", signed=True)
        packed_time = msgspec.msgpack.encode([{"T": "q", "t": msgspec.msgpack.Ext(-1, ext)}])
        assert split(packed_time)[0].endswith(b'.000000007Z"}')


def test_large_frames_in_msgpack() -> None:
    for count in (1, 15, 16, 65_535, 65_536):
        assert msgspec.msgpack.decode(frame([b"\x01"] * count, True)) == [1] * count

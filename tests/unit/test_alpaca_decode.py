from __future__ import annotations

import gc
import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tickerplant.model import Decoded, Entry, Kind, Position, Record
from tickerplant.vendors.alpaca.decode import decode
from tickerplant.vendors.alpaca.parse import CHUNK, JSON, MSGPACK, encoding_of, parse
from tickerplant.vendors.alpaca.times import nanoseconds

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "vendor-samples" / "alpaca" / "ws"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"{SHARED} is not there (the vendor's printed samples)")
RECEIVED = 1_700_000_000_123_456_789


def entry(payload: bytes, at: int = 0, feed: str = "sip", kind: Kind = Kind.DATA) -> Entry:
    return Entry(Position(at), Position(at + 1), Record("alpaca", feed, kind, RECEIVED + at * 1_000_000, payload))


def decoded(*payloads: bytes) -> Decoded:
    return decode([entry(payload, at) for at, payload in enumerate(payloads)])


def rows(result: Decoded, table: str) -> list[dict[str, Any]]:
    return [row for batch in result.batches if batch.table.name == table for row in batch.rows.to_pylist()]


def messages(result: Decoded) -> int:
    return sum(b.rows.num_rows for b in result.batches) + len(result.rejects) + result.control


def quote(symbol: str = "A", time: str = "2026-03-09T13:30:00Z", **more: Any) -> bytes:
    return msgspec.json.encode({"T": "q", "S": symbol, "t": time, **more})


def frame(*parts: bytes) -> bytes:
    return b"[" + b",".join(parts) + b"]"


def server_frames(path: Path) -> list[bytes]:
    """The frames of a shared sample, whatever its form."""
    if path.suffix == ".msgpack":
        return [path.read_bytes()]
    found = []
    for line in path.read_text().splitlines():
        value = json.loads(line)
        if isinstance(value, list):
            found.append(line.encode())
        elif "dir" in value:
            found += [value["text"].encode()] if value["dir"] == "server" else []
        else:
            found.append(msgspec.msgpack.encode([timestamped(value)]))
    return found


def timestamped(message: dict[str, Any]) -> dict[str, Any]:
    """A message of alpaca-py's tests with its marker as a real timestamp extension."""
    seconds, fraction = message["t"]["__msgpack_timestamp__"]
    return {**message, "t": msgspec.msgpack.Ext(-1, (fraction << 34 | seconds).to_bytes(8, "big"))}


@needs_shared
def test_every_shared_sample_decodes_or_is_classed() -> None:
    paths = sorted(p for p in SHARED.rglob("*") if p.is_file())
    assert len(paths) >= 30
    for path in paths:
        frames = server_frames(path)
        result = decoded(*frames)
        assert messages(result) >= len(frames), path
        reasons = [r.reason for r in result.rejects]
        assert reasons == (["unknown message type 'o'"] if path.name.startswith("alpacapy") else []), path
        if "control" in path.name:
            assert (result.control, result.batches) == (len(frames), ()), path


@needs_shared
def test_shared_quote_has_its_exact_values_in_both_encodings() -> None:
    plain, packed = SHARED / "data_q_quote.json", SHARED / "msgpack" / "data_q_quote.msgpack"
    for path in (plain, packed):
        assert rows(decoded(*server_frames(path)), "quotes") == [
            {
                "symbol": "AMD",
                "ts": datetime(2021, 2, 22, 15, 51, 45, 335689, UTC),
                "ns": 322,
                "bid_price": 87.66,
                "bid_size": 1.0,
                "bid_exchange": "U",
                "ask_price": 87.68,
                "ask_size": 4.0,
                "ask_exchange": "Q",
                "conditions": "R",
                "tape": "C",
                "vendor": "alpaca",
                "feed": "sip",
                "received_at": datetime.fromtimestamp(1_700_000_000, UTC).replace(microsecond=123456),
                "seq": 0,
            }
        ]


@needs_shared
@pytest.mark.parametrize(
    "name",
    [
        "b_minute_bar",
        "c_correction",
        "d_daily_bar",
        "i_imbalance",
        "l_luld",
        "q_quote",
        "s_status",
        "t_trade",
        "x_cancel_error",
    ],
)
def test_shared_samples_are_the_same_rows_in_json_and_msgpack(name: str) -> None:
    plain = decoded(*server_frames(SHARED / f"data_{name}.json"))
    packed = decoded(*server_frames(SHARED / "msgpack" / f"data_{name}.msgpack"))
    assert [(b.table, b.rows.to_pylist()) for b in plain.batches] == [
        (b.table, b.rows.to_pylist()) for b in packed.batches
    ]
    assert messages(plain) == 1


@needs_shared
def test_shared_correction_and_daily_bar_and_fakepaca_session() -> None:
    (correction,) = rows(decoded(*server_frames(SHARED / "data_c_correction.json")), "trade_corrections")
    assert (correction["kind"], correction["original_id"], correction["corrected_id"]) == (
        "correction",
        "52983525033527",
        "52983525034326",
    )
    assert (correction["original_conditions"], correction["corrected_price"], correction["ns"]) == (" ,7", 39.1809, 24)
    (daily,) = rows(decoded(*server_frames(SHARED / "data_d_daily_bar.json")), "daily_bars")
    # 04:00Z in February is 23:00 of a holiday in New York; the bar is that of the 16th.
    assert (daily["session"], daily["volume"], daily["vwap"]) == (date(2021, 2, 16), 749378.0, None)
    session = decoded(*server_frames(SHARED / "session_test_fakepaca_2024.jsonl"))
    assert session.control == 3
    assert [r["ns"] for r in rows(session, "quotes")] == [735, 127]
    assert [(r["vwap"], r["trade_count"]) for r in rows(session, "bars")] == [(133.7, 16)]


def test_receipt_and_place_in_the_frame_give_the_order_of_arrival() -> None:
    trade = b'{"T":"t","S":"B","t":"2026-03-09T13:30:00Z"}'
    result = decoded(frame(quote("A"), trade, quote("C")), b"[]", frame(quote("D")))
    placed = [(r["symbol"], r["received_at"].microsecond, r["seq"]) for r in rows(result, "quotes")]
    assert placed == [("A", 123456, 0), ("C", 123456, 2), ("D", 125456, 0)]
    assert [(r["symbol"], r["seq"]) for r in rows(result, "trades")] == [("B", 1)]
    assert messages(result) == 4


def test_places_hold_when_a_bad_message_is_taken_out() -> None:
    result = decoded(
        frame(quote("A"), quote("B", time="never"), b'{"T":"q"}', quote("D")), frame(quote("E"), quote("F"))
    )
    placed = [(r["symbol"], r["received_at"].microsecond, r["seq"]) for r in rows(result, "quotes")]
    assert placed == [("A", 123456, 0), ("D", 123456, 3), ("E", 124456, 0), ("F", 124456, 1)]
    assert [(r.start, r.item, r.payload) for r in result.rejects] == [
        (0, 1, quote("B", time="never")),
        (0, 2, b'{"T":"q"}'),
    ]


@pytest.mark.parametrize(
    ("bad", "channel", "reason"),
    [
        (b'{"T":"o","S":"X"}', "o", "unknown message type 'o'"),
        (b'{"S":"X"}', None, "alpaca: object missing required field `T`"),
        (b'{"T":7}', None, "alpaca: expected `str` - at `$.T`"),
        (b"7", None, "alpaca: expected `object`, was `int`"),
        (b"null", None, "alpaca: expected `object`, was `null`"),
        (b'{"T":"t","S":"X"}', "trades", "alpaca trades: object missing required field `t`"),
        (b'{"T":"t","S":null,"t":"x"}', "trades", "alpaca trades: expected `str`, was `null` - at `$.S`"),
        (b'{"T":"t","S":"X","t":5}', "trades", "alpaca trades: expected `str`, was `int` - at `$.t`"),
        (b'{"T":"q","S":"X","t":"","bp":"nan"}', "quotes", 'alpaca quotes: expected a number, was "nan" - at `$.bp`'),
        (b'{"T":"q","S":"X","t":"","bp":"null"}', "quotes", 'alpaca quotes: expected a number, was "null" - at `$.bp`'),
        (b'{"T":"q","S":"X","t":"","bp":true}', "quotes", "alpaca quotes: expected `float | null`, was `bool`"),
        (b'{"T":"q","S":"X","t":"","bp":1e999}', "quotes", "alpaca quotes: number out of range - at `$.bp`"),
        (b'{"T":"b","S":"X","t":"","n":99999999999999999999}', "bars", "alpaca bars: expected `int` <= 9223372036"),
        (b'{"T":"c","S":"X","t":"","oc":[null]}', "trade_corrections", "alpaca trade_corrections: expected `str`"),
        (quote("X", time="2026-13-09T13:30:00Z"), "quotes", "alpaca quotes: expected a time such as"),
        (quote("X", time="2263-01-01T00:00:00Z"), "quotes", "alpaca quotes: expected a time such as"),
        (quote("X", time="2026-03-09T13:30:00"), "quotes", "alpaca quotes: expected a time such as"),
        (quote("X", time="2026-03-09T13:30:00.1234567891Z"), "quotes", "alpaca quotes: expected a time such as"),
    ],
)
def test_one_bad_message_costs_only_itself(bad: bytes, channel: str | None, reason: str) -> None:
    result = decoded(frame(quote("A"), bad, quote("C", bp=1.5)))
    assert [(r["symbol"], r["bid_price"]) for r in rows(result, "quotes")] == [("A", None), ("C", 1.5)]
    (reject,) = result.rejects
    assert (reject.item, reject.payload, reject.received_at) == (1, bad, RECEIVED)
    assert reject.reason.lower().startswith(reason.lower())
    assert channel is None or reject.channel == channel


def test_numbers_as_text_are_numbers_and_neighbours_keep_their_text() -> None:
    odd = b'{"T":"t","S":"NULL","i":"007","p":"1.5","s":"0.25","z":"null","t":"2026-03-09T13:30:00Z"}'
    (row,) = rows(decoded(frame(odd)), "trades")
    assert (row["symbol"], row["trade_id"], row["price"], row["size"], row["tape"]) == (
        "NULL",
        "007",
        1.5,
        0.25,
        "null",
    )


def test_trade_ids_of_any_size_and_kind_are_text() -> None:
    ids: list[Any] = [7, "007", 2**63 - 1, 2**70, None, "x-1"]
    made = [msgspec.json.encode({"T": "t", "S": "A", "t": "2026-03-09T13:30:00Z", "i": i}) for i in ids]
    made[3] = made[0].replace(b'"i":7', b'"i":1180591620717411303424')
    found = [r["trade_id"] for r in rows(decoded(frame(*made)), "trades")]
    assert found == ["7", "007", "9223372036854775807", "1180591620717411303424", None, "x-1"]


def test_conditions_null_empty_single_and_many_stay_apart() -> None:
    lists: list[list[str] | None] = [["R"], None, [], ["A", "B"], ["\n"], [" "], ["é"]]
    result = decoded(frame(*(quote(c=codes) for codes in lists)))
    assert [r["conditions"] for r in rows(result, "quotes")] == ["R", None, "", "A,B", "\n", " ", "é"]


@pytest.mark.parametrize("values", [["A", "B"], ["", "AB"], ["\n", "A"], ["AB", ""], ["A\n", ""], ["é", "B"], ["", ""]])
def test_codes_of_any_length_are_what_was_sent(values: list[str]) -> None:
    result = decoded(frame(*(quote(z=value) for value in values)))
    assert [r["tape"] for r in rows(result, "quotes")] == values


def test_a_cancel_without_its_letter_is_kept_as_unknown() -> None:
    (row,) = rows(decoded(b'[{"T":"x","S":"A","i":1,"t":"2026-03-09T13:30:00Z"}]'), "trade_corrections")
    assert (row["kind"], row["original_id"]) == ("unknown", "1")


def test_a_bare_message_counts_as_a_frame_of_one() -> None:
    assert [r["symbol"] for r in rows(decoded(b" " + quote("A")), "quotes")] == ["A"]


def test_frames_of_both_encodings_and_several_feeds_in_one_call() -> None:
    packed = msgspec.msgpack.encode([{"T": "q", "S": "P", "t": msgspec.msgpack.Ext(-1, bytes(4))}])
    given = [entry(frame(quote("A")), 0), entry(packed, 1, "iex"), entry(frame(quote("B")), 2), entry(b"", 3)]
    result = decode(given)
    assert [(r["symbol"], r["feed"], r["ts"].year) for r in rows(result, "quotes")] == [
        ("A", "sip", 2026),
        ("P", "iex", 1970),
        ("B", "sip", 2026),
    ]
    assert [(r.start, r.item, r.payload) for r in result.rejects] == [(3, -1, b"")]


def test_feeds_mixed_within_a_chunk_stay_with_their_frames() -> None:
    result = decode([entry(frame(quote("A"), quote("B")), 0, "sip"), entry(frame(quote("C")), 1, "iex")])
    assert [(r["symbol"], r["feed"]) for r in rows(result, "quotes")] == [("A", "sip"), ("B", "sip"), ("C", "iex")]


def test_a_rest_answer_is_set_aside_whole() -> None:
    (reject,) = decode([entry(b'[{"T":"q"}]', kind=Kind.RESPONSE)]).rejects
    assert (reject.item, reject.reason) == (-1, "alpaca: expected a websocket frame, was a REST response")


def test_large_calls_come_in_several_batches_in_order() -> None:
    frames = [frame(*(quote(f"S{at * 10 + i}") for i in range(10))) for at in range(CHUNK * 3 // 20)]
    result = decoded(*frames)
    assert [b.rows.num_rows for b in result.batches] == [CHUNK, CHUNK // 2]
    assert [r["symbol"] for r in rows(result, "quotes")] == [f"S{i}" for i in range(CHUNK * 3 // 2)]


def test_parse_and_columns_are_the_two_halves_of_decode() -> None:
    (chunk,) = parse([entry(frame(quote("A"), quote("B"))), entry(b"[]")])
    assert ([m.symbol for m in chunk.messages], chunk.counts, chunk.encoding) == (["A", "B"], [2, 0], JSON)


@pytest.mark.parametrize("was_on", [True, False])
def test_the_collector_is_left_as_it_was(was_on: bool) -> None:
    (gc.enable if was_on else gc.disable)()
    try:
        decoded(frame(quote("A"), b"{}"))
        assert gc.isenabled() is was_on
    finally:
        gc.enable()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1970-01-01T00:00:00.1Z", 100_000_000),
        ("1970-01-01T00:00:00.12345Z", 123_450_000),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("1970-01-01T05:30:00.5+05:30", 500_000_000),
        ("1970-01-01t00:00:00z", 0),
        ("2262-04-11T23:47:16.854775807Z", 2**63 - 1),
    ],
)
def test_times_are_exact(text: str, expected: int) -> None:
    assert (nanoseconds([text])[0].tolist(), nanoseconds([text])[1]) == ([expected], [])
    (row,) = rows(decoded(frame(quote(time=text))), "quotes")
    micros = (row["ts"] - datetime(1970, 1, 1, tzinfo=UTC)) // datetime.resolution
    assert micros * 1000 + row["ns"] == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ((2**32 - 1).to_bytes(4, "big"), (2**32 - 1) * 10**9),
        ((999_999_999 << 34 | 5).to_bytes(8, "big"), 5_999_999_999),
        ((10**9 << 34 | 5).to_bytes(8, "big"), None),
        ((854_775_807 << 34 | 9_223_372_036).to_bytes(8, "big"), 2**63 - 1),
        ((854_775_808 << 34 | 9_223_372_036).to_bytes(8, "big"), None),
        ((2**34 - 1).to_bytes(8, "big"), None),
        ((1).to_bytes(4, "big") + (-1).to_bytes(8, "big", signed=True), -(10**9) + 1),
        ((0).to_bytes(4, "big") + (2**62).to_bytes(8, "big"), None),
        (b"\x00" * 5, None),
    ],
)
def test_msgpack_times_are_exact_or_set_aside(data: bytes, expected: int | None) -> None:
    usual = {"T": "q", "S": "A", "t": msgspec.msgpack.Ext(-1, bytes(8))}
    given = msgspec.msgpack.encode([usual, {**usual, "t": msgspec.msgpack.Ext(-1, data)}])
    result = decoded(given)
    stamps = [r["ts"].timestamp() * 10**9 + r["ns"] for r in rows(result, "quotes")]
    assert len(stamps) == (1 if expected is None else 2)
    assert [r.item for r in result.rejects] == ([1] if expected is None else [])
    if expected is not None:
        micros = (rows(result, "quotes")[1]["ts"] - datetime(1970, 1, 1, tzinfo=UTC)) // datetime.resolution
        assert micros * 1000 + rows(result, "quotes")[1]["ns"] == expected


def test_msgpack_time_of_another_extension_or_a_number_is_set_aside() -> None:
    made = [{"T": "q", "S": "A", "t": t} for t in (msgspec.msgpack.Ext(5, bytes(4)), 5, None, "2026-03-09T13:30:00Z")]
    result = decoded(msgspec.msgpack.encode(made))
    assert [r.item for r in result.rejects] == [0, 1, 2]
    assert [r["seq"] for r in rows(result, "quotes")] == [3]


def test_encoding_is_known_by_the_first_byte() -> None:
    assert [encoding_of(p) for p in (b"[", b"{", b" [", b"", b"x")] == [JSON] * 5
    assert [encoding_of(p) for p in (b"\x91", b"\xdc\x00\x01", b"\xdd", b"\x82", b"\xde")] == [MSGPACK] * 5

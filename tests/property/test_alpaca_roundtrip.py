"""Random valid messages are the same rows in both encodings; random bytes never raise and are never lost."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tickerplant.fingerprint import Tally
from tickerplant.model import Credentials, Decoded, Entry, Kind, Position, Record, Secret, Selection
from tickerplant.vendors.alpaca.decode import decode
from tickerplant.vendors.alpaca.wire import dialogue

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
text = st.text(st.characters(codec="utf-8"), max_size=6)
code = st.sampled_from([*"ABCNQ @", "", "T12"]) | text
codes = st.lists(code, max_size=4)
real = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**15), 10**15)
count = st.integers(-(2**63), 2**63 - 1)
trade_id = st.integers(-(2**63), 2**63 - 1) | text
OHLCV = {**dict.fromkeys(("o", "h", "l", "c", "v", "vw"), real), "n": count}
SHAPES: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "q": {"bx": code, "bp": real, "bs": real, "ax": code, "ap": real, "as": real, "c": codes, "z": code},
    "t": {"i": trade_id, "x": code, "p": real, "s": real, "c": codes, "z": code},
    "b": OHLCV,
    "u": OHLCV,
    "d": OHLCV,
    "s": {"sc": code, "sm": text, "rc": code, "rm": text, "z": code},
    "l": {"u": real, "d": real, "i": code, "z": code},
    "c": {"x": code, "oi": trade_id, "op": real, "os": real, "oc": codes, "ci": trade_id, "cp": real, "cc": codes},
    "x": {"i": trade_id, "x": code, "p": real, "s": real, "a": st.sampled_from("CEZ"), "z": code},
    "i": {"p": real, "z": code},
}
stamps = st.integers(-(10**18), 9 * 10**18) | st.integers(0, 9 * 10**9).map(lambda second: second * 10**9)


@st.composite
def messages(draw: st.DrawFn) -> tuple[dict[str, Any], int]:
    """A message without time, and its time in ns."""
    kind = draw(st.sampled_from(sorted(SHAPES)))
    fields = draw(st.fixed_dictionaries({}, optional={k: st.none() | v for k, v in SHAPES[kind].items()}))
    extra = draw(st.fixed_dictionaries({}, optional={"r": text, "NewField": st.lists(count, max_size=2)}))
    return {"T": kind, "S": draw(text), **fields, **extra}, draw(stamps)


def rfc3339(ns: int) -> str:
    second, fraction = divmod(ns, 10**9)
    moment = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return moment + (f".{fraction:09d}".rstrip("0") if fraction else "") + "Z"


def extension(ns: int) -> msgspec.msgpack.Ext:
    second, fraction = divmod(ns, 10**9)
    if not 0 <= second < 2**34:
        data = fraction.to_bytes(4, "big") + second.to_bytes(8, "big", signed=True)
    elif fraction or second >= 2**32:
        data = (fraction << 34 | second).to_bytes(8, "big")
    else:
        data = second.to_bytes(4, "big")
    return msgspec.msgpack.Ext(-1, data)


def entries(*payloads: bytes) -> list[Entry]:
    return [
        Entry(Position(i), Position(i + 1), Record("alpaca", "sip", Kind.DATA, 10**18 + i, payload))
        for i, payload in enumerate(payloads)
    ]


def total(decoded: Decoded) -> int:
    return sum(b.rows.num_rows for b in decoded.batches) + len(decoded.rejects) + decoded.control


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(messages(), max_size=8), max_size=4))
def test_both_encodings_become_equal_rows_with_exact_times(frames: list[list[tuple[dict[str, Any], int]]]) -> None:
    plain = [msgspec.json.encode([{**m, "t": rfc3339(ns)} for m, ns in frame]) for frame in frames]
    packed = [msgspec.msgpack.encode([{**m, "t": extension(ns)} for m, ns in frame]) for frame in frames]
    one, other = decode(entries(*plain)), decode(entries(*packed))
    assert one.rejects == other.rejects == ()
    assert total(one) == total(other) == sum(map(len, frames))
    assert Tally.of(one.batches).as_json() == Tally.of(other.batches).as_json()
    for left, right in zip(one.batches, other.batches, strict=True):
        assert left.table is right.table
        assert left.rows.equals(right.rows)
    for letter, table in (("q", "quotes"), ("t", "trades"), ("s", "statuses")):
        given_times = [ns for frame in frames for m, ns in frame if m["T"] == letter]
        rows = [row for b in one.batches if b.table.name == table for row in b.rows.to_pylist()]
        assert [(r["ts"] - EPOCH) // datetime.resolution * 1000 + r["ns"] for r in rows] == given_times


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=40) | st.text(max_size=20).map(str.encode), max_size=4))
def test_arbitrary_bytes_never_raise_and_are_kept(payloads: list[bytes]) -> None:
    decoded = decode(entries(*payloads))
    kept = {(r.start, r.payload) for r in decoded.rejects if r.item == -1}
    assert all(payload == payloads[start] for start, payload in kept)
    talk = dialogue(Selection(("quotes",), ("A",)), Credentials("key", Secret("hidden")))
    for payload in payloads:
        talk.is_control(payload)
        assert "hidden" not in repr(talk.receive(payload))


@settings(max_examples=300, deadline=None)
@given(st.lists(messages(), min_size=1, max_size=5), st.booleans(), st.data())
def test_damaged_frames_never_raise_and_never_cost_another_frame(
    made: list[tuple[dict[str, Any], int]], binary: bool, data: st.DataObject
) -> None:
    if binary:
        good = msgspec.msgpack.encode([{**m, "t": extension(ns)} for m, ns in made])
    else:
        good = msgspec.json.encode([{**m, "t": rfc3339(ns)} for m, ns in made])
    at = data.draw(st.integers(0, len(good) - 1))
    bad = good[:at] + data.draw(st.binary(max_size=2)) + good[at + 1 :]
    decoded = decode(entries(good, bad, good))
    sound = decode(entries(good))
    for start, alone in ((0, sound), (2, sound)):
        assert not [r for r in decoded.rejects if r.start == start], alone
    assert total(decoded) == 2 * total(sound) + total(decode(entries(b"", bad))) - 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(["T", "S", "t", "i", "x", "p", "s", "c", "z", "bp", "n", "a", "oc", "msg", "code"])
kinds = st.sampled_from([*SHAPES, "success", "error", "subscription", "o"])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.dictionaries(keys, json_values, max_size=6) | json_values, max_size=4), st.lists(kinds, max_size=4))
def test_each_message_of_any_shape_is_counted_exactly_once(shapes: list[Any], named: list[str]) -> None:
    for shape, kind in zip(shapes, named, strict=False):
        if isinstance(shape, dict):
            shape |= {"T": kind, "S": "A"}
    decoded = decode(entries(msgspec.json.encode(shapes)))
    assert total(decoded) == len(shapes)

"""The line of a record, byte for byte."""

from __future__ import annotations

import json
import zlib

import pytest

from tickerplant.errors import BadData
from tickerplant.logs.line import MARKER, MAX_LINE_BYTES, decode, encode, encode_payload, prefix_of
from tickerplant.model import Kind, Record

RX = 1763649000123456789


def _record(payload: bytes, request: str | None = None, kind: Kind = Kind.DATA) -> Record:
    return Record("alpaca", "sip", kind, RX, payload, request)


def test_line_is_the_documented_one() -> None:
    body = b',"rx":1763649000123456789,"v":"alpaca","c":"sip","k":"data","m":[{"T":"q"}]}'
    assert encode(_record(b'[{"T":"q"}]')) == b'{"crc":"%08x"' % zlib.crc32(body) + body + b"\n"


def test_request_stands_before_the_payload() -> None:
    line = encode(_record(b"{}", 'GET /v2/bars?symbols="A"', Kind.RESPONSE))
    assert json.loads(line)["q"] == 'GET /v2/bars?symbols="A"'
    assert line.endswith(b',"m":{}}\n')
    assert decode(line).request == 'GET /v2/bars?symbols="A"'


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        (b'[{"T":"q","bp":1.50}]', "m"),
        (b' {"a" : 1e5} ', "m"),
        ('["é"]'.encode(), "m"),
        (b"7", "m"),
        (b"", "s"),
        (b'{\n"a":1}', "s"),
        (b'{\r"a":1}', "s"),
        (b"symbol,price\nA,1\n", "s"),
        (b"[1,]", "s"),
        (b"NaN", "s"),
        (b'"\x01"', "s"),
        (b"01", "s"),
        (b'[{"T":"q"', "s"),
        (b"\xef\xbb\xbf[1]", "s"),
        (MARKER + b'00000000"}', "s"),
        (b'[{"crc":"x"}]', "s"),
        (b'["' + MARKER + b'"]', "s"),
        (b"[" * 100_000 + b"]" * 100_000, "s"),
        (b'"\xff"', "b"),
        (b'["\xed\xa0\x80"]', "b"),
        (b"\x82\xa1T\xa1q\xa1t\xd7\xff", "b"),
    ],
)
def test_payload_is_kept_byte_for_byte_in_a_line_of_valid_json(payload: bytes, field: str) -> None:
    line = encode(_record(payload))
    assert decode(line).payload == payload
    assert line.count(b"\n") == 1
    assert line.count(MARKER) == 1
    assert b'"k":"data","%b":' % field.encode() in line
    assert set(json.loads(line)) == {"crc", "rx", "v", "c", "k", field}


def test_any_changed_byte_is_noticed() -> None:
    line = encode(_record(b'[{"T":"q","S":"AAPL"}]'))
    for at in range(len(line) - 1):
        with pytest.raises(BadData, match="log line: expected crc"):
            decode(line[:at] + bytes([line[at] ^ 1]) + line[at + 1 :])


@pytest.mark.parametrize("old", [b'"k":"data"', b'"m":', b'"rx":', b'"v":"alpaca"'])
def test_a_line_with_a_right_crc_in_another_format_is_bad_data(old: bytes) -> None:
    body = encode(_record(b"[1]")).rstrip(b"\n")[17:].replace(old, old.replace(b":", b'z":"z",', 1))
    with pytest.raises(BadData, match="log line: expected"):
        decode(b'{"crc":"%08x"' % zlib.crc32(body) + body)


def test_a_kind_of_a_later_version_is_bad_data_that_names_it() -> None:
    body = encode(_record(b"[1]")).rstrip(b"\n")[17:].replace(b'"data"', b'"novel"')
    with pytest.raises(BadData, match="was 'novel'"):
        decode(b'{"crc":"%08x"' % zlib.crc32(body) + body)


def test_a_payload_too_large_for_a_line_is_refused() -> None:
    with pytest.raises(BadData, match=f"expected at most {MAX_LINE_BYTES} bytes"):
        encode_payload(prefix_of("alpaca", "sip", Kind.DATA), RX, b"[" + b" " * MAX_LINE_BYTES + b"]")

"""One line of the log: encode a record, parse a line. Pure functions over bytes; `docs/log-format.md` is the format.

    {"crc":"8f1c2b3a","rx":1763649000123456789,"v":"alpaca","c":"sip","k":"data","m":[{"T":"q",...}]}

MARKER stands at the start of each line and nowhere else, so that lines can be found in damaged bytes.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from functools import lru_cache

import msgspec

from tickerplant.errors import BadData, excerpt
from tickerplant.model import Kind, Record

MARKER = b'{"crc":"'
CRC_START, CRC_END, BODY = 8, 16, 17
MAX_LINE_BYTES = 64 * 2**20

_JSON = msgspec.json.Decoder(msgspec.Raw)
_TEXT = msgspec.json.Decoder(str)
_HEAD = re.compile(
    rb',"rx":(\d{1,19}),("v":"([A-Za-z0-9_-]+)","c":"([A-Za-z0-9_-]+)","k":"([a-z]+)",'
    rb'(?:"q":("(?:[^"\\]|\\.)*"),)?"([msb])":)'
)
_RX, _RX_END = 6, 25
_KINDS = {kind.value.encode(): kind for kind in Kind}


@lru_cache(1024)
def _prefix(vendor: str, feed: str, kind: Kind, request: str | None) -> bytes:
    asked = b'"q":%b,' % msgspec.json.encode(request) if request is not None else b""
    return b'"v":"%b","c":"%b","k":"%b",%b' % (vendor.encode(), feed.encode(), kind.value.encode(), asked)


def _is_json_line(payload: bytes) -> bool:
    """Whether `payload` can stand in a line as it is: valid JSON in UTF-8, no line break, no MARKER."""
    try:
        _JSON.decode(payload)
        if not payload.isascii():
            payload.decode()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return b"\n" not in payload and b"\r" not in payload and MARKER not in payload


def _field(payload: bytes) -> bytes:
    """The payload field of a line, name and value."""
    if _is_json_line(payload):
        return b'"m":' + payload
    try:
        return b'"s":' + msgspec.json.encode(payload.decode())
    except UnicodeDecodeError:
        return b'"b":"' + base64.b64encode(payload) + b'"'


def encode(record: Record) -> bytes:
    """The line of a record, newline included. Raises BadData for a line above MAX_LINE_BYTES."""
    prefix = _prefix(record.vendor, record.feed, record.kind, record.request)
    return encode_payload(prefix, record.received_at, record.payload)


def prefix_of(vendor: str, feed: str, kind: Kind, request: str | None = None) -> bytes:
    """What `encode_payload` puts between the receipt time and the payload; the same for all records of one kind."""
    return _prefix(vendor, feed, kind, request)


def encode_payload(prefix: bytes, received_at: int, payload: bytes) -> bytes:
    """The line of a payload received at `received_at` (ns), with a prefix from `prefix_of`."""
    body = b',"rx":%d,%b%b}' % (received_at, prefix, _field(payload))
    if len(body) > MAX_LINE_BYTES - BODY - 1:
        raise BadData(f"log line: expected at most {MAX_LINE_BYTES} bytes, was {len(body) + BODY + 1}")
    return b'{"crc":"%08x"%b\n' % (zlib.crc32(body), body)


class Parser:
    """Parses the bodies of lines (what the CRC covers). Remembers the last head, which is nearly always the next."""

    __slots__ = ("_feed", "_head", "_kind", "_skip", "_vendor")

    def __init__(self) -> None:
        self._head = b"\0"
        self._skip = 0
        self._vendor, self._feed, self._kind = "", "", Kind.DATA

    def parse(self, body: bytes) -> Record:
        """The record of a body whose CRC is right. Raises BadData when it is not in this format."""
        if body.startswith(self._head, _RX_END + 1) and body[_RX:_RX_END].isdigit():
            return Record(self._vendor, self._feed, self._kind, int(body[_RX:_RX_END]), body[self._skip : -1])
        return self._parse_any(body)

    def _parse_any(self, body: bytes) -> Record:
        found = _HEAD.match(body)
        if found is None or not body.endswith(b"}"):
            raise BadData(f"log line: expected rx, v, c, k and m, s or b, was {excerpt(body)!r}")
        rx, head, vendor, feed, kind, request, form = found.groups()
        if kind not in _KINDS:
            raise BadData(f"log line: expected a kind of {', '.join(Kind)}, was {kind.decode()!r}")
        record = Record(
            vendor.decode(),
            feed.decode(),
            _KINDS[kind],
            int(rx),
            _payload(form, body[found.end() : -1]),
            None if request is None else _TEXT.decode(request),
        )
        if form == b"m" and request is None and found.end(1) == _RX_END:
            self._head, self._skip = head, found.end()
            self._vendor, self._feed, self._kind = record.vendor, record.feed, record.kind
        return record


def _payload(form: bytes, value: bytes) -> bytes:
    if form == b"m":
        return value
    try:
        text = _TEXT.decode(value)
        return text.encode() if form == b"s" else base64.b64decode(text, validate=True)
    except (msgspec.MsgspecError, binascii.Error, ValueError) as error:
        raise BadData(f"log line: expected a JSON string, was {excerpt(value)!r}") from error


def decode(line: bytes) -> Record:
    """The record of one line, with or without its newline. Raises BadData when it is not whole."""
    body = line.removesuffix(b"\n")[BODY:]
    if not line.startswith(b'{"crc":"%08x"' % zlib.crc32(body)):
        raise BadData(f"log line: expected crc {zlib.crc32(body):08x}, was {excerpt(line)!r}")
    return Parser().parse(body)

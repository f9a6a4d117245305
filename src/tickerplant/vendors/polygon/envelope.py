"""Bodies -> items: the envelope around results, pages, CSV.

An answer without results has no `results` key (recorded); `null` and `[]` are the same. `next_url` names the host that
was asked and holds no key, so its path and query alone are used. CSV (`Accept: text/csv`) has no envelope: rows that
are not as long as the header, which the vendor's examples show, are set aside.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec import UNSET, Raw, UnsetType

from tickerplant.errors import BadData, excerpt
from tickerplant.rest import Call
from tickerplant.vendors.answers import Bad
from tickerplant.vendors.polygon.judge import UNREADABLE, Said, redact

T = TypeVar("T")


class Envelope(Said):
    """The outside of an answer."""

    results: Raw | UnsetType = UNSET
    tickers: Raw | UnsetType = UNSET
    ticker: Raw | UnsetType = UNSET
    next_url: str | None = None
    count: Any = None
    results_count: Any = msgspec.field(name="resultsCount", default=None)


class _Next(msgspec.Struct):
    next_url: str | None = None


_ENVELOPE, _NEXT = msgspec.json.Decoder(Envelope), msgspec.json.Decoder(_Next)


def opened(body: bytes, what: str) -> Envelope:
    """The envelope of an answer. Raises BadData, also when it says that it is an error."""
    try:
        found = _ENVELOPE.decode(body)
    except UNREADABLE as error:
        raise BadData(f"polygon {what}: expected an answer: {error}; it begins {excerpt(body)!r}") from None
    if found.is_error:
        raise BadData(f"polygon {what}: expected results, was {found.status}: {redact(found.text)[:120]!r}")
    return found


def results(body: bytes, what: str) -> Raw:
    """The results of an answer, `null` when it has none. Raises BadData when it says that there should be some."""
    found = opened(body, what)
    if not isinstance(found.results, UnsetType):
        return found.results
    if found.results_count or found.count or not isinstance(found.tickers, UnsetType) or found.status is None:
        raise BadData(f"polygon {what}: expected results, was {excerpt(body)!r}")
    return Raw(b"null")


def following(call: Call, body: bytes) -> Call | None:
    """The call for the page after this body, None at the end. Raises BadData."""
    if body[:64].lstrip()[:1] != b"{":
        return None
    try:
        url = _NEXT.decode(body).next_url
    except UNREADABLE as error:
        raise BadData(f"polygon {call.endpoint}: expected an answer with a next page or none: {error}") from None
    return _next(call, url) if url else None


def _next(call: Call, url: str) -> Call:
    try:
        parts = urlsplit(url)
        params = tuple((k, v) for k, v in parse_qsl(parts.query, keep_blank_values=True) if k.lower() != "apikey")
    except ValueError as error:
        raise BadData(f"polygon {call.endpoint}: expected an address of the next page: {error}") from None
    if not parts.path.startswith("/"):
        raise BadData(f"polygon {call.endpoint}: expected an address of the next page, was {redact(url)[:80]!r}")
    if (parts.path, params) == (call.path, call.params):
        raise BadData(f"polygon {call.endpoint}: expected another page, was the same again: {redact(url)[:80]!r}")
    return msgspec.structs.replace(call, path=parts.path, params=params, page=call.page + 1)


def items(raw: Raw | bytes, kind: type[T], what: str, bad: list[Bad]) -> list[T | None]:
    """The items of a list in their places, None where one cannot be read; one object is a list of one, null none."""
    text = bytes(raw).lstrip()
    if text[:1] == b"{":
        text = b"[" + text + b"]"
    try:
        return msgspec.json.decode(text, type=list[kind] | None) or []  # type: ignore[valid-type]
    except UNREADABLE:
        return _salvaged(text, kind, what, bad)


def _salvaged(text: bytes, kind: type[T], what: str, bad: list[Bad]) -> list[T | None]:
    try:
        parts = msgspec.json.decode(text, type=list[Raw])
    except UNREADABLE as error:
        raise BadData(f"polygon {what}: expected a list: {error}; it begins {excerpt(text)!r}") from None
    made: list[T | None] = []
    for place, part in enumerate(parts):
        try:
            made.append(msgspec.json.decode(part, type=kind, strict=False))
        except UNREADABLE as error:
            made.append(None)
            bad.append(Bad(place, f"polygon {what}: {error}", bytes(part)))
    return made


def is_csv(body: bytes) -> bool:
    """Whether a body is CSV rather than JSON."""
    return body[:64].lstrip()[:1] not in (b"{", b"[", b"")


def csv_items(body: bytes, kind: type[T], what: str, needed: Sequence[str], bad: list[Bad]) -> list[T | None]:
    """The rows of a CSV answer in their places, None where one cannot be read; an empty cell is missing.

    Raises BadData when a needed column is missing.
    """
    try:
        lines = csv.reader(body.decode("utf-8-sig").splitlines(), strict=True)
        header = next(lines, [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadData(f"polygon {what}: expected CSV: {error}") from None
    if not set(needed) <= set(header):
        raise BadData(f"polygon {what}: expected CSV with {', '.join(needed)}, was {','.join(header)[:80]!r}")
    return _csv_rows(_lines(lines, what), header, kind, what, bad)


def _lines(lines: Any, what: str) -> Iterable[list[str]]:
    try:
        yield from lines
    except csv.Error as error:
        raise BadData(f"polygon {what}: expected CSV: {error}") from None


def _csv_rows(
    lines: Iterable[list[str]], header: list[str], kind: type[T], what: str, bad: list[Bad]
) -> list[T | None]:
    made: list[T | None] = []
    for place, cells in enumerate(lines):
        if not cells:
            made.append(None)
            continue
        try:
            if len(cells) != len(header):
                raise ValueError(f"expected {len(header)} cells, was {len(cells)}")
            cleaned = {k: v for k, v in zip(header, cells, strict=True) if v != ""}
            made.append(msgspec.convert(cleaned, type=kind, strict=False))
        except UNREADABLE as error:
            made.append(None)
            bad.append(Bad(place, f"polygon {what}: {error}", ",".join(cells).encode() or b'""'))
    return made

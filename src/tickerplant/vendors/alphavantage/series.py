"""One body of a time series, JSON or CSV, as items: a stamp and its fields by name, numbers of keys taken off.

Keys carry a number that differs by function ("5. volume", "6. volume", "1: Symbol"); only the name counts. CSV headers
write `adjusted_close` or `adjusted close`. Source: https://www.alphavantage.co/documentation/ read 2026-04-30.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec import Raw

from tickerplant.errors import BadData, excerpt
from tickerplant.vendors.alphavantage.judge import UNREADABLE, spelt_notice
from tickerplant.vendors.answers import Bad

Fields: TypeAlias = Mapping[str, str | float | None]

EASTERN = ("US/Eastern", "America/New_York")
MISSING = ("", "None", "none", "null", "-", ".")
"""Texts that stand for no value."""

_NUMBERED = re.compile(r"^\s*\d+\s*[.:]\s*")
_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_FIELDS = msgspec.json.Decoder(dict[str, str | float | None])


class Item(NamedTuple):
    """One row: place in the answer, stamp as sent, fields by name, its bytes."""

    place: int
    stamp: str
    fields: Fields
    payload: bytes


@dataclass(frozen=True)
class Series:
    """The rows of an answer, as ordered by the vendor (newest first). `meta` is empty for CSV."""

    items: tuple[Item, ...]
    bad: tuple[Bad, ...]
    meta: Mapping[str, str]


@lru_cache(maxsize=256)
def bare(key: str) -> str:
    """A key without its number, in lower case, words parted by spaces."""
    return _NUMBERED.sub("", key).strip().lower().replace("_", " ")


def number(value: str | float | None) -> float | None:
    """A finite number, None when there is no value. Raises ValueError."""
    if value is None or (isinstance(value, str) and value.strip() in MISSING):
        return None
    text = str(value).strip()
    found = float(text) if text.isascii() and "_" not in text else float("nan")
    if not abs(found) < float("inf"):
        raise ValueError(f"expected a finite number, was {text[:40]!r}")
    return found


def text(value: Any) -> str | None:
    """Text without blanks around it, None when there is no value."""
    found = "" if value is None else str(value).strip()
    return None if found in MISSING else found


def is_json(body: bytes) -> bool:
    """Whether a body is JSON, not CSV."""
    return body.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"[")


def top_of(body: bytes) -> dict[str, Raw]:
    """The members of a JSON object, unread. Raises BadData."""
    try:
        return _OBJECT.decode(body.removeprefix(b"\xef\xbb\xbf").strip())
    except UNREADABLE as error:
        raise BadData(f"alphavantage: expected a JSON object, was {excerpt(body)!r}: {error}") from None


def series(body: bytes, key: str) -> Series:
    """The series under `key` of a JSON body, or the rows of a CSV body. Raises BadData."""
    return _json(body, key) if is_json(body) else _csv(body)


def _json(body: bytes, key: str) -> Series:
    top = top_of(body)
    if key not in top:
        raise BadData(f"alphavantage: expected {key!r}, was {', '.join(map(repr, list(top)[:3]))}")
    raw = bytes(top[key])
    members = {} if raw.strip() == b"null" else top_of(raw)
    items: list[Item] = []
    bad: list[Bad] = []
    for place, (stamp, value) in enumerate(members.items()):
        try:
            fields = {bare(k): v for k, v in _FIELDS.decode(value).items()}
        except UNREADABLE as error:
            bad.append(Bad(place, f"{stamp[:40]}: expected an object of values: {error}", bytes(value)))
            continue
        items.append(Item(place, stamp, fields, bytes(value)))
    return Series(tuple(items), tuple(bad), _meta(top.get("Meta Data")))


def _meta(raw: Raw | None) -> dict[str, str]:
    if raw is None:
        return {}
    try:
        return {bare(k): str(v) for k, v in msgspec.json.decode(raw, type=dict[str, Any]).items()}
    except UNREADABLE as error:
        raise BadData(f"alphavantage: expected Meta Data to be an object: {error}") from None


def _csv(body: bytes) -> Series:
    names: list[str] = []
    items: list[Item] = []
    bad: list[Bad] = []
    for place, line, cells in csv_rows(body):
        if place == -1:
            names = [bare(c) for c in cells]
            if names[0] not in ("timestamp", "time"):
                raise BadData(f"alphavantage: expected CSV with a timestamp, was {excerpt(line)!r}")
        elif len(cells) != len(names):
            bad.append(Bad(place, f"expected {len(names)} columns, was {len(cells)}", line))
        else:
            items.append(Item(place, cells[0], dict(zip(names[1:], cells[1:], strict=True)), line))
    return Series(tuple(items), tuple(bad), {})


def csv_rows(body: bytes) -> Iterator[tuple[int, bytes, list[str]]]:
    """`(place, bytes, cells)` of each line that is not blank, the header as place -1; an unreadable line has no cells.

    Everything stays text: NA and TRUE are tickers. Raises BadData on no header and on a notice spelt over the columns.
    """
    place = -1
    for raw in body.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        line = raw.rstrip(b"\r")
        if not line.strip():
            continue
        cells = _cells(line)
        if place == -1 and not cells:
            break
        if place == 0 and spelt_notice(",".join(cells)):
            raise BadData(f"alphavantage: expected rows, was a notice spelt over the columns: {excerpt(line)!r}")
        yield place, line, cells
        place += 1
    if place == -1:
        raise BadData(f"alphavantage: expected CSV with a header, was {excerpt(body)!r}")


def _cells(line: bytes) -> list[str]:
    try:
        return next(csv.reader([line.decode()]), [])
    except (ValueError, csv.Error):
        return []

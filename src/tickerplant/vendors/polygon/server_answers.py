"""What all answers of the vendor's side share: who is let in, parameters, cursors, envelopes, errors.

A cursor holds the whole query, so that later parameters change nothing; it is opaque to the caller.
"""

from __future__ import annotations

import base64
import csv
import io
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import parse_qsl, urlencode

import msgspec
import pyarrow as pa

from tickerplant.calendar import NEW_YORK
from tickerplant.rest import Account, Answer, History, HttpRequest

Row = dict[str, Any]

EPOCH, EVER = datetime(1950, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
DELAY = timedelta(minutes=15)
ENTITLED = "You are not entitled to this data. Please upgrade your plan at https://polygon.io/pricing"
TOO_FAST = (
    "You've exceeded the maximum requests per minute, please wait or upgrade your subscription to continue. "
    "https://polygon.io/pricing"
)


class Refused(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, word: str, text: str) -> None:
        super().__init__(text)
        self.status, self.word = status, word


@dataclass(frozen=True)
class Asked:
    """A request that is let in."""

    request: HttpRequest
    history: History
    account: Account

    @property
    def until(self) -> datetime:
        """What is known: until now, or 15 minutes ago on a delayed plan."""
        return self.request.at - DELAY if self.account.is_delayed else self.request.at

    def param(self, name: str, default: str = "") -> str:
        """A parameter, of the cursor when there is one."""
        return self.request.param(name, default) or default

    def rows(
        self,
        table: str,
        symbol: str | None = None,
        start: datetime = EPOCH,
        end: datetime = EVER,
        interval: str | None = None,
    ) -> pa.Table:
        """What is known of one symbol, or all."""
        return self.history.rows(table, None if symbol is None else [symbol], start, end, interval)


def let_in(request: HttpRequest, account: Account) -> None:
    """Check the key, in the header or the query. Raises Refused."""
    said = request.headers.get("authorization", "").removeprefix("Bearer ").strip() or request.param("apiKey", "")
    if not said or (account.secret is not None and said != account.secret.reveal()):
        raise Refused(401, "ERROR", "Unknown API Key")


def pinned(asked: Asked) -> Asked:
    """The request with the parameters of its cursor. Raises Refused."""
    cursor = asked.request.param("cursor")
    if not cursor:
        return asked
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError:
        raise Refused(400, "ERROR", "Cursor is invalid") from None
    found = tuple(parse_qsl(text, keep_blank_values=True))
    if not found:
        raise Refused(400, "ERROR", "Cursor is invalid")
    return replace(asked, request=replace(asked.request, params=found))


def cursor_of(params: Sequence[tuple[str, str]], **more: str) -> str:
    """A cursor that pins the query."""
    kept = {k: v for k, v in params if k.lower() != "apikey"} | more
    return base64.urlsafe_b64encode(urlencode(kept).encode()).decode().rstrip("=")


def limit(asked: Asked, default: int, most: int) -> int:
    """Rows of a page. Raises Refused."""
    found = _count(asked, "limit", default)
    if found < 1:
        raise Refused(400, "ERROR", "limit: expected a positive number, was 0")
    return min(found, most)


def _count(asked: Asked, name: str, default: int) -> int:
    said = asked.param(name, str(default))
    if not (said.isascii() and said.isdigit() and len(said) < 10):
        raise Refused(400, "ERROR", f"{name}: expected a number, was {said[:20]!r}")
    return int(said)


def ordered(asked: Asked, default: str = "asc") -> bool:
    """Whether the answer ascends. Raises Refused."""
    said = asked.param("order", default)
    if said not in ("asc", "desc"):
        raise Refused(400, "ERROR", f"order: expected asc or desc, was {said[:20]!r}")
    return said == "asc"


def listed(asked: Asked, items: Sequence[Row], default: int, most: int) -> Answer:
    """A page of a list."""
    size, first = limit(asked, default, most), _count(asked, "ap", 0)
    size = min(size, asked.account.page_rows or size)
    part = list(items[first : first + size])
    following = None
    if first + size < len(items):
        cursor = cursor_of(asked.request.params, ap=str(first + size))
        following = f"{asked.request.base}{asked.request.path}?cursor={cursor}"
    return enveloped(asked, {"results": part, "count": len(part)}, following)


def enveloped(asked: Asked, content: Mapping[str, Any], following: str | None = None) -> Answer:
    """An answer with data, as CSV when that is asked for."""
    headers = {"link": f'<{following}>; rel="next"'} if following else {}
    if asked.request.headers.get("accept") == "text/csv":
        return Answer(200, _csv(content.get("results") or []), {**headers, "content-type": "text/csv"})
    status = "DELAYED" if asked.account.is_delayed else "OK"
    told = {"status": status, "request_id": _id(asked.request), **content}
    return json(told | ({"next_url": following} if following else {}), headers=headers)


def _csv(rows: Sequence[Row]) -> bytes:
    names = sorted({name for row in rows for name in row})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(row.get(n)) for n in names] for row in rows)
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)


def json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    """JSON."""
    return Answer(status, msgspec.json.encode(value), {**(headers or {}), "content-type": "application/json"})


def error(refused: Refused, request: HttpRequest) -> Answer:
    """An error: its text stands in `error` or, of the states with a name, in `message`."""
    name = "error" if refused.word == "ERROR" else "message"
    return json({"status": refused.word, "request_id": _id(request), name: str(refused)}, refused.status)


def _id(request: HttpRequest) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, f"{request.path}?{request.params}").hex


def day(text: str, name: str) -> date:
    """A date of a parameter. Raises Refused."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise Refused(400, "ERROR", f"{name}: expected YYYY-MM-DD, was {text[:20]!r}") from None


def midnight(of: date) -> datetime:
    """The start of a day in New York."""
    return datetime.combine(of, time(), NEW_YORK).astimezone(UTC)


def bounds(asked: Asked, name: str) -> dict[str, str]:
    """What is said of a column: `""`, gt, gte, lt, lte."""
    found = {suffix: asked.param(f"{name}.{suffix}" if suffix else name) for suffix in ("", "gt", "gte", "lt", "lte")}
    return {suffix: value for suffix, value in found.items() if value}


def fits(value: Any, limits: Mapping[str, Any]) -> bool:
    """Whether a value keeps to bounds."""
    tests = {
        "": lambda v, b: v == b,
        "gt": lambda v, b: v > b,
        "gte": lambda v, b: v >= b,
        "lt": lambda v, b: v < b,
        "lte": lambda v, b: v <= b,
    }
    return all(tests[suffix](value, bound) for suffix, bound in limits.items())


def filled(row: Row) -> Row:
    """Without what is not known."""
    return {k: v for k, v in row.items() if v is not None}


def whole(value: float | None) -> float | int | None:
    """A number without a fraction as an integer, as the vendor prints most of them."""
    return int(value) if value is not None and value == int(value) and abs(value) < 2**53 else value

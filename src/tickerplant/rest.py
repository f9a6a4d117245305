"""REST without I/O: what is asked, what came back, what it means, and what a simulated vendor knows.

The way of one request: an `Endpoint` makes a `Call`; the fetcher adds the secrets (`Rest.sign`), sends it, lets the
vendor judge the `Answer` (`Rest.judge`), lands the body in the log under `Asked`, and goes on with `Rest.follow`.
`load` decodes the record and writes rows of `coverage` for what was asked beside the rows that came.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from tickerplant.credentials import Credentials, Secret
from tickerplant.errors import BadData

if TYPE_CHECKING:
    import pyarrow as pa

ALL = ("*",)
"""Every symbol of the market."""


class Call(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One HTTP GET without its secrets.

    `symbols` are ours; `start`/`end` is the half-open span asked for (UTC; a session of daily bars is its day in New
    York, midnight to midnight), whatever the vendor's own bounds mean. `path` and `params` are the vendor's.
    """

    endpoint: str
    table: str
    path: str
    params: tuple[tuple[str, str], ...] = ()
    host: str = "data"
    symbols: tuple[str, ...] = ALL
    start: datetime | None = None
    end: datetime | None = None
    interval: str | None = None
    feed: str = "rest"
    page: int = 0


class Piece(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which part of a file in object storage a record holds: whole lines `[start, end)` of its unpacked text, in bytes,
    after a first line that all parts have. `size` is that of the file as it is stored, `etag` its version.
    """

    etag: str
    size: int
    start: int
    end: int
    is_last: bool = False


class Asked(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a landed answer is the answer to; it stands in `Record.request` as JSON and holds no secret.

    `chain` is one request with all its pages.
    """

    call: Call
    chain: str
    status: int = 200
    outcome: str = "rows"
    piece: Piece | None = None


class Outcome(StrEnum):
    """What an answer means for the one who asked."""

    ROWS = "rows"
    """Data, perhaps no row of it: land it."""
    NO_DATA = "no_data"
    """The vendor has nothing under that name or day: land it, do not ask again soon."""
    NOT_ENTITLED = "not_entitled"
    """The plan does not include it: land it once, a state and no retry."""
    NOT_ASKED = "not_asked"
    """The plan refused the endpoint a short while ago, so the call was not sent: landed as a state, in our words."""
    BAD_REQUEST = "bad_request"
    """Refused; with several symbols one of them may be at fault: divide and ask again."""
    WAIT = "wait"
    """Too fast: ask again after `wait_s`."""
    QUOTA = "quota"
    """The day's allowance is spent."""
    RETRY = "retry"
    """A passing failure: ask again with back-off."""
    FATAL = "fatal"
    """Credentials or account: nothing more can be asked."""


LANDED = (Outcome.ROWS, Outcome.NO_DATA, Outcome.NOT_ENTITLED, Outcome.BAD_REQUEST)
"""Answers that are kept: they say something that stays true."""


@dataclass(frozen=True)
class Verdict:
    """A vendor's answer, classed. `reason` holds no secret; `wait_s` is the least wait, None when not said."""

    outcome: Outcome
    reason: str = ""
    wait_s: float | None = None


@dataclass(frozen=True)
class Answer:
    """What came back. Header names in lower case."""

    status: int
    body: bytes
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Ask:
    """What an endpoint is to make a call for. `[start, end)` as in Call; `interval` for bars (1m, 5m, ...)."""

    table: str
    symbols: tuple[str, ...]
    start: datetime
    end: datetime
    interval: str | None = None
    feed: str | None = None


Shape = Literal["day", "symbol", "symbols", "market"]
"""What one call covers: all symbols of one session, one symbol's span, several symbols' span, one list."""


@dataclass(frozen=True)
class Endpoint:
    """One kind of request. `rows_per_page` and `max_days` bound an answer and a span; the planner counts with them."""

    name: str
    tables: tuple[str, ...]
    shape: Shape
    call: Callable[[Ask], Call]
    rows_per_page: int
    symbols_per_call: int = 1
    max_days: int | None = None
    intervals: tuple[str, ...] = ()


@dataclass(frozen=True)
class RateLimit:
    """At most `calls` in any `seconds`."""

    calls: int
    seconds: float


@dataclass(frozen=True)
class Sign:
    """What a request needs beside the call: parameters and headers with secrets. Never kept."""

    params: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class HttpRequest:
    """A request as a server sees it. Header names in lower case; `at` is the server's clock, UTC."""

    path: str
    params: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    at: datetime
    base: str
    """Scheme and host the client used, for links to the next page."""
    method: str = "GET"

    def param(self, name: str, default: str | None = None) -> str | None:
        """The first value of a parameter."""
        return next((v for k, v in self.params if k == name), default)


class History(Protocol):
    """What a simulated vendor knows, in our tables' columns, sorted by (symbol, time)."""

    def rows(
        self, table: str, symbols: Sequence[str] | None, start: datetime, end: datetime, interval: str | None = None
    ) -> pa.Table:
        """Rows of `[start, end)` (a daily bar stands at its session's midnight in New York); None is every symbol.

        `tickers`, `splits`, `dividends` and the like answer by listing or ex date. An unknown table is empty.
        """
        ...


@dataclass(frozen=True)
class Account:
    """Whom a simulated vendor answers: any credentials when `secret` is None; `tables` in the plan, None is all."""

    key: str | None = None
    secret: Secret | None = None
    tables: frozenset[str] | None = None
    page_rows: int | None = None
    """Most rows in a page, below the vendor's own limit, so that paging is met with little data."""
    is_delayed: bool = False


Refusal = Literal["rate", "day", "error", "html"]
"""Why a simulated vendor refuses: too fast, day's allowance spent, a fault (5xx), an outage page."""


@dataclass(frozen=True)
class RestServer:
    """The vendor's side of REST: pure functions."""

    answer: Callable[[HttpRequest, History, Account], Answer]
    refusal: Callable[[Refusal, HttpRequest], Answer]


@dataclass(frozen=True)
class Get:
    """A GET of object storage before it is signed: header names in lower case, `host` with its port, `at` UTC."""

    host: str
    path: str
    params: tuple[tuple[str, str], ...]
    headers: Mapping[str, str]
    at: datetime


@dataclass(frozen=True)
class Files:
    """Whole market days as files in object storage, with keys of their own. `host` names theirs in `Rest.hosts`.

    `published` is when the file of a day is there. `minutes` is what a file takes by endpoint, by estimate.
    """

    endpoints: tuple[Endpoint, ...]
    sign: Callable[[Get, Credentials], Sign]
    published: Callable[[date], datetime]
    minutes: Mapping[str, float]
    host: str = "files"


@dataclass(frozen=True)
class Rest:
    """A vendor's REST side as data: functions without I/O.

    `hosts` are the default base URLs by the name that calls use. `limits` are those of each plan, the free one first.
    `sign` gives the secrets of a call; `judge` classes an answer before anything is parsed; `follow` is the call for
    the next page, None at the end (it raises BadData when the page cannot be read).
    """

    hosts: Mapping[str, str]
    endpoints: tuple[Endpoint, ...]
    limits: Mapping[str, tuple[RateLimit, ...]]
    sign: Callable[[Call, Credentials], Sign]
    judge: Callable[[Call, Answer], Verdict]
    follow: Callable[[Call, Answer], Call | None]
    server: Callable[[], RestServer]
    to_vendor: Callable[[str], str] = str
    """Our symbol in the vendor's spelling."""
    is_plan_by_endpoint: bool = False
    """Whether a plan has an endpoint wholly or not at all, so that one refusal speaks for every symbol and span."""
    history_feeds: Mapping[str, str] = field(default_factory=dict)
    """Live feed -> the feed under which its history is asked for; others have none."""
    files: Files | None = None


def next_piece(asked: Asked) -> Call | None:
    """The call for the part after this one of a file, None after the last; it names version and byte."""
    piece, call = asked.piece, asked.call
    if piece is None or piece.is_last:
        return None
    return msgspec.structs.replace(call, page=call.page + 1, params=(("etag", piece.etag), ("from", str(piece.end))))


def encode_asked(asked: Asked) -> str:
    """The text for `Record.request`."""
    return msgspec.json.encode(asked).decode()


def decode_asked(text: str | None) -> Asked:
    """What an answer in the log is the answer to. Raises BadData."""
    try:
        return msgspec.json.decode(text or "", type=Asked)
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadData(f"request: expected what was asked as JSON, was {str(text)[:60]!r}: {error}") from None

"""A small history, the fetcher's loop without I/O, and landed answers of Alpha Vantage, for its tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from tickerplant.calendar import NEW_YORK
from tickerplant.credentials import Credentials, Secret
from tickerplant.model import Decoded, Entry, Kind, Position, Record
from tickerplant.rest import Account, Answer, Ask, Asked, Call, HttpRequest, Outcome, Verdict, encode_asked
from tickerplant.tables import TABLES
from tickerplant.vendors.alphavantage import VENDOR
from tickerplant.vendors.alphavantage.rest_server import SERVER

SAMPLES = Path(__file__).resolve().parents[2].parent / "shared" / "vendor-samples" / "alphavantage"
KEY = "ABCDEFGH12345678"
CREDENTIALS = Credentials("", Secret(KEY))
NOW = datetime(2026, 3, 20, 22, tzinfo=UTC)

assert VENDOR.rest is not None
REST = VENDOR.rest
ENDPOINTS = {e.name: e for e in REST.endpoints}

Row = dict[str, Any]


@dataclass
class Memory:
    """`rest.History` over rows given as dicts."""

    tables: Mapping[str, Sequence[Row]]

    def rows(
        self, table: str, symbols: Sequence[str] | None, start: datetime, end: datetime, interval: str | None = None
    ) -> pa.Table:
        known = TABLES.get(table)
        if known is None:
            return pa.table({})
        schema = pa.schema([known.schema.field(name) for name in known.content])
        found = [
            r
            for r in self.tables.get(table, ())
            if (symbols is None or r["symbol"] in symbols)
            and (interval is None or r.get("interval") == interval)
            and start <= _time(r) < end
        ]
        found.sort(key=lambda r: (r["symbol"], _time(r)))
        return pa.Table.from_pylist(found, schema)


def _time(row: Row) -> datetime:
    at = row.get("ts") or row.get("session") or row.get("ex_date") or row.get("listed_on") or date(2000, 1, 3)
    return at if isinstance(at, datetime) else midnight(at)


def midnight(day: date) -> datetime:
    """The start of a day in New York, in UTC."""
    return datetime.combine(day, time(), NEW_YORK).astimezone(UTC)


def ask(table: str, *symbols: str, start: date, end: date, interval: str | None = None, feed: str | None = None) -> Ask:
    return Ask(table, symbols, midnight(start), midnight(end), interval, feed)


def call(function: str, table: str, *, symbol: str | None = "IBM", **params: str) -> Call:
    """A call without a span; `symbol` is ours and theirs."""
    named = {"symbol": symbol} if symbol else {}
    minutes = params.get("interval", "")
    return Call(
        endpoint=function,
        table=table,
        path="/query",
        params=(("function", function), *named.items(), *params.items()),
        symbols=(symbol,) if symbol else ("*",),
        interval=minutes.removesuffix("in") if minutes.endswith("min") else None,
    )


def landed(asked: Call, body: bytes, outcome: Outcome = Outcome.ROWS, at: int = 0) -> Entry:
    request = encode_asked(Asked(call=asked, chain="c1", outcome=outcome.value))
    record = Record("alphavantage", asked.feed, Kind.RESPONSE, 1_700_000_000_000_000_000 + at * 1000, body, request)
    return Entry(Position(at), Position(at + 1), record)


def decoded(asked: Call, body: bytes, outcome: Outcome = Outcome.ROWS) -> Decoded:
    found = VENDOR.decode([landed(asked, body, outcome)])
    for batch in found.batches:
        batch.table.check(batch.rows)
    return found


def rows(found: Decoded, table: str) -> list[Row]:
    """The rows of a table, without what we add."""
    content = TABLES[table].content
    return [
        {name: r[name] for name in content} for b in found.batches if b.table.name == table for r in b.rows.to_pylist()
    ]


def request_of(asked: Call, at: datetime = NOW, key: str = KEY, **headers: str) -> HttpRequest:
    params = (*asked.params, *((("apikey", key),) if key else ()))
    return HttpRequest(asked.path, params, headers, at, "http://127.0.0.1")


@dataclass
class Fetched:
    """What a chain of calls came to."""

    found: Decoded
    calls: list[Call] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)

    def rows(self, table: str) -> list[Row]:
        return rows(self.found, table)


def fetch(asked: Ask, history: Memory, account: Account | None = None, endpoint: str | None = None) -> Fetched:
    """Ask the vendor's side for page after page, as the fetcher does, and decode what was landed."""
    chosen = next(e for e in REST.endpoints if asked.table in e.tables and endpoint in (None, e.name))
    following: Call | None = chosen.call(asked)
    entries: list[Entry] = []
    fetched = Fetched(Decoded())
    while following is not None:
        now, answer = following, _answer(following, history, account or Account())
        verdict = REST.judge(now, answer)
        entries.append(landed(now, answer.body, verdict.outcome, len(entries)))
        fetched.calls.append(now)
        fetched.verdicts.append(verdict)
        following = REST.follow(now, answer) if verdict.outcome is Outcome.ROWS else None
    fetched.found = VENDOR.decode(entries)
    return fetched


def _answer(asked: Call, history: Memory, account: Account) -> Answer:
    sign = REST.sign(asked, CREDENTIALS)
    return SERVER.answer(HttpRequest(asked.path, (*asked.params, *sign.params), {}, NOW, ""), history, account)


def daily(symbol: str, session: date, close: float = 10.0, volume: float = 1000.0) -> Row:
    prices = {"open": close - 0.5, "high": close + 1, "low": close - 1.25, "close": close}
    return {"symbol": symbol, "session": session, **prices, "volume": volume, "trade_count": None, "vwap": None}


def bar(symbol: str, ts: datetime, interval: str = "5m", close: float = 10.0, volume: float = 7.0) -> Row:
    prices = {"open": close - 0.5, "high": close + 1, "low": close - 1.25, "close": close}
    own = {"symbol": symbol, "ts": ts, "ns": 0, "interval": interval, "revision": 2}
    return {**own, **prices, "volume": volume, "trade_count": None, "vwap": None}


def ticker(symbol: str, vendor_symbol: str | None = None, **more: Any) -> Row:
    empty = dict.fromkeys(TABLES["tickers"].content)
    return {**empty, "symbol": symbol, "vendor_symbol": vendor_symbol or symbol, "is_active": True, **more}


def ny(text: str) -> datetime:
    """A wall time of New York in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).astimezone(UTC)


def days(first: date, count: int) -> list[date]:
    return [first + timedelta(days=i) for i in range(count)]

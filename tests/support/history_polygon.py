"""A small history, the fetcher's loop without I/O, and landed answers of Polygon, for its tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa

from tickerplant.calendar import NEW_YORK
from tickerplant.credentials import Credentials, Secret
from tickerplant.model import Decoded, Entry, Kind, Position, Record
from tickerplant.rest import Account, Answer, Ask, Asked, Call, Endpoint, HttpRequest, Outcome, Verdict, encode_asked
from tickerplant.tables import TABLES
from tickerplant.vendors.polygon import VENDOR as VENDOR
from tickerplant.vendors.polygon.endpoints import ENDPOINTS, FLAT, OTHERS
from tickerplant.vendors.polygon.flat_sign import sign_file
from tickerplant.vendors.polygon.rest_server import SERVER

SAMPLES = Path(__file__).resolve().parents[2].parent / "shared" / "vendor-samples" / "polygon"
KEY = "pG_k3y_0123456789abcdefghijklmnop"
CREDENTIALS = Credentials("s3-key-id", Secret(KEY))
NOW = datetime(2026, 3, 20, 22, tzinfo=UTC)
BASE = "http://127.0.0.1:1"

assert VENDOR.rest is not None
REST = VENDOR.rest
BY_NAME: dict[str, Endpoint] = {e.name: e for e in (*ENDPOINTS, *OTHERS, *FLAT)}

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
        found.sort(key=lambda r: (r.get("symbol", ""), _time(r), r.get("ns", 0)))
        return pa.Table.from_pylist(found, schema)


def _time(row: Row) -> datetime:
    named = (row.get(n) for n in ("ts", "session", "ex_date", "effective_on", "listed_on"))
    at = next((v for v in named if v is not None), date(2000, 1, 3))
    return at if isinstance(at, datetime) else midnight(at)


def midnight(day: date) -> datetime:
    """The start of a day in New York, in UTC."""
    return datetime.combine(day, time(), NEW_YORK).astimezone(UTC)


def ny(text: str) -> datetime:
    """A wall time of New York in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).astimezone(UTC)


def ask(table: str, *symbols: str, start: date, end: date, interval: str | None = None) -> Ask:
    """Days `[start, end)` in New York."""
    return Ask(table, symbols or ("*",), midnight(start), midnight(end), interval)


def landed(asked: Call, body: bytes, outcome: Outcome = Outcome.ROWS, at: int = 0) -> Entry:
    request = encode_asked(Asked(call=asked, chain="c1", outcome=outcome.value))
    record = Record("polygon", asked.feed, Kind.RESPONSE, 1_700_000_000_000_000_000 + at * 1000, body, request)
    return Entry(Position(at), Position(at + 1), record)


def decoded(asked: Call, body: bytes, outcome: Outcome = Outcome.ROWS) -> Decoded:
    return checked(VENDOR.decode([landed(asked, body, outcome)]))


def checked(found: Decoded) -> Decoded:
    """Rows are in their tables' schemas and nothing that must be there is missing."""
    for batch in found.batches:
        batch.table.check(batch.rows)
        batch.rows.validate(full=True)
        assert all(not batch.rows.column(f.name).null_count for f in batch.table.schema if not f.nullable)
    assert len({(r.start, r.item) for r in found.rejects}) == len(found.rejects)
    return found


def rows(found: Decoded, table: str) -> list[Row]:
    """The rows of a table, without what we add."""
    content = TABLES[table].content
    return [
        {name: r[name] for name in content} for b in found.batches if b.table.name == table for r in b.rows.to_pylist()
    ]


@dataclass
class Fetched:
    """What a chain of calls came to."""

    found: Decoded
    calls: list[Call] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)

    def rows(self, table: str) -> list[Row]:
        return rows(self.found, table)


def serve(asked: Call, history: Memory, account: Account | None = None, **headers: str) -> Answer:
    """What the vendor's side answers to a call."""
    sign = REST.sign(asked, CREDENTIALS)
    if asked.host == "files":
        sign = sign_file(asked, CREDENTIALS, "127.0.0.1:1", NOW)
        headers["host"] = "127.0.0.1:1"
    named = {k.lower(): v for k, v in (*sign.headers, *headers.items())}
    request = HttpRequest(asked.path, (*asked.params, *sign.params), named, NOW, BASE)
    return SERVER.answer(request, history, account or Account())


def fetch(asked: Ask, history: Memory, endpoint: str, account: Account | None = None) -> Fetched:
    """Ask the vendor's side for page after page, as the fetcher does, and decode what was landed."""
    following: Call | None = BY_NAME[endpoint].call(asked)
    entries: list[Entry] = []
    fetched = Fetched(Decoded())
    while following is not None:
        assert len(entries) < 500
        now, answer = following, serve(following, history, account)
        verdict = REST.judge(now, answer)
        entries.append(landed(now, answer.body, verdict.outcome, len(entries)))
        fetched.calls.append(now)
        fetched.answers.append(answer)
        fetched.verdicts.append(verdict)
        following = REST.follow(now, answer) if verdict.outcome is Outcome.ROWS else None
    fetched.found = checked(VENDOR.decode(entries))
    return fetched


def envelope(**content: Any) -> bytes:
    """A body with status OK."""
    return msgspec.json.encode({"status": "OK", "request_id": "r", **content})


def daily(symbol: str, session: date, close: float = 10.0, volume: float | None = 1000.0) -> Row:
    prices = {"open": close - 0.5, "high": close + 1, "low": close - 1.25, "close": close}
    return {"symbol": symbol, "session": session, **prices, "volume": volume, "trade_count": 7, "vwap": close + 0.01}


def bar(symbol: str, ts: datetime, close: float = 10.0, volume: float = 7.0, interval: str = "1m") -> Row:
    prices = {"open": close - 0.5, "high": close + 1, "low": close - 1.25, "close": close}
    own = {"symbol": symbol, "ts": ts, "ns": 0, "interval": interval, "revision": 2}
    return {**own, **prices, "volume": volume, "trade_count": 3, "vwap": close + 0.01}


def trade(symbol: str, ts: datetime, ns: int = 0, **more: Any) -> Row:
    own = {"symbol": symbol, "ts": ts, "ns": ns, "trade_id": "1", "price": 10.25, "size": 100.0}
    return {**own, "exchange": "11", "conditions": "12,37", "tape": "C", **more}


def quote(symbol: str, ts: datetime, ns: int = 0, **more: Any) -> Row:
    sides = {"bid_price": 10.0, "bid_size": 200.0, "bid_exchange": "19"}
    sides |= {"ask_price": 10.5, "ask_size": 300.0, "ask_exchange": "12"}
    return {"symbol": symbol, "ts": ts, "ns": ns, **sides, "conditions": "1", "tape": "C", **more}


def ticker(symbol: str, **more: Any) -> Row:
    empty = dict.fromkeys(TABLES["tickers"].content)
    told = {"details": '{"locale":"us","market":"stocks"}'}
    return {**empty, **told, "symbol": symbol, "vendor_symbol": symbol, "is_active": True, **more}


def days(first: date, count: int) -> list[date]:
    return [first + timedelta(days=i) for i in range(count)]

"""The vendor's side of the flat files: objects of S3, errors as XML."""

from __future__ import annotations

import csv
import gzip
import hmac
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any

from tickerplant.calendar import NEW_YORK
from tickerplant.credentials import Credentials
from tickerplant.rest import Account, Answer, HttpRequest
from tickerplant.vendors.polygon import server_answers as out
from tickerplant.vendors.polygon.exchanges import CONDITIONS, EXCHANGES, TAPES, number
from tickerplant.vendors.polygon.flat_sign import headers
from tickerplant.vendors.polygon.server_answers import Asked, Row
from tickerplant.vendors.polygon.symbols import to_vendor

_AGGREGATES = ("ticker", "volume", "open", "close", "high", "low", "window_start", "transactions")
_TRADES = (
    *("ticker", "conditions", "correction", "exchange", "id", "participant_timestamp", "price", "sequence_number"),
    *("sip_timestamp", "size", "tape", "trf_id", "trf_timestamp"),
)
_QUOTES = (
    *("ticker", "ask_exchange", "ask_price", "ask_size", "bid_exchange", "bid_price", "bid_size", "conditions"),
    *("indicators", "participant_timestamp", "sequence_number", "sip_timestamp", "tape", "trf_timestamp"),
)
_COLUMNS = {"day_aggs": _AGGREGATES, "minute_aggs": _AGGREGATES, "trades": _TRADES, "quotes": _QUOTES}
_TABLES = {"day_aggs": "daily_bars", "minute_aggs": "bars", "trades": "trades", "quotes": "quotes"}
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


def refused(status: int, code: str) -> Answer:
    """An error of S3."""
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{code}</Message></Error>'
    return Answer(status, body.encode(), {"content-type": "application/xml"})


def signature_error(request: HttpRequest, account: Account) -> str | None:
    """What is wrong with the signature, None when nothing is or the account does not say."""
    said = request.headers.get("authorization", "")
    if not said.startswith("AWS4-HMAC-SHA256 "):
        return "AccessDenied"
    if account.secret is None:
        return None
    try:
        at = datetime.strptime(request.headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except (KeyError, ValueError):
        return "AccessDenied"
    if abs(request.at - at) > timedelta(minutes=15):
        return "RequestTimeTooSkewed"
    names = said.partition("SignedHeaders=")[2].partition(",")[0].split(";")
    own = ("host", "x-amz-content-sha256", "x-amz-date")
    extra = {n: request.headers.get(n, "") for n in names if n not in own}
    host = request.headers.get("host") or request.base.partition("//")[2]
    wanted = headers(request.path, Credentials(account.key or "", account.secret), host, at, extra)
    signatures = [text.replace(" ", "").rpartition("Signature=")[2] for text in (said, wanted["authorization"])]
    return None if hmac.compare_digest(*signatures) else "SignatureDoesNotMatch"


def file(asked: Asked, found: Mapping[str, str]) -> Answer:
    """The file of a day; there is none of a day without rows."""
    kind, day = found["kind"], out.day(found["date"], "date")
    start = out.midnight(day)
    end = min(out.midnight(day + timedelta(days=1)), asked.until)
    interval = "1m" if kind == "minute_aggs" else None
    rows = asked.rows(_TABLES[kind], None, start, end, interval).to_pylist() if start < end else []
    if kind.endswith("_aggs"):
        rows = list({(r["symbol"], r.get("ts"), r.get("session")): r for r in rows}.values())
    if not rows:
        return refused(404, "NoSuchKey")
    body = gzip.compress(_csv(_COLUMNS[kind], [_row(kind, i, r) for i, r in enumerate(rows, 1)]), mtime=0)
    return Answer(200, body, {"content-type": "application/gzip"})


def _csv(names: Sequence[str], rows: Sequence[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(row.get(n)) for n in names] for row in rows)
    return text.getvalue().encode()


def _cell(value: Any) -> Any:
    return "" if value is None else out.whole(value) if isinstance(value, float) else value


def _row(kind: str, place: int, row: Row) -> Row:
    made = {**row, "ticker": to_vendor(row["symbol"])}
    if kind == "day_aggs":
        at = datetime.combine(row["session"], time(), NEW_YORK).astimezone(UTC)
        return made | {"window_start": _nanos(at), "transactions": row["trade_count"]}
    if kind == "minute_aggs":
        return made | {"window_start": _nanos(row["ts"]), "transactions": row["trade_count"]}
    at = _nanos(row["ts"]) + row["ns"]
    sides = {n: number(row[n], EXCHANGES) for n in ("exchange", "bid_exchange", "ask_exchange") if n in row}
    codes = [str(number(c.strip(), CONDITIONS)) for c in (row["conditions"] or "").split(",") if c]
    stamps = {"participant_timestamp": at, "sip_timestamp": at, "sequence_number": place}
    own = {"id": row.get("trade_id"), "correction": 0, "tape": TAPES.get(row["tape"] or "")}
    return made | sides | stamps | own | {"conditions": ",".join(codes)}


def _nanos(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND * 1000

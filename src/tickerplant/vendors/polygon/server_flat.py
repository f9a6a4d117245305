"""The vendor's side of the flat files: objects of S3, whole or in ranges, listings, errors as XML.

Played as https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html and API_ListObjectsV2.html have it.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import hmac
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from email.utils import format_datetime
from typing import Any
from xml.sax.saxutils import escape

import pyarrow.compute as pc

from tickerplant.calendar import NEW_YORK, session_dates
from tickerplant.credentials import Credentials
from tickerplant.rest import Account, Answer, HttpRequest
from tickerplant.vendors.polygon import server_answers as out
from tickerplant.vendors.polygon.endpoints import published
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
BUCKET, _ROOT = "/flatfiles", "us_stocks_sip"
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
    own = ("host", "x-amz-date")
    extra = {n: request.headers.get(n, "") for n in names if n not in own}
    host = request.headers.get("host") or request.base.partition("//")[2]
    keys = Credentials(account.key or "", account.secret)
    wanted = headers(request.path, keys, host, at, extra, request.params, request.method)
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
    if not rows or not _is_there(asked, day):
        return refused(404, "NoSuchKey")
    body = gzip.compress(_csv(_COLUMNS[kind], [_row(kind, i, r) for i, r in enumerate(rows, 1)]), mtime=0)
    etag = hashlib.md5(body, usedforsecurity=False).hexdigest()
    length = {"content-length": str(len(body)), "accept-ranges": "bytes", "etag": f'"{etag}"'}
    return Answer(200, body, {"content-type": "application/gzip", "last-modified": _modified(day), **length})


def _is_there(asked: Asked, day: date) -> bool:
    return published(day) <= asked.request.at


def _modified(day: date) -> str:
    return format_datetime(published(day), usegmt=True)


def part(asked: Asked, whole: Answer) -> Answer:
    """What the request's conditions and range leave of an object."""
    said, size = asked.request.headers, len(whole.body)
    if whole.status != 200:
        return whole
    if said.get("if-match", whole.headers["etag"]) not in (whole.headers["etag"], "*"):
        return refused(412, "PreconditionFailed")
    found = re.fullmatch(r"bytes=(\d*)-(\d*)", said.get("range", ""))
    if found is None or not (found[1] or found[2]):
        return whole
    first = int(found[1]) if found[1] else max(size - int(found[2]), 0)
    last = min(int(found[2]), size - 1) if found[1] and found[2] else size - 1
    if first > last:
        answer = refused(416, "InvalidRange")
        return replace(answer, headers={**answer.headers, "content-range": f"bytes */{size}"})
    body = whole.body[first : last + 1]
    ranged = {"content-length": str(len(body)), "content-range": f"bytes {first}-{last}/{size}"}
    return Answer(206, body, {**whole.headers, **ranged})


def listing(asked: Asked) -> Answer:
    """Objects under a prefix, in pages, folded at the delimiter."""
    prefix, delimiter = asked.param("prefix"), asked.param("delimiter")
    after = max(asked.param("start-after"), _token(asked.param("continuation-token")))
    most = min(int(asked.param("max-keys", "1000") or 1000), 1000)
    keys = sorted(k for k in _keys(asked, prefix) if k.startswith(prefix))
    names = list(dict.fromkeys(_folded(k, prefix, delimiter) for k in keys))
    left = [n for n in names if n > after]
    shown = left[:most]
    parts = [_listed(asked, n) if n in set(keys) else _folder(n) for n in shown]
    cut = len(left) > most
    more = f"<NextContinuationToken>{shown[-1].encode().hex()}</NextContinuationToken>" if cut and shown else ""
    head = f"<Name>flatfiles</Name><Prefix>{escape(prefix)}</Prefix><KeyCount>{len(shown)}</KeyCount>"
    head += f"<MaxKeys>{most}</MaxKeys><IsTruncated>{str(cut).lower()}</IsTruncated>{more}"
    space = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
    body = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult {space}>{head}{"".join(parts)}</ListBucketResult>'
    )
    return Answer(200, body.encode(), {"content-type": "application/xml", "content-length": str(len(body.encode()))})


def _token(text: str) -> str:
    try:
        return bytes.fromhex(text).decode()
    except ValueError:
        return ""


def _folded(key: str, prefix: str, delimiter: str) -> str:
    place = key.find(delimiter, len(prefix)) if delimiter else -1
    return key if place < 0 else key[: place + len(delimiter)]


def _keys(asked: Asked, prefix: str) -> Iterator[str]:
    """Objects of the account's plan, by the kinds that a prefix leaves open."""
    tables = asked.account.tables
    for kind, table in _TABLES.items():
        folder = f"{_ROOT}/{kind}_v1/"
        if (folder.startswith(prefix) or prefix.startswith(folder)) and (tables is None or table in tables):
            for day in _days(asked, table):
                if _is_there(asked, day):
                    yield f"{folder}{day:%Y/%m}/{day}.csv.gz"


def _days(asked: Asked, table: str) -> list[date]:
    rows = asked.rows(table, interval="1m" if table == "bars" else None)
    column = rows.column("session") if "session" in rows.schema.names else session_dates(rows.column("ts"))
    return sorted(pc.unique(column).to_pylist())


def _listed(asked: Asked, key: str) -> str:
    kind, day = key.split("/")[1].removesuffix("_v1"), key.rpartition("/")[2].removesuffix(".csv.gz")
    found = file(asked, {"kind": kind, "date": day})
    at = published(date.fromisoformat(day)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    size, etag = len(found.body), escape(found.headers["etag"])
    words = f"<Key>{key}</Key><LastModified>{at}</LastModified><ETag>{etag}</ETag><Size>{size}</Size>"
    return f"<Contents>{words}<StorageClass>STANDARD</StorageClass></Contents>"


def _folder(name: str) -> str:
    return f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"


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

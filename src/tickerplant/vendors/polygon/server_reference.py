"""The vendor's side of tickers, splits, dividends, renames, market days and snapshots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, time, timedelta
from typing import Any

import msgspec

from tickerplant.calendar import NEW_YORK
from tickerplant.rest import Answer
from tickerplant.vendors.polygon import server_answers as out
from tickerplant.vendors.polygon.endpoints import LIST, NEW_LIST
from tickerplant.vendors.polygon.server_answers import Asked, Refused, Row
from tickerplant.vendors.polygon.symbols import from_vendor, to_vendor

_LISTED = ("market", "locale", "share_class_figi", "last_updated_utc", "currency_symbol", "source_feed")
"""What the list says beside the columns; the vendor's client takes no other."""
_NOT_FOUND = "Ticker not found."


def tickers(asked: Asked, found: Mapping[str, str]) -> Answer:
    """A page of the list."""
    asked = out.pinned(asked)
    ascends, wanted = out.ordered(asked), out.bounds(asked, "ticker")
    is_active = asked.param("active", "true") != "false"
    chosen = [
        r
        for r in _tickers(asked, None)
        if r["is_active"] == is_active
        and out.fits(r["vendor_symbol"], wanted)
        and asked.param("market", "stocks") == "stocks"
        and asked.param("type") in ("", r["type"])
        and asked.param("exchange") in ("", r["exchange"])
    ]
    chosen.sort(key=lambda r: r["vendor_symbol"], reverse=not ascends)
    return out.listed(asked, [_listed(r) for r in chosen], 100, LIST)


def _tickers(asked: Asked, symbol: str | None) -> list[Row]:
    """The newest version of each ticker, in the vendor's spelling."""
    rows = [r | {"vendor_symbol": to_vendor(r["symbol"])} for r in asked.rows("tickers", symbol).to_pylist()]
    return list({(r["vendor_symbol"], r["listed_on"]): r for r in rows}.values())


def _listed(row: Row) -> Row:
    said = msgspec.json.decode(row["details"] or "{}")
    return out.filled(
        {
            "ticker": row["vendor_symbol"],
            "name": row["name"],
            "market": "stocks",
            "locale": "us",
            "primary_exchange": row["exchange"],
            "type": row["type"],
            "active": row["is_active"],
            "currency_name": row["currency"],
            "cik": row["cik"],
            "composite_figi": row["figi"],
            "delisted_utc": f"{row['delisted_on']}T00:00:00Z" if row["delisted_on"] else None,
            **{k: v for k, v in said.items() if k in _LISTED},
        }
    )


def details(asked: Asked, found: Mapping[str, str]) -> Answer:
    """All that is known of one ticker."""
    rows = _tickers(asked, from_vendor(found["ticker"]))
    if not rows:
        raise Refused(404, "NOT_FOUND", _NOT_FOUND)
    row = next((r for r in rows if r["is_active"]), rows[-1])
    more = {
        "list_date": None if row["listed_on"] is None else row["listed_on"].isoformat(),
        "sic_description": row["industry"],
        "market_cap": row["market_cap"],
        "share_class_shares_outstanding": out.whole(row["shares_outstanding"]),
    }
    said = msgspec.json.decode(row["details"] or "{}")
    return out.enveloped(asked, {"results": {**said, **_listed(row), **out.filled(more)}})


def splits(asked: Asked, found: Mapping[str, str]) -> Answer:
    """Splits, of either endpoint."""
    return _actions(asked, "splits", "execution_date", _split)


def _split(row: Row, is_new: bool) -> Row:
    ratio = {"split_from": out.whole(row["split_from"]), "split_to": out.whole(row["split_to"])}
    made = {"id": row["vendor_id"], "execution_date": row["ex_date"].isoformat(), "ticker": to_vendor(row["symbol"])}
    kind = "forward_split" if row["split_to"] > row["split_from"] else "reverse_split"
    return out.filled({**made, **ratio, **({"adjustment_type": kind} if is_new else {})})


def dividends(asked: Asked, found: Mapping[str, str]) -> Answer:
    """Cash dividends, of either endpoint."""
    return _actions(asked, "dividends", "ex_dividend_date", _dividend)


def _dividend(row: Row, is_new: bool) -> Row:
    days = {"ex_dividend_date": "ex_date", "declaration_date": "declared_on"}
    days |= {"record_date": "record_date", "pay_date": "pay_date"}
    made = {theirs: row[ours].isoformat() for theirs, ours in days.items() if row[ours] is not None}
    own = {"id": row["vendor_id"], "ticker": to_vendor(row["symbol"]), "cash_amount": row["amount"]}
    own |= {"currency": row["currency"], "frequency": row["frequency"]}
    return out.filled({**made, **own, "distribution_type" if is_new else "dividend_type": row["type"]})


def _actions(asked: Asked, table: str, column: str, make: Any) -> Answer:
    asked = out.pinned(asked)
    is_new = asked.request.path.startswith("/stocks/")
    limits = {k: out.day(v, column) for k, v in out.bounds(asked, column).items()}
    wanted = out.bounds(asked, "ticker")
    descends = asked.param("sort").endswith(".desc") if is_new else not out.ordered(asked, "desc")
    rows = [r for r in asked.rows(table).to_pylist() if out.fits(r["ex_date"], limits)]
    rows = [r for r in rows if out.fits(to_vendor(r["symbol"]), wanted)]
    rows.sort(key=lambda r: (r["ex_date"], r["symbol"]), reverse=descends)
    return out.listed(asked, [make(r, is_new) for r in rows], *((100, NEW_LIST) if is_new else (10, LIST)))


def events(asked: Asked, found: Mapping[str, str]) -> Answer:
    """The names of a company, the newest first."""
    symbol = from_vendor(found["ticker"])
    rows = [r for r in asked.rows("corporate_actions").to_pylist() if r["kind"] == "ticker_change"]
    ids = {_company(r) for r in rows if symbol in (r["symbol"], r["new_symbol"])}
    mine = sorted((r for r in rows if _company(r) in ids), key=lambda r: str(r["effective_on"]), reverse=True)
    known = next(iter(_tickers(asked, symbol)), None)
    if not mine and known is None:
        raise Refused(404, "NOT_FOUND", _NOT_FOUND)
    told = msgspec.json.decode(mine[0]["details"]) if mine else {}
    results = {
        "name": told.get("name") or (known or {}).get("name") or "",
        "composite_figi": _company(mine[0]) if mine else (known or {}).get("figi") or "",
        "cik": told.get("cik") or (known or {}).get("cik") or "",
        "events": [_event(r) for r in mine],
    }
    return out.enveloped(asked, {"results": results})


def _company(row: Row) -> str:
    return str(row["vendor_id"] or "").rpartition(":")[0]


def _event(row: Row) -> Row:
    name = to_vendor(row["new_symbol"] or row["symbol"])
    return {"ticker_change": {"ticker": name}, "type": "ticker_change", "date": str(row["effective_on"])}


def upcoming(asked: Asked, found: Mapping[str, str]) -> Answer:
    """Closed and short days from today on, a bare list."""
    today = asked.request.at.astimezone(NEW_YORK).date()
    rows = [r for r in asked.rows("market_days").to_pylist() if r["status"] != "open" and r["session"] >= today]
    return out.json(
        [
            out.filled(
                {
                    "date": r["session"].isoformat(),
                    "exchange": r["exchange"],
                    "name": r["name"],
                    "status": r["status"],
                    "open": _utc(r["opens_at"]) if r["status"] != "closed" else None,
                    "close": _utc(r["closes_at"]) if r["status"] != "closed" else None,
                }
            )
            for r in rows
        ]
    )


def _utc(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def snapshots(asked: Asked, found: Mapping[str, str]) -> Answer:
    """The present of all tickers, or of some."""
    names = [n for n in asked.param("tickers").split(",") if n]
    made = [_snapshot(asked, r) for r in _present(asked, [from_vendor(n) for n in names] or None)]
    return out.json({"status": _status(asked), "count": len(made), "tickers": made})


def snapshot(asked: Asked, found: Mapping[str, str]) -> Answer:
    """The present of one ticker."""
    rows = _present(asked, [from_vendor(found["ticker"])])
    if not rows:
        raise Refused(404, "NOT_FOUND", _NOT_FOUND)
    return out.json({"status": _status(asked), "request_id": "0", "ticker": _snapshot(asked, rows[0])})


def universal(asked: Asked, found: Mapping[str, str]) -> Answer:
    """The universal snapshot; what is not found stands in the list as an error."""
    asked = out.pinned(asked)
    names = [n for n in asked.param("ticker.any_of").split(",") if n]
    known = {to_vendor(r["symbol"]): r for r in _present(asked, [from_vendor(n) for n in names])}
    missing = {"error": "NOT_FOUND", "message": _NOT_FOUND}
    items = [_universal(known[n]) if n in known else {"ticker": n, **missing} for n in names]
    return out.listed(asked, items, 10, 250)


def _status(asked: Asked) -> str:
    return "DELAYED" if asked.account.is_delayed else "OK"


def _present(asked: Asked, symbols: Sequence[str] | None) -> list[Row]:
    """Snapshots that are known, and for the other symbols the last two days."""
    end = asked.until
    known = asked.history.rows("snapshots", symbols, out.EPOCH, end).to_pylist()
    newest = {r["symbol"]: r for r in known}
    days: dict[str, list[Row]] = {}
    for row in asked.history.rows("daily_bars", symbols, end - timedelta(days=10), end).to_pylist():
        days.setdefault(row["symbol"], []).append(row)
    made = {s: _of_days(rows) for s, rows in days.items() if s not in newest}
    return [(newest | made)[s] for s in sorted(newest | made)]


def _of_days(rows: Sequence[Row]) -> Row:
    last, before = rows[-1], rows[-2]["close"] if len(rows) > 1 else None
    change = None if before is None else round(last["close"] - before, 6)
    percent = None if not before or change is None else 100 * change / before
    return {
        **last,
        "price": last["close"],
        "previous_close": before,
        "change": change,
        "change_percent": percent,
    }


def _nanos(row: Row) -> int:
    closes = datetime.combine(row["session"], time(16), NEW_YORK)
    return int(closes.timestamp()) * 1_000_000_000


def _snapshot(asked: Asked, row: Row) -> Row:
    day = {"o": row["open"], "h": row["high"], "l": row["low"], "c": row["price"], "v": row["volume"]}
    return out.filled(
        {
            "ticker": to_vendor(row["symbol"]),
            "day": out.filled(day),
            "prevDay": out.filled({"c": row["previous_close"]}),
            "lastTrade": out.filled({"p": row["price"], "t": _nanos(row)}),
            "todaysChange": row["change"],
            "todaysChangePerc": row["change_percent"],
            "updated": _nanos(row),
        }
    )


def _universal(row: Row) -> Row:
    values = ("open", "high", "low", "volume", "previous_close", "change", "change_percent")
    session = {**{name: row[name] for name in values}, "close": row["price"]}
    trade = out.filled({"price": row["price"], "last_updated": _nanos(row), "timeframe": "DELAYED"})
    kind = {"ticker": to_vendor(row["symbol"]), "type": "stocks", "market_status": "closed"}
    return {**kind, "session": out.filled(session), "last_trade": trade}

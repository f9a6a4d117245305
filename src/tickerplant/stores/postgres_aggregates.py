"""One-minute aggregates: `trades_1m` (bars of every print) and `quotes_1m` (quote statistics).

The same columns and the same SQL on every layout: views on plain PostgreSQL, continuous aggregates on TimescaleDB. Rows
of equal event time count in the order of arrival.
"""

from __future__ import annotations

_OLDEST = "order by ts, ns, received_at, seq, {value}"
_NEWEST = "order by ts desc, ns desc, received_at desc, seq desc, {value} desc"


def _first(value: str) -> str:
    return f"(array_agg({value} {_OLDEST.format(value=value)}))[1]"


def _last(value: str) -> str:
    return f"(array_agg({value} {_NEWEST.format(value=value)}))[1]"


_TRADES = {
    "open": _first("price"),
    "high": "max(price)",
    "low": "min(price)",
    "close": _last("price"),
    "volume": "sum(size)",
    "trade_count": "count(*)",
    "vwap": "sum(price * size) / nullif(sum(size), 0)",
}
_QUOTES = {
    "quote_count": "count(*)",
    "average_spread": "avg(ask_price - bid_price) filter (where bid_price > 0 and ask_price > 0)",
    "average_bid_size": "avg(bid_size)",
    "average_ask_size": "avg(ask_size)",
    **{f"last_{name}": _last(name) for name in ("bid_price", "bid_size", "ask_price", "ask_size")},
}
AGGREGATES = {"trades_1m": ("trades", _TRADES), "quotes_1m": ("quotes", _QUOTES)}
"""Name: source table, and expression of each column."""


def select(name: str, minute: str) -> str:
    """The query of an aggregate; `minute` is the expression of the minute's start."""
    source, columns = AGGREGATES[name]
    listed = ",\n".join(f"    {expression} as {column}" for column, expression in columns.items())
    return (
        f"select symbol,\n    {minute} as ts,\n{listed},\n    vendor,\n    feed,\n    session\n"
        f"from {source} group by symbol, {minute}, vendor, feed, session"
    )

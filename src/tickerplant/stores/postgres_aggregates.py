"""One-minute aggregates: `trades_1m` (bars of every print) and `quotes_1m` (quote statistics).

The same columns and the same SQL on every layout: views on plain PostgreSQL, continuous aggregates on TimescaleDB. Rows
of equal event time count in the order of arrival.
"""

from __future__ import annotations

_ARRIVAL = ("date_part('epoch', ts)", "ns", "date_part('epoch', received_at)", "seq")


def _at_end(function: str, values: tuple[str, ...]) -> dict[str, str]:
    """Values of the first (`min`) or last (`max`) row.

    Arrays compare element by element, so this needs no sort, as `array_agg(... order by ...)` would, and is computed
    once for all values. Seconds of the epoch as a double tell microseconds apart until the year 2100 and beyond.
    """
    row = f"{function}(array[{', '.join((*_ARRIVAL, *values))}])"
    return {value: f"({row})[{place}]" for place, value in enumerate(values, len(_ARRIVAL) + 1)}


def _sane(*values: str) -> str:
    """A filter for sums: PostgreSQL ends a query at the first overflow or underflow, which one absurd row can cause."""
    limits = (f"({value} = 0 or abs({value}) between 1e-60 and 1e60)" for value in values)
    return f"filter (where {' and '.join(limits)})"


_SIDES = ("bid_price", "bid_size", "ask_price", "ask_size")
_PRICED = _sane("price", "size")
_TRADES = {
    "open": _at_end("min", ("price",))["price"],
    "high": "max(price)",
    "low": "min(price)",
    "close": _at_end("max", ("price",))["price"],
    "volume": f"sum(size) {_sane('size')}",
    "trade_count": "count(*)",
    "vwap": f"sum(price * size) {_PRICED} / nullif(sum(size) {_PRICED}, 0)",
}
_QUOTES = {
    "quote_count": "count(*)",
    "average_spread": "avg(ask_price - bid_price) "
    "filter (where bid_price between 1e-60 and 1e60 and ask_price between 1e-60 and 1e60)",
    "average_bid_size": f"avg(bid_size) {_sane('bid_size')}",
    "average_ask_size": f"avg(ask_size) {_sane('ask_size')}",
    **{f"last_{name}": expression for name, expression in _at_end("max", _SIDES).items()},
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

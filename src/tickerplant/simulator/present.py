"""What became of trades that were corrected or cancelled, row by row in plain Python: the oracle's rule.

It is the rule of `trades_latest`, written a second time so that the one can be held against the other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

Row = Mapping[str, Any]
_SCOPE = ("vendor", "feed", "symbol", "session", "exchange")
_ARRIVAL = ("received_at", "seq")
_CHANGED = {"trade_id": "corrected_id", "price": "corrected_price", "size": "corrected_size"}
_CHANGED |= {"conditions": "corrected_conditions"}


def present(trades: Iterable[Row], corrections: Iterable[Row]) -> list[dict[str, Any]]:
    """Trades in their present state, cancelled ones left out, in order of arrival.

    Rows are those of TRADES and TRADE_CORRECTIONS; `session` and the envelope may be left out. Only id, price, size and
    conditions of a trade change; what its last correction leaves null stays as printed.
    """
    by_scope = defaultdict(list)
    for row in _distinct(corrections):
        by_scope[_scope(row)].append(row)
    found = []
    for trade in _distinct(trades, lambda row: row["trade_id"] is not None):
        concerned = _concerned(trade["trade_id"], by_scope[_scope(trade)])
        if all(row["kind"] == "correction" for row in concerned):
            found.append(_changed(trade, concerned))
    return found


def _distinct(rows: Iterable[Row], is_comparable: Callable[[Row], bool] = lambda row: True) -> list[Row]:
    """Rows in order of arrival; of those with equal content the first."""
    kept: dict[Any, Row] = {}
    for number, row in enumerate(sorted(rows, key=_arrival)):
        content = tuple(sorted((k, str(v)) for k, v in row.items() if k not in _ARRIVAL))
        kept.setdefault(content if is_comparable(row) else number, row)
    return list(kept.values())


def _concerned(trade_id: str | None, corrections: list[Row]) -> list[Row]:
    """Corrections that name the trade by its id or by one that a correction gave it."""
    ids, before = {trade_id} - {None}, -1
    while len(ids) > before:
        before = len(ids)
        ids |= {row.get("corrected_id") for row in corrections if row["original_id"] in ids} - {None}
    return [row for row in corrections if row["original_id"] in ids]


def _changed(trade: Row, concerned: list[Row]) -> dict[str, Any]:
    if not concerned:
        return dict(trade)
    last = max(concerned, key=lambda row: (row["ts"], row["ns"], *_arrival(row)))
    new = {name: last.get(source) for name, source in _CHANGED.items()}
    return {**trade, **{name: value for name, value in new.items() if value is not None}}


def _scope(row: Row) -> tuple[Any, ...]:
    return tuple(row.get(name) or "" for name in _SCOPE)


def _arrival(row: Row) -> tuple[Any, ...]:
    return tuple(row.get(name, 0) for name in _ARRIVAL)

"""Trades of history with what became of them: `u` of an item, and the rows that stand in the place of others.

Source: https://docs.alpaca.markets/reference/stocktrades (`u`: canceled, corrected, incorrect), captured 2026-01-26.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_VOID = {"correction": "incorrect", "cancel": "canceled", "error": "canceled"}
_CHANGED = {"trade_id": "corrected_id", "price": "corrected_price", "size": "corrected_size"}
_CHANGED |= {"conditions": "corrected_conditions"}

Key = tuple[str, str | None, str | None]


def with_updates(rows: pa.Table, corrections: pa.Table) -> tuple[pa.Table, list[str | None]]:
    """Trades in their order, those that correct another just behind it, and each one's `u`.

    `rows` are of TRADES, `corrections` of TRADE_CORRECTIONS of the same symbols in the order in which they were sent.
    """
    sent = {(c["symbol"], c["exchange"], c["original_id"]): c for c in corrections.to_pylist()}
    ids = pa.array({key[2] for key in sent}, pa.string())
    places: list[float] = list(range(rows.num_rows))
    updates: list[str | None] = [None] * rows.num_rows
    added: list[dict[str, Any]] = []
    for place in np.flatnonzero(pc.is_in(rows.column("trade_id"), value_set=ids)).tolist():
        [trade] = rows.slice(place, 1).to_pylist()
        updates[place] = _update(sent.get(_key(trade)))
        for number, (row, update) in enumerate(_versions(trade, sent), 1):
            added.append(row)
            updates.append(update or "corrected")
            places.append(place + number / 1000)
    order = np.argsort(np.array(places), kind="stable")
    whole = pa.concat_tables([rows, pa.Table.from_pylist(added, rows.schema)])
    return whole.take(pa.array(order)), [updates[i] for i in order.tolist()]


def _key(trade: dict[str, Any]) -> Key:
    return trade["symbol"], trade["exchange"], trade["trade_id"]


def _update(correction: dict[str, Any] | None) -> str | None:
    return None if correction is None else _VOID[correction["kind"]]


def _versions(trade: dict[str, Any], sent: dict[Key, dict[str, Any]]) -> Iterator[tuple[dict[str, Any], str | None]]:
    """The trade after each correction, with what became of that version in turn."""
    while (found := sent.get(_key(trade))) is not None and found["kind"] == "correction":
        new = {name: found[source] for name, source in _CHANGED.items() if found[source] is not None}
        if new.get("trade_id", trade["trade_id"]) == trade["trade_id"]:
            return
        trade = {**trade, **new}
        yield trade, _update(sent.get(_key(trade)))

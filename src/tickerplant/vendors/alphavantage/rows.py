"""What the readers share: items -> rows -> columns, and that an answer is for the symbol asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from tickerplant.errors import BadData
from tickerplant.rest import ALL, Call
from tickerplant.vendors.alphavantage.pages import param
from tickerplant.vendors.alphavantage.series import Item
from tickerplant.vendors.answers import Bad

Row: TypeAlias = dict[str, Any]


def one_symbol(call: Call) -> str:
    """Our symbol that an answer is for. Raises BadData."""
    if len(call.symbols) != 1 or call.symbols == ALL:
        raise BadData(f"alphavantage: expected an answer of one symbol, was {call.symbols[:3]}")
    return call.symbols[0]


def same_symbol(call: Call, found: str | None) -> None:
    """Raise BadData when an answer names another symbol than the one asked for."""
    wanted = param(call, "symbol")
    if found is not None and found.casefold() != wanted.casefold():
        raise BadData(f"alphavantage: expected an answer for {wanted[:20]!r}, was {found[:20]!r}")


def each(items: Sequence[Item], row: Callable[[Item], Row | None]) -> tuple[list[Row], list[Bad]]:
    """The rows of items; None is none, a ValueError sets the item aside."""
    rows: list[Row] = []
    bad: list[Bad] = []
    for item in items:
        try:
            made = row(item)
        except (ValueError, OverflowError) as error:
            bad.append(Bad(item.place, f"{item.stamp[:40]}: {error}", item.payload))
            continue
        if made is not None:
            rows.append(made)
    return rows, bad


def columns_of(rows: list[Row], **same: Any) -> dict[str, list[Any]]:
    """Columns of rows with the same keys, beside values that are the same in all."""
    columns = {name: [r[name] for r in rows] for name in (rows[0] if rows else ())}
    return columns | {name: [value] * len(rows) for name, value in same.items()}

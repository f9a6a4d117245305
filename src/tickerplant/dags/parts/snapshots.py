"""Whether snapshots can be right. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

_CENT = 0.0051


def problems(rows: Sequence[Mapping[str, Any]], symbols: Sequence[str], session: str) -> list[str]:
    """What is wrong with the newest snapshots of some symbols, a line each; `session` (ISO) is the oldest day that may
    stand in them."""
    found = {str(r["symbol"]): r for r in rows}
    missing = [f"{s}: expected a snapshot, was none" for s in symbols if s not in found]
    return missing + [line for s in symbols if s in found for line in _of_row(s, found[s], session)]


def _of_row(symbol: str, row: Mapping[str, Any], session: str) -> list[str]:
    lines = [] if row["session"] >= session else [f"{symbol}: expected {session} or later, was {row['session']}"]
    price, low, high = row["price"], row["low"], row["high"]
    if price is None or not math.isfinite(price) or price <= 0:
        return [*lines, f"{symbol}: expected a price above 0, was {price}"]
    if low is not None and high is not None and not low - _CENT <= price <= high + _CENT:
        lines.append(f"{symbol}: expected a price from {low} to {high}, was {price}")
    before, change = row["previous_close"], row["change"]
    if before is not None and change is not None and abs(price - before - change) > _CENT:
        lines.append(f"{symbol}: expected a change of {price - before:.4f}, was {change}")
    return lines

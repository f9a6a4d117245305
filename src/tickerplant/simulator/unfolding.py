"""A history that is not over yet: what a vendor knows at the simulator's time, the forming bar included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from tickerplant.rest import History

_WIDTHS = {"1m": 1, "5m": 5, "15m": 15, "30m": 30, "1h": 60}


@dataclass(frozen=True)
class Unfolding:
    """`rest.History` up to the clock's time. The bar of a window that is not over is a part of what it will be."""

    history: History
    clock: Callable[[], datetime]

    def rows(
        self, table: str, symbols: Sequence[str] | None, start: datetime, end: datetime, interval: str | None = None
    ) -> pa.Table:
        """See `rest.History`."""
        now = self.clock()
        found = self.history.rows(table, symbols, start, end, interval)
        if "ts" not in found.schema.names:
            return found
        made = [_formed(r, now) if table == "bars" else r for r in found.to_pylist() if r["ts"] < now]
        return pa.Table.from_pylist(made, found.schema)


def _formed(bar: dict[str, Any], now: datetime) -> dict[str, Any]:
    """A bar as it stands: of the part of its window that is over, a part of its range and volume."""
    width = timedelta(minutes=_WIDTHS.get(bar["interval"], 1))
    share = min((now - bar["ts"]) / width, 1.0)
    if share >= 1.0:
        return bar
    opened = bar["open"]
    prices = {n: round(opened + (bar[n] - opened) * share, 4) for n in ("high", "low", "close")}
    return {**bar, **prices, "volume": float(int(bar["volume"] * share)), "vwap": opened}

"""tickerplant: US-equities market data from the vendor to the query."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tickerplant.query import Plant

__all__ = ["open"]


def open(url: str | None = None, as_of: datetime | int | None = None) -> Plant:
    """Open a store for reading: `tickerplant.open("./data/lake").quotes("AAPL", start="2026-11-20").polars()`.

    Without `url`, the store that TICKERPLANT_STORE names. `as_of` shows a past version: a moment, or a version number.
    """
    from tickerplant.query import open_plant

    return open_plant(url, as_of)

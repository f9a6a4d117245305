"""Symbols into batches, so that a market's worth of tickers is a bounded number of task instances."""

from __future__ import annotations

from collections.abc import Sequence

MOST, LEAST = 140, 25
"""At most so many batches, and none smaller than that while there is more than one."""


def batches(symbols: Sequence[str], most: int = MOST, least: int = LEAST) -> list[list[str]]:
    """Divide symbols, each once, into at most `most` batches of about one size; a few symbols make few batches.

    The same symbols in whatever order give the same batches.
    """
    names = sorted(set(symbols))
    count = max(1, min(most, len(names) // least)) if names else 0
    return [names[i::count] for i in range(count)]

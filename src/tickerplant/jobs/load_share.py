"""How many partitions a loader is to have, so that all that follow one log into one store have about as many.

Each holds one of a few numbered leases; how many of those are held is how many loaders there are. A loader that ends,
however it ends, gives its number back, and the others take over what it had.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from math import inf

import structlog

from tickerplant.bucket import is_bucket
from tickerplant.errors import Busy, Retryable
from tickerplant.model import Store

log_lines = structlog.get_logger()

MOST = 16
"""Loaders that share; more of them load as well, without being counted."""

SEATS = tuple(f"_loader-{n + 1}" for n in range(MOST))
"""Their leases, named as partitions are."""

_LOOK_S, _LOOK_FAR_S = 2.0, 15.0


class Share:
    """One loader's seat among those that follow a log. Looks at the others every two seconds (of a lake in a bucket
    every 15), and does without an answer while the store is away."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._look_s = _LOOK_FAR_S if is_bucket(store.url) else _LOOK_S
        self._looked_at = -inf
        self._seat, self._me = "", ""
        self._held = ExitStack()
        self.loaders = 1

    def limit(self, partitions: int) -> int:
        """The most of so many partitions that this loader is to have now."""
        if time.monotonic() - self._looked_at >= self._look_s:
            try:
                self._look()
            except Retryable as problem:
                log_lines.debug("other loaders not seen", problem=str(problem))
            self._looked_at = time.monotonic()
        return -(-partitions // self.loaders)

    def close(self) -> None:
        """Leave; idempotent."""
        self._held.close()

    def _look(self) -> None:
        seen = self._store.loaders(SEATS)
        if not self._seat or seen.get(self._seat) != self._me:
            self._sit_down()
            seen = self._store.loaders(SEATS)
        if max(1, len(seen)) != self.loaders:
            self.loaders = max(1, len(seen))
            log_lines.info("loaders share the partitions", loaders=self.loaders)

    def _sit_down(self) -> None:
        """Take the first free seat; a lost one (the server had gone) is given up before."""
        self._held.close()
        self._seat = self._me = ""
        for seat in SEATS:
            try:
                self._held.enter_context(self._store.loading(seat, wait_s=0))
            except Busy:
                continue
            self._seat, self._me = seat, self._store.loaders([seat]).get(seat, "")
            return

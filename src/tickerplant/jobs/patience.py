"""Patience with a store that is away: try again with growing waits, and tell how fast the delay is made up."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Event
from typing import TypeVar

import structlog

from tickerplant.errors import Retryable

log_lines = structlog.get_logger()

T = TypeVar("T")

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.1, 15.0


class Patience:
    """Calls a store until it answers, as long as `stop` is not set. Without patience the first failure is raised."""

    def __init__(self, stop: Event, is_patient: bool) -> None:
        self._stop, self._is_patient = stop, is_patient
        self._back_at: float | None = None
        self._received = 0

    def call(self, action: Callable[[], T], received: int = 0) -> T:
        """The answer of `action`. Raises Retryable when told to stop meanwhile."""
        began, wait, tries = time.monotonic(), _FIRST_WAIT_S, 0
        while True:
            try:
                answer = action()
            except Retryable as error:
                tries += 1
                if not self._is_patient or self._stop.is_set():
                    raise
                if tries == 1:
                    log_lines.warning("store away", reason=str(error))
                self._stop.wait(max(wait, error.retry_after or 0))
                wait = min(wait * 2, _LONGEST_WAIT_S)
                continue
            if tries:
                self._back_at, self._received = time.monotonic(), received
                log_lines.info("store back", away_s=round(self._back_at - began, 3), tries=tries)
            return answer

    def caught_up(self, received: int) -> None:
        """Nothing is left to read: after the store was away, log how fast the delay was made up."""
        if self._back_at is None:
            return
        seconds = max(time.monotonic() - self._back_at, 1e-3)
        messages, self._back_at = received - self._received, None
        log_lines.info("caught up", messages=messages, seconds=round(seconds, 3), rate=round(messages / seconds))

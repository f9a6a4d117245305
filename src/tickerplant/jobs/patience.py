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
_SAY_AGAIN_S = 600.0


class Patience:
    """Calls a store for one partition until it answers, as long as `stop` is not set. Without patience the first
    failure is raised. Each new reason is logged once, the same one again after ten minutes."""

    def __init__(self, stop: Event, is_patient: bool, partition: str = "") -> None:
        self._stop, self._is_patient, self._partition = stop, is_patient, partition
        self._back_at: float | None = None
        self._received = 0
        self._said, self._said_at = "", 0.0

    @property
    def is_behind(self) -> bool:
        """Whether the store was away and the delay is not made up yet."""
        return self._back_at is not None

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
                self._say(str(error))
                self._stop.wait(max(wait, error.retry_after or 0))
                wait = min(wait * 2, _LONGEST_WAIT_S)
                continue
            if tries:
                self._back(began, tries, received)
            return answer

    def _say(self, reason: str) -> None:
        now = time.monotonic()
        if reason != self._said or now - self._said_at >= _SAY_AGAIN_S:
            log_lines.warning("store away", partition=self._partition, reason=reason)
            self._said, self._said_at = reason, now

    def _back(self, began: float, tries: int, received: int) -> None:
        self._back_at, self._received, self._said = time.monotonic(), received, ""
        away_s = round(self._back_at - began, 3)
        log_lines.info("store back", partition=self._partition, away_s=away_s, tries=tries)

    def caught_up(self, received: int) -> None:
        """The delay is made up: after the store was away, log how fast. `received` is all that is committed now."""
        if self._back_at is None:
            return
        seconds = max(time.monotonic() - self._back_at, 1e-3)
        messages, self._back_at = received - self._received, None
        rate = round(messages / seconds)
        log_lines.info("caught up", partition=self._partition, messages=messages, seconds=round(seconds, 3), rate=rate)

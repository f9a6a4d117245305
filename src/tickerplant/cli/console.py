"""What every command prints with: text for people on stderr and stdout, JSON for programs on stdout."""

from __future__ import annotations

import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Self

import msgspec
import structlog
from rich import box
from rich.console import Console
from rich.markup import escape as plain
from rich.table import Table

from tickerplant.settings import Settings, read_settings

if TYPE_CHECKING:
    from tickerplant.jobs.load import PartitionState
    from tickerplant.stores.options import StoreOptions

__all__ = ["Ticker", "configure_logging", "err", "out", "plain", "print_json", "settings", "sheet", "stop_on_signals"]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


@cache
def settings() -> Settings:
    """The settings of this process, read once from the environment and `.env`."""
    return read_settings()


def store_options() -> StoreOptions:
    """The options that the settings give a store."""
    from datetime import timedelta

    from tickerplant.stores.options import StoreOptions

    found = settings()
    return StoreOptions(timedelta(days=found.keep_versions_days), found.schema)


def print_json(value: Any) -> None:
    """Write one JSON value and a newline to stdout."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def configure_logging() -> None:
    """Send structured log lines at or above the set level to stderr."""
    level = logging.getLevelNamesMapping()[settings().log_level.upper()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), pad_event_to=0),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set, so that a job ends at its next safe point."""
    stop = threading.Event()
    before = {s: signal.signal(s, lambda *_: stop.set()) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_NUMERIC = frozenset(
    (
        *(
            "rows",
            "symbols",
            "messages",
            "log",
            "behind",
            "received",
            "stored",
            "quarantined",
            "control",
            "sent",
            "missed",
        ),
        *("files", "bytes", "before", "after", "quotes", "trades", "volume", "vwap", "spread"),
    )
)


def sheet(title: str, *columns: str) -> Table:
    """A plain table to fill; columns with the names of numbers are right-aligned, long cells are folded."""
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column, justify="right" if column in _NUMERIC else "left", overflow="fold")
    return table


class Ticker:
    """Progress on stderr: one live line on a terminal, nothing when JSON was asked for or nobody watches."""

    def __init__(self, quiet: bool = False) -> None:
        self._status = None if quiet or not err.is_terminal else err.status("starting")
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        if self._status:
            self._status.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self._status:
            self._status.stop()

    def say(self, text: str) -> None:
        """Replace the line."""
        if self._status:
            self._status.update(text)

    def loading(self, states: tuple[PartitionState, ...]) -> None:
        """Show how far loading is."""
        stored = sum(s.counters.stored for s in states)
        aside = sum(s.counters.quarantined for s in states)
        seconds = time.monotonic() - self._began
        self.say(f"loading: {stored:,} rows stored, {aside:,} quarantined, {seconds:,.0f} s")

"""What every command prints with: text for people on stderr and stdout, JSON for programs on stdout."""

from __future__ import annotations

import io
import logging
import signal
import sys
import threading
import time
from _thread import start_new_thread
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from types import FrameType
from typing import IO, TYPE_CHECKING, Any, Self, TextIO

import msgspec
import structlog
from rich import box
from rich.console import Console
from rich.markup import escape as plain
from rich.measure import Measurement
from rich.table import Table

from tickerplant.cli.driver_logs import route_driver_logs
from tickerplant.settings import Settings, read_settings

if TYPE_CHECKING:
    from tickerplant.jobs.load import PartitionState
    from tickerplant.stores.options import StoreOptions

__all__ = [
    "Ticker",
    "clock",
    "configure_logging",
    "err",
    "lines_to",
    "out",
    "plain",
    "print_json",
    "settings",
    "sheet",
    "stop_on_signals",
]

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
    return StoreOptions(
        timedelta(days=found.keep_versions_days),
        found.schema,
        found.statement_timeout_s,
        found.retention,
        marts=found.marts,
    )


def print_json(value: Any) -> None:
    """Write one JSON value and a newline to stdout."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()


def configure_logging() -> None:
    """Send structured log lines at or above the set level to stderr."""
    _configure(sys.stderr, colors=sys.stderr.isatty())


def lines_to(file: IO[bytes]) -> None:
    """Send log lines to a file from now on."""
    _configure(io.TextIOWrapper(file, write_through=True), colors=False)


def _configure(to: TextIO, colors: bool) -> None:
    level = logging.getLevelNamesMapping()[settings().log_level.upper()]
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=0),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(to),
    )
    route_driver_logs()


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that SIGTERM and SIGINT set, so that a job ends at its next safe point.

    A thread of its own sets it: the signal may come while the main thread holds the event's lock, in `wait`.
    """
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        start_new_thread(stop.set, ())

    before = {s: signal.signal(s, end) for s in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_WHOLE = frozenset(
    ("start", "end", "first", "last", "session", "check", "state", "partition", "feed", "channel", "table")
)
_NUMERIC = frozenset(
    (
        *("rows", "symbols", "messages", "log", "behind", "received", "stored", "quarantined", "control", "sent"),
        *("missed", "damaged", "segment", "lines", "ratio", "lasted", "files", "bytes", "before", "after"),
        *("quotes", "trades", "volume", "vwap", "spread", "figure"),
    )
)


def size(count: int) -> str:
    """Bytes for people: 76.9 MB."""
    for unit, least in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= least:
            return f"{count / least:,.1f} {unit}"
    return f"{count} B"


def clock(at: datetime | None) -> str:
    """A moment for people: UTC, milliseconds, empty when there is none."""
    return "" if at is None else at.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def show(table: Table, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows as a table, or, where the screen is too narrow, one value a line like psql's expanded form."""
    for row in rows:
        table.add_row(*map(plain, row))
    if Measurement.get(out, out.options.update(width=10_000), table).maximum <= out.width or not rows:
        out.print(table)
        return
    widest = max(map(len, names))
    for number, row in enumerate(rows, 1):
        out.print(f"[dim]- {number} {'-' * max(0, min(out.width, 60) - len(str(number)) - 3)}[/]")
        for name, value in zip(names, row, strict=True):
            out.print(f"{name:<{widest}}  {plain(value)}", soft_wrap=True)


def sheet(title: str, *columns: str) -> Table:
    """A plain table to fill; columns with the names of numbers are right-aligned, long cells are folded."""
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    for column in columns:
        is_number = column in _NUMERIC
        table.add_column(
            column, justify="right" if is_number else "left", overflow="fold", no_wrap=is_number or column in _WHOLE
        )
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

"""What a capture is told, what it works with, and what it tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from tickerplant.calendar import Session
from tickerplant.jobs.capture_link import Tally
from tickerplant.jobs.capture_sessions import NearSessions
from tickerplant.jobs.capture_shards import Shard
from tickerplant.model import Credentials, Dialogue, LogWriter, Selection, Vendor
from tickerplant.net.backoff import BackoffOptions
from tickerplant.net.watchdog import WatchdogOptions
from tickerplant.net.websocket import SocketOptions


@dataclass(frozen=True)
class CaptureOptions:
    """How long to capture and how. `duration_s` and `until` both None: until stopped. Sizes in bytes."""

    duration_s: float | None = None
    until: datetime | None = None
    high_water_bytes: int = 16 << 20
    low_water_bytes: int = 4 << 20
    state: Path | None = None
    """Folder for what outlives the process (profile.json, sessions.json); None keeps nothing."""
    backoff: BackoffOptions = BackoffOptions()
    socket: SocketOptions = SocketOptions()
    watchdog: WatchdogOptions = WatchdogOptions()
    session_at: Callable[[datetime], Session | None] | None = None
    """The session that holds a moment; None takes the exchange's calendar."""
    tick_s: float = 0.5
    """How often the watchdog looks and `report` is called."""
    seed: int | None = None
    max_attempts: int = 0
    """Connects that fail in a row before the capture ends with an error; 0 is never."""
    shard: Shard | None = None
    """Which of several captures this is: it owns a partition of its own; the selection is its share already."""


@dataclass(frozen=True)
class CaptureState:
    """Where a capture is."""

    is_live: bool
    connections: int
    frames: int
    bytes: int
    messages: dict[str, int]
    pending_bytes: int
    seconds: float
    last_error: str | None


@dataclass(frozen=True)
class CaptureSummary:
    """What a capture did. `messages` per channel; `gaps` counts the holes that it found or had."""

    partition: str
    ended: Literal["ended", "stopped"]
    connections: int
    disconnects: int
    attempts: int
    frames: int
    bytes: int
    control: int
    messages: dict[str, int]
    gaps: int
    last_error: str | None
    seconds: float


@dataclass(frozen=True)
class Job:
    """What one run of a capture works with, over all of its connections. `clock` is ns since 1970."""

    vendor: Vendor
    url: str
    selection: Selection
    credentials: Credentials
    options: CaptureOptions
    writer: LogWriter
    tally: Tally
    sessions: NearSessions
    stop: asyncio.Event
    clock: Callable[[], int]
    report: Callable[[CaptureState], None] | None

    def dialogue(self) -> Dialogue:
        """The protocol of a new connection."""
        assert self.vendor.dialogue is not None
        return self.vendor.dialogue(self.selection, self.credentials)

    def session(self, wait: bool = False) -> Session | None:
        """The session that holds the present moment; without `wait`, None also while it is not known yet."""
        now = datetime.fromtimestamp(self.clock() / 1e9, UTC)
        return self.options.session_at(now) if self.options.session_at else self.sessions.at(now, wait)

    def pending_bytes(self) -> int:
        """Bytes taken but not on disk."""
        return getattr(self.writer, "pending_bytes", 0)

"""What a capture is told, and what it tells."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from tickerplant.calendar import Session
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

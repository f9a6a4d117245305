"""The connection records that a capture writes, and the hole they are about; the formats are in `jobs/capture.py`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import structlog

from tickerplant.jobs.capture_gaps import Hole, connected_payload, disconnected_payload, inherited_hole
from tickerplant.jobs.capture_link import End
from tickerplant.jobs.capture_options import Job
from tickerplant.model import Kind
from tickerplant.net.websocket import public_url, receipts

log = structlog.get_logger()


class Journal:
    """Writes a record at each change of connection, and knows the hole that is not over, if there is one.

    Begins with the hole that the partition's owner before left behind.
    """

    def __init__(self, job: Job, channels: tuple[str, ...]) -> None:
        self.channels = channels
        self.connections = self.disconnects = self.attempts = self.gaps = 0
        self.last_error: str | None = None
        self.stamp = receipts(job.clock, job.writer.last_received_at)
        """The receipt times (ns) of everything that goes into the log."""
        self._append = job.writer.append
        self._url, self._symbols = public_url(job.url), job.selection.symbols
        self._began_at = self.stamp()
        last = getattr(job.writer, "last_connection", None)
        self.hole = inherited_hole(last, job.writer.last_received_at, channels)
        self.gaps += self.hole is not None

    def went_live(self) -> int:
        """Everything asked for is acknowledged: the hole is over. Returns the receipt of the record."""
        self.connections += 1
        hole, self.hole = self.hole, None
        payload = connected_payload(self.connections, self._url, self.channels, self._symbols, hole)
        at = self._record(Kind.CONNECTED, payload)
        gap_s = round((at - min(hole.starts.values())) / 1e9, 3) if hole and hole.starts else 0
        after = hole.reason if hole else None
        log.info("connected", url=self._url, connection=self.connections, gap_s=gap_s, after=after)
        return at

    def lost(self, end: End, starts: Mapping[str, int]) -> None:
        """A live connection is over and the capture is not. `starts`: channel -> ns of its last sure frame."""
        self.disconnects += 1
        self.last_error = end.detail
        alarm = end.alarm
        evidence = {"expected_per_s": alarm.expected_per_s, "found_per_s": alarm.found_per_s} if alarm else {}
        self._opens(Hole(end.reason, starts, end.detail, evidence=evidence))
        self._note(end.reason, end.detail)
        log.warning("disconnected", reason=end.reason, detail=end.detail, connection=self.connections)

    def failed(self, problem: Exception) -> int:
        """A connect failed. Returns how many did since the hole began."""
        self.attempts += 1
        self.last_error = str(problem)
        if self.hole is None:
            self._opens(Hole("failed", dict.fromkeys(self.channels, self._began_at), str(problem)))
        assert self.hole is not None
        self.hole.attempts += 1
        if not self.hole.is_recorded:
            self._note(self.hole.reason, str(problem))
        return self.hole.attempts

    def ended(self, reason: Literal["ended", "stopped"], is_live: bool, missing_from: int | None) -> None:
        """The capture is over. `missing_from` (ns): what its live connection would still have brought is missing."""
        if missing_from is not None:
            self._opens(Hole(reason, dict.fromkeys(self.channels, missing_from), "stopped inside a session"))
        if not is_live and self.hole is not None:
            self._note(self.hole.reason, f"{reason} while down")
        else:
            self._note(reason, "stopped by a signal" if reason == "stopped" else "its time is over")
        log.info("capture over", reason=reason, down=not is_live)

    def _record(self, kind: Kind, payload: bytes) -> int:
        at = self.stamp()
        self._append(kind, at, payload)
        return at

    def _opens(self, hole: Hole) -> None:
        self.gaps += 1
        self.hole = hole

    def _note(self, reason: str, detail: str) -> None:
        """Write a `disconnected` record with the present hole, if any."""
        self._record(Kind.DISCONNECTED, disconnected_payload(self.connections, reason, detail, self.hole))
        if self.hole:
            self.hole.is_recorded = True

"""What a capture knows of the hole it is in, and the payloads of connection records. Pure; see `jobs/capture.py`."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tickerplant.model import Kind, Record

SYMBOLS_NAMED = 50


@dataclass
class Hole:
    """A stretch without listening that is not over. `starts`: channel -> ns of the last frame before it.

    `is_recorded`: a `disconnected` record has opened its rows already.
    """

    reason: str
    starts: Mapping[str, int]
    detail: str = ""
    attempts: int = 0
    evidence: Mapping[str, float] = field(default_factory=dict)
    is_recorded: bool = False

    def as_json(self) -> dict[str, Any]:
        """The `gap` of a record."""
        return {
            "reason": self.reason,
            "starts": dict(self.starts),
            "attempts": self.attempts,
            "detail": self.detail,
            **self.evidence,
        }


def connected_payload(
    connection: int, url: str, channels: Iterable[str], symbols: tuple[str, ...], hole: Hole | None
) -> bytes:
    """The payload of a `connected` record; `url` must be free of secrets."""
    named: dict[str, Any] = {"symbols": list(symbols[:SYMBOLS_NAMED])}
    if len(symbols) > SYMBOLS_NAMED:
        named["symbol_count"] = len(symbols)
    gap = hole.as_json() if hole else None
    return _dump({"connection": connection, "url": url, "channels": list(channels), **named, "gap": gap})


def disconnected_payload(connection: int, reason: str, detail: str, hole: Hole | None) -> bytes:
    """The payload of a `disconnected` record."""
    gap = hole.as_json() if hole else None
    return _dump({"connection": connection, "reason": reason, "detail": detail, "gap": gap})


def _dump(payload: dict[str, Any]) -> bytes:
    return json.dumps(payload, separators=(",", ":")).encode()


def inherited_hole(last: Record | None, last_received_at: int | None, channels: tuple[str, ...]) -> Hole | None:
    """The hole that an earlier owner of the log left, None when it ended as planned or there was none.

    `last` is the last connection record. Starts are given for `channels` that the earlier owner listened to as well.
    """
    if last_received_at is None:
        return None
    payload = _payload(last)
    if last is not None and last.kind is Kind.DISCONNECTED:
        if gap := payload.get("gap"):
            starts = {c: s for c, s in gap["starts"].items() if c in channels}
            return Hole(gap.get("reason") or payload["reason"], starts, gap.get("detail", ""), is_recorded=True)
        if last_received_at <= last.received_at:
            return None
    heard = payload.get("channels") or channels
    return Hole("killed", {c: last_received_at for c in channels if c in heard}, "the earlier capture did not end")


def _payload(record: Record | None) -> dict[str, Any]:
    """The payload of a record, empty when it is none of ours."""
    try:
        found = json.loads(record.payload) if record else {}
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}

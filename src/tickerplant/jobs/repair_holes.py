"""The holes that a repair may fill: rows of `gaps` that are over and not healed, and when to try which again."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from tickerplant.jobs.load_repair import Healed
from tickerplant.model import Store

TABLE_OF = {
    "quotes": ("quotes",),
    "trades": ("trades",),
    "bars": ("bars",),
    "updated_bars": ("bars",),
    "daily_bars": (),
    "*": ("quotes", "trades", "bars"),
}
"""What is fetched for a channel. A daily bar is a running total: the next one says it all."""

_FIRST_WAIT, _LONGEST_WAIT = timedelta(seconds=30), timedelta(hours=1)
_DELAY = timedelta(minutes=15, seconds=10)
"""Vendors keep the last 15 minutes from free plans (docs.alpaca.markets/docs/historical-stock-data-1)."""

_CLOSED = """
select vendor, feed, channel, "start", "end", reason, evidence from gaps
where state = 'closed' and "end" is not null and "end" >= ? order by "end", channel
"""


class Try(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a repair found, as it stands in the evidence of a gap. Counts are rows within `spans`."""

    at: str
    tries: int
    problem: str | None = None
    is_final: bool = False
    is_too_early: bool = False
    spans: dict[str, list[str]] = {}
    rows_before: int | None = None
    rows_after: int | None = None
    vendor_rows: int | None = None
    refused: list[str] = []


@dataclass(frozen=True)
class GapRow:
    """A row of `gaps`."""

    vendor: str
    feed: str
    channel: str
    start: datetime
    end: datetime
    reason: str
    evidence: dict[str, Any]

    @property
    def tried(self) -> Try | None:
        """The last repair of it."""
        found = self.evidence.get("repair")
        return msgspec.convert(found, Try) if found else None

    def due_at(self) -> datetime | None:
        """When to ask for its history; None is never again."""
        tried = self.tried
        if tried is None:
            return self.end
        if tried.is_final:
            return None
        wait = min(_LONGEST_WAIT, _FIRST_WAIT * 2 ** min(tried.tries - 1, 10))
        again = datetime.fromisoformat(tried.at) + wait
        return max(again, self.end + _DELAY) if tried.is_too_early else again

    def note(self, state: str, tried: Try) -> Healed:
        """The row after a repair."""
        evidence = {**self.evidence, "repair": msgspec.to_builtins(tried)}
        names = ("vendor", "feed", "channel", "reason")
        return Healed(
            **{n: getattr(self, n) for n in names},
            start=_micros(self.start),
            end=_micros(self.end),
            state=state,
            evidence=json.dumps(evidence, sort_keys=True),
        )


@dataclass(frozen=True)
class Hole:
    """The gaps of all channels of a feed that ended at one moment."""

    vendor: str
    feed: str
    end: datetime
    gaps: tuple[GapRow, ...]

    @property
    def symbols(self) -> tuple[str, ...] | None:
        """What was subscribed: `("*",)` for all, None when the log does not name it."""
        named = self.gaps[0].evidence.get("symbols")
        return tuple(named) if named and "symbol_count" not in self.gaps[0].evidence else None

    def start_of(self, table: str) -> datetime | None:
        """When the first channel that fills a table fell silent; None when the table is not concerned."""
        starts = [g.start for g in self.gaps if table in TABLE_OF.get(g.channel, ())]
        return min(starts, default=None)


def holes(store: Store, now: datetime, since: datetime | None = None, again: bool = False) -> list[Hole]:
    """Holes whose time has come, the oldest first; all that are not healed with `again`."""
    rows = store.query(_CLOSED, [since or datetime(1970, 1, 1, tzinfo=UTC)]).to_pylist()
    found: dict[tuple[str, str, datetime], list[GapRow]] = defaultdict(list)
    for row in rows:
        gap = GapRow(**{**row, "evidence": json.loads(row["evidence"] or "{}")})
        due = gap.end if again else gap.due_at()
        if due is not None and due <= now:
            found[gap.vendor, gap.feed, gap.end].append(gap)
    return [Hole(*key, tuple(gaps)) for key, gaps in found.items()]


def next_due(store: Store, now: datetime) -> datetime | None:
    """When the next hole may be filled; None when there is none that waits."""
    rows: Sequence[dict[str, Any]] = store.query(_CLOSED, [datetime(1970, 1, 1, tzinfo=UTC)]).to_pylist()
    due = [GapRow(**{**r, "evidence": json.loads(r["evidence"] or "{}")}).due_at() for r in rows]
    return min((d for d in due if d is not None), default=None)


def _micros(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)

"""How far readers of lanes are behind the stream's end, from a look at the end of each shard: two calls or three each.

A shard is read from a little before the position of its lanes, or before the newest of them when all are long ago; not
from that of a lane that is quiet, which would be all of a busy shard. Of such a lane the heads of others tell: each
record names the last line of every lane of its partition (`ends`).
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from tickerplant.logs.kinesis.lanes import ends_by_name, hash_key
from tickerplant.logs.kinesis.packing import Head, head_of, unpack
from tickerplant.logs.kinesis.service import Got, Service, Throttled
from tickerplant.logs.line import Parser
from tickerplant.model import Lag, Position, Record

_CALLS, _TRIES, _PAUSE_S = 2, 4, 0.3
_RECENT_S, _MARGIN_S = 60.0, 5.0


@dataclass
class _Seen:
    """What was seen of a lane behind a position. `first`: receipt of its first line; `is_first`: it is known to be
    the very first. `end`: the newest receipt that anything tells of, as things stood at `told_at`; `is_whole`: its
    shards were seen from `covered_from` (s) to their ends."""

    position: int
    end: int | None = None
    first: int | None = None
    is_first: bool = False
    last: int = -1
    records: int = 0
    told_at: int = -1
    covered_from: float = 0.0
    is_whole: bool = True
    parser: Parser = field(default_factory=Parser)
    pieces: list[bytes] = field(default_factory=list)

    def take(self, head: Head, body: bytes) -> None:
        """Count the lines of a record."""
        if head.part is not None:
            self.pieces = [body] if head.part[0] == 0 else [*self.pieces, body]
            if head.part[0] + 1 < head.part[1]:
                return
            body, self.pieces = b"".join(self.pieces), []
        before = head.prev
        for line in unpack(head, body, self.parser):
            if isinstance(line, Record) and line.received_at > self.last:
                self._line(line.received_at, before, head.since)
                self.last = before = line.received_at

    def _line(self, received_at: int, before: int, since: int) -> None:
        self.known_to(received_at)
        if received_at < self.position:
            return
        self.records += 1
        if self.first is None:
            self.is_first = before < self.position or self.position == 0
            self.first = since if self.position == 0 else received_at if self.is_first else before

    def known_to(self, receipt: int, told_at: int = -1) -> None:
        """Something tells that the lane has a line received then, and at `told_at` had none behind it."""
        self.end = receipt if self.end is None else max(self.end, receipt)
        self.told_at = max(self.told_at, told_at)

    def lag(self, now_ns: int) -> Lag:
        """How far the position is behind."""
        if self.first is not None:
            is_least = not (self.is_first and self.is_whole)
            return Lag(max(0.0, (now_ns - self.first) / 1e9), self.records, is_least)
        if self.end is not None and self.end >= self.position:
            return Lag(max(0.0, (now_ns - self.end) / 1e9), 1, True)
        is_loaded = max(self.position, self.told_at) / 1e9 >= self.covered_from > 0
        return Lag(0.0, 0) if self.is_whole and is_loaded else Lag()


def look(service: Service, positions: Mapping[str, Position], known: Mapping[str, int], now_ns: int) -> dict[str, Lag]:
    """How far readers at some positions of lanes are behind. `known` are ends of lanes that this machine knows.

    Raises Retryable when the service is away.
    """
    seen = {name: _Seen(int(at)) for name, at in positions.items()}
    for name, end in known.items():
        if name in seen:
            seen[name].known_to(end)
    for shard in service.shards():
        lanes = {name: one for name, one in seen.items() if shard.first <= hash_key(name) <= shard.last}
        if lanes:
            _look_at(service, shard.id, lanes, seen, _from_s([one.position for one in lanes.values()], now_ns))
    return {name: one.lag(now_ns) for name, one in seen.items()}


def _from_s(positions: list[int], now_ns: int) -> float:
    """The time (s since 1970) from which to read a shard."""
    recent = [at for at in positions if at >= now_ns - _RECENT_S * 1e9]
    at = min(recent) if recent else max(positions) or now_ns - _RECENT_S * 1e9
    return min(at, now_ns) / 1e9 - _MARGIN_S


def _look_at(service: Service, shard: str, lanes: Mapping[str, _Seen], seen: Mapping[str, _Seen], at_s: float) -> None:
    records, is_whole = _records(service, shard, at_s)
    for head, body in filter(None, map(head_of, records)):
        for name, end in ends_by_name(head.p, head.ends or ()):
            if name in seen:
                seen[name].known_to(end, max(head.ends or ()))
        if head.p in lanes:
            lanes[head.p].take(head, body)
    for one in lanes.values():
        one.is_whole &= is_whole
        one.covered_from = max(one.covered_from, at_s)


def _records(service: Service, shard: str, at_s: float) -> tuple[list[bytes], bool]:
    """Records of a shard from a time on, and whether they reach to its end."""
    iterator = service.iterator(shard, at_s=max(0.0, at_s))
    found: list[bytes] = []
    for _ in range(_CALLS):
        got = _patiently(service, iterator)
        if got is None:
            break
        found += [data for _, data in got.records]
        if got.following is None or not got.behind_ms:
            return found, True
        iterator = got.following
    return found, False


def _patiently(service: Service, iterator: str) -> Got | None:
    """The answer, asked for again where loaders use up the calls of a shard; None when it takes too long."""
    for attempt in range(_TRIES):
        try:
            return service.get(iterator)
        except Throttled:
            time.sleep(_PAUSE_S * 2**attempt)
    return None

"""Shards of a stream: which one holds a lane, what follows it, and reading each once for all lanes of a process."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from tickerplant.errors import Retryable
from tickerplant.logs.kinesis.lanes import ends_by_name, split_name
from tickerplant.logs.kinesis.packing import Head, head_of
from tickerplant.logs.kinesis.service import BadPlace, ExpiredIterator, Got, Service, Shard, Throttled

QUEUE_BYTES = 64 * 2**20
_TRIES = 12


def root_of(shards: Sequence[Shard], key: int) -> Shard | None:
    """The oldest shard that holds a hash key: none of its parents is there any more."""
    known = {s.id for s in shards}
    return next((s for s in shards if s.first <= key <= s.last and not known & set(s.parents)), None)


def next_of(shards: Sequence[Shard], shard_id: str, key: int) -> Shard | None:
    """The shard that holds a hash key after a shard has ended, by split or merge; None while there is none."""
    return next((s for s in shards if s.first <= key <= s.last and shard_id in s.parents), None)


class Place(NamedTuple):
    """Where to read a shard on: behind a sequence number, else from a time (s since 1970), else from its beginning."""

    shard: str
    after: str | None = None
    at_s: float | None = None

    def order(self) -> tuple[int, float]:
        """Compares places of one shard, earlier ones first; a time counts as before every sequence number."""
        if self.after is not None:
            return 2, int(self.after)
        return (0, 0) if self.at_s is None else (1, self.at_s)


class ShardList:
    """The shards of the stream, remembered for a while: lanes ask often, and the list seldom changes."""

    def __init__(self, service: Service, keep_s: float) -> None:
        self._service, self._keep_s = service, keep_s
        self._shards: list[Shard] = []
        self._asked_at = float("-inf")

    def get(self, since: float = float("-inf")) -> list[Shard]:
        """The shards as they were at `since` (monotonic clock) or later, and not long ago."""
        now = time.monotonic()
        if self._asked_at <= since or now - self._asked_at >= self._keep_s:
            self._shards, self._asked_at = self._service.shards(), now
        return self._shards


class Item(NamedTuple):
    """A record of ours in a shard."""

    sequence: str
    head: Head
    body: bytes


@dataclass
class _Queue:
    items: deque[Item] = field(default_factory=deque)
    bytes: int = 0
    has_overflown: bool = False


class Feed:
    """One shard, read once for all lanes that subscribed. A lane may get records again; it knows what it had."""

    def __init__(self, service: Service, shard: str, poll_s: float) -> None:
        self._service, self._shard, self._poll_s = service, shard, poll_s
        self._queues: dict[str, _Queue] = {}
        self._ends: dict[str, tuple[int, ...]] = {}
        self._iterator: str | None = None
        self._place: Place | None = None
        self._polled_at = float("-inf")
        self.is_at_tip = self.has_ended = False

    @property
    def polled_at(self) -> float:
        """When the service last answered, on the monotonic clock."""
        return self._polled_at

    def subscribe(self, name: str, place: Place) -> None:
        """Collect records of a lane from a place on, reading the shard again where that is behind."""
        self._queues[name] = _Queue()
        self._ends.pop(split_name(name)[0], None)
        if self._place is None or place.order() < self._place.order():
            self._place, self._iterator, self.has_ended, self.is_at_tip = place, None, False, False

    def leave(self, name: str) -> None:
        """Collect nothing for a lane any more."""
        self._queues.pop(name, None)

    def take(self, name: str) -> Item | None:
        """The next record of a lane among those that were fetched."""
        queue = self._queues[name]
        if not queue.items:
            return None
        item = queue.items.popleft()
        queue.bytes -= len(item.body)
        return item

    def has_overflown(self, name: str) -> bool:
        """Whether records of a lane that nobody took were let go: subscribe again."""
        return self._queues[name].has_overflown

    def ends_of(self, name: str) -> tuple[int, ...] | None:
        """What the last record told of the lanes of a lane's partition, since one of them subscribed."""
        found = self._ends.get(split_name(name)[0])
        return found if found and name in dict(ends_by_name(name, found)) else None

    def is_fresh(self) -> bool:
        """Whether the shard's end was seen a moment ago, so that asking again is too early."""
        return self.is_at_tip and time.monotonic() - self._polled_at < self._poll_s

    def fetch(self) -> None:
        """Ask the service once; the calls of one shard keep a distance (five a second are allowed).

        Raises Retryable when the service is away.
        """
        time.sleep(max(0.0, self._polled_at + self._poll_s - time.monotonic()))
        for attempt in range(_TRIES):
            try:
                return self._fetch()
            except ExpiredIterator:
                self._iterator = None
            except Throttled:
                if attempt == _TRIES - 1:
                    raise
                time.sleep(min(2.0, 0.1 * 2**attempt))
        raise Retryable(f"kinesis shard {self._shard}: expected an iterator that lives, was expired")

    def _fetch(self) -> None:
        got = self._get()
        self._polled_at = time.monotonic()
        for sequence, data in got.records:
            self._dispatch(sequence, data)
        if got.records:
            self._place = Place(self._shard, got.records[-1][0])
        self._iterator, self.has_ended = got.following, got.following is None
        self.is_at_tip = self.has_ended or not got.behind_ms

    def _get(self) -> Got:
        """The next records. A place that the shard does not know, as in a stream made anew, becomes its beginning."""
        place = self._place
        assert place is not None
        try:
            if self._iterator is None:
                self._iterator = self._service.iterator(place.shard, after=place.after, at_s=place.at_s)
            return self._service.get(self._iterator)
        except BadPlace:
            self._iterator = None
            if place.after is None:
                raise
            self._place = Place(place.shard)
            return self._get()

    def _dispatch(self, sequence: str, data: bytes) -> None:
        found = head_of(data)
        if found and found[0].ends:
            self._ends[split_name(found[0].p)[0]] = found[0].ends
        queue = self._queues.get(found[0].p) if found else None
        if found is None or queue is None or queue.has_overflown:
            return
        if queue.bytes > QUEUE_BYTES:
            queue.items.clear()
            queue.has_overflown = True
            return
        queue.items.append(Item(sequence, *found))
        queue.bytes += len(found[1])

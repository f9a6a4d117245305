"""Read one lane of a log on Kinesis forward from a position, through splits and merges of shards.

A position is the receipt (ns) of a line plus one: it grows along a lane whatever the shards do, and is the same on
every machine. What was read before, or was sent twice, is known by it and dropped; what is missing is known by `prev`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import RLock

from tickerplant.logs.kinesis.bookmarks import Bookmark, Bookmarks
from tickerplant.logs.kinesis.lanes import ends_by_name, hash_key, split_name
from tickerplant.logs.kinesis.packing import Head, unpack
from tickerplant.logs.kinesis.shards import Feed, Item, Place, ShardList, next_of, root_of
from tickerplant.logs.line import Parser
from tickerplant.model import Damage, Entry, Position, Record

_SKEW_S = 900.0
"""How far the clocks of capture and service may differ: the service refuses calls signed that far away."""
_NEAR_S = 10.0
"""How far they usually differ at most: where a reader looks first."""
_TRIMMED = "trimmed"


@dataclass(frozen=True)
class Shared:
    """What the readers of one log share: `feed_of` gives the feed of a shard, `waiting` are readers that did not read
    yet, `lock` is held while one reads."""

    feed_of: Callable[[str], Feed]
    shards: ShardList
    waiting: set[LaneReader]
    lock: RLock


class LaneReader:
    """Reads one lane (see LogReader)."""

    position: Position

    def __init__(
        self,
        name: str,
        start: Position,
        shared: Shared,
        bookmarks: Bookmarks,
    ) -> None:
        self._name, self._key = name, hash_key(name)
        self._feed_of, self._shards, self._bookmarks = shared.feed_of, shared.shards, bookmarks
        self._parser = Parser()
        self._pieces: list[bytes] = []
        self._ready: deque[Entry] = deque()
        self._feed: Feed | None = None
        self._waiting, self._lock = shared.waiting, shared.lock
        self._is_guess = self._is_far = False
        self._restart(start)
        with self._lock:
            self._waiting.add(self)

    def _restart(self, start: Position) -> None:
        """Forget everything but the position."""
        self.position = start
        self._end = int(start)
        self._place: Place | None = None
        self._mark: Bookmark | None = None
        self._pieces.clear()
        self._ready.clear()

    def read(self, max_bytes: int = 2**20) -> list[Entry]:
        """The next lines, about `max_bytes` at most; empty at the present end. Raises Retryable when the service is
        away."""
        with self._lock:
            while not self._ready:
                if not self._advance():
                    return []
            return self._hand_out(max_bytes)

    def finish(self) -> list[Entry]:
        """Nothing: a lane's end is never damaged."""
        return []

    def close(self) -> None:
        """Leave the feed; idempotent. The next `read` goes on at `position`."""
        with self._lock:
            self._waiting.discard(self)
            self._leave()
            self._restart(self.position)

    def _hand_out(self, max_bytes: int) -> list[Entry]:
        entries: list[Entry] = []
        size = 0
        while self._ready and (not entries or size < max_bytes):
            entries.append(self._ready.popleft())
            size += len(entries[-1].item.payload)
        self.position = entries[-1].end
        if not self._ready and self._mark:
            self._bookmarks.add(self._mark)
        return entries

    def _advance(self) -> bool:
        """Take the next record, or go on where one can come from; False at the present end."""
        feed = self._feed or self._attach()
        if feed is None:
            return False
        if (item := feed.take(self._name)) is not None:
            self._accept(item)
            return True
        if feed.has_overflown(self._name):
            self._leave()
            return True
        if feed.has_ended:
            return self._follow()
        return self._read_on(feed)

    def _read_on(self, feed: Feed) -> bool:
        """Ask for more of the shard, unless its end was seen just now."""
        if self._is_guess and feed.is_at_tip and not self._is_confirmed(feed):
            return self._look_farther()
        if feed.is_fresh():
            return False
        feed.fetch()
        return True

    def _attach(self) -> Feed | None:
        """Subscribe to the shard that holds the position, together with all readers that were made meanwhile: so
        that the shard is read once for them."""
        others = self._waiting - {self}
        self._waiting.clear()
        for reader in (*others, self):
            reader._subscribe()
        return self._feed

    def _subscribe(self) -> None:
        if self._place is None:
            self._place = self._find()
        if self._place is not None:
            self._feed = self._feed_of(self._place.shard)
            self._feed.subscribe(self._name, self._place)

    def _leave(self) -> None:
        if self._feed:
            self._feed.leave(self._name)
        self._feed = None

    def _find(self) -> Place | None:
        """Where to look for the position: behind a bookmark, else by time from the oldest shard on, near first."""
        shards = self._shards.get()
        mark = None if self._is_far else self._bookmarks.before(self.position)
        if mark and any(s.id == mark.shard for s in shards):
            return Place(mark.shard, mark.sequence)
        root = root_of(shards, self._key)
        if root is None:
            return None
        at_s = min(self._end / 1e9, time.time()) - (_SKEW_S if self._is_far else _NEAR_S)
        self._is_guess = at_s > 0 and not self._is_far
        return Place(root.id, at_s=at_s if at_s > 0 else None)

    def _is_confirmed(self, feed: Feed) -> bool:
        """Whether records that were read tell that the lane has no line before them that was not read.

        Without that clocks may differ so much that the line stands before the place where reading began.
        """
        ends = feed.ends_of(self._name)
        return ends is not None and max(ends) >= self._end - 1 >= dict(ends_by_name(self._name, ends))[self._name]

    def _look_farther(self) -> bool:
        """Read again, from so early that nothing is missed."""
        self._is_guess, self._is_far = False, True
        self._leave()
        self._place = None
        self._pieces.clear()
        return True

    def _follow(self) -> bool:
        """The shard has ended: go on with the one made of it, its parent being read to the end."""
        assert self._place is not None
        assert self._feed is not None
        following = next_of(self._shards.get(self._feed.polled_at), self._place.shard, self._key)
        if following is None:
            return False
        at_s = self._place.at_s if self._place.after is None else None
        self._leave()
        self._place = Place(following.id, at_s=at_s)
        return True

    def _accept(self, item: Item) -> None:
        """Make entries of a record, once all its pieces are there."""
        assert self._place is not None
        head, body = item.head, item.body
        if head.part is not None:
            number, count = head.part
            if number != len(self._pieces):
                self._pieces.clear()
            if number != len(self._pieces):
                return
            self._pieces.append(body)
            if number + 1 < count:
                return
            body = b"".join(self._pieces)
        self._pieces.clear()
        before, entries = self._end, list(self._entries(head, body))
        if not self._is_far and any(isinstance(e.item, Damage) and e.item.gap == _TRIMMED for e in entries):
            self._end = before
            self._look_farther()
            return
        self._is_guess, self._is_far = False, self._is_far and not entries
        self._ready.extend(entries)
        self._place = Place(self._place.shard, item.sequence)
        self._mark = Bookmark(self._end, self._place.shard, item.sequence)

    def _entries(self, head: Head, body: bytes) -> Iterator[Entry]:
        """The lines behind the position, each as `[end before, receipt + 1)`, and damage for what is missing."""
        is_first, at = True, head.prev + 1
        for item in unpack(head, body, self._parser):
            at = item.received_at + 1 if isinstance(item, Record) else at + 1
            if at > self._end:
                if is_first:
                    yield from self._missing(head, at - 1)
                yield Entry(Position(self._end), Position(at), item)
                self._end = at
            is_first = False

    def _missing(self, head: Head, found: int) -> Iterator[Entry]:
        """Damage without bytes for lines between the last one read and `found` that the stream does not hold.

        The gap begins a microsecond earlier for each lane before this one: lanes that lost the rest of one torn frame
        would else make gaps with the same start, which are one row.
        """
        last = self._end - 1
        if head.prev <= last and (head.prev >= 0 or last < 0):
            return
        reason = (
            "kinesis: expected the line after the last one read, was a later one; "
            "the stream kept it too short a time, or the sender's spool was damaged"
            if head.prev >= 0
            else "kinesis: expected the capture that wrote before, was one with a new spool"
        )
        lane = split_name(self._name)[1]
        before = max(0, (last if last >= 0 else head.since) - 1000 * max(lane, 0))
        yield Entry(Position(self._end), Position(found), Damage(b"", reason, before, found, _TRIMMED))
        self._end = found

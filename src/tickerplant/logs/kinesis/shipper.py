"""Sends the spool of one partition to the stream, in a thread of its own.

Of each lane at most one record is on its way, so a record that is refused never lets a later one of its lane pass;
only refused records are sent again. What the service does not take stays in the spool.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import structlog

from tickerplant.errors import Fatal, Retryable, TickerplantError
from tickerplant.logs.files import FilesLog
from tickerplant.logs.kinesis.cursor import Cursor, LaneState, read_cursor, write_cursor
from tickerplant.logs.kinesis.lanes import WHOLE, hash_key, lane_name, split_frame
from tickerplant.logs.kinesis.options import MAX_CALL_BYTES, MAX_RECORD_BYTES, MAX_RECORDS, KinesisOptions
from tickerplant.logs.kinesis.packing import Line, head_room, pack
from tickerplant.logs.kinesis.service import Put, Service, Throttled
from tickerplant.logs.layout import SEALED, list_files, segment_path
from tickerplant.logs.line import encode
from tickerplant.logs.s3_spool import write_trouble
from tickerplant.model import Damage, Entry, Kind, Position, Record, split_position

log = structlog.get_logger()

_READ_BYTES = 2**20
_IDLE_S = 0.5
_SAY_AGAIN_S = 600.0
_LANES_NAMED = 32


@dataclass
class _Lane:
    """Lines of one lane that the service has not stored, in order."""

    name: str
    state: LaneState
    packed_to: int
    key: int = 0
    lines: deque[Line] = field(default_factory=deque)
    waiting_bytes: int = 0
    oldest_at: float = 0.0
    pieces: deque[bytes] = field(default_factory=deque)
    """The record on its way: one, or the pieces of a long line."""
    sending: list[Line] = field(default_factory=list)
    failures: int = 0
    not_before: float = 0.0

    def first(self) -> int | None:
        """Where the first line that is not stored starts in the spool."""
        return self.sending[0].start if self.sending else self.lines[0].start if self.lines else None


@dataclass(frozen=True)
class Sent:
    """What a shipper did: calls, records stored, records that were refused, bytes and lines stored."""

    calls: int = 0
    records: int = 0
    refused: int = 0
    bytes: int = 0
    lines: int = 0


class Shipper:
    """Reads a partition's spool from its cursor and sends it. `nudge` when it has grown, `drain` to wait for it."""

    def __init__(self, partition: str, spool: FilesLog, service: Service, options: KinesisOptions) -> None:
        self._partition, self._service, self._options = partition, service, options
        self._folder = options.spool / partition
        self._cursor = read_cursor(self._folder)
        write_trouble(self._folder, None)
        self._reader = spool.reader(partition, Position(self._cursor.at))
        self._lanes: dict[int, _Lane] = {}
        self._wanted: set[int] = set()
        self._tagged: set[int] = set()
        self._waiting_bytes = self._waiting_lines = 0
        self._chance = Random()
        self._attempts, self._not_before, self._said_at = 0, 0.0, float("-inf")
        self._wake, self._idle = threading.Event(), threading.Event()
        self._is_draining = self._is_stopping = self._is_away = False
        self.sent = Sent()
        self.failure: TickerplantError | None = None
        self._thread = threading.Thread(target=self._run, name=f"kinesis {partition}", daemon=True)
        self._thread.start()

    @property
    def waiting_bytes(self) -> int:
        """Bytes read from the spool that the service has not stored."""
        return self._waiting_bytes

    def nudge(self) -> None:
        """The spool has grown."""
        self._wake.set()

    def drain(self, timeout_s: float) -> bool:
        """Send everything that is in the spool now without waiting for size or age; whether that was done in time."""
        deadline = time.monotonic() + timeout_s
        self._idle.clear()
        self._is_draining = True
        self._wake.set()
        while not self._idle.wait(min(0.5, max(0.0, deadline - time.monotonic()))):
            if self.failure is not None or time.monotonic() >= deadline or not self._thread.is_alive():
                self._is_draining = False
                return False
        self._is_draining = False
        return True

    def close(self) -> None:
        """End after the call that is on its way; idempotent."""
        self._is_stopping = True
        self._wake.set()
        self._thread.join()
        self._reader.close()

    def _run(self) -> None:
        failure: TickerplantError | None = None
        try:
            while not self._is_stopping:
                self._step()
        except TickerplantError as error:  # kept for the next append: this thread has nobody to raise to
            failure = error
        except Exception as error:
            failure = Fatal(f"kinesis {self._partition}: expected to send the spool, was {error!r}")
            failure.__cause__ = error
        if failure is not None:
            self.failure = failure
            write_trouble(self._folder, failure)
            log.error("sending to kinesis has ended", partition=self._partition, problem=str(failure))
        self._idle.set()

    def _step(self) -> None:
        """Read what fits, send what is due, or wait for either."""
        self._wake.clear()
        is_draining = self._is_draining
        has_read = self._fill()
        now = time.monotonic()
        call = [] if now < self._not_before else self._due(now, is_draining and not has_read)
        if call:
            self._send(call)
        elif is_draining and not has_read and not self._waiting_lines:
            self._idle.set()
            self._is_draining = False
        elif not has_read:
            self._wake.wait(self._pause(now, is_draining))

    def _pause(self, now: float, is_draining: bool) -> float:
        """Until when nothing can become due by itself."""
        if now < self._not_before:
            return min(_IDLE_S, self._not_before - now)
        age = 0.0 if is_draining else self._options.batch_age_s
        dues = [
            max(lane.not_before, 0.0 if lane.pieces else lane.oldest_at + age)
            for lane in self._lanes.values()
            if lane.pieces or lane.lines
        ]
        return max(0.001, min([_IDLE_S, *(due - now for due in dues)]))

    def _fill(self) -> bool:
        """Take lines from the spool as long as they fit in memory; whether there were any."""
        if self._waiting_bytes >= self._options.buffer_bytes:
            return False
        entries = self._reader.read(_READ_BYTES)
        now = time.monotonic()
        for entry in entries:
            self._take(entry, now)
        return bool(entries)

    def _take(self, entry: Entry, now: float) -> None:
        item = entry.item
        if isinstance(item, Damage):
            log.warning("damage in the spool, readers make it a gap", partition=self._partition, position=entry.start)
            for state in self._cursor.lanes.values():
                state.behind = -1
            return
        if item.kind is not Kind.DATA:
            self._add(WHOLE, Line(encode(item), item.received_at, entry.start, None), now)
            return
        for part in split_frame(item.payload, self._options.lanes):
            record = Record(item.vendor, item.feed, item.kind, item.received_at, part.payload, item.request)
            self._add(part.lane, Line(encode(record), item.received_at, entry.start, part.places), now)

    def _add(self, lane: int, line: Line, now: float) -> None:
        found = self._lanes.get(lane)
        if found is None:
            self._wanted.add(self._options.lanes if lane != WHOLE else 0)
            name = lane_name(self._partition, lane, self._options.lanes)
            state = self._cursor.lanes.setdefault(name, LaneState())
            found = self._lanes[lane] = _Lane(name, state, state.acked, hash_key(name))
        if line.received_at <= found.state.acked:
            return
        if found.state.since < 0:
            found.state.since = line.received_at
        if not found.lines:
            found.oldest_at = now
        if found.state.behind == -1:
            found.state.behind = line.received_at
        found.lines.append(line._replace(is_behind_damage=found.state.behind == line.received_at))
        found.waiting_bytes += len(line.data)
        self._waiting_bytes += len(line.data)
        self._waiting_lines += 1

    def _register(self) -> None:
        """Name the partition and its numbers of lanes in the stream's tags, where readers look for them."""
        if self._wanted <= self._tagged:
            return
        key = tag_of(self._partition)
        known = self._service.tags().get(key)
        wanted = (set() if known is None else lanes_of_tag(known)) | self._wanted
        if known is None or wanted != lanes_of_tag(known):
            self._service.tag(key, " ".join(map(str, sorted(wanted))))
        self._tagged = wanted

    def _due(self, now: float, everything: bool) -> list[_Lane]:
        """Lanes with a record to send now, together within the limits of one call; oldest first."""
        options = self._options
        everything = everything or self._waiting_lines >= options.batch_messages
        due: list[_Lane] = []
        size = 0
        for lane in sorted(self._lanes.values(), key=lambda x: x.oldest_at):
            if now < lane.not_before or not (lane.pieces or lane.lines):
                continue
            is_old = now - lane.oldest_at >= options.batch_age_s
            if not (lane.pieces or everything or is_old or lane.waiting_bytes >= options.record_bytes):
                continue
            self._pack(lane, now)
            size += len(lane.pieces[0]) + len(lane.name)
            if size > MAX_CALL_BYTES or len(due) == MAX_RECORDS:
                break
            due.append(lane)
        return due

    def _pack(self, lane: _Lane, now: float) -> None:
        """Make the next record of a lane, unless one is on its way.

        The first line behind a damage of the spool begins a record, and names as the line before it one that readers
        will not find: so each lane has the gap.
        """
        if lane.pieces:
            return
        if lane.lines[0].is_behind_damage:
            lane.packed_to = lane.lines[0].received_at - 1
        size = 0
        while lane.lines:
            size += len(lane.lines[0].data) + head_room(lane.lines[0])
            if lane.sending and (size > self._options.record_bytes or lane.lines[0].is_behind_damage):
                break
            lane.sending.append(lane.lines.popleft())
        before, lane.packed_to = lane.packed_to, lane.sending[-1].received_at
        most = MAX_RECORD_BYTES - len(lane.name.encode())
        lane.pieces.extend(pack(lane.name, lane.state.since, before, lane.sending, most, self._ends()))
        lane.oldest_at = now

    def _ends(self) -> tuple[int, ...] | None:
        """The receipt of the last line packed of each lane; None for more lanes than a head should name."""
        lanes = self._options.lanes
        if lanes > _LANES_NAMED:
            return None
        return tuple(self._end_of(lane) for lane in range(WHOLE, lanes))

    def _end_of(self, number: int) -> int:
        if (lane := self._lanes.get(number)) is not None:
            return lane.packed_to
        state = self._cursor.lanes.get(lane_name(self._partition, number, self._options.lanes))
        return state.acked if state else -1

    def _send(self, call: list[_Lane]) -> None:
        puts = [Put(lane.pieces[0], lane.name, lane.key) for lane in call]
        try:
            self._register()
            answers = self._service.put(puts)
        except (Retryable, Fatal) as error:
            if isinstance(error, Fatal) and not self.sent.records:
                raise
            self._failed(error)
            return
        self._back()
        now, refused = time.monotonic(), 0
        for lane, code in zip(call, answers, strict=True):
            if code is None:
                self._stored(lane, now)
                continue
            refused += 1
            lane.not_before = now + self._wait(lane.failures)
            lane.failures += 1
        done = self.sent
        stored = [put for put, code in zip(puts, answers, strict=True) if code is None]
        size = sum(len(put.data) for put in stored)
        self.sent = Sent(
            done.calls + 1, done.records + len(stored), done.refused + refused, done.bytes + size, self.sent.lines
        )
        if stored:
            self._save()

    def _stored(self, lane: _Lane, now: float) -> None:
        lane.pieces.popleft()
        lane.failures, lane.not_before = 0, 0.0
        if lane.pieces:
            return
        size = sum(len(line.data) for line in lane.sending)
        lane.state.acked = lane.packed_to
        if lane.state.behind is not None and 0 <= lane.state.behind <= lane.packed_to:
            lane.state.behind = None
        lane.waiting_bytes -= size
        self._waiting_bytes -= size
        self._waiting_lines -= len(lane.sending)
        done = self.sent
        self.sent = Sent(done.calls, done.records, done.refused, done.bytes, done.lines + len(lane.sending))
        lane.sending = []

    def _save(self) -> None:
        """Note what is stored, and remove segments of the spool that nobody needs any more."""
        firsts = [first for lane in self._lanes.values() if (first := lane.first()) is not None]
        before = self._cursor.at
        self._cursor.at = min([int(self._reader.position), *firsts])
        write_cursor(self._folder, Cursor(self._cursor.at, self._cursor.lanes))
        segment, _ = split_position(Position(self._cursor.at))
        if split_position(Position(before))[0] != segment:
            for path in _spent(self._folder, segment, self._options.keep_segments):
                path.unlink(missing_ok=True)

    def _wait(self, attempt: int) -> float:
        cap = min(self._options.longest_wait_s, self._options.first_wait_s * 2.0 ** min(attempt, 30))
        return self._chance.uniform(cap / 2, cap)

    def _failed(self, error: TickerplantError) -> None:
        """A whole call failed: wait, say so now and then, give up only where that is asked for.

        A right that was taken away meanwhile is waited for as well: the capture goes on into the spool.
        """
        self._attempts += 1
        limit = self._options.max_attempts
        if limit and self._attempts >= limit:
            raise Fatal(f"{error}; gave up after {limit} attempts, what is unsent stays in {self._folder}") from error
        self._not_before = time.monotonic() + self._wait(self._attempts - 1)
        if not self._is_away and not isinstance(error, Throttled):
            self._is_away = True
            write_trouble(self._folder, error)
        if time.monotonic() - self._said_at >= _SAY_AGAIN_S:
            self._said_at = time.monotonic()
            event = "kinesis away, lines wait in the spool" if self._is_away else "kinesis takes less than comes"
            say = log.error if isinstance(error, Fatal) else log.warning
            say(event, partition=self._partition, problem=str(error))

    def _back(self) -> None:
        if self._is_away:
            write_trouble(self._folder, None)
            log.info("kinesis back", partition=self._partition, attempts=self._attempts)
            self._said_at = float("-inf")
        self._attempts, self._is_away = 0, False


def tag_of(partition: str) -> str:
    """The tag of a stream that names a partition; its value lists the numbers of lanes it has been sent over."""
    return f"tickerplant/{partition}"


def lanes_of_tag(value: str) -> set[int]:
    """The numbers of lanes in a tag's value; 0 stands for WHOLE."""
    return {int(word) for word in value.split() if word.isdecimal()}


def _spent(folder: Path, segment: int, keep: int) -> list[Path]:
    """Sealed segments that are wholly sent but for the last ones; two stay in any case, for the partition's last
    receipt and connection."""
    sealed = sorted(n for n in list_files(folder).sealed if n < segment)
    return [segment_path(folder, n, SEALED) for n in sealed[: -max(2, keep)]]

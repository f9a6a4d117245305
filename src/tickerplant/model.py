"""The central types: Record, Batch, Selection, Vendor, Log, Store, and what passes between them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, NewType, Protocol, Self, TypeAlias

import msgspec

from tickerplant.credentials import Credentials as Credentials
from tickerplant.credentials import Secret as Secret
from tickerplant.errors import TickerplantError

if TYPE_CHECKING:
    import pyarrow as pa

    from tickerplant.rest import Rest
    from tickerplant.schema import Table

Position = NewType("Position", int)
"""A place in a partition of the log: `segment << 36 | byte offset`, always at the start of a line. Only grows."""

OFFSET_BITS = 36


def position(segment: int, offset: int) -> Position:
    """The position at `offset` uncompressed bytes into `segment`."""
    return Position(segment << OFFSET_BITS | offset)


def split_position(at: Position) -> tuple[int, int]:
    """`(segment, offset)` of a position."""
    return at >> OFFSET_BITS, at & ((1 << OFFSET_BITS) - 1)


class Kind(StrEnum):
    """What a record is: rows to be, a control message, a change of connection, or a REST answer."""

    DATA = "data"
    CONTROL = "control"
    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    RESPONSE = "response"


class Record(msgspec.Struct, frozen=True, gc=False):
    """One raw thing a vendor sent. `received_at` is nanoseconds UTC, `request` is for REST and holds no secret.

    `places`: where the messages of a torn frame stood in it; None for a whole frame.
    """

    vendor: str
    feed: str
    kind: Kind
    received_at: int
    payload: bytes
    request: str | None = None
    places: tuple[int, ...] | None = None


class Damage(msgspec.Struct, frozen=True, gc=False):
    """A stretch of log that is no whole line. `before`/`after`: receipt (ns) of the whole lines around it, if any.

    `gap` is the reason of the gap that it makes: `trimmed` for lines that a log let go before they were read.
    """

    payload: bytes
    reason: str
    before: int | None
    after: int | None
    gap: str = "damaged"


class Entry(NamedTuple):
    """One line of the log, `[start, end)`."""

    start: Position
    end: Position
    item: Record | Damage


class Batch(NamedTuple):
    """Rows of one table, in the table's exact schema: the only thing that moves after decode."""

    table: Table
    rows: pa.RecordBatch


class Reject(NamedTuple):
    """A message, or with `item` -1 a whole line, that could not be decoded; it goes to `quarantine`."""

    start: Position
    item: int
    vendor: str
    feed: str
    channel: str | None
    received_at: int | None
    reason: str
    payload: bytes


@dataclass(frozen=True)
class Counters:
    """Messages counted. `received == stored + quarantined + control` holds at every position."""

    received: int = 0
    stored: int = 0
    quarantined: int = 0
    control: int = 0

    def __add__(self, other: Counters) -> Counters:
        return Counters(
            self.received + other.received,
            self.stored + other.stored,
            self.quarantined + other.quarantined,
            self.control + other.control,
        )

    def __sub__(self, other: Counters) -> Counters:
        return Counters(
            self.received - other.received,
            self.stored - other.stored,
            self.quarantined - other.quarantined,
            self.control - other.control,
        )


@dataclass(frozen=True)
class Decoded:
    """What a stretch of records became. `control` counts control messages; each row and reject is one message."""

    batches: tuple[Batch, ...] = ()
    rejects: tuple[Reject, ...] = ()
    control: int = 0


@dataclass(frozen=True)
class Selection:
    """Tables (or channels) x symbols x `[start, end)`; `symbols == ("*",)` is all, None an open bound."""

    tables: tuple[str, ...]
    symbols: tuple[str, ...] = ("*",)
    start: datetime | None = None
    end: datetime | None = None

    def __post_init__(self) -> None:
        if self.start and self.end and self.start >= self.end:
            raise ValueError(f"selection: expected start before end, was [{self.start}, {self.end})")


@dataclass(frozen=True)
class Step:
    """What a dialogue wants after a control message.

    `send` goes out in order. `live` turns True when everything asked for is acknowledged. `problem` says what the
    vendor refused: its class says whether to retry; a RequestFailed leaves the connection as it is.
    """

    send: tuple[bytes, ...] = ()
    live: bool = False
    problem: TickerplantError | None = None


class Dialogue(Protocol):
    """The live protocol of one connection, without I/O. One object serves one connection."""

    headers: Mapping[str, str]
    """Handshake headers; may hold secrets."""
    channels: tuple[str, ...]
    """Our names of the channels asked for, as they stand in `gaps.channel`."""
    markers: Mapping[str, bytes]
    """A byte string that occurs exactly once in each data message of a channel: the watchdog counts them."""

    def is_control(self, payload: bytes) -> bool:
        """Whether a frame must go through `receive`; cheap, called for every frame."""
        ...

    def receive(self, payload: bytes) -> Step:
        """Take a control frame (or any frame before the dialogue is live) and say what to do."""
        ...


@dataclass(frozen=True)
class Limits:
    """What a vendor's plan allows on the live side."""

    subscribe_chunk: int = 500
    dialogue_timeout_s: float = 15.0


@dataclass(frozen=True)
class Vendor:
    """A vendor as data: functions without I/O. A capability that is missing is None."""

    name: str
    decode: Callable[[Sequence[Entry]], Decoded]
    dialogue: Callable[[Selection, Credentials], Dialogue] | None = None
    default_url: str | None = None
    feed_of: Callable[[str], str] | None = None
    """The feed that a websocket URL names."""
    channels: tuple[str, ...] = ()
    limits: Limits = field(default_factory=Limits)
    rest: Rest | None = None


@dataclass(frozen=True)
class Segment:
    """One segment of a partition: number, uncompressed size, stored size, sealed or still written to."""

    partition: str
    number: int
    size_bytes: int
    stored_bytes: int
    sealed: bool
    name: str


@dataclass(frozen=True)
class Lag:
    """How far the loading of a partition is behind; None is unknown.

    `seconds` since the oldest record that is not loaded was received, 0 when all is loaded; `records` that are not
    loaded. `is_least`: both may be more.
    """

    seconds: float | None = None
    records: int | None = None
    is_least: bool = False


class LogReader(Protocol):
    """Reads one partition forward. Keeps its place and its open file; not safe to share between threads."""

    position: Position

    def read(self, max_bytes: int) -> list[Entry]:
        """The next lines, about `max_bytes` at most; empty at the present end. A torn tail still being written stays
        unread; one that a later segment follows is damage."""
        ...

    def finish(self) -> list[Entry]:
        """What is damaged at the present end, once nobody writes there any more; empty while the partition has an
        owner.

        For when `read` gave nothing; ask again until it is empty. Lines that an owner wrote just before it went come
        first. `after` of the damage is None while nothing follows. Positions are those that `read` gives the same
        damage when a later segment follows. Damage that no whole line precedes stays unread: nothing tells its time.
        """
        ...

    def close(self) -> None:
        """Release files; idempotent."""
        ...


class LogWriter(Protocol):
    """Appends to one partition, of which it is the only owner."""

    last_received_at: int | None
    """Receipt (ns) of the last whole line found when the partition was opened; None for a new partition."""
    last_kind: Kind | None
    """Kind of that line."""

    def append(self, kind: Kind, received_at: int, payload: bytes, request: str | None = None) -> None:
        """Take one record; it is on disk after the next `sync`, at most the sync interval later."""
        ...

    def sync(self) -> None:
        """Return when everything appended so far is on disk."""
        ...

    def close(self) -> None:
        """Sync, seal the segment and release the partition; idempotent."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Log(Protocol):
    """Segments of raw lines in partitions."""

    url: str

    def partitions(self) -> list[str]:
        """Names of the partitions, sorted; empty for a log that does not exist yet."""
        ...

    def segments(self, partition: str) -> list[Segment]:
        """Segments in order; empty for an unknown partition."""
        ...

    def reader(self, partition: str, start: Position = Position(0)) -> LogReader:
        """A reader from `start`, which must be a line's start; 0 is the beginning."""
        ...

    def writer(self, partition: str) -> LogWriter:
        """Own the partition and append to a new segment. Raises Busy while another process owns it."""
        ...


@dataclass(frozen=True)
class Progress:
    """Where loading a partition resumes.

    Everything before `position` is in every table. Some tables may be ahead, up to one of `cuts` (sorted, all after
    `position`): a batch written after a restart must not cross a cut.
    """

    position: Position
    counters: Counters
    cuts: tuple[Position, ...] = ()


Lease: TypeAlias = AbstractContextManager[object]
"""A right that is held within `with`."""


@dataclass(frozen=True)
class Retention:
    """For how many days rows stay, by table; `*` is each table not named. Without any, all rows stay for ever."""

    days: tuple[tuple[str, int], ...] = ()

    def oldest(self, table: str, current: date) -> date | None:
        """The first session of a table that stays while `current` is the running one; None keeps all."""
        found = dict(self.days)
        days = found.get(table, found.get("*"))
        return None if days is None else current - timedelta(days=days)

    def __str__(self) -> str:
        return ",".join(str(days) if name == "*" else f"{name}={days}" for name, days in self.days)


@dataclass(frozen=True)
class Maintained:
    """What `maintain` did to one table and session; no row changed, unless `action` is `dropped` (`rows` of them).

    With TimescaleDB `session` is the UTC day of the chunk, which holds that session but for its last hours.
    """

    table: str
    session: date
    rows: int
    files_before: int
    files_after: int
    bytes_before: int
    bytes_after: int
    action: Literal["sorted", "vacuumed", "compressed", "dropped"] = "sorted"


@dataclass(frozen=True)
class Housing:
    """What a store is: `layout` is `lake`, `partitions` or `hypertables`; `version` that of the server."""

    layout: Literal["lake", "partitions", "hypertables"]
    version: str = ""


class Store(Protocol):
    """Where rows live. One loader a partition; readers are never blocked."""

    url: str
    batch_messages: int
    """How many messages one `write` had best hold."""

    def progress(self, partition: str) -> Progress:
        """Where to resume; position 0 for a partition never loaded."""
        ...

    def write(
        self, partition: str, start: Position, end: Position, batches: Sequence[Batch], counters: Counters
    ) -> None:
        """Commit the rows of `[start, end)` and the position `end` with the cumulative `counters`.

        Idempotent: a table that already holds this stretch is left alone. Raises Busy when another loader moved the
        position meanwhile.
        """
        ...

    def loading(self, partition: str, wait_s: float | None = None) -> Lease:
        """Own the loading of a partition; waits for the present owner, at most `wait_s` (then Busy)."""
        ...

    def loaders(self, partitions: Sequence[str]) -> dict[str, str]:
        """Who owns the loading of each of some partitions now, process and machine where known; others are left out."""
        ...

    def maintain(self, before: date, keep: timedelta) -> Iterator[Maintained]:
        """Rewrite finished sessions (days before `before`) for reading; drop replaced files older than `keep`.

        Sessions past the store's retention are dropped. Idempotent; yields what was done, one item a table and session.
        """
        ...

    def query(self, sql: str, parameters: Sequence[Any] = (), as_of: datetime | int | None = None) -> pa.Table:
        """Run read-only SQL over the tables and return the result."""
        ...

    def scan(self, table: Table, selection: Selection, as_of: datetime | int | None = None) -> Iterator[pa.RecordBatch]:
        """Rows of one table for symbols and `[start, end)`, in no particular order, files pruned."""
        ...

    def close(self) -> None:
        """Release handles; idempotent."""
        ...

"""Messages of the log on their way to clients: taken from its lines as they are, encoded once for all of one need."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import structlog

from tickerplant.model import Entry, Kind, Record
from tickerplant.net.served import Connection, framed
from tickerplant.vendors.dialect import Dialect, Part

log = structlog.get_logger()

STRETCH_MESSAGES = 1_000
_PER_FRAME = 100


@dataclass(frozen=True)
class Need:
    """What a client wants: vendor channels with their symbols (None is all), in which encoding."""

    is_binary: bool
    channels: tuple[tuple[str, frozenset[str] | None], ...]

    @classmethod
    def of(cls, connection: Connection, dialect: Dialect) -> Need:
        """The need that a connection's subscriptions make."""
        asked = ((c.vendor_name, connection.symbols(c.vendor_name)) for c in dialect.channels)
        return cls(connection.is_binary, tuple((name, symbols) for name, symbols in asked if symbols != frozenset()))


@dataclass
class Stretch:
    """Messages that go out together. `due` is the receipt (ns) of the first of them.

    What was encoded is kept: for one need the bytes on the wire, for one encoding each message.
    """

    due: int
    parts: list[Part]
    _wires: dict[Need, bytes] = field(default_factory=dict)
    _turned: dict[int, bytes] = field(default_factory=dict)

    def wire(self, need: Need, dialect: Dialect) -> bytes:
        """The websocket frames for a need, empty when there is nothing for it."""
        found = self._wires.get(need)
        if found is None:
            messages = [self._message(place, need.is_binary, dialect) for place in self._chosen(dict(need.channels))]
            cuts = range(0, len(messages), _PER_FRAME)
            payloads = [dialect.frame(messages[k : k + _PER_FRAME], need.is_binary) for k in cuts]
            found = self._wires[need] = framed(payloads, need.is_binary)
        return found

    def _chosen(self, wanted: Mapping[str | None, frozenset[str] | None]) -> Iterator[int]:
        for place, part in enumerate(self.parts):
            if part.channel in wanted:
                symbols = wanted[part.channel]
                if symbols is None or part.symbol in symbols:
                    yield place

    def _message(self, place: int, is_binary: bool, dialect: Dialect) -> bytes:
        raw = self.parts[place].raw
        if (raw[:1] >= b"\x80") == is_binary:
            return raw
        found = self._turned.get(place)
        if found is None:
            found = self._turned[place] = dialect.packed(raw) if is_binary else dialect.unpacked(raw)
        return found


def stretches(entries: Iterable[Entry], dialect: Dialect, width_ns: int = 0) -> list[Stretch]:
    """The data messages of lines in order, in stretches of about STRETCH_MESSAGES at most.

    With `width_ns`, a stretch holds only what was received within one tile of that width. A frame that cannot be read
    is left out (`load` quarantines it), with a warning.
    """
    found: list[Stretch] = []
    tile = -1
    for entry in entries:
        record = entry.item
        if not isinstance(record, Record) or record.kind is not Kind.DATA:
            continue
        here = record.received_at // width_ns if width_ns else 0
        if not found or here != tile or len(found[-1].parts) >= STRETCH_MESSAGES:
            found.append(Stretch(record.received_at, []))
            tile = here
        found[-1].parts += _parts(record, entry, dialect)
    return [stretch for stretch in found if stretch.parts]


def _parts(record: Record, entry: Entry, dialect: Dialect) -> Iterable[Part]:
    try:
        return dialect.parts(record.payload)
    except (ValueError, RecursionError) as error:
        log.warning("frame_left_out", vendor=record.vendor, feed=record.feed, position=entry.start, reason=str(error))
        return ()

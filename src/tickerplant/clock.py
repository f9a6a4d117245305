"""What time it is: the machine's clock, or one that is set, for rehearsals.

With `TICKERPLANT_CLOCK=<file>` every process of a plant lives at the machine's time plus the nanoseconds that the file
holds (eight bytes, little-endian, signed). `set_clock` moves all of them at once; time goes on from there at its usual
pace. Waits and rates of requests stay the machine's.
"""

from __future__ import annotations

import mmap
import os
import struct
import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from tickerplant.errors import UsageError

VARIABLE = "TICKERPLANT_CLOCK"

_OFFSET = struct.Struct("<q")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now_ns() -> int:
    """Nanoseconds since 1970. Raises UsageError when TICKERPLANT_CLOCK names no clock."""
    shared = _shared()
    return time.time_ns() + (_OFFSET.unpack_from(shared)[0] if shared is not None else 0)


def utc_now() -> datetime:
    """The moment, UTC, microseconds."""
    return datetime.fromtimestamp(now_ns() // 1000 / 1e6, UTC) if _shared() is not None else datetime.now(UTC)


def set_clock(file: Path, moment: datetime) -> None:
    """Make it `moment` now for every process that follows `file`; creates the file."""
    whole = moment - _EPOCH
    wanted = (whole.days * 86_400 + whole.seconds) * 1_000_000_000 + whole.microseconds * 1000
    if not file.exists():
        file.write_bytes(_OFFSET.pack(0))
    with file.open("r+b") as f:
        f.write(_OFFSET.pack(wanted - time.time_ns()))


@cache
def _shared() -> mmap.mmap | None:
    name = os.environ.get(VARIABLE, "").strip()
    if not name:
        return None
    try:
        with open(name, "rb") as f:
            found = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError) as error:
        raise UsageError(f"{VARIABLE}: expected the file of a clock, was {name!r}: {error}; do unset it") from None
    if len(found) != _OFFSET.size:
        raise UsageError(f"{VARIABLE}: expected a file of {_OFFSET.size} bytes, was {len(found)} bytes in {name!r}")
    return found

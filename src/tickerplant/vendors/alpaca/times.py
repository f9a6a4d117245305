"""The vendor's two forms of time -> nanoseconds since 1970 UTC, a column at a time.

JSON: RFC-3339 with up to 9 fractional digits, trailing zeros dropped. msgpack: the timestamp extension (type -1) of
32, 64 or 96 bits; text is taken too. Source: https://docs.alpaca.markets/docs/streaming-market-data, captured
2026-01-26; https://github.com/msgpack/msgpack/blob/master/spec.md#timestamp-extension-type.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Raw
from msgspec.msgpack import Ext

Stamps = npt.NDArray[np.int64]

_TYPE = pa.timestamp("ns", "UTC")
_EARLIEST, _LATEST = -(2**63), 2**63 - 1
_BILLION = 1_000_000_000
_TIMESTAMP = -1
_LAST_SECOND = _LATEST // _BILLION - 1
"""The last second of which every nanosecond fits; the fast path stops there, the slow one goes to the very end."""


def nanoseconds(times: Sequence[str] | Sequence[Raw]) -> tuple[Stamps, list[int]]:
    """`(stamps, bad)`: nanoseconds UTC of each time, and the places of those that are none (their stamp is 0)."""
    try:
        return (_texts if isinstance(times[0], str) else _extensions)(times), []  # type: ignore[arg-type]
    except ValueError:
        return _one_by_one(times)


def _texts(times: Sequence[str]) -> Stamps:
    """Raises ValueError (ArrowInvalid) when one of them is no time or outside 1677-2262."""
    return pc.cast(pa.array(times, pa.string()), _TYPE).view(pa.int64()).to_numpy()


def _extensions(times: Sequence[Raw]) -> Stamps:
    """64-bit and 32-bit timestamps. Raises ValueError when one is anything else."""
    packed = [bytes(time) for time in times]
    sizes = np.fromiter(map(len, packed), np.int64, len(packed))
    stamps = np.zeros(len(packed), np.int64)
    for size, read in ((10, _read_64), (6, _read_32)):
        found = sizes == size
        if found.any():
            chosen = packed if found.all() else [p for p in packed if len(p) == size]
            stamps[found] = read(b"".join(chosen))
            sizes[found] = 0
    if sizes.any():
        raise ValueError("expected timestamps of 32 or 64 bits only")
    return stamps


def _read_64(packed: bytes) -> Stamps:
    rows = np.frombuffer(packed, np.dtype([("head", ">u2"), ("value", ">u8")]))
    value = rows["value"].astype(np.uint64)
    fraction, seconds = (value >> np.uint64(34)).astype(np.int64), (value & np.uint64(2**34 - 1)).astype(np.int64)
    if (rows["head"] != 0xD7FF).any() or fraction.max() >= _BILLION or seconds.max() > _LAST_SECOND:
        raise ValueError("expected 64-bit timestamps before 2262")
    return seconds * _BILLION + fraction


def _read_32(packed: bytes) -> Stamps:
    rows = np.frombuffer(packed, np.dtype([("head", ">u2"), ("value", ">u4")]))
    if (rows["head"] != 0xD6FF).any():
        raise ValueError("expected 32-bit timestamps")
    return rows["value"].astype(np.int64) * _BILLION


def _one_by_one(times: Sequence[Any]) -> tuple[Stamps, list[int]]:
    one: Callable[[Any], int] = _text if isinstance(times[0], str) else _packed
    stamps, bad = np.zeros(len(times), np.int64), []
    for place, time in enumerate(times):
        try:
            stamps[place] = one(time)
        except ValueError:
            bad.append(place)
    return stamps, bad


def _text(time: str) -> int:
    return int(_texts([time.upper()])[0])


def _packed(time: Raw) -> int:
    value = msgspec.msgpack.decode(time, type=Ext | str)
    return _text(value) if isinstance(value, str) else _extension(value)


def _extension(time: Ext) -> int:
    data = bytes(time.data)
    size = len(data)
    if time.code != _TIMESTAMP or size not in (4, 8, 12):
        raise ValueError("expected a timestamp extension")
    number = int.from_bytes(data, "big")
    if size == 4:
        fraction, seconds = 0, number
    elif size == 8:
        fraction, seconds = number >> 34, number & (2**34 - 1)
    else:
        fraction, seconds = number >> 64, int.from_bytes(data[4:], "big", signed=True)
    stamp = seconds * _BILLION + fraction
    if fraction >= _BILLION or not _EARLIEST < stamp <= _LATEST:
        raise ValueError("expected a time from 1677 to 2262")
    return stamp

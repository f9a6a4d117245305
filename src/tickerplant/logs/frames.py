"""The sealed form of a segment: independent zstd frames, each behind a head that says what it holds. No file access.

    head(start=0) frame | head(start=n1) frame | ... | head(start=total, no frame follows)

A head is a zstd skippable frame (RFC 8878 section 3.1.2), which every zstd reader passes over. It repeats where in the
segment its frame begins, so that a damaged frame or head never moves what follows.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import zstandard

from tickerplant.errors import BadData

FRAME_BYTES = 2**20
LEVEL = 3
HEAD_BYTES = 32
HEAD_MAGIC = struct.pack("<II", 0x184D2A5D, HEAD_BYTES - 8)
_HEAD = struct.Struct("<QIII")
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_SEARCH_BYTES = 2**20

ReadAt = Callable[[int, int], bytes]
"""`read_at(offset, size)`: the bytes of a sealed segment; fewer only at its end."""


class Head(NamedTuple):
    """What a head says: where its frame begins in the segment, its uncompressed and compressed sizes."""

    start: int
    size: int
    stored: int


class Frame(NamedTuple):
    """Bytes `[at, at + stored)` of the sealed form, which hold bytes `[start, end)` of the segment."""

    start: int
    end: int
    at: int
    stored: int


def pack_head(start: int, size: int, stored: int) -> bytes:
    """A head as bytes."""
    fields = _HEAD.pack(start, size, stored, 0)
    return HEAD_MAGIC + fields + struct.pack("<I", zlib.crc32(fields))


def unpack_head(data: bytes) -> Head | None:
    """The head at the beginning of `data`, None when there is no whole one."""
    fields = data[len(HEAD_MAGIC) : HEAD_BYTES - 4]
    if len(data) < HEAD_BYTES or not data.startswith(HEAD_MAGIC):
        return None
    if struct.pack("<I", zlib.crc32(fields)) != data[HEAD_BYTES - 4 : HEAD_BYTES]:
        return None
    start, size, stored, _ = _HEAD.unpack(fields)
    return Head(start, size, stored)


def compressor() -> Callable[[bytes, int], bytes]:
    """A function that makes head and frame of the bytes that begin at an offset of the segment."""
    context = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True, write_content_size=True)

    def compress(data: bytes, start: int) -> bytes:
        frame = context.compress(data)
        return pack_head(start, len(data), len(frame)) + frame

    return compress


def content(frame: Frame, data: bytes) -> bytes:
    """The bytes of the segment in a frame whose stored bytes are `data`. Raises BadData when they are damaged."""
    where = f"sealed segment byte {frame.at}"
    begin = data.find(_ZSTD_MAGIC, HEAD_BYTES if unpack_head(data) else 0)
    if begin < 0:
        raise BadData(f"{where}: expected a zstd frame, was none")
    try:
        found = zstandard.ZstdDecompressor().decompress(data[begin:], max_output_size=frame.end - frame.start)
    except (zstandard.ZstdError, MemoryError) as error:
        raise BadData(f"{where}: expected a whole zstd frame, was damaged ({error})") from error
    if len(found) != frame.end - frame.start:
        raise BadData(f"{where}: expected {frame.end - frame.start} bytes, was {len(found)}")
    return found


def index(read_at: ReadAt, stored: int) -> list[Frame]:
    """The frames of a sealed segment of `stored` bytes, in order; together they cover it without holes.

    A frame may be damaged: `content` tells. Where heads are damaged, a frame reaches to the next whole head. When the
    last head is missing, a frame of one byte that is stored nowhere stands for whatever was cut off.
    """
    frames: list[Frame] = []
    heads = list(_heads(read_at, stored))
    if not heads or heads[0][0] > 0:
        end = heads[0][1].start if heads else _guess(read_at, 0, stored)
        frames += _span(0, end, 0, heads[0][0] if heads else stored)
    for i, (at, head) in enumerate(heads):
        next_at, next_start = (heads[i + 1][0], heads[i + 1][1].start) if i + 1 < len(heads) else (stored, None)
        frames += _between(read_at, at, head, next_at, next_start)
    if not heads or heads[-1][1].size > 0:
        end = frames[-1].end if frames else 0
        frames.append(Frame(end, end + 1, stored, 0))
    return frames


def total_size(read_at: ReadAt, stored: int) -> int:
    """Uncompressed size of a sealed segment of `stored` bytes."""
    last = unpack_head(read_at(max(0, stored - HEAD_BYTES), HEAD_BYTES))
    if last and last.size == 0:
        return last.start
    frames = index(read_at, stored)
    return frames[-1].end if frames else 0


def _span(start: int, end: int, at: int, next_at: int) -> Iterator[Frame]:
    if end > start:
        yield Frame(start, end, at, next_at - at)


def _between(read_at: ReadAt, at: int, head: Head, next_at: int, next_start: int | None) -> Iterator[Frame]:
    """The frame of a head, and what lies between it and the next whole head."""
    end, frame_end = head.start + head.size, at + HEAD_BYTES + head.stored
    if next_start is not None and next_start > end:
        peeled = _peel(read_at, at, next_at, end, next_start)
        if peeled:
            yield from _between(read_at, at, head, peeled.at, peeled.start)
            yield peeled
            return
    if frame_end > next_at or end == next_start:
        yield from _span(head.start, end if next_start is None else next_start, at, next_at)
        return
    yield from _span(head.start, end, at, frame_end)
    if next_start is None:
        next_start = end + _guess(read_at, frame_end, next_at) if frame_end < next_at else end
    yield from _span(end, next_start, frame_end, next_at)


def _peel(read_at: ReadAt, at: int, next_at: int, start: int, next_start: int) -> Frame | None:
    """A whole frame without head that ends just before the head at `next_at`; it then ends at `next_start` too."""
    at = max(at, next_at - 4 * FRAME_BYTES)
    data = read_at(at, next_at - at)
    begin = data.rfind(_ZSTD_MAGIC)
    while begin >= 0:
        reader = zstandard.ZstdDecompressor().decompressobj()
        try:
            size = len(reader.decompress(data[begin:]))
        except (zstandard.ZstdError, MemoryError):
            size = 0
        if size and reader.eof and not reader.unused_data and next_start - size >= start:
            return Frame(next_start - size, next_start, at + begin, len(data) - begin)
        begin = data.rfind(_ZSTD_MAGIC, 0, begin)
    return None


def _guess(read_at: ReadAt, at: int, next_at: int) -> int:
    """How many bytes of the segment stand in stored bytes that no head describes: what zstd says, or their number."""
    data = read_at(at, next_at - at)
    begin = data.find(_ZSTD_MAGIC)
    try:
        size = zstandard.frame_content_size(data[begin:]) if begin >= 0 else -1
    except zstandard.ZstdError:
        size = -1
    return size if 0 < size <= FRAME_BYTES * 64 else next_at - at


def _heads(read_at: ReadAt, stored: int) -> Iterator[tuple[int, Head]]:
    """Every whole head and where it stands, found by following sizes and, after damage, by searching."""
    at = start = 0
    while at < stored:
        head = unpack_head(read_at(at, HEAD_BYTES))
        if head is None or head.start < start:
            found = _search(read_at, at, stored, start)
            if found is None:
                return
            at, head = found
        yield at, head
        start = head.start + head.size
        following = at + HEAD_BYTES + head.stored
        if following != stored and unpack_head(read_at(following, HEAD_BYTES)) is None:
            following = at + HEAD_BYTES
        at = following


def _search(read_at: ReadAt, at: int, stored: int, start: int) -> tuple[int, Head] | None:
    """The first whole head at or after `at` whose frame begins at `start` or later."""
    while at < stored:
        block = read_at(at, _SEARCH_BYTES + HEAD_BYTES)
        hit = block.find(HEAD_MAGIC)
        while 0 <= hit < _SEARCH_BYTES:
            head = unpack_head(block[hit : hit + HEAD_BYTES])
            if head and head.start >= start:
                return at + hit, head
            hit = block.find(HEAD_MAGIC, hit + 1)
        at += _SEARCH_BYTES
    return None

"""The log on files: append with group commit, read with CRC, sealing. One core each, messages/s and MB/s.

Run `python -m benchmarks.bench_log [messages]`. Each rate of appending counts until the last record is on disk.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import threading
import time
from pathlib import Path

import structlog

from benchmarks.frames import quote_frames
from tickerplant.logs import open_log
from tickerplant.logs.layout import RAW, SEALED, segment_path
from tickerplant.logs.line import encode
from tickerplant.logs.sealing import seal
from tickerplant.model import Kind, Record

PARTITION = "alpaca.sip"
START_NS = 1_763_649_000_000_000_000


def _append(folder: Path, frames: list[bytes]) -> float:
    """Seconds until all frames are on disk."""
    log = open_log(str(folder), segment_bytes=2**33)
    writer = log.writer(PARTITION)
    began = time.perf_counter()
    for i, frame in enumerate(frames):
        while writer.is_full:
            time.sleep(0.001)
        writer.append(Kind.DATA, START_NS + i * 2000, frame)
    took_appending = time.perf_counter() - began
    writer.sync()
    took = time.perf_counter() - began
    print(f"      on the appending thread alone: {took_appending / len(frames) * 1e6:.2f} us a frame")
    writer.close()
    return took


def _read(folder: Path) -> tuple[int, float]:
    """Lines read and seconds."""
    reader = open_log(str(folder)).reader(PARTITION)
    lines, began = 0, time.perf_counter()
    while entries := reader.read(2**20):
        lines += sum(isinstance(e.item, Record) for e in entries)
    took = time.perf_counter() - began
    reader.close()
    return lines, took


def _raw(folder: Path, frames: list[bytes]) -> int:
    """Write the frames as one raw segment; its size in bytes."""
    path = segment_path(folder / PARTITION, 0, RAW)
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        for i, frame in enumerate(frames):
            file.write(encode(Record("alpaca", "sip", Kind.DATA, START_NS + i * 2000, frame)))
    return path.stat().st_size


def _measure(root: Path, messages: int, per_frame: int) -> dict[str, float]:
    frames = list(quote_frames(messages, per_frame))
    out = {f"append_{per_frame}": messages / _append(root / f"a{per_frame}", frames)}
    folder = root / f"r{per_frame}"
    size = _raw(folder, frames)
    lines, took = _read(folder)
    assert lines == len(frames)
    out[f"read_{per_frame}"] = messages / took
    out[f"read_us_per_line_{per_frame}"] = took / lines * 1e6
    if per_frame == 20:
        began = time.perf_counter()
        seal(folder / PARTITION, 0, threading.Event())
        out["seal_mb_per_s"] = size / 1e6 / (time.perf_counter() - began)
        out["seal_ratio"] = size / segment_path(folder / PARTITION, 0, SEALED).stat().st_size
        lines, took = _read(folder)
        out["read_sealed_20"] = messages / took
    return out


def run(messages: int = 400_000) -> dict[str, float]:
    """Print and return messages/s at 1, 20 and 100 messages a frame, sealing in MB/s and its ratio."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for per_frame in (1, 20, 100):
            found |= _measure(Path(folder), messages, per_frame)
    for name, value in found.items():
        print(f"{name:24} {value:14,.2f}")
    return found


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else 400_000)

"""A log on Kinesis beside one on files: producer messages/s and bytes a call, loader rows/s from each.

Run `python -m benchmarks kinesis` (`make servers` first). The service is an emulator on this machine, far slower than
the real one and in our way for the cores; `pack` is
what our side alone can do in a second of CPU, with a service that answers at once.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from benchmarks.frames import quote_frames
from tests.support.kinesis_server import Server, serving
from tickerplant.jobs.load import load
from tickerplant.logs import open_log
from tickerplant.logs.files import FilesLog
from tickerplant.logs.kinesis.options import KinesisOptions
from tickerplant.logs.kinesis.service import Put, Service
from tickerplant.logs.kinesis.shipper import Sent, Shipper
from tickerplant.model import Kind, Log
from tickerplant.stores import open_store
from tickerplant.vendors import vendor

PARTITION = "alpaca.sip"
START_NS = 1_763_649_000_000_000_000


class _Instant(Service):
    """A service that stores everything at once."""

    def __init__(self) -> None:
        self.stream = "instant"

    def put(self, records: Sequence[Put]) -> list[str | None]:
        return [None] * len(records)

    def tags(self) -> dict[str, str]:
        return {}

    def tag(self, key: str, value: str) -> None:
        pass


def append(log: Log, frames: Sequence[bytes]) -> None:
    """Append frames and close the writer."""
    with log.writer(PARTITION) as writer:
        for i, frame in enumerate(frames):
            while getattr(writer, "is_full", False):
                time.sleep(0.001)
            writer.append(Kind.DATA, START_NS + i * 2000, frame)


def _pack(folder: Path, frames: Sequence[bytes]) -> tuple[Sent, float]:
    """What a shipper does with a spool when the service costs nothing, and the CPU seconds of all threads."""
    spool = FilesLog(folder)
    append(spool, frames)
    began = time.process_time()
    shipper = Shipper(PARTITION, spool, _Instant(), KinesisOptions("instant", folder))
    assert shipper.drain(600)
    took = time.process_time() - began
    shipper.close()
    return shipper.sent, took


def send(server: Server, stream: str, folder: Path, frames: Sequence[bytes]) -> tuple[Sent, float]:
    """Append and send everything; seconds until the service has stored it."""
    log = server.log(stream, folder, lanes=8, batch_age_s=1.0, timeout_s=60.0)
    began = time.perf_counter()
    with log.writer(PARTITION) as writer:
        for i, frame in enumerate(frames):
            writer.append(Kind.DATA, START_NS + i * 2000, frame)
        assert writer.flush(600)
        took = time.perf_counter() - began
        sent = writer.sent
    log.close()
    return sent, took


def load_rates(log: Log, folder: Path) -> tuple[float, float]:
    """Rows/s, and rows per CPU second of this process."""
    began = time.process_time()
    store = open_store(str(folder))
    try:
        done = load(log, store, vendor)
    finally:
        store.close()
    stored = done.counters.stored
    return stored / done.seconds, stored / (time.process_time() - began)


def run(messages: int = 60_000, per_frame: int = 20) -> dict[str, float]:
    """Print and return messages/s of the producer, its bytes and records a call, and rows/s of loaders."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    frames = list(quote_frames(messages, per_frame))
    found: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as name, serving() as server:
        folder = Path(name)
        packed, took = _pack(folder / "pack", frames)
        found["pack_messages_per_cpu_s"] = messages / took
        found["pack_bytes_per_call"] = packed.bytes / packed.calls
        stream = server.stream(shards=4)
        sent, took = send(server, stream, folder / "spool", frames)
        found["send_messages_per_s"] = messages / took
        found["send_bytes_per_call"] = sent.bytes / sent.calls
        found["send_records_per_call"] = sent.records / sent.calls
        found["bytes_per_message"] = sent.bytes / messages
        reader_log = server.log(stream, folder / "reader", timeout_s=60.0)
        found["load_rows_per_s_kinesis"], found["load_rows_per_cpu_s_kinesis"] = load_rates(reader_log, folder / "lake")
        reader_log.close()
        files = open_log(str(folder / "files"))
        append(files, frames)
        found["load_rows_per_s_files"], found["load_rows_per_cpu_s_files"] = load_rates(files, folder / "lake-of-files")
    for key, value in found.items():
        print(f"{key:28} {value:14,.1f}")
    return found


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else 60_000)

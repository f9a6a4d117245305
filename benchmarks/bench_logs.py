"""The three homes of a log in one run: what a producer sends, what a loader loads, and commits of a lake on S3.

Run `python -m benchmarks logs` (`make servers` first; BENCH_QUOTES). Every loader loads into a lake on local files. The
services are emulators on this machine and its cores: the ratios say what our side costs and how often it asks, the
rates of Kinesis are those of its emulator.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import structlog

from benchmarks.bench_kinesis import PARTITION, append, load_rates, send
from benchmarks.bench_s3 import ROWS, SEGMENTS, commits
from benchmarks.frames import quote_frames
from tests.support import s3
from tests.support.kinesis_server import Server, serving
from tickerplant.logs.files import FilesLog
from tickerplant.logs.s3 import open_s3
from tickerplant.model import Log
from tickerplant.stores import in_bucket
from tickerplant.stores.lake import LakeStore

COUNT = int(os.environ.get("BENCH_QUOTES", "100000"))
PER_FRAME = 20
PRODUCED, PER_CALL = "producer, messages/s", "bytes a call"
LOADED, LOADED_CPU = "loader, rows/s", "loader, rows/s of CPU"
COMMITS = f"lake, commits/s of {ROWS:,} quotes"


def _segments(log: FilesLog, folder: Path, frames: Sequence[bytes]) -> dict[str, float]:
    """A log of segments: what is produced counts until the writer is closed, on S3 until all is shipped and read back.

    A call is that which stores a segment.
    """
    began = time.perf_counter()
    append(log, frames)
    found = {PRODUCED: COUNT / (time.perf_counter() - began)}
    if not log.is_here:
        sizes = [segment.stored_bytes for segment in log.segments(PARTITION)]
        found[PER_CALL] = sum(sizes) / len(sizes)
    return found | _loaded(log, folder)


def _kinesis(server: Server, folder: Path, frames: Sequence[bytes]) -> dict[str, float]:
    stream = server.stream(shards=4)
    sent, took = send(server, stream, folder / "spool", frames)
    log = server.log(stream, folder / "reader", timeout_s=60.0)
    try:
        return {PRODUCED: COUNT / took, PER_CALL: sent.bytes / sent.calls} | _loaded(log, folder / "kinesis")
    finally:
        log.close()


def _loaded(log: Log, folder: Path) -> dict[str, float]:
    rate, rate_of_cpu = load_rates(log, folder / "lake")
    return {LOADED: rate, LOADED_CPU: rate_of_cpu}


def _measured(folder: Path) -> dict[str, dict[str, float]]:
    frames, url = list(quote_frames(COUNT, PER_FRAME)), s3.new_url("bench")
    settings = s3.settings(folder)
    _segments(FilesLog(folder / "warm"), folder / "warmed", frames[:50])
    files = _segments(FilesLog(folder / "log", SEGMENTS), folder / "files", frames)
    files[COMMITS] = commits(LakeStore(folder / "commits"))
    bucket = _segments(open_s3(f"{url}/log", SEGMENTS, settings), folder / "s3", frames)
    bucket[COMMITS] = commits(LakeStore(in_bucket(f"{url}/commits", settings)))
    with serving() as server:
        return {"files": files, "S3": bucket, "Kinesis": _kinesis(server, folder, frames)}


def run() -> dict[str, float]:
    """Print each figure of files, S3 and Kinesis; return them and the ratios to files."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with tempfile.TemporaryDirectory() as name:
        found = _measured(Path(name))
    figures = {f"{what}, {kind}": rate for kind, rates in found.items() for what, rate in rates.items()}
    heads = (*found, "S3/files", "Kinesis/files")
    print(f"{f'{COUNT:,} quotes, {PER_FRAME} a frame':32}" + "".join(f"{head:>14}" for head in heads))
    for what in (PRODUCED, PER_CALL, LOADED, LOADED_CPU, COMMITS):
        rates = [found[kind].get(what) for kind in found]
        base, *others = rates
        ratios = [other / base if base and other else None for other in others]
        figures |= {f"{what}, {k} to files": r for k, r in zip(("S3", "Kinesis"), ratios, strict=True) if r}
        print(f"{what:32}" + "".join(map(_cell, rates)) + "".join(_cell(r, ".2f") for r in ratios))
    return figures


def _cell(value: float | None, form: str = ",.0f") -> str:
    return f"{'-' if value is None else format(value, form):>14}"


if __name__ == "__main__":
    run()

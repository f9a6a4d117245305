"""Log and lake in a bucket beside the same on local files: commits/s, quotes/s loaded, segments shipped, queries.

The server is the one of the tests, on loopback and on the same cores: the ratios say what our side costs and how often
it asks, not what a service in a data centre gives. Local files are forced to disk, objects of this server are not.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import structlog

from benchmarks.frames import quote_frames
from tests.support import s3
from tests.support.rows import rows
from tickerplant.jobs.load import load
from tickerplant.logs.files import FilesLog
from tickerplant.logs.s3 import open_s3
from tickerplant.logs.writer import Options
from tickerplant.model import Counters, Kind, Position
from tickerplant.stores import in_bucket
from tickerplant.stores.lake import LakeStore
from tickerplant.tables import QUOTES
from tickerplant.vendors import vendor

COUNT = int(os.environ.get("BENCH_QUOTES", "500000"))
COMMITS, ROWS = 150, 1_000
SEGMENTS = Options(segment_bytes=16 << 20)
ONE_SYMBOL = "select count(*), max(ask_price) from quotes where symbol = 'S7'"


def commits(store: LakeStore) -> float:
    """Commits/s of ROWS quotes each; a commit is that of the quotes and that of the position."""
    batch = rows(QUOTES, *({"symbol": f"S{i}"} for i in range(ROWS)))
    began = time.perf_counter()
    with closing(store):
        for i in range(COMMITS):
            store.write("p", Position(i), Position(i + 1), [batch], Counters())
    return COMMITS / (time.perf_counter() - began)


def _write(log: FilesLog) -> float:
    """Quotes/s into a log until it is closed: on S3, until all of it is shipped and read back."""
    frames = list(quote_frames(COUNT))
    began = time.perf_counter()
    with log.writer("alpaca.sip") as writer:
        for i, frame in enumerate(frames):
            while writer.is_full:
                time.sleep(0.001)
            writer.append(Kind.DATA, 1_763_649_000_000_000_000 + i * 2000, frame)
    return COUNT / (time.perf_counter() - began)


def _load(log: FilesLog, store: LakeStore) -> float:
    began = time.perf_counter()
    summary = load(log, store, vendor)
    assert summary.counters.stored == COUNT
    return COUNT / (time.perf_counter() - began)


def _query(store: LakeStore) -> float:
    """Queries/s of one symbol, the best of five."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        assert store.query(ONE_SYMBOL).num_rows == 1
        times.append(time.perf_counter() - began)
    return 1 / min(times)


def _place(log: FilesLog, make: Callable[[str], LakeStore]) -> dict[str, float]:
    found = {"commits/s": commits(make("commits")), "quotes/s into the log": _write(log)}
    with ExitStack() as closing_all:
        store = closing_all.enter_context(closing(make("lake")))
        found["quotes/s loaded"] = _load(log, store)
        found["queries/s of one symbol"] = _query(store)
    return found


def run() -> dict[str, float]:
    """Each figure on local files and on S3, and the ratio of S3 to files."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(30))
    with tempfile.TemporaryDirectory() as name:
        folder, url = Path(name), s3.new_url("bench")
        settings = s3.settings(folder)
        here = _place(FilesLog(folder / "log", SEGMENTS), lambda what: LakeStore(folder / what))
        there = _place(
            open_s3(f"{url}/log", SEGMENTS, settings), lambda what: LakeStore(in_bucket(f"{url}/{what}", settings))
        )
    print(f"{'':28s}{'files':>12s}{'S3':>12s}{'ratio':>8s}")
    for what, rate in here.items():
        print(f"{what:28s}{rate:12,.1f}{there[what]:12,.1f}{there[what] / rate:8.2f}")
    return {f"{what}, S3 to files": there[what] / rate for what, rate in here.items()}


if __name__ == "__main__":
    run()

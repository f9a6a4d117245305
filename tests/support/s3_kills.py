"""Kill a writer of a log on S3 while it ships, again and again, and hold the bucket against what was on disk."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support import s3
from tickerplant.logs.files import FilesLog
from tickerplant.logs.s3 import open_s3
from tickerplant.logs.writer import Options
from tickerplant.model import Kind, Record

PARTITION = "alpaca.sip"
_WRITER = """
import itertools, structlog, sys
from tickerplant.logs import open_log
from tickerplant.model import Kind
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
first = int(sys.argv[2])
with open_log(sys.argv[1], segment_bytes=20_000, sync_interval_s=0.005).writer("alpaca.sip") as writer:
    for i in itertools.count(first):
        writer.append(Kind.DATA, i * 10_000, b'[{"T":"q","S":"A","i":%d}]' % i)
        if i % 100 == 99:
            writer.sync()
            print("synced", i, flush=True)
"""


@dataclass(frozen=True)
class ShippingKills:
    """`synced`: records known to be on disk; `lost` and `doubled` of them; `during`: kills with segments to ship."""

    kills: int
    during: int
    synced: int
    shipped_segments: int
    lost: int
    doubled: int
    is_ordered: bool
    left_in_spool: int


def shipping_kills(kills: int, seed: int, folder: Path) -> ShippingKills:
    """Kill a writer with SIGKILL at random moments, then ship what is left and read all of it from elsewhere."""
    chance, url, next_number, during = random.Random(seed), s3.new_url("kills"), 0, 0
    mine, acknowledged = s3.settings(folder), set[int]()
    spool = open_s3(url, settings=mine).folder
    for _ in range(kills):
        last = _killed(url, folder, next_number, chance.uniform(0.02, 0.25))
        acknowledged.update(range(next_number, last + 1))
        next_number = last + 100_000
        during += any(spool.glob("*/*.zst")) or len(list(spool.glob("*/*.jsonl"))) > 1
    with open_s3(url, Options(segment_bytes=20_000), mine).writer(PARTITION) as writer:
        writer.append(Kind.CONTROL, next_number * 10_000, b"{}")
    elsewhere = open_s3(url, settings=s3.settings(folder / "elsewhere"))
    numbers = list(_numbers(elsewhere))[:-1]
    counts = Counter(numbers)
    return ShippingKills(
        kills=kills,
        during=during,
        synced=len(acknowledged),
        shipped_segments=len(elsewhere.segments(PARTITION)),
        lost=sum(n not in counts for n in acknowledged),
        doubled=sum(n > 1 for n in counts.values()),
        is_ordered=numbers == sorted(numbers),
        left_in_spool=len(list(spool.glob("*/*.jsonl*"))),
    )


def _numbers(log: FilesLog) -> Iterator[int]:
    reader = log.reader(PARTITION)
    while entries := reader.read(1 << 20):
        yield from (e.item.received_at // 10_000 for e in entries if isinstance(e.item, Record))
    reader.close()


def _killed(url: str, folder: Path, first: int, after_s: float) -> int:
    """Write from a number on until a moment after the first sync; returns the last number that was synced."""
    environment = {**os.environ, **s3.variables(), "TICKERPLANT_DATA": str(folder)}
    words = [sys.executable, "-c", _WRITER, url, str(first)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment) as run:
        assert run.stdout is not None
        told = next(line for line in run.stdout if line.startswith("synced"))
        time.sleep(after_s)
        run.kill()
        rest = run.stdout.readlines()
    return max(int(line.split()[1]) for line in (told, *rest) if line.startswith("synced") and line.endswith("\n"))

"""The feed as a process, and logs to serve."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.support.plant import log_records, stop, tickerplant
from tickerplant.logs import open_log
from tickerplant.model import Kind
from tickerplant.simulator.source import Slice
from tickerplant.vendors.alpaca.render import frame, split


@contextmanager
def feed(log: Path, *args: str, env: Mapping[str, str] | None = None) -> Iterator[str]:
    """`tickerplant serve --feed` on a log; gives its websocket URL."""
    process = tickerplant("serve", "--feed", "--log", log, *args, stderr=subprocess.DEVNULL, env=env)
    try:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["ws"]
    finally:
        assert stop(process) == 0


def land(log: Path, slices: Iterable[Slice], per_frame: int = 20, partition: str = "alpaca.sip") -> int:
    """Write the messages of slices as the data frames of a log, received when they are due; returns their number."""
    count = 0
    with open_log(str(log)).writer(partition) as writer:
        for part in slices:
            for k in range(0, len(part.messages), per_frame):
                taken = part.messages[k : k + per_frame]
                writer.append(Kind.DATA, int(part.ts[k]), frame(taken, False))
                count += len(taken)
    return count


def log_messages(log: Path) -> list[bytes]:
    """Every data message of a log of one partition, in order."""
    return [m for r in log_records(log) if r.kind is Kind.DATA for m in split(r.payload)]

"""The feed: what it adds from a line in the log to its clients, beside a direct connection; and Alpaca's own clients.

Twenty clients at 5,000 messages/s, one of which does not read; then a market captured and fed, beside the market's own
connection; then twenty of Alpaca's clients, one of them slow, on a replay of a recorded day (when there is one).
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import uvloop

from benchmarks.feed_clients import Heard, unpackb
from benchmarks.listeners import Listener, Nanos, leave, listen, stop_reading, until
from tests.support import lean
from tests.support.feed import feed, land, log_messages
from tests.support.plant import log_records, simulator, stop, tickerplant
from tests.support.ticks import ibm_monday
from tickerplant.simulator.source import from_batches
from tickerplant.vendors.alpaca.render import packed

SECONDS = float(os.environ.get("BENCH_SECONDS", "20"))
RATE = int(os.environ.get("BENCH_RATE", "5000"))
CLIENTS = int(os.environ.get("BENCH_CLIENTS", "20"))
_PROCESSES = 2


def run() -> dict[str, float]:
    """Milliseconds."""
    figures = _added() | _beside_direct("0.1") | _beside_direct("0.01")
    if lean.TICKS.is_dir():
        figures |= _official()
    return figures


def _percentiles(name: str, latency_ms: Any) -> dict[str, float]:
    p50, p99, worst = (float(v) for v in np.percentile(latency_ms, [50, 99, 100]))
    print(f"{name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {worst:.0f} ms")
    return {f"{name} p50 ms": p50, f"{name} p99 ms": p99}


def _added() -> dict[str, float]:
    """From a line being written to the log to each client's receipt of its messages."""
    small = {**os.environ, "TICKERPLANT_FEED_BUFFER_BYTES": "1000000"}
    with tempfile.TemporaryDirectory() as name, feed(Path(name), env=small) as url:
        arguments = [sys.executable, "-m", "benchmarks.feed_writer", name, str(RATE), str(SECONDS)]
        listeners = uvloop.run(_all_but_one_read(url, arguments, int(RATE * SECONDS)))
        written = np.repeat([r.received_at for r in log_records(Path(name))], 5)
    for one in listeners[1:]:
        assert one.total == len(written), f"{one.total} of {len(written)} messages"
    late = np.concatenate([one.received() - written for one in listeners[1:]]) / 1e6
    said = listeners[0].last[:41].decode()
    print(f"{CLIENTS} clients, {RATE:,} messages/s, {len(written):,} each; the one that does not read heard {said}")
    return _percentiles("log to client", late)


async def _all_but_one_read(url: str, arguments: list[str], expected: int) -> list[Listener]:
    found = await listen(url, CLIENTS)
    assert found[0].transport is not None
    stop_reading(found[0])
    writer = await asyncio.create_subprocess_exec(*arguments)
    await until(lambda: all(one.total >= expected for one in found[1:]), SECONDS + 60)
    await writer.wait()
    found[0].transport.underlying_transport.resume_reading()
    await until(lambda: found[0].is_over or found[0].total >= expected, 10)
    leave(found)
    return found


def _beside_direct(sync_s: str) -> dict[str, float]:
    """A market at the rate, heard directly and through capture, log and feed; 0 is the quickest message heard.

    `sync_s` is how often the capture forces its log to disk: lines are in the log at most so much later.
    """
    market = ("--seed", "5", "--symbols", "2000", "--minutes", "390", "--speed", "1", "--rate", str(RATE))
    with (
        tempfile.TemporaryDirectory() as name,
        feed(Path(name)) as feed_url,
        simulator(*market, "--clients", "2", stderr=subprocess.DEVNULL) as (url, _),
    ):
        fed, direct = uvloop.run(_both(feed_url, url, name, sync_s))
    messages = [m for payload in direct.payloads for m in msgspec.json.decode(payload)]
    count = min(fed.total, direct.total)
    stamped = _nanos([m["t"] for m in messages[:count]])
    base = np.min(direct.received()[:count] - stamped)
    late = {name: (one.received()[:count] - stamped - base) / 1e6 for name, one in (("direct", direct), ("fed", fed))}
    figures = _percentiles(f"direct connection (sync {sync_s} s beside)", late["direct"])
    return figures | _percentiles(f"capture, log (sync {sync_s} s), feed", late["fed"])


async def _both(feed_url: str, url: str, log: str, sync_s: str) -> tuple[Listener, Listener]:
    [fed] = await listen(feed_url, 1)
    [direct] = await listen(url, 1, keeps=True)
    options = ("--url", url, "--symbols", "*", "--channels", "quotes", "--log", log, "--for", f"{SECONDS + 5:g}")
    often = {**os.environ, "TICKERPLANT_SYNC_SECONDS": sync_s}
    capture = tickerplant("capture", *options, stderr=subprocess.DEVNULL, env=often)
    await until(lambda: fed.total > 0)
    await asyncio.sleep(SECONDS)
    leave([fed, direct])
    stop(capture)
    return fed, direct


def _nanos(times: list[str]) -> Nanos:
    return np.array([t.rstrip("Z") for t in times], "datetime64[ns]").astype(np.int64)


def _official() -> dict[str, float]:
    """Alpaca's clients on a replayed day, each of which must hear every message in its order."""
    with tempfile.TemporaryDirectory() as name:
        count = land(Path(name), from_batches(ibm_monday(lean.TICKS)))
        wanted = Heard()
        for message in log_messages(Path(name)):
            wanted.add(unpackb(packed(message)))
        with feed(Path(name), "--speed", "0") as url:
            share = [url, str(CLIENTS // _PROCESSES), str(count)]
            command = [sys.executable, "-m", "benchmarks.feed_clients", *share]
            slow = [["1000", "0.1"], *[["0", "0"]] * (_PROCESSES - 1)]
            running = [subprocess.Popen([*command, *pauses], stdout=subprocess.PIPE, text=True) for pauses in slow]
            said = [json.loads(process.communicate()[0]) for process in running]
    heard = [tuple(one) for part in said for one in part["heard"]]
    assert heard == [(wanted.count, wanted.crc)] * CLIENTS, heard
    seconds = max(part["seconds"] for part in said)
    print(f"{CLIENTS} clients of alpaca-py, one slow, each heard all {count:,} messages of the day in {seconds:,.0f} s")
    return {"alpaca-py messages/s of all clients": count * CLIENTS / seconds}


if __name__ == "__main__":
    run()

"""Socket to synced log with our own simulator on the other core, both as real processes: quotes at 20 a frame.

The simulator replays a log at full speed. The time runs from the receipt of the first data frame to that of the last,
which is on disk when `capture` has ended.
"""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path

from benchmarks.frames import write_log
from tests.support.plant import log_records, simulator, tickerplant, wait_for
from tickerplant.logs import open_log
from tickerplant.model import Kind

COUNT = int(os.environ.get("BENCH_QUOTES", "2000000"))


def _bytes(log: Path) -> int:
    return sum(s.size_bytes for s in open_log(str(log)).segments("alpaca.sip"))


def run() -> dict[str, float]:
    """Messages/s from the socket to the disk."""
    with tempfile.TemporaryDirectory() as name:
        source, log = Path(name) / "source", Path(name) / "log"
        write_log(source, COUNT)
        size = _bytes(source)
        with simulator("--log", source, "--speed", "0", "--linger", "60") as (url, _):
            capture = tickerplant(
                "capture", "--url", url, "--symbols", "*", "--channels", "quotes", "--log", log, "--for", "5m"
            )
            wait_for(lambda: _bytes(log) >= size, 240, "every frame on disk", pause=0.2)
            capture.send_signal(signal.SIGTERM)
            capture.communicate(timeout=60)
        received = [r.received_at for r in log_records(log) if r.kind is Kind.DATA]
    assert len(received) == -(-COUNT // 20)
    rate = COUNT / ((received[-1] - received[0]) / 1e9)
    print(f"{rate:12,.0f} messages/s from the simulator's socket to the synced log, 20 a frame")
    return {"messages/s": rate}


if __name__ == "__main__":
    run()

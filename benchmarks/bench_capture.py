"""Capture: socket to synced log, messages/s at 1, 20 and 100 a frame, with the sender in a process of its own.

Run `python -m benchmarks.bench_capture [messages]`. The time runs from the receipt of the first frame until the last
one is on disk; CPU is that of the capturing process, all threads, from its start (imports apart).
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import picows

from benchmarks.frames import quote_frames

_AUTHENTICATED = b'[{"T":"success","msg":"authenticated"}]'
_ACK = b'[{"T":"subscription","trades":[],"quotes":["*"],"bars":[]}]'
_POOL = 20_000
_BATCH = 64


class _Sender(picows.WSListener):
    """Speaks just enough Alpaca to be asked for quotes, and sends them as fast as the client takes them."""

    def __init__(self, frames: list[bytes], count: int) -> None:
        super().__init__()
        self._frames, self._left, self._next = frames, count, 0
        self._transport: picows.WSTransport | None = None
        self._is_full = False

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._transport = transport
        transport.send(picows.WSMsgType.TEXT, b'[{"T":"success","msg":"connected"}]')

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type == picows.WSMsgType.CLOSE:
            transport.disconnect()
        elif frame.msg_type == picows.WSMsgType.TEXT and b'"auth"' in frame.get_payload_as_bytes():
            transport.send(picows.WSMsgType.TEXT, _AUTHENTICATED)
        elif frame.msg_type == picows.WSMsgType.TEXT:
            transport.send(picows.WSMsgType.TEXT, _ACK)
            self._pump()

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        self._pump()

    def _pump(self) -> None:
        assert self._transport is not None
        for _ in range(_BATCH):
            if self._is_full or not self._left:
                return
            self._transport.send(picows.WSMsgType.TEXT, self._frames[self._next])
            self._next = (self._next + 1) % len(self._frames)
            self._left -= 1
        asyncio.get_running_loop().call_soon(self._pump)


def _serve(messages: int, per_frame: int) -> None:
    import uvloop

    frames = list(quote_frames(max(_POOL, per_frame), per_frame))

    async def main() -> None:
        server = await picows.ws_create_server(lambda request: _Sender(frames, messages // per_frame), "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.Event().wait()

    uvloop.run(main())


class _TimedLog:
    """A log on files that notes when `messages` quotes are on disk."""

    def __init__(self, folder: str, messages: int, done: Callable[[], None]) -> None:
        from tickerplant.logs import open_log

        self._log, self._messages, self._done = open_log(folder), messages, done
        self._seen = 0
        self.first_ns = self.last_ns = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._log, name)

    def writer(self, partition: str, on_chunk: Callable[[bytes], object]) -> Any:
        """The files' writer, listened to."""

        def counted(block: bytes) -> None:
            on_chunk(block)
            found = block.count(b'"T":"q"')
            if found and not self.first_ns:
                start = block.index(b'"rx":', block.rindex(b"\n", 0, block.index(b'"T":"q"')) + 1) + 5
                self.first_ns = int(block[start : start + 19])
            self._seen += found
            if self._seen >= self._messages and not self.last_ns:
                self.last_ns = time.time_ns()
                self._done()

        return self._log.writer(partition, on_chunk=counted)


def _capture(url: str, folder: str, messages: int) -> None:
    import logging

    import structlog
    import uvloop

    from tickerplant.jobs.capture import CaptureOptions, capture
    from tickerplant.model import Credentials, Secret, Selection
    from tickerplant.vendors import vendor

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))

    async def main() -> dict[str, float]:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        log: Any = _TimedLog(folder, messages, lambda: (loop.call_soon_threadsafe(stop.set), None)[1])
        before = resource.getrusage(resource.RUSAGE_SELF)
        keys = Credentials("k", Secret("s"))
        summary = await capture(
            vendor("alpaca"), url, Selection(("quotes",)), keys, log, CaptureOptions(duration_s=120), stop=stop
        )  # fmt: skip
        after = resource.getrusage(resource.RUSAGE_SELF)
        assert summary.messages == {"quotes": messages}, summary
        assert summary.disconnects == 0, summary
        return {
            "seconds": (log.last_ns - log.first_ns) / 1e9,
            "cpu_s": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            "rss_mb": after.ru_maxrss / 1024,
        }

    print(json.dumps(uvloop.run(main())))


def _measure(messages: int, per_frame: int) -> dict[str, float]:
    python = [sys.executable, "-m", __spec__.name if __spec__ else "benchmarks.bench_capture"]
    sender = subprocess.Popen([*python, "serve", str(messages), str(per_frame)], stdout=subprocess.PIPE, text=True)
    try:
        assert sender.stdout is not None
        url = f"ws://127.0.0.1:{int(sender.stdout.readline())}/v2/sip"
        with tempfile.TemporaryDirectory() as folder:
            done = subprocess.run(
                [*python, "capture", url, folder, str(messages)], capture_output=True, text=True, timeout=300
            )
            assert done.returncode == 0, done.stderr
    finally:
        sender.kill()
        sender.communicate()
    found: dict[str, float] = json.loads(done.stdout)
    return found


def run(messages: int = 1_000_000) -> dict[str, float]:
    """Print and return messages/s socket to synced log, CPU seconds a million messages, and peak memory in MB."""
    figures: dict[str, float] = {}
    for per_frame in (1, 20, 100):
        count = (messages if per_frame > 1 else messages // 4) // per_frame * per_frame
        found = _measure(count, per_frame)
        rate, cpu = count / found["seconds"], found["cpu_s"] / count * 1e6
        print(f"{per_frame:4} a frame  {rate:12,.0f} messages/s  {cpu:6.2f} CPU s a million  {found['rss_mb']:5.0f} MB")
        figures |= {
            f"rate_{per_frame}": rate,
            f"cpu_s_per_million_{per_frame}": cpu,
            f"rss_mb_{per_frame}": found["rss_mb"],
        }
    return figures


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        _serve(int(sys.argv[2]), int(sys.argv[3]))
    elif sys.argv[1:2] == ["capture"]:
        _capture(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        run(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)

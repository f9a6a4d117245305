"""A Kinesis server for tests: `kinesis-local` (npm), on 127.0.0.1 only. `make servers` installs it.

Why this one: docs/decisions/0230-kinesis-lanes-and-positions.md.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tickerplant.credentials import Secret
from tickerplant.logs.kinesis.log import KinesisLog
from tickerplant.logs.kinesis.options import Keys, KinesisOptions
from tickerplant.logs.kinesis.service import session
from tickerplant.logs.writer import Options

FOLDER = Path(__file__).resolve().parents[1] / "servers"
PROGRAM = FOLDER / "node_modules" / "kinesis-local" / "main.js"
KEYS = Keys("test-key", Secret("test-secret"))
_SHORT = {f"{name}_DURATION": "20ms" for name in ("CREATE_STREAM", "DELETE_STREAM", "MERGE_SHARDS", "SPLIT_SHARD")}


def why_not() -> str | None:
    """Why the server cannot run here; None when it can."""
    if find_spec("botocore") is None:
        return "the extra kinesis is not installed; do: make setup"
    if shutil.which("node") is None:
        return "kinesis-local needs node"
    return None if PROGRAM.is_file() else "kinesis-local is not installed; do: make servers"


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(s.getsockname()[1]) for s in sockets]
    for one in sockets:
        one.close()
    return ports


@dataclass(frozen=True)
class Server:
    """A running server. `url` is its endpoint."""

    url: str

    def client(self) -> Any:
        """A client of botocore, for what our log never does."""
        from botocore.config import Config

        return session().create_client(
            "kinesis",
            region_name="us-east-1",
            endpoint_url=self.url,
            aws_access_key_id=KEYS.key,
            aws_secret_access_key=KEYS.secret.reveal(),
            config=Config(retries={"total_max_attempts": 1}),
        )

    def stream(self, shards: int = 1) -> str:
        """Make a stream with a name of its own and wait until it is active."""
        client, name = self.client(), f"stream-{uuid.uuid4().hex[:12]}"
        client.create_stream(StreamName=name, ShardCount=shards)
        wait_active(client, name)
        client.close()
        return name

    def options(self, stream: str, spool: Path, **changes: Any) -> KinesisOptions:
        """Options of a log on a stream that suit tests: short waits."""
        values: dict[str, Any] = {
            "region": "us-east-1",
            "endpoint": self.url,
            "keys": KEYS,
            "lanes": 4,
            "batch_age_s": 0.02,
            "poll_s": 0.02,
            "first_wait_s": 0.02,
            "longest_wait_s": 0.2,
            "files": Options(sync_interval_s=0.01),
        }
        return KinesisOptions(stream, spool, **(values | changes))

    def log(self, stream: str, spool: Path, **changes: Any) -> KinesisLog:
        """A log on a stream."""
        return KinesisLog(self.options(stream, spool, **changes))


def wait_active(client: Any, stream: str) -> None:
    """Wait until a stream is made, split or merged."""
    deadline = time.monotonic() + 20
    while True:
        found = client.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamStatus"]
        if found == "ACTIVE":
            return
        assert time.monotonic() < deadline, f"expected an active stream, was {found}"
        time.sleep(0.01)


def wait_gone(client: Any, stream: str) -> None:
    """Wait until a stream is deleted."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            client.describe_stream_summary(StreamName=stream)
        except client.exceptions.ResourceNotFoundException:
            return
        time.sleep(0.01)
    raise AssertionError("expected the stream to be gone")


@cache
def shared() -> Server:
    """This process's server, ended with the process."""
    kept = ExitStack()
    atexit.register(kept.close)
    return kept.enter_context(serving())


@contextmanager
def serving() -> Iterator[Server]:
    """A server while in `with`."""
    plain, tls = free_ports(2)
    env = {
        **os.environ,
        **_SHORT,
        "KINESIS_MOCK_PLAIN_PORT": str(plain),
        "KINESIS_MOCK_TLS_PORT": str(tls),
        "LOG_LEVEL": "ERROR",
    }
    command = ["node", "--require", str(FOLDER / "loopback.js"), PROGRAM.name]
    process = subprocess.Popen(
        command, cwd=PROGRAM.parent, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_open(plain, process)
        yield Server(f"http://127.0.0.1:{plain}")
    finally:
        process.kill()
        process.wait()


def _wait_open(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert process.poll() is None, "kinesis-local ended by itself"
            assert time.monotonic() < deadline, "kinesis-local does not listen"
            time.sleep(0.02)

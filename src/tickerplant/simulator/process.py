"""The simulator as a process of its own, for tests, benches and the demo."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import msgspec

from tickerplant.errors import Fatal


@dataclass(frozen=True)
class Running:
    """A simulator that accepts connections."""

    ws: str
    port: int
    pid: int
    oracle_path: Path | None
    process: subprocess.Popen[bytes]
    rest: Mapping[str, str] = field(default_factory=dict)
    """Base URLs of the REST sides, by vendor."""

    def wait(self, timeout_s: float = 60.0) -> int:
        """Wait until it ends by itself (source played, clients gone) and return its exit code."""
        return self.process.wait(timeout_s)

    def stop(self, timeout_s: float = 10.0) -> int:
        """Ask it to end (SIGTERM) and return its exit code; the oracle is complete up to there."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(timeout_s)

    def oracle(self) -> dict[str, Any]:
        """The oracle file as it stands; at most about a second behind while the simulator runs."""
        assert self.oracle_path is not None, "the simulator was started without an oracle"
        return msgspec.json.decode(self.oracle_path.read_bytes())


@contextmanager
def running(
    arguments: Sequence[str], oracle: Path | None = None, stderr: IO[Any] | int | None = None
) -> Iterator[Running]:
    """Run `tickerplant simulate <arguments>` with its oracle at `oracle`; ends it at the latest on leaving."""
    command = [sys.executable, "-m", "tickerplant", "simulate", *arguments]
    command += [] if oracle is None else ["--oracle", str(oracle)]
    command += [] if "--port" in arguments else ["--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr)
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        if not line:
            raise Fatal(f"simulator: expected its address on stdout, was exit code {process.wait()}; see its log lines")
        said = msgspec.json.decode(line)
        yield Running(said["ws"], said["port"], said["pid"], oracle, process, said.get("rest", {}))
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    assert process.stdout is not None
    process.stdout.close()

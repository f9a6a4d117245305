"""A real S3-compatible server on loopback, one for each test process, and a gate that cuts it off.

Why this server: docs/decisions/0227-s3-server-for-tests.md. It lives in an environment of its own (`make servers`).
"""

from __future__ import annotations

import atexit
import functools
import http.client
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from threading import Event, Lock, Thread

import pytest

from tests.support.plant import wait_for
from tickerplant.bucket import Access, Bucket
from tickerplant.credentials import Secret
from tickerplant.settings import Settings, read_settings

_PROGRAM = Path(__file__).resolve().parents[2] / ".servers" / "bin" / "ministack"
_NAMES, _STARTING = count(1), Lock()
_ZSTD_FRAME = b"\x28\xb5\x2f\xfd"
BUCKET, KEY, SECRET = "plant", "test-key", "test-secret"


def program() -> Path | None:
    """The server's program; None when it is not installed."""
    found = Path(os.environ.get("TICKERPLANT_TEST_S3_SERVER") or _PROGRAM)
    return found if found.exists() else None


def needed() -> Path:
    """The server's program; without it the test is skipped, in CI it fails."""
    found = program()
    if found is None:
        told = "no S3 server: make servers, or name ministack in TICKERPLANT_TEST_S3_SERVER"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(told)
    return found


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def port() -> int:
    """The port of this process's server, started when first asked for and stopped at exit."""
    with _STARTING:
        return _started()


@functools.cache
def _started() -> int:
    words, number, folder = [str(needed())], _free_port(), mkdtemp(prefix="tickerplant-s3-")
    given = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(number), "SERVICES": "s3", "STATE_DIR": folder}
    environment = {"PATH": os.defpath, "HOME": folder, "LOG_LEVEL": "ERROR", **given}
    with open(os.devnull, "wb") as null:
        process = subprocess.Popen(words, stdout=null, stderr=null, stdin=null, env=environment, cwd=folder)

    def stop() -> None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(stop)
    wait_for(lambda: _makes_bucket(number), 60, "the S3 server")
    return number


def _makes_bucket(number: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", number, timeout=10)
    try:
        connection.request("PUT", f"/{BUCKET}")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def endpoint() -> str:
    """The server's URL."""
    return f"http://127.0.0.1:{port()}"


def access(at: str | None = None) -> Access:
    """How to reach the server, or what is at another URL."""
    return Access(at or endpoint(), "us-east-1", KEY, Secret(SECRET))


def new_url(what: str = "log") -> str:
    """A place in the bucket that nobody uses."""
    return f"s3://{BUCKET}/{os.getpid()}/{what}{next(_NAMES)}"


def bucket(url: str) -> Bucket:
    """The objects at a URL of the server."""
    return Bucket(url, access())


def variables(at: str | None = None) -> dict[str, str]:
    """The environment that leads a process to the server."""
    return {
        "TICKERPLANT_S3_ENDPOINT": at or endpoint(),
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }


def settings(folder: Path, at: str | None = None, spool_bytes: int = 2**30) -> Settings:
    """Settings of a plant in a folder, with the server as S3."""
    found = read_settings({"TICKERPLANT_DATA": str(folder), **variables(at)}, dotenv=None)
    return replace(found, spool_bytes=spool_bytes)


class Gate:
    """A port that leads to the server while `is_open`, and cuts every connection while it is not.

    `spoil` so many requests that carry a zstd frame: a byte of it is another one when it reaches the server.
    `lose` the answer to the next request that holds these bytes: the server did what it was asked, nobody hears of it,
    nor of anything after it with `lose_all`.
    `answered` counts the bytes of answers.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.refused = self.spoil = self.answered = 0
        self.lose = b""
        self.lose_all = False
        self._is_open, self._held = True, set[socket.socket]()
        self._target = port()
        Thread(target=self._accept, daemon=True).start()

    @property
    def is_open(self) -> bool:
        """Whether requests pass."""
        return self._is_open

    @is_open.setter
    def is_open(self, value: bool) -> None:
        self._is_open = value
        if not value:
            self._cut()

    def _cut(self) -> None:
        for one in list(self._held):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self._is_open:
                self.refused += 1
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._target))
            self._held |= {client, server}
            doomed = Event()
            Thread(target=self._ask, args=(client, server, doomed), daemon=True).start()
            Thread(target=self._answer, args=(server, client, doomed), daemon=True).start()

    def _ask(self, source: socket.socket, target: socket.socket, doomed: Event) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if self.lose and self.lose in data:
                    self.lose = b""
                    doomed.set()
                target.sendall(self._spoilt(data))
        self._end(source, target)

    def _answer(self, source: socket.socket, target: socket.socket, doomed: Event) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                if doomed.is_set():
                    self.is_open = self.is_open and not self.lose_all
                    break
                self.answered += len(data)
                target.sendall(data)
        self._end(source, target)

    def _end(self, source: socket.socket, target: socket.socket) -> None:
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        self._held.discard(source)
        source.close()

    def _spoilt(self, data: bytes) -> bytes:
        at = data.find(_ZSTD_FRAME) if self.spoil else -1
        if at < 0:
            return data
        self.spoil -= 1
        return data[:at] + b"#" + data[at + 1 :]

    def close(self) -> None:
        """Stop listening and cut all."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._cut()


@contextmanager
def gate() -> Iterator[Gate]:
    """A gate before the server within `with`."""
    found = Gate()
    try:
        yield found
    finally:
        found.close()

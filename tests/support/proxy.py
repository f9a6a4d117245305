"""A TCP proxy before a PostgreSQL socket that behaves as bad networks do."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Lock, Thread
from types import TracebackType
from typing import Literal, Self

Way = Literal["forward", "swallow", "stall"]
"""Bytes pass; are read and forgotten; are not even read."""
When = Literal["before", "at", "after"]

_COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
_BLOCK = 1 << 16


@dataclass
class Cut:
    """Cut a connection at the n-th COMMIT: before the server gets it, at once after, or when it has answered."""

    when: When
    countdown: int = 1
    done: Event = field(default_factory=Event)


@dataclass
class _Pair:
    client: socket.socket
    server: socket.socket
    cut: Cut | None = None
    """Cut this pair as soon as the server answers."""
    ended: Event = field(default_factory=Event)

    def end(self) -> None:
        self.ended.set()
        for one in (self.client, self.server):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


class Proxy:
    """Listens on 127.0.0.1 within `with`; `url` leads through it. `way` and `cut` may change at any time."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = int(self._listener.getsockname()[1])
        self.url = f"postgresql://postgres@127.0.0.1:{port}/postgres?sslmode=disable&gssencmode=disable"
        self.way: Way = "forward"
        self.cut: Cut | None = None
        self.on_bytes: Callable[[bytes], None] = lambda data: None
        """Called with what clients send, before it is passed on."""
        self._closing = Event()
        self._lock = Lock()
        self._pairs: list[_Pair] = []
        self._threads: list[Thread] = []

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.drop()
        for thread in self._threads:
            thread.join(10)

    def drop(self) -> None:
        """Cut every connection."""
        with self._lock:
            found, self._pairs = self._pairs, []
        for pair in found:
            pair.end()

    def _start(self, work: Callable[..., None], *words: object) -> None:
        thread = Thread(target=work, args=words, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                pair = _Pair(client, socket.socket(socket.AF_UNIX))
                with self._lock:
                    self._pairs.append(pair)
                self._start(self._run, pair)

    def _run(self, pair: _Pair) -> None:
        with suppress(OSError):
            pair.server.connect(str(self._target))
            self._start(self._to_client, pair)
            self._to_server(pair)
        pair.end()

    def _to_server(self, pair: _Pair) -> None:
        while data := self._received(pair.client):
            self.on_bytes(data)
            if self.way == "swallow":
                continue
            cut = self._cut_here(data)
            if cut is None:
                pair.server.sendall(data)
            else:
                self._cut(pair, cut, data)
                return

    def _to_client(self, pair: _Pair) -> None:
        with suppress(OSError):
            while data := self._received(pair.server):
                if pair.cut is not None:
                    break
                if self.way != "swallow":
                    pair.client.sendall(data)
        pair.end()

    def _received(self, source: socket.socket) -> bytes:
        while self.way == "stall" and not self._closing.wait(0.02):
            pass
        return source.recv(_BLOCK)

    def _cut_here(self, data: bytes) -> Cut | None:
        if self.cut is None or not data.endswith(_COMMIT):
            return None
        self.cut.countdown -= 1
        if self.cut.countdown:
            return None
        cut, self.cut = self.cut, None
        return cut

    @staticmethod
    def _cut(pair: _Pair, cut: Cut, data: bytes) -> None:
        if cut.when == "after":
            pair.cut = cut
        if cut.when != "before":
            pair.server.sendall(data)
        if cut.when == "after":
            pair.ended.wait(30)
        cut.done.set()

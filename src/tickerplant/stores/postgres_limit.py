"""Connections that do not wait for ever, also where everything sent is swallowed and the network looks well.

TCP keepalives and `tcp_user_timeout` (see `postgres_link`) notice a peer that does not acknowledge. They do not notice
a proxy that hangs or a server that stands still; the limit here does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

import psycopg
from psycopg import abc
from psycopg.rows import TupleRow

RV = TypeVar("RV")

_Steps = Generator[Any, Any, RV]


class LimitedConnection(psycopg.Connection[TupleRow]):
    """A connection that is closed, with OperationalError, when nothing could be sent or received for `silence_s`.

    Each byte that moves begins the wait anew. A statement that takes longer without a word is cut too: this is for
    statements that are made again and are short.
    """

    silence_s: float | None = None
    _said: str | None = None

    def wait(self, gen: abc.PQGen[RV], *args: Any, **options: Any) -> RV:
        """Run one exchange with the server."""
        if self._said:
            raise psycopg.OperationalError(self._said)
        if self.silence_s is None:
            return super().wait(gen, *args, **options)
        return super().wait(_limited(gen, self.silence_s, self._give_up), *args, **options)

    def _give_up(self) -> None:
        self._said = f"silence for {self.silence_s:g} s, connection closed by us"
        self.pgconn.finish()
        raise psycopg.OperationalError(self._said)


def _limited(steps: _Steps[RV], silence_s: float, give_up: Callable[[], None]) -> _Steps[RV]:
    """The same steps; the driver answers 0 to a step each tenth of a second while the socket is not ready."""
    heard = time.monotonic()
    try:
        wanted = next(steps)
        while True:
            ready = yield wanted
            if ready:
                heard = time.monotonic()
            elif time.monotonic() - heard > silence_s:
                give_up()
            wanted = steps.send(ready)
    except StopIteration as end:
        result: RV = end.value
        return result

"""Ownership between processes: a session's advisory lock, which the server drops when the session ends."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

import structlog

from tickerplant.errors import Busy, Retryable
from tickerplant.stores.postgres_link import Link, lock_key, named

if TYPE_CHECKING:
    from tickerplant.stores.postgres import PostgresStore

log = structlog.get_logger()

_POLL_S = 0.1
_OWNER = """select a.application_name, a.client_addr::text from pg_locks l join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.granted and l.objsubid = 1
    and (l.classid::bigint << 32 | l.objid::bigint) = $1"""


class AdvisoryLease:
    """The right to do something, held within `with`, on a connection of its own; waits for the present owner."""

    def __init__(self, store: PostgresStore, name: str, what: str, wait_s: float | None = None) -> None:
        self.name = name
        self._store, self._what, self._wait_s = store, what, wait_s
        self._key = lock_key("lease", store.options.schema, name)
        self._link: Link | None = None

    def __enter__(self) -> Self:
        deadline = None if self._wait_s is None else time.monotonic() + self._wait_s
        told = False
        self._link = self._store.connect(self._store.options.silence_s)
        try:
            while not self._try():
                if deadline is not None and time.monotonic() >= deadline:
                    raise Busy(f"{self._what}: expected to be the only owner, was owned by process {self._owner()}")
                if not told:
                    log.info("waiting", what=self._what, owner=self._owner())
                    told = True
                time.sleep(_POLL_S)
        except BaseException:
            self.lose()
            raise
        self._store.hold(self, True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._store.hold(self, False)
        self.lose()

    def renew(self) -> None:
        """Take the lease back when its connection was lost. Raises Retryable while another session has it."""
        if self._link is not None and _lives(self._link):
            return
        self.lose()
        self._link = self._store.connect(self._store.options.silence_s)
        if not self._try():
            owner = self._owner()
            self.lose()
            raise Retryable(f"{self._what}: expected to own it again, was owned by process {owner}")

    def _try(self) -> bool:
        assert self._link is not None
        with named(self._what):
            row = self._link.execute("select pg_try_advisory_lock($1)", [self._key]).fetchone()
        return bool(row and row[0])

    def _owner(self) -> str:
        assert self._link is not None
        with named(self._what):
            row = self._link.execute(_OWNER, [self._key]).fetchone()
        return "unknown" if row is None else f"{row[0] or 'another user'} at {row[1] or 'this machine'}"

    def lose(self) -> None:
        """Close its connection; `renew` takes it back."""
        if self._link is not None:
            self._link.close()
            self._link = None


def _lives(link: Link) -> bool:
    import psycopg

    try:
        link.execute("select 1")
    except psycopg.Error:
        return False
    return True

"""Ownership between processes: a session's advisory lock, which the server drops when the session ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import structlog

from tickerplant.errors import Busy
from tickerplant.stores.postgres_link import Link, lock_key, named

if TYPE_CHECKING:
    from tickerplant.stores.postgres import PostgresStore

log = structlog.get_logger()

_POLL_S = 0.1
_OWNERS = """
select (l.classid::bigint << 32 | l.objid::bigint) as key, a.application_name as name, a.client_addr::text as address
from pg_locks l join pg_stat_activity a using (pid)
where l.locktype = 'advisory' and l.granted and l.objsubid = 1
    and l.database = (select oid from pg_database where datname = current_database())"""
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
        self.is_lost = False
        """Whether another session has it since our connection was lost."""

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
        """Take the lease back when its connection was lost; `is_lost` says whether another session has it."""
        if self._link is not None and _lives(self._link):
            return
        self.lose()
        self._link = self._store.connect(self._store.options.silence_s)
        self.is_lost = not self._try()
        if self.is_lost:
            log.warning("lease lost", what=self._what, owner=self._owner())
            self.lose()

    def _try(self) -> bool:
        assert self._link is not None
        with named(self._what):
            row = self._link.execute("select pg_try_advisory_lock($1)", [self._key]).fetchone()
        return bool(row and row[0])

    def _owner(self) -> str:
        assert self._link is not None
        with named(self._what):
            row = self._link.execute(_OWNER, [self._key]).fetchone()
        return "unknown" if row is None else _named(*row)

    def lose(self) -> None:
        """Close its connection; `renew` takes it back."""
        if self._link is not None:
            self._link.close()
            self._link = None


def holders(rows_of: Callable[[str], Sequence[tuple[Any, ...]]], schema: str, names: Sequence[str]) -> dict[str, str]:
    """Who holds each of some leases now; those that nobody holds are left out."""
    owners = {key: _named(name, address) for key, name, address in rows_of(_OWNERS)}
    keys = {name: lock_key("lease", schema, name) for name in names}
    return {name: owners[key] for name, key in keys.items() if key in owners}


def _named(name: str | None, address: str | None) -> str:
    return f"{name or 'another user'} at {address or 'this machine'}"


def _lives(link: Link) -> bool:
    import psycopg

    try:
        link.execute("select 1")
    except psycopg.Error:
        return False
    return True

"""Rate limits that all workers and processes of one account share, and that outlive them.

A request is counted before it is sent, in a small SQLite file. A window slides: at most `calls` in any `seconds`, so no
fixed minute or day of the vendor, wherever it begins, can hold more. A count is kept as if the call came at the end of
its slot (a fiftieth of the shortest window), which errs on the safe side only. The vendor counts when a call arrives,
some time after it was sent: with `flight_s` a call on its way belongs to every window that ends now, and its count
stands where the answer came (docs/decisions/0161-calls-in-flight.md).
"""

from __future__ import annotations

import hashlib
import math
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tickerplant.credentials import Credentials
from tickerplant.rest import RateLimit

_SLOTS = 50
_WAIT_FOR_LOCK_S = 30.0
_TABLES = """
create table if not exists sent (account text, at real, calls integer, primary key (account, at)) without rowid;
create table if not exists blocked (account text primary key, until real, reason text) without rowid;
create table if not exists flying (id integer primary key, account text, until real);
"""


def account_name(vendor: str, credentials: Credentials) -> str:
    """A name for the account behind a key that tells nothing of the key."""
    digest = hashlib.blake2b(
        f"{credentials.key}\0{credentials.secret.reveal()}".encode(), digest_size=8, person=b"plant"
    )
    return f"{vendor}:{digest.hexdigest()}"


def _opened(path: Path) -> sqlite3.Connection:
    """The file with its tables. SQLite does not wait by itself while another process turns the file to WAL."""
    database = sqlite3.connect(path, timeout=_WAIT_FOR_LOCK_S, isolation_level=None, check_same_thread=False)
    deadline = time.monotonic() + _WAIT_FOR_LOCK_S
    while True:
        try:
            database.execute("pragma journal_mode = wal")
            database.execute("pragma synchronous = normal")
            database.executescript(_TABLES)
            return database
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                database.close()
                raise
            time.sleep(0.01)


class Limiter:
    """The allowance of one account. Safe to use from several processes; not from several threads at once.

    `clock` gives seconds since 1970. `flight_s` is the longest that a call may be on its way; above 0 each call taken
    ends with `answered`, and one whose process was killed is taken to have arrived that late.
    """

    def __init__(
        self,
        path: Path,
        account: str,
        limits: Sequence[RateLimit],
        clock: Callable[[], float] = time.time,
        flight_s: float = 0.0,
    ) -> None:
        self.limits = tuple(limits)
        self._account, self._clock, self._flight_s = account, clock, flight_s
        self._flying: deque[int] = deque()
        self._slot = min((limit.seconds for limit in limits), default=1.0) / _SLOTS
        path.parent.mkdir(parents=True, exist_ok=True)
        self._database = _opened(path)

    def take(self) -> float:
        """Count a call and return 0.0, or return the seconds to wait before asking again; nothing is counted then."""
        with self._transaction():
            now = self._clock()
            wait = max(self._blocked(now), *(self._wait(limit, now) for limit in self.limits), 0.0)
            if wait <= 0:
                if self._flight_s:
                    self._depart(now)
                else:
                    self._count(now)
                self._forget(now)
            return wait

    def answered(self) -> None:
        """A call that was taken is over, answered or failed: it arrived by now."""
        if self._flying:
            with self._transaction():
                # Which of them is all the same: each row stands for one call that may still arrive.
                self._database.execute("delete from flying where id = ?", [self._flying.popleft()])
                self._count(self._clock())

    def wait_of(self) -> float:
        """Seconds until a call may be sent; counts nothing."""
        now = self._clock()
        return max(self._blocked(now), *(self._wait(limit, now) for limit in self.limits), 0.0)

    def used(self, limit: RateLimit) -> int:
        """Calls counted in the limit's present window."""
        return sum(calls for _, calls in self._window(limit, self._clock()))

    def block(self, seconds: float, reason: str) -> None:
        """Let nobody of this account ask for some seconds: the vendor said so."""
        with self._transaction():
            self._database.execute(
                "insert into blocked values (?, ?, ?) on conflict do update set reason = iif(excluded.until > until, "
                "excluded.reason, reason), until = max(until, excluded.until)",
                [self._account, self._clock() + seconds, reason],
            )

    def close(self) -> None:
        """Release the file; idempotent."""
        self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("begin immediate")
        try:
            yield
        except BaseException:
            self._database.execute("rollback")
            raise
        self._database.execute("commit")

    def _count(self, now: float) -> None:
        at = math.ceil(now / self._slot) * self._slot
        self._database.execute(
            "insert into sent values (?, ?, 1) on conflict do update set calls = calls + 1", [self._account, at]
        )

    def _depart(self, now: float) -> None:
        left = self._database.execute(
            "insert into flying (account, until) values (?, ?) returning id", [self._account, now + self._flight_s]
        )
        self._flying.append(left.fetchone()[0])

    def _window(self, limit: RateLimit, now: float) -> list[tuple[float, int]]:
        """When the window's calls arrived at the latest, and how many, oldest first."""
        since = now - limit.seconds
        return self._database.execute(
            "select at, calls from sent where account = ? and at > ? "
            "union all select min(until, ?), 1 from flying where account = ? and until > ? order by 1",
            [self._account, since, now, self._account, since],
        ).fetchall()

    def _wait(self, limit: RateLimit, now: float) -> float:
        """Seconds until so many of the window's calls have left it that one more fits."""
        window = self._window(limit, now)
        excess = sum(calls for _, calls in window) - limit.calls + 1
        for at, calls in window:
            if excess <= 0:
                return 0.0
            excess -= calls
            if excess <= 0:
                return at + limit.seconds - now
        return 0.0

    def _blocked(self, now: float) -> float:
        row = self._database.execute("select until from blocked where account = ?", [self._account]).fetchone()
        return float(row[0]) - now if row else 0.0

    def _forget(self, now: float) -> None:
        longest = max((limit.seconds for limit in self.limits), default=0.0)
        for table, time_of in (("sent", "at"), ("flying", "until")):
            self._database.execute(
                f"delete from {table} where account = ? and {time_of} <= ?", [self._account, now - longest]
            )

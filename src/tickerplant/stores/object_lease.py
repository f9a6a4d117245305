"""Ownership of a lake in a bucket: a lease that is renewed while it is held. Commits are safe without it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self
from uuid import uuid4

import structlog

from tickerplant.bucket_lease import BucketLease
from tickerplant.errors import Busy, TickerplantError
from tickerplant.stores.object_path import ObjectPath

log = structlog.get_logger()

LEASE_S, RENEW_S = 30.0, 8.0
_POLL_S = 0.5
_AT_ONCE = 8


class ObjectLease:
    """The right to do something, held within `with`; waits for the present owner, as FileLease does.

    An owner on this machine that died is followed at once, one on another after LEASE_S seconds.
    """

    def __init__(self, path: ObjectPath, what: str, wait_s: float | None = None) -> None:
        self._what, self._wait_s = what, wait_s
        self._lease = BucketLease(path.bucket, path.key, uuid4().hex, LEASE_S)
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._acquire()
        self._over.clear()
        self._thread = threading.Thread(target=self._keep, name=f"lease of {self._what}", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        try:
            self._lease.release()
        except TickerplantError as problem:
            log.warning("lease not released", what=self._what, error=str(problem))

    def _acquire(self) -> None:
        deadline = None if self._wait_s is None else time.monotonic() + self._wait_s
        told = False
        while (owner := self._lease.take()) is not None:
            if deadline is not None and time.monotonic() >= deadline:
                raise Busy(f"{self._what}: expected to be the only owner, was owned by {owner.who}")
            if not told:
                log.info("waiting", what=self._what, owner=owner.who)
                told = True
            time.sleep(_POLL_S)

    def _keep(self) -> None:
        while not self._over.wait(RENEW_S):
            try:
                if not self._lease.renew():
                    log.warning("lease lost", what=self._what)
                    return
            except TickerplantError as error:
                log.warning("lease not renewed", what=self._what, error=str(error))


def holders(paths: Mapping[str, ObjectPath]) -> dict[str, str | None]:
    """Who holds each of some leases now, None where nobody does. A request for each."""

    def who(path: ObjectPath) -> str | None:
        owner = BucketLease(path.bucket, path.key, "", LEASE_S).owner()
        return owner.who if owner else None

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(paths, pool.map(who, paths.values()), strict=True))

"""Sealed segments from the spool to the bucket, in order, in a thread of their own.

A segment leaves the spool only after its object was read back with the same SHA-256 and that was noted. Objects are
made with `If-None-Match: *`: nothing that is in the bucket is ever replaced. A crash leaves at most a segment that is
in both places, which the next start finds equal.
"""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import structlog

from tickerplant.bucket import Bucket
from tickerplant.bucket_lease import BucketLease
from tickerplant.errors import BadData, Busy, Fatal, Retryable
from tickerplant.logs.layout import SEALED, Files, list_files, segment_path, sync_folder
from tickerplant.logs.place import Folder, Tail
from tickerplant.logs.reader import last_connection, records_back
from tickerplant.logs.s3_place import S3Place
from tickerplant.logs.s3_spool import Shipped, identity, read_shipped, waiting, write_shipped, write_trouble
from tickerplant.logs.sources import Source, open_source
from tickerplant.model import Record

log = structlog.get_logger()

LEASE = "owner.json"
_LEASE_S, _RENEW_S = 60.0, 15.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 5.0


@dataclass(frozen=True)
class Limits:
    """`spool_bytes`: alarm when more waits; `end_s`: how long the end of a capture waits for shipping."""

    spool_bytes: int = 10 * 2**30
    end_s: float = 60.0


class S3Shipping:
    """Ships the segments of one partition (see Shipping in writer.py)."""

    def __init__(self, folder: Path, bucket: Bucket, limits: Limits) -> None:
        self._folder, self._bucket, self._limits = folder, bucket, limits
        self._lease: BucketLease | None = None
        self._renew_at = 0.0
        self._pause_s = _FIRST_PAUSE_S
        self._is_over = self._is_troubled = False
        self._wake, self._ending = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> Tail:
        """See Shipping. Without an answer of the bucket what was noted here last tells where to go on.

        Raises Busy while another machine owns the partition, Retryable when nothing is noted and nothing answers.
        """
        self._lease = BucketLease(self._bucket, LEASE, identity(self._folder), _LEASE_S)
        write_trouble(self._folder, None)
        noted = read_shipped(self._folder)
        try:
            self._own()
            newest = S3Place(self._folder, self._bucket).shipped()
        except Retryable as error:
            if noted is None:
                raise
            newest = noted.segment
            self._troubled(error)
        if newest > (noted.segment if noted else -1):
            noted = self._ended_elsewhere(newest)
        tail = self._tail(noted)
        self._thread = threading.Thread(target=self._run, name=f"ship {self._folder.name}", daemon=True)
        self._thread.start()
        return tail

    def sealed(self) -> None:
        """See Shipping."""
        self._wake.set()

    def end(self) -> None:
        """See Shipping. Waits for `end_s` at most; what is left is shipped at the next start."""
        if self._thread is not None:
            self._ending.set()
            self._wake.set()
            self._thread.join()
            self._thread = None
        if self._lease is not None:
            try:
                self._lease.release()
            except (Retryable, Fatal) as error:
                log.warning("owner not released", partition=self._folder.name, error=str(error))
            self._lease = None

    def _own(self) -> None:
        """Take or keep the ownership of the partition. Raises Busy while another machine has it."""
        if self._lease is None or time.monotonic() < self._renew_at:
            return
        owner = self._lease.take()
        if owner is not None:
            raise Busy(
                f"log partition {self._folder.name}: expected no owner, was owned by {owner.who}; "
                f"stop that process, or wait {_LEASE_S:.0f} s after its machine died"
            )
        self._renew_at = time.monotonic() + _RENEW_S

    def _ended_elsewhere(self, newest: int) -> Shipped:
        """With what the partition ends in the bucket, where more was written than this spool knows of."""
        place = S3Place(self._folder, self._bucket)
        return Shipped(newest, _bare(next(records_back(place), None)), last_connection(place))

    def _tail(self, noted: Shipped | None) -> Tail:
        here = Folder(self._folder)
        last, connection = next(records_back(here), None), last_connection(here)
        newest = max([*here.files().numbers, noted.segment if noted else -1])
        if noted is not None:
            last, connection = last or noted.last, connection or noted.connection
        return Tail(newest + 1, last, connection)

    def _run(self) -> None:
        is_last = False
        while not is_last:
            self._wake.clear()
            is_last = self._ending.is_set()
            self._round(time.monotonic() + self._limits.end_s)
            if not is_last and not self._ending.is_set():
                self._wake.wait(self._pause_s if self._is_troubled else _RENEW_S)

    def _round(self, until: float) -> None:
        """Ship all that is ready. No error ends the thread: what cannot be shipped waits."""
        try:
            self._own()
            while (number := self._ready()) is not None:
                if self._ending.is_set() and time.monotonic() >= until:
                    break
                self._ship(number)
                self._own()
        except (Retryable, Fatal, BadData, OSError) as error:
            self._troubled(error)
        else:
            self._recovered()
        self._watch()

    def _ready(self) -> int | None:
        """The oldest segment here, when it is sealed: order is never broken."""
        files = list_files(self._folder)
        oldest = min(files.numbers, default=None)
        return oldest if oldest in files.sealed and oldest not in files.raw else None

    def _ship(self, number: int) -> None:
        path = segment_path(self._folder, number, SEALED)
        began, digest = time.monotonic(), _sha256(path)
        is_new = self._bucket.create(path.name, path)
        found = self._bucket.sha256(path.name)
        if found != digest:
            self._refuse(path, is_new, digest, found)
        write_shipped(self._folder, self._note(number))
        size = path.stat().st_size
        path.unlink()
        sync_folder(self._folder)
        took = round(time.monotonic() - began, 3)
        log.info("segment shipped", partition=self._folder.name, segment=number, bytes=size, sha256=digest, took_s=took)

    def _refuse(self, path: Path, is_new: bool, digest: str, found: str | None) -> None:
        where = f"{self._bucket.url}/{path.name}"
        if is_new:
            self._bucket.delete(path.name)
            raise BadData(f"{where}: expected sha256 {digest}, was {found}; deleted, it is sent again")
        raise Fatal(
            f"{where}: expected no object, or sha256 {digest}, was {found}; another machine wrote this partition. "
            "Its segments wait in the spool; do keep one of both and move the other away"
        )

    def _note(self, number: int) -> Shipped:
        """What to note of the oldest segment here before it goes."""
        one = _Only(self._folder, number)
        before = read_shipped(self._folder)
        last, connection = next(records_back(one), None), last_connection(one)
        if before is not None:
            last, connection = last or before.last, connection or before.connection
        return Shipped(number, _bare(last), connection)

    def _troubled(self, error: Exception) -> None:
        if not self._is_troubled:
            log.warning("shipping stopped", partition=self._folder.name, error=str(error))
            write_trouble(self._folder, error)
            self._pause_s = _FIRST_PAUSE_S
        else:
            self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)
        self._is_troubled = True

    def _recovered(self) -> None:
        if self._is_troubled:
            log.info("shipping goes on", partition=self._folder.name)
            write_trouble(self._folder, None)
        self._is_troubled = False

    def _watch(self) -> None:
        """Alarm once when more waits than allowed, and say when it is over: at half of that, as sealing makes less of
        what waits and would else raise an alarm for each segment."""
        now = waiting(self._folder, self._limits.spool_bytes)
        if now.is_over and not self._is_over:
            log.warning("spool over its limit", partition=now.partition, bytes=now.bytes, limit=now.limit_bytes)
            self._is_over = True
        elif self._is_over and 2 * now.bytes <= now.limit_bytes:
            log.info("spool below its limit", partition=now.partition, bytes=now.bytes)
            self._is_over = False


@dataclass(frozen=True)
class _Only:
    """One segment of a folder, as if it were all."""

    folder: Path
    number: int

    def files(self) -> Files:
        return Files(frozenset(), frozenset((self.number,)), frozenset())

    def open(self, number: int) -> Source | None:
        return open_source(self.folder, number)

    def is_owned(self) -> bool:
        return True


def _bare(record: Record | None) -> Record | None:
    return Record(record.vendor, record.feed, record.kind, record.received_at, b"") if record else None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

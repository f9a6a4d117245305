"""Append to one partition of a log on Kinesis: into a spool on disk first, from there into the stream."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

import structlog

from tickerplant.logs.files import FilesLog
from tickerplant.logs.kinesis.options import KinesisOptions
from tickerplant.logs.kinesis.service import Service
from tickerplant.logs.kinesis.shipper import Sent, Shipper
from tickerplant.model import Kind, Record

log = structlog.get_logger()


class KinesisWriter:
    """Appends to one partition, of which it is the only owner on this machine (see LogWriter).

    `append` and `sync` are those of the log on files that is the spool: they never wait for the service.
    """

    last_received_at: int | None
    last_kind: Kind | None
    last_connection: Record | None
    """The last CONNECTED or DISCONNECTED record found on opening, in the last two segments of the spool."""

    def __init__(
        self,
        partition: str,
        spool: FilesLog,
        service: Service,
        options: KinesisOptions,
        on_chunk: Callable[[bytes], object] | None = None,
    ) -> None:
        self._on_chunk, self._close_wait_s = on_chunk, options.close_wait_s
        self._shipper: Shipper | None = None
        self._spool = spool.writer(partition, self._written)
        self.partition = partition
        try:
            self._shipper = Shipper(partition, spool, service, options)
        except BaseException:
            self._spool.close()
            raise
        self.last_received_at, self.last_kind = self._spool.last_received_at, self._spool.last_kind
        self.last_connection = self._spool.last_connection
        self._is_closed = False

    @property
    def pending_bytes(self) -> int:
        """Bytes taken that are not on disk yet."""
        return self._spool.pending_bytes

    @property
    def is_full(self) -> bool:
        """Whether the disk is too slow: stop reading until it is False again."""
        return self._spool.is_full

    @property
    def sent(self) -> Sent:
        """What went into the stream so far."""
        return self._shipper.sent if self._shipper else Sent()

    def append(self, kind: Kind, received_at: int, payload: bytes, request: str | None = None) -> None:
        """Take one record; it is on disk after the next `sync`, and sent from there.

        Raises Fatal when the spool cannot be written, or when sending was refused for good.
        """
        if self._shipper and self._shipper.failure is not None:
            raise self._shipper.failure
        self._spool.append(kind, received_at, payload, request)

    def sync(self) -> None:
        """Return when everything appended so far is on disk."""
        self._spool.sync()

    def flush(self, timeout_s: float) -> bool:
        """Wait until the service has stored everything appended so far; False when that took too long."""
        self._spool.sync()
        return self._shipper is not None and self._shipper.drain(timeout_s)

    def close(self) -> None:
        """Sync, send what is left, and release the partition; idempotent.

        What the service does not take within `close_wait_s` stays in the spool for the next writer. Raises Fatal when
        records did not reach the disk, or when sending was refused for good.
        """
        if self._is_closed:
            return
        self._is_closed = True
        shipper = self._shipper
        try:
            if shipper and shipper.failure is None and not self.flush(self._close_wait_s) and shipper.failure is None:
                log.warning("lines left in the spool", partition=self.partition, bytes=shipper.waiting_bytes)
        finally:
            if shipper:
                shipper.close()
            self._spool.close()
        if shipper and shipper.failure is not None:
            raise shipper.failure

    def _written(self, data: bytes) -> None:
        if self._shipper:
            self._shipper.nudge()
        if self._on_chunk:
            self._on_chunk(data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

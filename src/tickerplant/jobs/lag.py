"""How far the loading of a log is behind, by partition, whatever holds the log; and what waits on this machine."""

from __future__ import annotations

from collections.abc import Mapping

from tickerplant.clock import now_ns
from tickerplant.logs import AnyLog
from tickerplant.logs.kinesis.log import KinesisLog
from tickerplant.logs.s3_spool import Waiting
from tickerplant.model import Lag, Log, Position, Record


def lags(log: Log, positions: Mapping[str, Position]) -> dict[str, Lag]:
    """How far behind loading is that has reached these positions of partitions.

    Of a log on files or S3 the first line behind each position is read; of one on Kinesis the end of each shard. What
    another machine has not shipped or sent yet is not seen. Raises Retryable when the log is away.
    """
    if isinstance(log, KinesisLog):
        return log.lags(positions, now_ns())
    return {name: _lag(log, name, at) for name, at in positions.items()}


def _lag(log: Log, partition: str, at: Position) -> Lag:
    reader = log.reader(partition, at)
    try:
        entries = reader.read(1)
    finally:
        reader.close()
    if not entries:
        return Lag(0.0, 0)
    received = [e.item.received_at for e in entries if isinstance(e.item, Record)]
    return Lag(max(0.0, (now_ns() - received[0]) / 1e9)) if received else Lag()


def waiting(log: AnyLog, limit_bytes: int) -> list[Waiting]:
    """What of a log on S3 or Kinesis waits on this machine to be shipped, by partition; asks nobody."""
    if isinstance(log, KinesisLog):
        return log.waiting(limit_bytes)
    if log.is_here:
        return []
    from tickerplant.logs.s3 import waiting_in

    return waiting_in(log, limit_bytes)

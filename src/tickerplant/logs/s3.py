"""A log on S3: `s3://bucket/prefix/<partition>/<segment>.jsonl.zst`, written through a spool; see docs/s3.md."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tickerplant.bucket import Bucket, access_of
from tickerplant.logs.files import FilesLog
from tickerplant.logs.layout import is_partition
from tickerplant.logs.s3_place import S3Place
from tickerplant.logs.s3_shipping import Limits, S3Shipping
from tickerplant.logs.s3_spool import Waiting, spool_folder, waiting
from tickerplant.logs.writer import DEFAULTS, Options
from tickerplant.model import Segment
from tickerplant.settings import Settings, read_settings


@dataclass(frozen=True)
class InBucket:
    """The shipped segments of a log (see Beyond in files.py).

    Positions are those of the same lines in a log on files. Another machine than the one that captures sees a segment
    once it is sealed and shipped.
    """

    bucket: Bucket
    limits: Limits

    @property
    def url(self) -> str:
        """The log's URL."""
        return self.bucket.url

    def partitions(self) -> list[str]:
        """See Beyond."""
        return [name for name in self.bucket.folders() if is_partition(name)]

    def place(self, folder: Path) -> S3Place:
        """See Beyond."""
        return S3Place(folder, self.bucket.below(folder.name))

    def segments(self, folder: Path) -> list[Segment]:
        """See Beyond."""
        return self.place(folder).segments()

    def shipping(self, folder: Path) -> S3Shipping:
        """See Beyond."""
        return S3Shipping(folder, self.bucket.below(folder.name), self.limits)


def open_s3(url: str, options: Options = DEFAULTS, settings: Settings | None = None) -> FilesLog:
    """The log at an s3:// URL, reached as the settings say (without any: those of the environment and `.env`)."""
    found = settings or read_settings()
    bucket = Bucket(url, access_of(found))
    folder = spool_folder(Path(found.spool).expanduser(), bucket.name, bucket.prefix)
    return FilesLog(folder, options, InBucket(bucket, Limits(found.spool_bytes)))


def waiting_in(log: FilesLog, limit_bytes: int) -> list[Waiting]:
    """What of each partition of a log on S3 waits on this machine; asks nobody."""
    names = FilesLog(log.folder).partitions()
    return [waiting(log.folder / name, limit_bytes) for name in names]

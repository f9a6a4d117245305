"""The log: raw records, kept as they came, in segments of text lines. The URL chooses where."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from tickerplant.errors import UsageError

if TYPE_CHECKING:
    from tickerplant.logs.files import FilesLog

__all__ = ["open_log"]


def open_log(
    url: str, *, sync_interval_s: float = 0.1, segment_bytes: int = 268435456, segment_age_s: float = 3600
) -> FilesLog:
    """The log at a URL: a folder, or `file://` and a folder. Nothing is made or opened until it is written to.

    Lines are on disk at most `sync_interval_s` after they were appended; a segment ends at `segment_bytes` or
    `segment_age_s`. Raises UsageError for any other kind of URL: a stream (`kinesis://`) is a log for capturing and
    loading, opened by `tickerplant.logs.kinesis.log.KinesisLog`.
    """
    scheme, separator, rest = url.partition("://")
    if not url or (separator and scheme != "file"):
        raise UsageError(f"log: expected a folder or file://<folder>, was {scheme + separator!r}")
    from tickerplant.logs.files import FilesLog
    from tickerplant.logs.writer import Options

    folder = Path(unquote(rest) if separator else url).expanduser()
    return FilesLog(folder, Options(sync_interval_s, segment_bytes, segment_age_s))

"""The log: raw records, kept as they came, in segments of text lines. The URL chooses where."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote

from tickerplant.errors import UsageError

if TYPE_CHECKING:
    from tickerplant.logs.files import FilesLog
    from tickerplant.logs.kinesis.log import KinesisLog

__all__ = ["AnyLog", "open_log"]

AnyLog: TypeAlias = "FilesLog | KinesisLog"
"""What `open_log` gives: besides Log, both tell `folder` and `is_here`."""


def open_log(
    url: str, *, sync_interval_s: float = 0.1, segment_bytes: int = 268435456, segment_age_s: float = 3600
) -> AnyLog:
    """The log at a URL: a folder, `file://` and a folder, `s3://bucket/prefix` or `kinesis://stream`, the last two
    reached as the settings of the environment say. Nothing is made or opened until it is written to.

    Lines are on disk at most `sync_interval_s` after they were appended; a segment ends at `segment_bytes` or
    `segment_age_s`. Raises UsageError for any other kind of URL.
    """
    scheme, separator, rest = url.partition("://")
    if not url or (separator and scheme not in ("file", "s3", "kinesis")):
        raise UsageError(
            "log: expected a folder, file://<folder>, s3://bucket/prefix or kinesis://stream, "
            f"was {scheme + separator!r}"
        )
    from tickerplant.logs.writer import Options

    options = Options(sync_interval_s, segment_bytes, segment_age_s)
    if separator and scheme == "s3":
        from tickerplant.logs.s3 import open_s3

        return open_s3(url, options)
    if separator and scheme == "kinesis":
        from tickerplant.logs.kinesis.log import open_kinesis

        return open_kinesis(url, options)
    from tickerplant.logs.files import FilesLog

    return FilesLog(Path(unquote(rest) if separator else url).expanduser(), options)

"""How a log on Kinesis is reached and how it sends; the service's limits."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from tickerplant.credentials import Secret
from tickerplant.errors import UsageError
from tickerplant.logs.writer import Options
from tickerplant.settings import Settings

MAX_RECORDS = 500
"""Records in one PutRecords call."""
MAX_CALL_BYTES = 5 * 2**20
"""Data and partition keys of one PutRecords call.

The service takes 10 MiB a call since 2025; 5 MiB is what every region, quota and emulator takes. Source:
https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecords.html (read 2026-11-21).
"""
MAX_RECORD_BYTES = 2**20
"""Data and partition key of one record, unless the stream is configured for more."""
HASH_SPACE = 2**128
_STREAM = re.compile("[a-zA-Z0-9_.-]{1,128}")


@dataclass(frozen=True)
class Keys:
    """AWS keys; `token` goes with temporary ones, else it is empty."""

    key: str
    secret: Secret
    token: Secret = Secret("")


@dataclass(frozen=True)
class KinesisOptions:
    """Where a stream is and how it is written and read. Times are seconds, sizes bytes.

    `lanes`: over how many lanes the symbols of a live feed are spread. A lane's records are sent once it has
    `record_bytes`, `batch_messages` lines wait in all, or its oldest line is `batch_age_s` old. `max_attempts`: failed
    calls in a row after which sending ends with an error; 0 is never. `keep_segments`: how many sent segments stay on
    disk, 2 at least. `keys` None: the usual AWS credentials (role,
    profile, environment). `endpoint` is for private endpoints and emulators.
    """

    stream: str
    spool: Path
    region: str | None = None
    endpoint: str | None = None
    keys: Keys | None = None
    lanes: int = 8
    record_bytes: int = 2**18
    batch_messages: int = 5000
    batch_age_s: float = 1.0
    max_attempts: int = 0
    keep_segments: int = 2
    buffer_bytes: int = 32 * 2**20
    close_wait_s: float = 60.0
    timeout_s: float = 10.0
    first_wait_s: float = 0.1
    longest_wait_s: float = 15.0
    poll_s: float = 0.2
    files: Options = field(default_factory=Options)

    def __post_init__(self) -> None:
        if not _STREAM.fullmatch(self.stream):
            raise UsageError(f"log: expected kinesis://<name of a stream>, was {'kinesis://' + self.stream!r}")
        if not 1 <= self.lanes <= MAX_RECORDS:
            raise UsageError(f"KINESIS_LANES: expected 1 to {MAX_RECORDS} lanes, was {self.lanes}")
        if not 2**10 <= self.record_bytes <= MAX_RECORD_BYTES - 2**12:
            raise UsageError(f"kinesis: expected records of 1 KiB to 1020 KiB, was {self.record_bytes} bytes")


def options_of(url: str, settings: Settings, files: Options) -> KinesisOptions:
    """What the settings say about the stream of a `kinesis://` URL. Raises UsageError for what is no stream's name."""
    stream = url.removeprefix("kinesis://")
    has_keys = bool(settings.aws_key)
    return KinesisOptions(
        stream,
        spool_folder(Path(settings.spool).expanduser(), stream),
        region=settings.aws_region or None,
        endpoint=settings.kinesis_endpoint or None,
        keys=Keys(settings.aws_key, settings.aws_secret, settings.aws_token) if has_keys else None,
        lanes=settings.kinesis_lanes,
        batch_messages=settings.batch_size or KinesisOptions.batch_messages,
        batch_age_s=settings.batch_timeout_s,
        max_attempts=settings.max_attempts,
        keep_segments=settings.kinesis_keep_segments,
        files=files,
    )


def spool_folder(root: Path, stream: str) -> Path:
    """The spool of a stream, beside those of logs on S3: no name of theirs has an @."""
    return root / f"{stream}@kinesis"

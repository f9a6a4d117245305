"""Every error this package raises on purpose, in one tree.

TickerplantError
├── Retryable            try again: the same call can succeed later (`retry_after` seconds, None = use back-off)
│   └── SlowRetry        try again, but slowly: the vendor still holds a slot of ours (406, HTTP 429)
├── Fatal                trying again changes nothing: credentials, plan, a wrong setting
│   ├── UsageError       the command or a setting is wrong (exit code 2)
│   └── Busy             another process owns what was asked for (exit code 75)
├── RequestFailed        one request was refused, the connection goes on (405, 410)
└── BadData              bytes that are not what the protocol or the format promises

A message reads `<where>: <expected>, was <found>[; tried <what>][; do <what>]` and never holds a secret.
"""

from __future__ import annotations


class TickerplantError(Exception):
    """Root of the tree; catch it only at the top of a process."""


class Retryable(TickerplantError):
    """A passing failure. `retry_after` is the least wait in seconds, None when the vendor did not say."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class SlowRetry(Retryable):
    """A passing failure that fast retries would keep alive."""


class Fatal(TickerplantError):
    """A failure that only a person or another setting can end."""


class UsageError(Fatal):
    """A command, option or setting that cannot be used as given."""


class Busy(Fatal):
    """What was asked for has an owner already."""


class RequestFailed(TickerplantError):
    """The vendor refused one request; what was agreed before still holds."""


class BadData(TickerplantError):
    """Bytes that cannot be read as what they should be."""


def excerpt(payload: bytes, limit: int = 60) -> str:
    """The first `limit` bytes of `payload` as printable text, for messages."""
    text = payload[:limit].decode("utf-8", "backslashreplace")
    return text + ("..." if len(payload) > limit else "")

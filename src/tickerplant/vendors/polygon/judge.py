"""What an answer means.

Errors are `{"status": ..., "error" or "message": ...}`, plain text, or XML from the flat files. Sources: recordings of
2021-06-12 (429) and 2025-11-28 (403, 404, deprecated), OpenAPI of 2026-07-09 (401). The body of a 401 is not recorded;
the status decides. S3 codes: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html.
"""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from tickerplant.errors import excerpt
from tickerplant.rest import Answer, Call, Outcome, Verdict

WAIT_S = 12.0
"""The free plan has 5 calls a minute, so the next one is free after 60 s / 5 at the latest; nothing is said."""
LONGEST_S = 120.0

UNREADABLE = (ValueError, RecursionError)
"""What msgspec raises on bytes that are not what was asked for."""

_NAMED_KEY = re.compile(r"(?i)(apikey=|bearer\s+|api[ _]key[ '\":]+)[A-Za-z0-9_\-]{8,}")
_LIKE_A_KEY = re.compile(r"\b(?=\w*[0-9])(?=\w*[A-Za-z])\w{24,}\b")
_XML_CODE = re.compile(rb"<Code>(\w+)</Code>")
_ENTITLED = re.compile(r"entitle|upgrade|your plan|subscription|not authorized to|timeframe")
_DEPRECATED = "x-polygon-deprecated-new-location"

_S3 = {
    "AccessDenied": Outcome.NOT_ENTITLED,
    "NoSuchKey": Outcome.NO_DATA,
    "InvalidAccessKeyId": Outcome.FATAL,
    "SignatureDoesNotMatch": Outcome.FATAL,
    "RequestTimeTooSkewed": Outcome.FATAL,
    "SlowDown": Outcome.WAIT,
}
_STATUSES = {401: Outcome.FATAL, 408: Outcome.RETRY, 425: Outcome.RETRY, 429: Outcome.WAIT, 499: Outcome.RETRY}
_WORDS = {
    "NOT_FOUND": Outcome.NO_DATA,
    "NOT_AUTHORIZED": Outcome.NOT_ENTITLED,
    "NOT_ENTITLED": Outcome.NOT_ENTITLED,
    "AUTH_ERROR": Outcome.FATAL,
}
"""Outcomes by `status`."""


class Said(msgspec.Struct):
    """What an envelope says of itself."""

    status: Any = None
    error: Any = None
    message: Any = None

    @property
    def text(self) -> str:
        """The error, wherever it stands."""
        return str(self.error or self.message or "")

    @property
    def is_error(self) -> bool:
        """Whether the vendor refused; delayed data are data."""
        return str(self.status) in (*_WORDS, "ERROR") or bool(self.error)


_SAID = msgspec.json.Decoder(Said)


def redact(text: str) -> str:
    """The text without what looks like a key."""
    return _LIKE_A_KEY.sub("[redacted]", _NAMED_KEY.sub(r"\1[redacted]", text))


def judge(call: Call, answer: Answer) -> Verdict:
    """Class an answer."""
    if answer.status == 200:
        return _file(answer.body) if call.host == "files" else _ok(answer)
    found = _XML_CODE.search(answer.body[:2000])
    if found:
        return _verdict(_S3.get(found[1].decode(), _by_status(answer.status)), answer, found[1].decode())
    said = _said(answer.body)
    return _refused(answer, said) if said else _unsaid(answer)


def _file(body: bytes) -> Verdict:
    if body[:2] == b"\x1f\x8b" or body[:7] == b"ticker,":
        return Verdict(Outcome.ROWS)
    return Verdict(Outcome.RETRY, f"expected a compressed file, was {redact(excerpt(body))!r}")


def _ok(answer: Answer) -> Verdict:
    start = answer.body[:64].lstrip()
    if start[:1] == b"[" or _is_csv(answer.body):
        return Verdict(Outcome.ROWS)
    if start[:1] != b"{":
        return Verdict(Outcome.RETRY, f"HTTP 200: expected JSON, was {redact(excerpt(answer.body))!r}")
    said = _said(answer.body)
    if said is None:
        return Verdict(Outcome.RETRY, "HTTP 200: JSON that ends too early or is none")
    return _refused(answer, said) if said.is_error else Verdict(Outcome.ROWS)


def _is_csv(body: bytes) -> bool:
    line = body[:4096].splitlines()[:1]
    return bool(line) and b"," in line[0] and line[0][:1] not in b'{[<"' and line[0].isascii()


def _said(body: bytes) -> Said | None:
    """What a JSON object says; None when it is none, or is cut short."""
    try:
        return _SAID.decode(body)
    except UNREADABLE:
        return None


def _refused(answer: Answer, said: Said) -> Verdict:
    text = said.text.lower()
    if _DEPRECATED in answer.headers or "deprecated" in text:
        return _verdict(Outcome.BAD_REQUEST, answer, said.text)
    if answer.status == 429 or "maximum requests per minute" in text:
        return _verdict(Outcome.WAIT, answer, said.text)
    if "api key" in text or "apikey" in text:
        return _verdict(Outcome.FATAL, answer, said.text)
    if answer.status in (200, 403, 404):
        return _verdict(_by_word(answer.status, said, text), answer, said.text or str(said.status))
    return _verdict(_by_status(answer.status), answer, said.text or str(said.status))


def _by_word(status: int, said: Said, text: str) -> Outcome:
    if said.status == "NOT_FOUND" or "not found" in text:
        return Outcome.NO_DATA
    if _ENTITLED.search(text):
        return Outcome.NOT_ENTITLED
    if status == 403:
        return Outcome.FATAL
    otherwise = Outcome.BAD_REQUEST if status == 404 else Outcome.RETRY
    return _WORDS.get(str(said.status), otherwise)


def _unsaid(answer: Answer) -> Verdict:
    """An answer without an error of the vendor's: a path that does not exist, a proxy's page."""
    is_page = answer.body[:200].lstrip()[:1] == b"<"
    if answer.status == 403:
        return _verdict(Outcome.RETRY if is_page else Outcome.FATAL, answer)
    return _verdict(Outcome.RETRY if is_page and answer.status == 404 else _by_status(answer.status), answer)


def _by_status(status: int) -> Outcome:
    return _STATUSES.get(status, Outcome.BAD_REQUEST if 400 <= status < 500 else Outcome.RETRY)


def _verdict(outcome: Outcome, answer: Answer, text: str = "") -> Verdict:
    said = " ".join((text or excerpt(answer.body, 120)).split())
    wait_s = _wait(answer) if outcome is Outcome.WAIT else None
    return Verdict(outcome, f"HTTP {answer.status}: {redact(said)[:200]}", wait_s)


def _wait(answer: Answer) -> float:
    """Seconds of a Retry-After, else of the free plan's pace."""
    said = answer.headers.get("retry-after", "").strip()
    if said.isascii() and said.replace(".", "", 1).isdigit():
        return min(float(said), LONGEST_S)
    try:
        until, now = (parsedate_to_datetime(t) for t in (said, answer.headers.get("date", "")))
        return min(max((until - now).total_seconds(), 0.0), LONGEST_S)
    except (TypeError, ValueError):
        return WAIT_S

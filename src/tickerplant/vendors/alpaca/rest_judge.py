"""What an answer of Alpaca's REST APIs means.

Errors are `{"message": ...}` or `{"code": ..., "message": ...}`; a 500 may be plain text. Rate limits come as 429 with
`X-RateLimit-Reset` in seconds since 1970 (docs.alpaca.markets/docs/about-market-data-api, captured 2026-01-26). Bodies
of 400, 401 and 429 of the data host are known from reports only, so the status decides and the text refines.
"""

from __future__ import annotations

import time

import msgspec

from tickerplant.errors import excerpt
from tickerplant.rest import Answer, Call, Outcome, Verdict

_RESET, _RETRY_AFTER, _LONGEST_S = "x-ratelimit-reset", "retry-after", 120.0


_BY_STATUS = {
    400: Outcome.BAD_REQUEST,
    401: Outcome.FATAL,
    403: Outcome.NOT_ENTITLED,
    404: Outcome.NO_DATA,
    422: Outcome.BAD_REQUEST,
    429: Outcome.WAIT,
}


class _Error(msgspec.Struct):
    message: str = ""
    code: int | None = None


def judge(call: Call, answer: Answer) -> Verdict:
    """The class of an answer, by status first."""
    if answer.status == 200:
        return _ok(answer)
    said = _message(answer.body)
    outcome = _BY_STATUS.get(answer.status, Outcome.RETRY)
    if "subscription does not permit" in said:
        outcome = Outcome.NOT_ENTITLED
    return Verdict(outcome, f"HTTP {answer.status}: {said}", _wait(answer) if outcome == Outcome.WAIT else None)


def _ok(answer: Answer) -> Verdict:
    if answer.body.lstrip()[:1] in (b"{", b"["):
        return Verdict(Outcome.ROWS)
    return Verdict(Outcome.RETRY, f"HTTP 200: expected JSON, was {excerpt(answer.body)!r}")


def _message(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Error).message[:200] or excerpt(body)
    except (msgspec.MsgspecError, ValueError):
        return excerpt(body)


def _wait(answer: Answer) -> float | None:
    """Seconds until the allowance is whole again, as far as the headers say."""
    for name, now in ((_RETRY_AFTER, 0.0), (_RESET, time.time())):
        try:
            return min(max(float(answer.headers[name]) - now, 0.0), _LONGEST_S)
        except (KeyError, ValueError):
            continue
    return None

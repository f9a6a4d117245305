"""What an answer means, told from its body: nearly everything comes with HTTP 200.

Both rate notices name "25 requests per day", so the burst is looked for first; one prints the caller's key, so every
reason is redacted. Sources of the texts: https://github.com/finance-quote/finance-quote/pull/546 (burst, 2025-12),
https://github.com/RomelTorres/alpha_vantage/issues/125 (note), /issues/341 (invalid call), /issues/154 (empty object),
https://github.com/TauricResearch/TradingAgents/issues/991 (key); the others were captured in 2026-08.
"""

from __future__ import annotations

import re

import msgspec
from msgspec import Raw

from tickerplant.errors import excerpt
from tickerplant.rest import Answer, Call, Outcome, Verdict

BURST_WAIT_S = 3.0
"""The notice says one a second; users needed 2 to 3 s between calls."""
MINUTE_WAIT_S = 60.0

UNREADABLE = (ValueError, RecursionError)
"""What msgspec raises on bytes that are not what was asked for."""

_REDACTED = "[redacted]"
_NAMED_KEY = re.compile(r"(?i)(api[ _]?key\s+as\s+|apikey=)[^\s&\"']+")
_LIKE_A_KEY = re.compile(r"\b(?=[A-Z]*[0-9])(?=[0-9]*[A-Z])[A-Z0-9]{12,}\b")

_NOTICES = ("error message", "information", "note", "detail")
_SPELT = ("information", "note", "errormessage")
_HEADERS = ("timestamp", "time", "symbol")

_TEXTS: tuple[tuple[re.Pattern[str], Outcome, float | None], ...] = (
    (re.compile(r"spreading out|per second|burst pattern"), Outcome.WAIT, BURST_WAIT_S),
    (
        re.compile(r"premium (?:endpoint|feature|function|parameter|api)|premium-only|entitle"),
        Outcome.NOT_ENTITLED,
        None,
    ),
    (re.compile(r"demo\W* api key|for demo purposes"), Outcome.FATAL, None),
    (re.compile(r"api ?key is (?:invalid|missing)"), Outcome.FATAL, None),
    (re.compile(r"(?:calls|requests) per minute"), Outcome.WAIT, MINUTE_WAIT_S),
    (re.compile(r"per day|daily rate limit"), Outcome.QUOTA, None),
    (re.compile(r"invalid api call|does not exist"), Outcome.BAD_REQUEST, None),
)
"""The first that is found decides."""

_OTHERWISE = {
    "error message": Verdict(Outcome.BAD_REQUEST),
    "information": Verdict(Outcome.RETRY),
    "detail": Verdict(Outcome.BAD_REQUEST),
}
_EMPTY = Verdict(Outcome.NO_DATA, "an empty object")
_MAY_BE_EMPTY = ("OVERVIEW", "LISTING_STATUS")
"""Functions that say so that they have nothing; the others say it in words, an empty object of theirs is a hiccup."""
_STATUSES = {401: Outcome.FATAL, 403: Outcome.FATAL, 406: Outcome.FATAL, 408: Outcome.RETRY, 429: Outcome.WAIT}


def redact(text: str) -> str:
    """The text without what looks like a key."""
    return _LIKE_A_KEY.sub(_REDACTED, _NAMED_KEY.sub(rf"\1{_REDACTED}", text))


def judge(call: Call, answer: Answer) -> Verdict:
    """Class an answer. 406 is fatal: every request would be refused for the same header."""
    if answer.status != 200:
        return _by_status(answer)
    verdict = classify(answer.body)
    if verdict == _EMPTY and dict(call.params).get("function") not in _MAY_BE_EMPTY:
        return Verdict(Outcome.RETRY, "an empty object where data belong")
    return verdict


def classify(body: bytes) -> Verdict:
    """Class a body that came with HTTP 200."""
    start = body.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not start:
        return Verdict(Outcome.RETRY, "an empty body")
    if start[:1] == b"<":
        return Verdict(Outcome.RETRY, "an HTML page")
    return _json(start) if start[:1] in (b"{", b"[") else _csv(start)


def _by_status(answer: Answer) -> Verdict:
    status = answer.status
    other = Outcome.BAD_REQUEST if 400 <= status < 500 else Outcome.RETRY
    reason = f"HTTP {status}: {redact(excerpt(' '.join(_text(answer.body).split()).encode(), 120))}"
    return Verdict(_STATUSES.get(status, other), reason, _retry_after(answer))


def _retry_after(answer: Answer) -> float | None:
    """Seconds of a Retry-After; the vendor is not known to send one."""
    said = answer.headers.get("retry-after", "")
    return float(said) if said.isascii() and said.isdigit() else None


def _json(body: bytes) -> Verdict:
    try:
        top = msgspec.json.decode(body, type=dict[str, Raw])
    except UNREADABLE:
        return Verdict(Outcome.RETRY, "JSON that ends too early or is none")
    if not top:
        return _EMPTY
    for name, value in top.items():
        if name.strip().lower() in _NOTICES:
            return notice(name.strip().lower(), _string(value))
        if name.startswith("Global Quote") and bytes(value).translate(None, b" \t\r\n") in (b"{}", b"null"):
            return Verdict(Outcome.NO_DATA, "an empty quote")
    return Verdict(Outcome.ROWS)


def notice(key: str, text: str) -> Verdict:
    """Class the text of a notice by its key (in lower case) and words."""
    lowered, reason = text.lower(), redact(" ".join(text.split()))
    for pattern, outcome, wait_s in _TEXTS:
        if pattern.search(lowered):
            if key == "note" and outcome is Outcome.QUOTA:
                break
            return Verdict(outcome, reason, wait_s)
    other = _OTHERWISE.get(key, Verdict(Outcome.WAIT, wait_s=MINUTE_WAIT_S))
    return Verdict(other.outcome, reason, other.wait_s)


def _csv(body: bytes) -> Verdict:
    lines = _text(body[:4096]).splitlines()[:2]
    if lines[0].split(",")[0].strip().lower() not in _HEADERS or "," not in lines[0]:
        return Verdict(Outcome.RETRY, f"expected JSON or CSV, was {redact(excerpt(lines[0].encode()))}")
    spelt = spelt_notice(lines[1]) if len(lines) > 1 else None
    if spelt is None:
        return Verdict(Outcome.ROWS)
    outcome, wait_s = {
        "information": (Outcome.QUOTA, None),
        "note": (Outcome.WAIT, MINUTE_WAIT_S),
        "errormessage": (Outcome.BAD_REQUEST, None),
    }[spelt]
    return Verdict(outcome, f"a notice spelt over the columns: {lines[1][:60]}", wait_s)


def spelt_notice(line: str) -> str | None:
    """Which notice a CSV row spells letter by letter (`I,n,f,o,r,m,a`), None when it is a row."""
    cells = line.split(",")
    if len(cells) < 4 or any(len(c) > 1 for c in cells):
        return None
    word = "".join(cells).replace(" ", "").lower()
    return next((name for name in _SPELT if word and name.startswith(word)), None)


def _string(value: Raw) -> str:
    try:
        return msgspec.json.decode(value, type=str)
    except UNREADABLE:
        return _text(bytes(value))


def _text(body: bytes) -> str:
    return body.decode("utf-8", "backslashreplace")

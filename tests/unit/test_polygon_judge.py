"""What Polygon's answers mean: every documented and recorded error has an outcome, and no reason holds a key."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.history_polygon import KEY, NOW, REST
from tickerplant.rest import Answer, Call, HttpRequest, Outcome, Refusal
from tickerplant.vendors.polygon.judge import WAIT_S, redact
from tickerplant.vendors.polygon.rest_server import SERVER

CALL = Call(endpoint="daily_bars", table="daily_bars", path="/v2/aggs/ticker/AAPL/range/1/day/2025-01-02/2025-01-03")
FILE = Call(endpoint="flat_day_aggs", table="daily_bars", path="/flatfiles/x.csv.gz", host="files")
ENTITLED = "You are not entitled to this data. Please upgrade your plan at https://polygon.io/pricing"
TOO_FAST = "You've exceeded the maximum requests per minute, please wait or upgrade your subscription to continue."


def _said(status: str, **text: str) -> str:
    fields = "".join(f',"{k}":"{v}"' for k, v in text.items())
    return f'{{"status":"{status}","request_id":"r"{fields}}}'


CASES = {
    "ok": (200, '{"status":"OK","results":[]}', Outcome.ROWS),
    "delayed_quirk_32": (200, '{"status":"DELAYED","results":[{}]}', Outcome.ROWS),
    "no results key": (200, '{"queryCount":0,"resultsCount":0,"status":"OK"}', Outcome.ROWS),
    "no status": (200, '{"results":[]}', Outcome.ROWS),
    "former success": (200, '{"status":"success","last":{}}', Outcome.ROWS),
    "bare array": (200, "[]", Outcome.ROWS),
    "csv": (200, "c,h,l,o,t,v\n1,2,3,4,5,6\n", Outcome.ROWS),
    "status ERROR in a 200": (200, _said("ERROR", error="something failed"), Outcome.RETRY),
    "rate in a 200": (200, _said("ERROR", error=TOO_FAST), Outcome.WAIT),
    "NOT_FOUND in a 200": (200, _said("NOT_FOUND", message="Ticker not found."), Outcome.NO_DATA),
    "NOT_AUTHORIZED in a 200": (200, _said("NOT_AUTHORIZED", message="no"), Outcome.NOT_ENTITLED),
    "empty": (200, "", Outcome.RETRY),
    "html": (200, "<html><body>Maintenance</body></html>", Outcome.RETRY),
    "cut short": (200, '{"status":"OK","results":[{"t":1', Outcome.RETRY),
    "a number": (200, "0", Outcome.RETRY),
    "bad parameter": (400, _said("ERROR", error="from must be before to"), Outcome.BAD_REQUEST),
    "unknown key": (401, _said("ERROR", error="Unknown API Key"), Outcome.FATAL),
    "401 without text": (401, "", Outcome.FATAL),
    "not entitled, recorded": (403, _said("NOT_AUTHORIZED", message=ENTITLED), Outcome.NOT_ENTITLED),
    "not entitled, in error": (403, _said("ERROR", error=ENTITLED), Outcome.NOT_ENTITLED),
    "timeframe": (
        403,
        _said("NOT_AUTHORIZED", message="Your plan doesn't include this data timeframe."),
        Outcome.NOT_ENTITLED,
    ),
    "403 about the key": (403, _said("NOT_AUTHORIZED", message="Invalid API Key"), Outcome.FATAL),
    "403 without a reason": (403, _said("NOT_AUTHORIZED"), Outcome.FATAL),
    "403 of a proxy": (403, "<html>Forbidden</html>", Outcome.RETRY),
    "403 empty": (403, "", Outcome.FATAL),
    "not found": (404, _said("NOT_FOUND", message="Data not found."), Outcome.NO_DATA),
    "not found, in error": (404, _said("NOT_FOUND", error="Ticker not found."), Outcome.NO_DATA),
    "deprecated, recorded": (
        404,
        _said("ERROR", error="The API you are requesting has been deprecated. Please refer to https://polygon.io/docs"),
        Outcome.BAD_REQUEST,
    ),
    "404 plain, recorded": (404, "404 page not found\n", Outcome.BAD_REQUEST),
    "404 of a proxy": (404, "<html>Not Found</html>", Outcome.RETRY),
    "408": (408, "", Outcome.RETRY),
    "414": (414, "", Outcome.BAD_REQUEST),
    "429 recorded": (429, _said("ERROR", error=TOO_FAST), Outcome.WAIT),
    "429 empty": (429, "", Outcome.WAIT),
    "500": (500, "Internal Server Error", Outcome.RETRY),
    "502 html": (502, "<html>Bad Gateway</html>", Outcome.RETRY),
    "503 json": (503, _said("ERROR", error="Service unavailable"), Outcome.RETRY),
    "a redirect": (301, "", Outcome.RETRY),
}


@pytest.mark.parametrize("case", sorted(CASES))
def test_each_answer_has_its_outcome(case: str) -> None:
    status, body, outcome = CASES[case]
    verdict = REST.judge(CALL, Answer(status, body.encode(), {}))
    assert verdict.outcome is outcome
    assert bool(verdict.reason) == (outcome is not Outcome.ROWS)


S3 = {
    "AccessDenied": (403, Outcome.NOT_ENTITLED),
    "NoSuchKey": (404, Outcome.NO_DATA),
    "InvalidAccessKeyId": (403, Outcome.FATAL),
    "SignatureDoesNotMatch": (403, Outcome.FATAL),
    "RequestTimeTooSkewed": (403, Outcome.FATAL),
    "SlowDown": (503, Outcome.WAIT),
    "InternalError": (500, Outcome.RETRY),
}


@pytest.mark.parametrize("code", sorted(S3))
def test_errors_of_flat_files(code: str) -> None:
    status, outcome = S3[code]
    body = f'<?xml version="1.0"?><Error><Code>{code}</Code><Message>m</Message></Error>'.encode()
    verdict = REST.judge(FILE, Answer(status, body, {}))
    assert (verdict.outcome, verdict.reason) == (outcome, f"HTTP {status}: {code}")


def test_flat_files_are_told_by_their_first_bytes() -> None:
    assert REST.judge(FILE, Answer(200, b"\x1f\x8b\x08", {})).outcome is Outcome.ROWS
    assert REST.judge(FILE, Answer(200, b"ticker,volume\n", {})).outcome is Outcome.ROWS
    assert REST.judge(FILE, Answer(200, b"<html>", {})).outcome is Outcome.RETRY


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({}, WAIT_S),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after": "86400"}, 120.0),
        ({"retry-after": "soon"}, WAIT_S),
        ({"retry-after": "Fri, 20 Mar 2026 22:00:30 GMT", "date": "Fri, 20 Mar 2026 22:00:00 GMT"}, 30.0),
        ({"retry-after": "Fri, 20 Mar 2026 22:00:30 GMT"}, WAIT_S),
    ],
)
def test_too_fast_waits_as_told_or_as_the_free_plan_paces_quirk_17(headers: dict[str, str], wait_s: float) -> None:
    body = _said("ERROR", error=TOO_FAST).encode()
    verdict = REST.judge(CALL, Answer(429, body, headers))
    assert (verdict.outcome, verdict.wait_s) == (Outcome.WAIT, wait_s)


def test_a_header_says_deprecated_only_of_an_error() -> None:
    headers = {"x-polygon-deprecated-new-location": "https://polygon.io/docs"}
    assert REST.judge(CALL, Answer(200, b'{"status":"OK"}', headers)).outcome is Outcome.ROWS
    assert REST.judge(CALL, Answer(404, b'{"status":"ERROR"}', headers)).outcome is Outcome.BAD_REQUEST


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 429, 500])
@pytest.mark.parametrize("form", ["{key}", "Unknown API Key {key}", "/v3?apiKey={key}&x=1", "Bearer {key}"])
def test_reasons_hold_no_key_quirk_27(status: int, form: str) -> None:
    text = form.format(key=KEY)
    for body in (text, _said("ERROR", error=text), _said("NOT_AUTHORIZED", message=text), f"<html>{text}</html>"):
        assert KEY not in REST.judge(CALL, Answer(status, body.encode(), {})).reason
    assert KEY not in redact(text)


def test_the_vendors_own_refusals() -> None:
    request = HttpRequest("/v3/reference/tickers", (), {}, NOW, "")
    outcomes = {kind: REST.judge(CALL, SERVER.refusal(kind, request)).outcome for kind in get_args(Refusal)}
    assert outcomes == {"rate": Outcome.WAIT, "day": Outcome.WAIT, "error": Outcome.RETRY, "html": Outcome.RETRY}


@given(st.integers(100, 599), st.binary(max_size=200), st.sampled_from([CALL, FILE]))
def test_bytes_never_raise(status: int, body: bytes, call: Call) -> None:
    assert REST.judge(call, Answer(status, body, {})).outcome in Outcome

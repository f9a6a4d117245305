"""What Alpha Vantage's answers mean: told from the body, the burst first, and never with a key in the reason."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.alphavantage import KEY, REST, call, request_of
from tickerplant.rest import LANDED, Answer, Call, Outcome, Refusal
from tickerplant.vendors.alphavantage.judge import redact
from tickerplant.vendors.alphavantage.rest_server import SERVER

DAILY = call("TIME_SERIES_DAILY", "daily_bars")
LISTING = call("LISTING_STATUS", "tickers", symbol=None)

BURST = "Please consider spreading out your free API requests more sparingly (1 request per second). You may subscribe to any of the premium plans to lift the free key rate limit (25 requests per day), raise the per-second burst limit"  # noqa: E501
PAID_BURST = "Burst pattern detected. Please consider spreading out your API requests more evenly across a 1-minute window and query no more than 30 requests per second."  # noqa: E501
DAY = f"We have detected your API key as {KEY} and our standard API rate limit is 25 requests per day. Please subscribe to any of the premium plans to instantly remove all daily rate limits."  # noqa: E501
PREMIUM = "Thank you for using Alpha Vantage! This is a premium endpoint. You may subscribe to any of the premium plans"
DEMO = "The **demo** API key is for demo purposes only. Please claim your free API key"
OLD = "Our standard API call frequency is 5 calls per minute and 500 calls per day."
NO_KEY = "the parameter apikey is invalid or missing. Please claim your free API key on (https://www.alphavantage.co)."
INVALID = "Invalid API call. Please retry or visit the documentation (https://www.alphavantage.co/documentation/)."

NOTICES = [
    ("Information", BURST, Outcome.WAIT, 3.0),
    ("Information", PAID_BURST, Outcome.WAIT, 3.0),
    ("Note", BURST, Outcome.WAIT, 3.0),
    ("Information", DAY, Outcome.QUOTA, None),
    ("Information", PREMIUM, Outcome.NOT_ENTITLED, None),
    ("Information", DEMO, Outcome.FATAL, None),
    ("Note", OLD, Outcome.WAIT, 60.0),
    ("Note", "We said 25 requests per day.", Outcome.WAIT, 60.0),
    ("Error Message", NO_KEY, Outcome.FATAL, None),
    ("Error Message", INVALID, Outcome.BAD_REQUEST, None),
    ("Error Message", "something new", Outcome.BAD_REQUEST, None),
    ("Information", "something new", Outcome.RETRY, None),
    ("Information", "Our API rate limit is 75 requests per minute.", Outcome.WAIT, 60.0),
]


@pytest.mark.parametrize(("key", "text", "outcome", "wait_s"), NOTICES)
@pytest.mark.parametrize("asked", [DAILY, LISTING])
def test_quirk_25_notices_in_http_200_are_classed_by_their_words(
    asked: object, key: str, text: str, outcome: Outcome, wait_s: float | None
) -> None:
    """Also those that come as JSON where CSV was asked for."""
    for body in (json.dumps({key: text}), json.dumps({key: text}, indent=4), f"\ufeff \n{json.dumps({key: text})}"):
        verdict = REST.judge(asked, Answer(200, body.encode(), {}))  # type: ignore[arg-type]
        assert (verdict.outcome, verdict.wait_s) == (outcome, wait_s)
        assert KEY not in verdict.reason
        assert verdict.reason[:20] == redact(text)[:20]


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, b"", Outcome.RETRY),
        (200, b"<html><body>Application Error</body></html>", Outcome.RETRY),
        (200, b'{"Meta Data": {', Outcome.RETRY),
        (200, b"[]", Outcome.RETRY),
        (200, b"Service Unavailable", Outcome.RETRY),
        (200, b"{}", Outcome.NO_DATA),
        (200, b'{"Global Quote": {}}', Outcome.NO_DATA),
        (200, b'{"Global Quote": {\n}}', Outcome.NO_DATA),
        (200, b'{"Global Quote": null}', Outcome.NO_DATA),
        (200, b'{"Global Quote": {"01. symbol": "IBM"}}', Outcome.ROWS),
        (200, b"timestamp,open,high,low,close,volume\r\nI,n,f,o,r,m", Outcome.QUOTA),
        (200, b"symbol,name,exchange,assetType,ipoDate,delistingDate,status\r\nI,n,f,o,r,m,a\r\n", Outcome.QUOTA),
        (200, b"symbol,name,exchange,assetType,ipoDate,delistingDate,status\r\nN,o,t,e,,,\r\n", Outcome.WAIT),
        (200, b"symbol,name,exchange,assetType,ipoDate,delistingDate,status\r\nE,r,r,o,r, ,M\r\n", Outcome.BAD_REQUEST),
        (200, b"symbol,name,exchange,assetType,ipoDate,delistingDate,status\r\n", Outcome.ROWS),
        (200, b"timestamp,open,high,low,close,volume\r\n2026-01-02,1,2,3,4,5\r\n", Outcome.ROWS),
        (503, b"<html>Application Error</html>", Outcome.RETRY),
        (500, b"", Outcome.RETRY),
        (502, b"{}", Outcome.RETRY),
        (302, b"", Outcome.RETRY),
        (406, b'{"detail":"Could not satisfy the request Accept header."}', Outcome.FATAL),
        (401, b"", Outcome.FATAL),
        (404, b"", Outcome.BAD_REQUEST),
        (408, b"", Outcome.RETRY),
    ],
)
def test_other_answers_are_classed_by_status_and_shape(status: int, body: bytes, outcome: Outcome) -> None:
    assert REST.judge(LISTING, Answer(status, body, {})).outcome is outcome


def test_quirk_14_an_unknown_symbol_is_no_data_or_a_refused_call() -> None:
    assert REST.judge(DAILY, Answer(200, b'{"Global Quote": {}}', {})).outcome is Outcome.NO_DATA
    assert REST.judge(DAILY, Answer(200, json.dumps({"Error Message": INVALID}).encode(), {})).outcome is (
        Outcome.BAD_REQUEST
    )


@pytest.mark.parametrize(
    ("function", "outcome"),
    [
        ("OVERVIEW", Outcome.NO_DATA),
        ("LISTING_STATUS", Outcome.NO_DATA),
        ("TIME_SERIES_DAILY", Outcome.RETRY),
        ("TIME_SERIES_INTRADAY", Outcome.RETRY),
        ("TIME_SERIES_DAILY_ADJUSTED", Outcome.RETRY),
        ("GLOBAL_QUOTE", Outcome.RETRY),
        ("INDEX_DATA", Outcome.RETRY),
    ],
)
def test_quirk_25_an_empty_object_is_no_data_only_of_functions_that_say_so(function: str, outcome: Outcome) -> None:
    asked = Call(endpoint=function, table="daily_bars", path="/query", params=(("function", function),))
    verdict = REST.judge(asked, Answer(200, b" {} ", {}))
    assert verdict.outcome is outcome
    assert "an empty object" in verdict.reason


def test_quirk_26_a_function_that_became_premium_is_a_state() -> None:
    texts = (PREMIUM, "The outputsize=full parameter value is a premium feature for TIME_SERIES_DAILY.")
    for text in texts:
        assert REST.judge(DAILY, Answer(200, json.dumps({"Information": text}).encode(), {})).outcome is (
            Outcome.NOT_ENTITLED
        )


def test_a_retry_after_is_obeyed() -> None:
    verdict = REST.judge(DAILY, Answer(429, b"", {"retry-after": "7"}))
    assert (verdict.outcome, verdict.wait_s) == (Outcome.WAIT, 7.0)
    assert REST.judge(DAILY, Answer(429, b"", {"retry-after": "Fri, 20 Mar 2026 22:00:00 GMT"})).wait_s is None


@pytest.mark.parametrize(
    "text",
    [
        f"your API key as {KEY} and our",
        f"Your api_key as {KEY}.",
        f"see https://www.alphavantage.co/query?function=X&apikey={KEY}&symbol=IBM",
        f"({KEY})",
    ],
)
def test_quirk_25_the_key_is_taken_out_of_texts(text: str) -> None:
    assert KEY not in redact(text)
    assert "[redacted]" in redact(text)


@given(st.text("abcXYZ019-_", min_size=1, max_size=40))
def test_whatever_the_notice_prints_as_the_key_is_taken_out(key: str) -> None:
    text = DAY.replace(KEY, key)
    reason = REST.judge(DAILY, Answer(200, json.dumps({"Information": text}).encode(), {})).reason
    assert "API key as [redacted] and our standard API rate limit is 25 requests per day" in reason


@pytest.mark.parametrize(
    ("kind", "outcome"),
    [("rate", Outcome.WAIT), ("day", Outcome.QUOTA), ("error", Outcome.RETRY), ("html", Outcome.RETRY)],
)
def test_refusals_of_the_vendors_side_are_judged_as_what_they_are(kind: Refusal, outcome: Outcome) -> None:
    answer = SERVER.refusal(kind, request_of(DAILY))
    verdict = REST.judge(DAILY, answer)
    assert verdict.outcome is outcome
    assert KEY not in verdict.reason
    assert (KEY.encode() in answer.body) == (kind == "day")
    assert outcome not in LANDED


@given(st.integers(100, 599), st.binary())
def test_bytes_never_raise(status: int, body: bytes) -> None:
    assert isinstance(REST.judge(DAILY, Answer(status, body, {})).outcome, Outcome)
    assert isinstance(REST.judge(DAILY, Answer(200, b"{" + body, {})).outcome, Outcome)
    assert isinstance(REST.judge(DAILY, Answer(200, b"timestamp," + body, {})).outcome, Outcome)

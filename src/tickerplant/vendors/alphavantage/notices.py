"""Answers of the vendor's side: its bodies of data, and the texts of its notices and errors.

Texts as captured from the live service in 2026-08 (day, burst, premium) and as quoted in
https://github.com/RomelTorres/alpha_vantage/issues/341 and https://github.com/TauricResearch/TradingAgents/issues/991.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from tickerplant.rest import Answer

_SITE = "https://www.alphavantage.co"
_THANKS = "Thank you for using Alpha Vantage! "
_PLANS = f"any of the premium plans at {_SITE}/premium/"

BURST = (
    f"{_THANKS}Please consider spreading out your free API requests more sparingly (1 request per second). You may "
    f"subscribe to {_PLANS} to lift the free key rate limit (25 requests per day), raise the per-second burst limit, "
    "and instantly unlock all premium endpoints"
)
DAY = (
    "We have detected your API key as {key} and our standard API rate limit is 25 requests per day. Please subscribe "
    f"to {_PLANS} to instantly remove all daily rate limits."
)
PREMIUM = (
    f"{_THANKS}This is a premium endpoint. You may subscribe to {_PLANS} to instantly unlock all premium endpoints"
)
DEMO = (
    "The **demo** API key is for demo purposes only. Please claim your free API key at "
    f"({_SITE}/support/#api-key) to explore our full API offerings. It takes fewer than 20 seconds."
)
KEY = (
    f"the parameter apikey is invalid or missing. Please claim your free API key on ({_SITE}/support/#api-key). It "
    "should take less than 20 seconds."
)
INVALID = f"Invalid API call. Please retry or visit the documentation ({_SITE}/documentation/) for {{function}}."

_JSON = {"content-type": "application/json"}

NOT_ACCEPTABLE = Answer(406, b'{"detail":"Could not satisfy the request Accept header."}', _JSON)
OUTAGE = Answer(
    503,
    b"<html><head><title>Application Error</title></head><body>The page you requested is not available.</body></html>",
    {"content-type": "text/html"},
)


def json(body: Mapping[str, Any]) -> Answer:
    """A JSON body as the vendor prints it."""
    return Answer(200, msgspec.json.format(msgspec.json.encode(body), indent=4), _JSON)


def csv(rows: Iterable[Iterable[str]]) -> Answer:
    """A CSV body as the vendor prints it: CRLF, nothing quoted."""
    body = "".join(",".join(row) + "\r\n" for row in rows)
    return Answer(200, body.encode(), {"content-type": "application/x-download"})


def error(text: str) -> Answer:
    """A refusal of one call."""
    return json({"Error Message": text})


def information(text: str) -> Answer:
    """A notice about the account."""
    return json({"Information": text})

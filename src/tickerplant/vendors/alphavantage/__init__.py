"""Alpha Vantage: end-of-day and intraday bars, quotes, tickers of US equities over REST, without I/O."""

from __future__ import annotations

from collections.abc import Sequence

from tickerplant.model import Decoded, Entry, Vendor
from tickerplant.rest import Answer, Call, Rest, RestServer, Verdict
from tickerplant.vendors.alphavantage.endpoints import ENDPOINTS, HOSTS, LIMITS, sign
from tickerplant.vendors.alphavantage.symbols import to_vendor


def _decode(entries: Sequence[Entry]) -> Decoded:
    from tickerplant.vendors.alphavantage.decode_rest import read
    from tickerplant.vendors.answers import decode_answers

    return decode_answers(entries, read)


def _judge(call: Call, answer: Answer) -> Verdict:
    from tickerplant.vendors.alphavantage.judge import judge

    return judge(call, answer)


def _follow(call: Call, answer: Answer) -> Call | None:
    from tickerplant.vendors.alphavantage.pages import follow

    return follow(call, answer)


def _server() -> RestServer:
    from tickerplant.vendors.alphavantage.rest_server import SERVER

    return SERVER


VENDOR = Vendor(
    name="alphavantage",
    decode=_decode,
    rest=Rest(
        hosts=HOSTS,
        endpoints=ENDPOINTS,
        limits=LIMITS,
        sign=sign,
        judge=_judge,
        follow=_follow,
        server=_server,
        to_vendor=to_vendor,
        is_plan_by_endpoint=True,
    ),
)

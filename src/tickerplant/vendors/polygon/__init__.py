"""Polygon.io, renamed Massive: history, reference data, snapshots and flat files of US equities, without I/O."""

from __future__ import annotations

from collections.abc import Sequence

from tickerplant.model import Decoded, Entry, Vendor
from tickerplant.rest import Answer, Call, Rest, RestServer, Verdict
from tickerplant.vendors.polygon.endpoints import ENDPOINTS, HOSTS, LIMITS, sign
from tickerplant.vendors.polygon.symbols import to_vendor


def _decode(entries: Sequence[Entry]) -> Decoded:
    from tickerplant.vendors.answers import decode_answers
    from tickerplant.vendors.polygon.decode_rest import read

    return decode_answers(entries, read)


def _judge(call: Call, answer: Answer) -> Verdict:
    from tickerplant.vendors.polygon.judge import judge

    return judge(call, answer)


def _follow(call: Call, answer: Answer) -> Call | None:
    from tickerplant.vendors.polygon.envelope import following

    return following(call, answer.body)


def _server() -> RestServer:
    from tickerplant.vendors.polygon.rest_server import SERVER

    return SERVER


VENDOR = Vendor(
    name="polygon",
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
    ),
)

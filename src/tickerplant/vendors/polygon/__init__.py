"""Polygon.io, renamed Massive: history, reference data, snapshots and flat files of US equities, without I/O."""

from __future__ import annotations

from collections.abc import Sequence

from tickerplant.model import Credentials, Decoded, Entry, Vendor
from tickerplant.rest import Answer, Call, Files, Get, Rest, RestServer, Sign, Verdict
from tickerplant.vendors.polygon.endpoints import ENDPOINTS, FILE_MINUTES, FLAT, HOSTS, LIMITS, published, sign
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


def _sign_file(get: Get, credentials: Credentials) -> Sign:
    from tickerplant.vendors.polygon.flat_sign import sign_get

    return sign_get(get, credentials)


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
        files=Files(FLAT, _sign_file, published, FILE_MINUTES),
    ),
)

"""The signature of a request for a flat file: AWS Signature Version 4 over headers, a pure function of the time.

The key pair is one of its own (the dashboard's "S3 access key"), not the key of the API. Source:
https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import quote, unquote

from tickerplant.credentials import Credentials
from tickerplant.rest import Call, Get, Sign

REGION, SERVICE = "us-east-1", "s3"
EMPTY = hashlib.sha256(b"").hexdigest()
_ALGORITHM, _TERMINATOR = "AWS4-HMAC-SHA256", "aws4_request"


def sign_file(call: Call, credentials: Credentials, host: str, at: datetime) -> Sign:
    """Headers for a GET of a flat file at a moment; `host` is that of the address, with its port."""
    return Sign(headers=tuple(headers(call.path, credentials, host, at).items()))


def sign_get(get: Get, credentials: Credentials) -> Sign:
    """The headers of a GET, its own included, all of them signed."""
    made = headers(get.path, credentials, get.host, get.at, dict(get.headers), get.params)
    return Sign(headers=tuple(made.items()))


def headers(
    path: str,
    credentials: Credentials,
    host: str,
    at: datetime,
    extra: dict[str, str] | None = None,
    params: Sequence[tuple[str, str]] = (),
    method: str = "GET",
) -> dict[str, str]:
    """The signed headers of a request without a body; `extra` are signed too. Names in lower case."""
    moment = at.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    own = {"host": host, "x-amz-content-sha256": EMPTY, "x-amz-date": moment}
    signed = {**own, **(extra or {})}
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{' '.join(signed[name].split())}\n" for name in sorted(signed))
    content = signed["x-amz-content-sha256"]
    request = "\n".join((method, quote(unquote(path), safe="/-_.~"), query(params), lines, names, content))
    scope = f"{moment[:8]}/{REGION}/{SERVICE}/{_TERMINATOR}"
    text = "\n".join((_ALGORITHM, moment, scope, hashlib.sha256(request.encode()).hexdigest()))
    signature = _hmac(_key(credentials.secret.reveal(), moment[:8]), text).hex()
    authorization = f"{_ALGORITHM} Credential={credentials.key}/{scope},SignedHeaders={names},Signature={signature}"
    return {**{k: v for k, v in signed.items() if k != "host"}, "authorization": authorization}


def query(params: Sequence[tuple[str, str]]) -> str:
    """A query as it is signed and sent: sorted, everything but letters, digits and -_.~ escaped."""
    pairs = ((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in params)
    return "&".join(f"{k}={v}" for k, v in sorted(pairs))


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def _key(secret: str, day: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, REGION, SERVICE, _TERMINATOR):
        key = _hmac(key, part)
    return key

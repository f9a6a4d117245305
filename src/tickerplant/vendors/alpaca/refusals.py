"""What the vendor refuses, classed: the error codes of the stream. HTTP statuses are classed in `net/websocket.py`.

Source: https://docs.alpaca.markets/docs/streaming-market-data, captured 2026-01-26; 411 from
https://github.com/alpacahq/alpaca-trade-api-go (marketdata/stream/errors.go).
"""

from __future__ import annotations

from tickerplant.errors import Fatal, RequestFailed, Retryable, SlowRetry, TickerplantError
from tickerplant.model import Credentials

ALREADY_AUTHENTICATED = 403

_CODES: dict[int, tuple[type[TickerplantError], str]] = {
    400: (RequestFailed, "check the symbols: one with an invalid format is refused"),
    401: (Retryable, "connect again"),
    402: (Fatal, "check ALPACA_API_KEY and ALPACA_SECRET_KEY"),
    404: (Retryable, "connect again"),
    405: (RequestFailed, "ask for fewer symbols or use a plan that allows more"),
    406: (SlowRetry, "end the other connection of this key; one that dropped can hold its slot for a while"),
    407: (Retryable, "connect again; read faster or ask for fewer symbols if it comes back"),
    408: (Fatal, "ask Alpaca to enable market data v2 for this account"),
    409: (Fatal, "choose a feed of your plan, such as v2/iex, or change the plan"),
    410: (RequestFailed, "ask for channels that this feed has"),
    411: (Fatal, "use a token with the scope of market data"),
    500: (Retryable, "connect again"),
}
_SEVERITY = (Fatal, SlowRetry, Retryable, RequestFailed)


def refusal(code: int | None, said: str) -> TickerplantError:
    """The problem that an error message names. A code we do not know is Retryable."""
    kind, advice = _CODES.get(code or 0, (Retryable, "connect again; report this code if it stays"))
    return kind(f"alpaca: expected no error, was {code} {said!r}; do {advice}")


def severity(problem: TickerplantError) -> int:
    """The rank of a problem, 0 the worst."""
    return next((rank for rank, kind in enumerate(_SEVERITY) if isinstance(problem, kind)), len(_SEVERITY))


def without(credentials: Credentials, text: str) -> str:
    """`text` without key and secret, in case the vendor repeats them."""
    for word in (credentials.secret.reveal(), credentials.key):
        text = text.replace(word, "***") if word else text
    return text

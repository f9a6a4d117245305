"""REST over HTTP: each call through the account's allowance, with time-outs and back-off, judged by the vendor.

A secret is added just before sending and is taken out of what comes back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from random import Random
from ssl import SSLContext
from typing import Self

import httpx2
import structlog

from tickerplant.credentials import Credentials
from tickerplant.errors import Fatal, Retryable
from tickerplant.net.backoff import Curve
from tickerplant.net.limits import Limiter
from tickerplant.rest import LANDED, Answer, Call, Outcome, Rest, Verdict

log = structlog.get_logger()

_REDACTED = b"REDACTED"


class QuotaSpent(Retryable):
    """The allowance of the day is used up, or the wait for it is longer than the caller has patience."""


@dataclass(frozen=True)
class HttpOptions:
    """`tries` bounds the sending of one call; `patience_s` is the longest wait for the account's allowance."""

    timeout_s: float = 30.0
    tries: int = 6
    patience_s: float = 120.0
    parallel: int = 8
    backoff: Curve = Curve(0.5, 20.0)
    quota_pause_s: float = 3600.0


@dataclass
class Traffic:
    """What went over the wire. `repeats` are calls sent again."""

    calls: int = 0
    bytes: int = 0
    repeats: int = 0
    waited_s: float = 0.0


@cache
def _trusted() -> SSLContext:
    """The certificates that every client of this process trusts; reading them takes longer than a short answer."""
    return httpx2.create_ssl_context()


@dataclass
class RestClient:
    """Asks one vendor with one account. Used within `async with`; calls may run side by side."""

    vendor: str
    rest: Rest
    credentials: Credentials
    limiter: Limiter
    hosts: Mapping[str, str]
    options: HttpOptions = HttpOptions()
    traffic: Traffic = field(default_factory=Traffic)
    chance: Random = field(default_factory=Random)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    _http: httpx2.AsyncClient | None = None

    async def __aenter__(self) -> Self:
        limits = httpx2.Limits(max_connections=self.options.parallel)
        self._http = httpx2.AsyncClient(
            verify=_trusted(), timeout=self.options.timeout_s, limits=limits, follow_redirects=False
        )
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._http is not None:
            await self._http.aclose()

    async def ask(self, call: Call) -> tuple[Answer, Verdict]:
        """The answer to a call, of an outcome that is kept (rest.LANDED).

        Raises QuotaSpent when the allowance is used up, Fatal when the account is refused, Retryable when every try
        failed.
        """
        problem = ""
        for attempt in range(self.options.tries):
            if attempt:
                self.traffic.repeats += 1
            await self._allowance()
            answer, verdict = await self._try(call)
            if verdict.outcome in LANDED:
                return answer, verdict
            problem = await self._after(call, verdict, attempt)
        raise Retryable(f"{self.vendor} {call.path}: expected an answer in {self.options.tries} tries, was {problem}")

    async def _allowance(self) -> None:
        while (wait := self.limiter.take()) > 0:
            if wait > self.options.patience_s:
                raise QuotaSpent(f"{self.vendor}: expected an allowance now, was none for {wait:,.0f} s", wait)
            self.traffic.waited_s += wait
            await self.sleep(wait)

    async def _try(self, call: Call) -> tuple[Answer, Verdict]:
        try:
            answer = await self._send(call)
        except httpx2.HTTPError as error:
            return Answer(0, b"", {}), Verdict(
                Outcome.RETRY, _redacted(f"{type(error).__name__}: {error}", self._words())
            )
        finally:
            self.limiter.answered()
        verdict = self.rest.judge(call, answer)
        return answer, Verdict(verdict.outcome, _redacted(verdict.reason, self._words()), verdict.wait_s)

    async def _send(self, call: Call) -> Answer:
        if self._http is None:
            raise RuntimeError("RestClient: expected to be used within `async with`")
        sign = self.rest.sign(call, self.credentials)
        self.traffic.calls += 1
        response = await self._http.get(
            self.hosts[call.host].rstrip("/") + call.path,
            params=[*call.params, *sign.params] or None,
            headers=list(sign.headers),
        )
        self.traffic.bytes += len(response.content)
        body = response.content
        for word in self._words():
            body = body.replace(word.encode(), _REDACTED)
        return Answer(response.status_code, body, {k.lower(): v for k, v in response.headers.items()})

    async def _after(self, call: Call, verdict: Verdict, attempt: int) -> str:
        """Do what a refusal asks for; returns its text."""
        if verdict.outcome == Outcome.FATAL:
            raise Fatal(f"{self.vendor} {call.path}: expected to be let in, was {verdict.reason}; do check the key")
        if verdict.outcome == Outcome.QUOTA:
            self.limiter.block(verdict.wait_s or self.options.quota_pause_s, "the day's allowance is spent")
            raise QuotaSpent(f"{self.vendor}: expected an allowance, was {verdict.reason}", verdict.wait_s)
        wait = max(verdict.wait_s or 0.0, self.options.backoff.draw(attempt, self.chance))
        log.info("asked again", vendor=self.vendor, path=call.path, wait_s=round(wait, 2), reason=verdict.reason)
        if verdict.outcome == Outcome.WAIT:
            self.limiter.block(wait, verdict.reason)
        else:
            await self.sleep(wait)
        return verdict.reason

    def _words(self) -> tuple[str, ...]:
        """What must not be seen anywhere."""
        return tuple(w for w in (self.credentials.secret.reveal(), self.credentials.key) if len(w) > 3)


def _redacted(text: str, words: tuple[str, ...]) -> str:
    for word in words:
        text = text.replace(word, "REDACTED")
    return text

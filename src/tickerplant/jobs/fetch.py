"""Fetch: requests of a plan through one account, their answers landed raw in the log. Nothing is parsed here.

A chain is one request with all its pages. Killed anywhere, the next run finds in `coverage` which chains are complete
and where the others stopped, so that no answer that was landed is asked for again. One symbol's failure stops nobody:
a refused request of several symbols is divided until the one at fault stands alone.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from threading import Event
from typing import TypeAlias

import structlog

from tickerplant.clock import now_ns
from tickerplant.errors import BadData, Fatal, Retryable
from tickerplant.jobs.entitlement import Entitlement
from tickerplant.model import Kind, LogWriter
from tickerplant.net.http import QuotaSpent, RestClient
from tickerplant.rest import Answer, Ask, Asked, Call, Endpoint, Outcome, Verdict, encode_asked

log = structlog.get_logger()


@dataclass(frozen=True)
class Todo:
    """A chain to ask for, or to go on with: `call` is its next page."""

    call: Call
    ask: Ask | None = None
    endpoint: Endpoint | None = None
    chain: str = field(default_factory=lambda: secrets.token_hex(8))


@dataclass(frozen=True)
class Failure:
    """A request that came to nothing."""

    symbols: tuple[str, ...]
    reason: str
    outcome: str = Outcome.RETRY.value


@dataclass
class Fetched:
    """What a run did. `outcome`: done, failed (some requests), stopped, quota."""

    chains: int = 0
    landed: int = 0
    failures: list[Failure] = field(default_factory=list)
    outcome: str = "done"
    retry_after_s: float | None = None

    @property
    def is_complete(self) -> bool:
        """Whether every request was answered."""
        return self.outcome == "done" and not self.failures


def together(first: Fetched, second: Fetched) -> Fetched:
    """Two runs as one; the outcome is that of the one that went worse, the second's if both went ill."""
    return Fetched(
        first.chains + second.chains,
        first.landed + second.landed,
        first.failures + second.failures,
        first.outcome if second.outcome == "done" else second.outcome,
        second.retry_after_s or first.retry_after_s,
    )


Page: TypeAlias = tuple[Todo, Call, Answer, Verdict]


def todo_of(endpoint: Endpoint, asks: Iterable[Ask]) -> list[Todo]:
    """New chains for what is to be asked."""
    return [Todo(endpoint.call(ask), ask, endpoint) for ask in asks]


@dataclass
class _Fetch:
    """One run: workers take chains from `queue` until it is empty or something ends the run."""

    client: RestClient
    writer: LogWriter
    queue: list[Todo]
    stop: Event
    report: Callable[[Fetched], None]
    plan: Entitlement
    is_whole: bool = False
    clock: Callable[[], int] = now_ns
    done: Fetched = field(default_factory=Fetched)
    fatal: Fatal | None = None

    async def run(self) -> Fetched:
        async with self.client, asyncio.TaskGroup() as workers:
            for _ in range(self.client.options.parallel):
                workers.create_task(self._work())
        if self.fatal is not None:
            raise self.fatal
        if self.done.outcome == "done" and self.done.failures:
            self.done.outcome = "failed"
        return self.done

    @property
    def _is_over(self) -> bool:
        if self.stop.is_set() and self.done.outcome == "done":
            self.done.outcome = "stopped"
        return self.fatal is not None or self.done.outcome != "done"

    async def _work(self) -> None:
        while self.queue and not self._is_over:
            todo = self.queue.pop()
            try:
                await self._chain(todo)
            except QuotaSpent as spent:
                self.done.outcome, self.done.retry_after_s = "quota", spent.retry_after
                log.info("quota spent", vendor=self.client.vendor, problem=str(spent))
            except Fatal as error:
                self.fatal = error
            except (Retryable, BadData) as error:
                self._failed(todo, str(error))

    async def _chain(self, todo: Todo) -> None:
        """Ask for page after page until there is none, or the run is over."""
        call: Call | None = todo.call
        held: list[Page] = []
        while call is not None and not self._is_over:
            answer, verdict = await self.plan.ask(self.client, call)
            if verdict.outcome == Outcome.BAD_REQUEST and todo.ask is not None and len(todo.ask.symbols) > 1:
                self._divide(todo)
                return
            following = self._next(call, answer, verdict)
            held.append((todo, call, answer, verdict))
            if following is None or not self.is_whole:
                self._land(held)
            call = following
        if call is None:
            self.done.chains += 1
            self.report(self.done)

    def _next(self, call: Call, answer: Answer, verdict: Verdict) -> Call | None:
        if verdict.outcome != Outcome.ROWS:
            return None
        following = self.client.rest.follow(call, answer)
        if following is not None and (following.path, following.params) == (call.path, call.params):
            raise BadData(f"{self.client.vendor} {call.path}: expected another page, was the same again")
        return following

    def _land(self, held: list[Page]) -> None:
        """Append pages to the log, one after the other, and forget them."""
        for todo, call, answer, verdict in held:
            asked = Asked(call=call, chain=todo.chain, status=answer.status, outcome=verdict.outcome.value)
            self.writer.append(Kind.RESPONSE, self.clock(), answer.body, encode_asked(asked))
            self.done.landed += 1
            if verdict.outcome not in (Outcome.ROWS, Outcome.NO_DATA):
                self._failed(todo, verdict.reason, verdict.outcome)
        held.clear()

    def _divide(self, todo: Todo) -> None:
        """Ask for each half of the symbols of a refused request."""
        assert todo.ask is not None
        assert todo.endpoint is not None
        symbols, middle = todo.ask.symbols, len(todo.ask.symbols) // 2
        halves = [replace(todo.ask, symbols=part) for part in (symbols[:middle], symbols[middle:])]
        self.queue += todo_of(todo.endpoint, halves)

    def _failed(self, todo: Todo, reason: str, outcome: Outcome = Outcome.RETRY) -> None:
        self.done.failures.append(Failure(todo.call.symbols, reason, outcome.value))
        log.warning("request failed", vendor=self.client.vendor, symbols=todo.call.symbols[:3], problem=reason)


def fetch(
    client: RestClient,
    writer: LogWriter,
    todos: Iterable[Todo],
    *,
    stop: Event | None = None,
    report: Callable[[Fetched], None] = lambda fetched: None,
    plan: Entitlement | None = None,
    is_whole: bool = False,
    clock: Callable[[], int] = now_ns,
) -> Fetched:
    """Ask for all chains, the first ones first, and land every answer. On return they are on disk.

    With `is_whole` the pages of a chain are landed together, once there is no next one: they stand one after the other
    in the log, and a chain that was cut short is not there at all. `clock` is the receipt in nanoseconds.

    A spent quota or `stop` ends the run between two pages with what was landed until then. Raises Fatal when the
    account is refused; what was landed before stays. `plan` is what is known of the account's plan.
    """
    waiting = list(reversed(list(todos)))
    run = _Fetch(client, writer, waiting, stop or Event(), report, plan or Entitlement(), is_whole, clock)
    try:
        return asyncio.run(run.run())
    finally:
        writer.sync()

"""Inside a task: run a command, give its lines to the task's log, turn its exit code into what Airflow should do."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from threading import Event, Thread
from types import FrameType
from typing import Any

from tickerplant.dags.parts.connections import CONNECTIONS, Facts, environment
from tickerplant.dags.parts.outcome import level_of, message_of, tail_of
from tickerplant.errors import UsageError
from tickerplant.jobs.child import Done, perform
from tickerplant.jobs.supervise import next_wait

log = logging.getLogger(__name__)

_OUTPUT_BYTES = 20_000


def command(arguments: Sequence[str], beside: Sequence[Sequence[str]] = ()) -> str:
    """Run a command to its end and return its stdout; commands `beside` it are kept running meanwhile, and told to
    end when it has ended.

    Raises AirflowException (to be retried) or, for a wrong command or setting, AirflowFailException.
    """
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    with settled():
        own = surroundings()
    with _stopping() as stop, ExitStack() as others:
        for line in beside:
            others.enter_context(_kept_running(line, own))
        done = perform(arguments, own, say(), stop)
    log.info("%s: exit code %d after %.1f s", arguments[0], done.code, done.seconds)
    if done.code == 2:
        raise AirflowFailException(message_of(arguments, done))
    if done.code != 0 or stop.is_set():
        raise AirflowException(message_of(arguments, done))
    return done.output


def brief(output: str) -> str:
    """What is kept of an output as the task's result: its last line, when it is short."""
    return tail_of(output, _OUTPUT_BYTES)


@contextmanager
def settled() -> Iterator[None]:
    """What is wrong in a Variable, a Connection or a run's conf fails the task at once: no retry mends it."""
    from airflow.sdk.exceptions import AirflowFailException

    try:
        yield
    except UsageError as error:
        raise AirflowFailException(str(error)) from None


def refuse(problems: Sequence[str]) -> None:
    """Raise AirflowException when there are problems, after a line in the log for each."""
    from airflow.sdk.exceptions import AirflowException

    for problem in problems:
        log.error("%s", problem)
    if problems:
        raise AirflowException(f"expected no problem, was {len(problems)}: {problems[0]}")


def say() -> Callable[[str], None]:
    """Write a child's line to the task's log, at its own level."""
    return lambda line: log.log(level_of(line), "%s", line)


def surroundings() -> dict[str, str]:
    """Settings that Airflow's Connections and the Variable `tickerplant_settings` give."""
    from airflow.sdk import Variable

    return environment(
        {name: facts for name in CONNECTIONS if (facts := _connection(name)) is not None},
        Variable.get("tickerplant_settings", default={}, deserialize_json=True),
    )


def variable(name: str) -> Mapping[str, Any]:
    """A Variable that holds a JSON object; empty when there is none."""
    from airflow.sdk import Variable

    return Variable.get(name, default={}, deserialize_json=True) or {}


def _connection(name: str) -> Facts | None:
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        c = Connection.get(name)
    except AirflowNotFoundException:
        return None
    return Facts(c.login or "", c.password or "", c.host or "", c.port, c.schema or "", c.extra_dejson)


@contextmanager
def _stopping() -> Iterator[Event]:
    """An event that Airflow's SIGTERM sets, beside what Airflow itself does then."""
    stop = Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = signal.getsignal(signal.SIGTERM)

    def told(number: int, frame: FrameType | None) -> None:
        stop.set()
        if callable(before):
            before(number, frame)

    signal.signal(signal.SIGTERM, told)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _kept_running(arguments: Sequence[str], own: Mapping[str, str]) -> Iterator[None]:
    """A command that is started again whenever it ends early, until the block ends."""
    over = Event()

    def run() -> None:
        wait = 0.0
        while not over.is_set():
            done: Done = perform(arguments, own, say(), over)
            if not over.is_set():
                wait = next_wait(wait, done.seconds)
                log.warning("%s ended early with %d, again in %.1f s", arguments[0], done.code, wait)
                over.wait(wait)

    thread = Thread(target=run, name=arguments[0])
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()

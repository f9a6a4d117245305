"""Rate limits: no window of the vendor's, wherever it begins, holds more calls than it may."""

from __future__ import annotations

import multiprocessing
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickerplant.credentials import Credentials, Secret
from tickerplant.net.limits import Limiter, account_name
from tickerplant.rest import RateLimit

DAY = 86_400.0


class Clock:
    """A clock that a test moves."""

    def __init__(self, at: float = 1_763_700_000.0) -> None:
        self.at = at

    def __call__(self) -> float:
        return self.at


def most_in_any(times: list[float], seconds: float) -> int:
    """The largest number of calls in any half-open window of so many seconds."""
    return max((sum(t <= u < t + seconds for u in times) for t in times), default=0)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0.0, 0.01, 0.4, 3.0, 61.0, 4000.0]), st.booleans()), max_size=120),
    st.sampled_from([(5, 60.0), (1, 1.5), (3, 10.0)]),
)
def test_no_window_ever_holds_more_than_allowed_across_restarts(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[float, bool]], limit: tuple[int, float]
) -> None:
    path, clock = tmp_path_factory.mktemp("limits") / "limits.sqlite", Clock()
    limits = (RateLimit(*limit), RateLimit(25, DAY))
    limiter, sent = Limiter(path, "a", limits, clock), []
    for seconds, is_restart in steps:
        clock.at += seconds
        if is_restart:
            limiter.close()
            limiter = Limiter(path, "a", limits, clock)
        if limiter.take() == 0:
            sent.append(clock.at)
    limiter.close()
    for rate in limits:
        assert most_in_any(sent, rate.seconds) <= rate.calls


def test_the_wait_it_names_is_enough_and_not_much_more(tmp_path: Path) -> None:
    clock = Clock()
    limiter = Limiter(tmp_path / "l", "a", [RateLimit(2, 10.0)], clock)
    assert [limiter.take(), limiter.take()] == [0, 0]
    wait = limiter.take()
    assert 10.0 <= wait <= 10.0 + 10.0 / 50
    clock.at += wait
    assert limiter.take() == 0
    limiter.close()


def test_quirk_25_the_day_counter_survives_restarts_and_is_no_calendar_day(tmp_path: Path) -> None:
    clock = Clock()
    for _ in range(25):
        limiter = Limiter(tmp_path / "l", "a", [RateLimit(25, DAY)], clock)
        assert limiter.take() == 0
        limiter.close()
        clock.at += 60
    limiter = Limiter(tmp_path / "l", "a", [RateLimit(25, DAY)], clock)
    assert DAY - 25 * 60 <= limiter.take() <= DAY - 25 * 60 + DAY / 50
    assert limiter.used(limiter.limits[0]) == 25
    limiter.close()


def test_a_call_on_its_way_counts_as_now_and_from_its_answer_on(tmp_path: Path) -> None:
    clock = Clock()
    limiter = Limiter(tmp_path / "l", "a", [RateLimit(1, 10.0)], clock, flight_s=30.0)
    other = Limiter(tmp_path / "l", "a", [RateLimit(1, 10.0)], clock, flight_s=30.0)
    assert limiter.take() == 0
    clock.at += 25
    assert other.take() == 10, "it may arrive at any moment"
    limiter.answered()
    assert 10 <= other.take() <= 10.2
    clock.at += 10.2
    assert other.take() == 0
    limiter.close()
    other.close()


def test_the_call_of_a_killed_process_counts_one_time_out_later(tmp_path: Path) -> None:
    clock = Clock()
    killed = Limiter(tmp_path / "l", "a", [RateLimit(1, 10.0)], clock, flight_s=30.0)
    killed.take()
    killed.close()
    again = Limiter(tmp_path / "l", "a", [RateLimit(1, 10.0)], clock, flight_s=30.0)
    clock.at += 39
    assert again.take() == pytest.approx(1.0)
    clock.at += 1
    assert again.take() == 0
    again.close()


def test_accounts_do_not_share_and_a_block_holds_for_everybody_of_one(tmp_path: Path) -> None:
    clock = Clock()
    one, again, other = (Limiter(tmp_path / "l", name, [RateLimit(9, 1.0)], clock) for name in ("a", "a", "b"))
    one.block(30.0, "the vendor said so")
    one.block(5.0, "a shorter one changes nothing")
    assert again.take() == pytest.approx(30.0)
    assert other.take() == 0
    clock.at += 30
    assert again.take() == 0
    for limiter in (one, again, other):
        limiter.close()


def test_the_file_does_not_hold_the_key(tmp_path: Path) -> None:
    name = account_name("alpaca", Credentials("PKTESTKEY12345", Secret("very-secret-value")))
    limiter = Limiter(tmp_path / "l", name, [RateLimit(9, 1.0)])
    limiter.take()
    limiter.close()
    held = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    assert b"alpaca:" in held
    assert b"PKTESTKEY" not in held
    assert b"very-secret" not in held


def _spend(path: Path, barrier: Barrier, taken: multiprocessing.Queue[float], moment: float) -> None:
    limiter = Limiter(path, "a", [RateLimit(40, 60.0)], lambda: moment)
    barrier.wait()
    for _ in range(40):
        if limiter.take() == 0:
            taken.put(moment)
    limiter.close()


def test_three_processes_at_once_share_one_allowance(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, taken = context.Barrier(3), context.Queue()
    workers = [context.Process(target=_spend, args=(tmp_path / "l", barrier, taken, 1_763_700_000.0)) for _ in range(3)]
    for worker in workers:
        worker.start()
    times = [taken.get(timeout=60) for _ in range(40)]
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert len(times) == 40
    assert taken.empty()
    taken.close()
    taken.join_thread()


def test_a_file_that_another_process_is_making_is_waited_for(tmp_path: Path) -> None:
    """SQLite refuses at once, whatever its time-out, to turn a file to WAL that somebody writes."""
    other = sqlite3.connect(tmp_path / "l", isolation_level=None, check_same_thread=False)
    other.execute("begin immediate")
    other.execute("create table sent (account text, at real, calls integer, primary key (account, at)) without rowid")
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(Limiter, tmp_path / "l", "a", [RateLimit(2, 10.0)])
        with pytest.raises(TimeoutError):
            opening.result(0.2)
        other.execute("commit")
        other.close()
        limiter = opening.result(20)
    assert limiter.take() == 0
    limiter.close()

from __future__ import annotations

from random import Random

import pytest

from tickerplant.errors import Fatal, Retryable, SlowRetry
from tickerplant.net.backoff import Backoff, BackoffOptions
from tickerplant.net.websocket import handshake_problem, public_url, receipts, retry_after_s


def waits(count: int, problem: Exception, seed: int = 1) -> list[float]:
    backoff = Backoff(chance=Random(seed))
    return [backoff.failed(0.0, problem) for _ in range(count)]


def test_quick_waits_are_full_jitter_below_a_doubling_cap() -> None:
    many = [waits(10, Retryable("x"), seed) for seed in range(300)]
    for attempt in range(10):
        drawn = [w[attempt] for w in many]
        cap = min(30.0, 0.5 * 2**attempt)
        assert max(drawn) <= cap
        assert min(drawn) < 0.05 * cap
        assert 0.4 * cap < sum(drawn) / len(drawn) < 0.6 * cap


def test_slow_waits_keep_half_of_their_cap_and_reach_a_minute() -> None:
    found = waits(12, SlowRetry("406"))
    for attempt, wait in enumerate(found):
        cap = min(60.0, 2.0 * 2**attempt)
        assert cap / 2 <= wait <= cap


def test_same_seed_gives_the_same_waits() -> None:
    assert waits(5, Retryable("x"), 7) == waits(5, Retryable("x"), 7) != waits(5, Retryable("x"), 8)


def test_retry_after_is_a_floor() -> None:
    backoff = Backoff(chance=Random(1))
    assert backoff.failed(100.0, SlowRetry("429", retry_after=45.0)) == 45.0
    assert backoff.next_at == 145.0


def test_connects_are_never_closer_than_the_least_distance() -> None:
    backoff = Backoff(BackoffOptions(min_distance_s=1.0), Random(1))
    backoff.started(10.0)
    backoff.lost(10.1, live_s=0.05, data=True)
    assert backoff.next_at >= 11.0


@pytest.mark.parametrize(
    ("live_s", "data", "attempts"), [(0.1, False, 6), (9.9, False, 6), (10.0, False, 1), (0.1, True, 1)]
)
def test_only_data_or_ten_seconds_of_health_start_over(live_s: float, data: bool, attempts: int) -> None:
    backoff = Backoff(chance=Random(1))
    for _ in range(5):
        backoff.failed(0.0, Retryable("x"))
    backoff.lost(0.0, live_s=live_s, data=data)
    assert backoff.attempts == attempts


@pytest.mark.parametrize(
    ("status", "kind"), [(429, SlowRetry), (401, Fatal), (403, Fatal), (404, Fatal), (500, Retryable), (503, Retryable),
                         (302, Retryable)]
)  # fmt: skip
def test_handshake_statuses_are_classed(status: int, kind: type[Exception]) -> None:
    assert type(handshake_problem("websocket ws://h/p", status, {})) is kind


def test_retry_after_is_read_as_seconds_and_as_a_date() -> None:
    assert retry_after_s("7") == 7.0
    assert retry_after_s("Fri, 20 Nov 2026 15:00:30 GMT", now=1795186800.0) == 30.0
    assert retry_after_s("Fri, 20 Nov 2026 14:00:00 GMT", now=1795186800.0) == 0.0
    assert [retry_after_s(v) for v in (None, "soon", "nan", "inf")] == [None, None, None, None]
    problem = handshake_problem("w", 429, {"Retry-After": "3"})
    assert isinstance(problem, SlowRetry)
    assert problem.retry_after == 3.0


def test_public_url_holds_no_secret() -> None:
    assert public_url("wss://user:pass@host.example:444/v2/sip?token=abc#x") == "wss://host.example:444/v2/sip"
    assert public_url("ws://[::1]:9/v2/sip") == "ws://[::1]:9/v2/sip"


def test_receipts_grow_by_a_microsecond_also_when_the_clock_does_not() -> None:
    times = iter([5_000, 5_000, 5_999, 9_000, 1_000])
    stamp = receipts(lambda: next(times))
    assert [stamp() for _ in range(5)] == [5_000, 6_000, 7_000, 9_000, 10_000]
    assert receipts(lambda: 0, after=70_000)() == 71_000

"""The plan of a fetch: every hole in exactly one request, by the endpoint that needs the fewest."""

from __future__ import annotations

from collections import Counter
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickerplant.calendar import sessions
from tickerplant.errors import UsageError
from tickerplant.jobs.coverage import Coverage, Dataset, Reason, span
from tickerplant.jobs.plan import cost, plans
from tickerplant.rest import Ask, Call, Endpoint, Outcome, RateLimit, Rest, RestServer, Shape, Sign, Verdict

DAYS = tuple(sessions(date(2025, 1, 2), date(2025, 3, 20)))
DAILY = Dataset("v", "daily_bars")


def _call(ask: Ask) -> Call:
    return Call(endpoint="e", table=ask.table, path="/", symbols=ask.symbols, start=ask.start, end=ask.end)


def _no_server() -> RestServer:
    raise NotImplementedError


def rest(*endpoints: Endpoint) -> Rest:
    return Rest(
        {"data": "http://x"},
        endpoints,
        {"free": (RateLimit(5, 60.0),)},
        lambda call, credentials: Sign(),
        lambda call, answer: Verdict(Outcome.ROWS),
        lambda call, answer: None,
        _no_server,
    )


def endpoint(name: str, shape: Shape, rows: int = 1000, symbols: int = 1, max_days: int | None = None) -> Endpoint:
    return Endpoint(name, ("daily_bars",), shape, _call, rows, symbols, max_days)


GROUPED = endpoint("grouped", "day")
RANGE = endpoint("range", "symbol")
MULTI = endpoint("multi", "symbols", rows=100, symbols=10)


def missing(cells: list[list[bool]]) -> Coverage:
    holes = np.array(cells, bool)
    symbols = tuple(f"S{i}" for i in range(holes.shape[0]))
    values = np.where(holes, Reason.NOT_FETCHED, Reason.PRESENT).astype(np.uint8)
    return Coverage(DAILY, symbols, DAYS[: holes.shape[1]], values)


def covered(asks: tuple[Ask, ...], found: Coverage) -> Counter[tuple[str, int]]:
    """How often each cell is asked for."""
    times: Counter[tuple[str, int]] = Counter()
    for ask in asks:
        for column, day in enumerate(found.sessions):
            a, b = span(day, False)
            if ask.start <= a and b <= ask.end:
                times.update((s, column) for s in (found.symbols if ask.symbols == ("*",) else ask.symbols))
    return times


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 12).flatmap(
        lambda n: st.lists(st.lists(st.booleans(), min_size=n, max_size=n), min_size=1, max_size=14)
    ),
    st.sampled_from([RANGE, MULTI, endpoint("short", "symbols", symbols=3, max_days=3)]),
)
def test_every_hole_is_asked_for_exactly_once_and_nothing_else(cells: list[list[bool]], chosen: Endpoint) -> None:
    found = missing(cells)
    (plan,) = plans(rest(chosen), found)
    wanted = {(s, c) for r, s in enumerate(found.symbols) for c in range(len(found.sessions)) if cells[r][c]}
    assert covered(plan.asks, found) == Counter(dict.fromkeys(wanted, 1))
    assert all(len(a.symbols) <= chosen.symbols_per_call for a in plan.asks)
    assert plan.pages >= len(plan.asks)


def test_grouped_wins_when_many_symbols_miss_few_days_and_loses_when_few_miss_many() -> None:
    both = rest(GROUPED, RANGE)
    wide, long = missing([[True, True]] * 50), missing([[True] * 40] * 3)
    assert [(p.endpoint.name, p.pages) for p in plans(both, wide)] == [("grouped", 2), ("range", 50)]
    assert [(p.endpoint.name, p.pages) for p in plans(both, long)] == [("range", 3), ("grouped", 40)]


def test_of_two_that_cost_the_same_the_narrower_is_taken() -> None:
    assert [p.endpoint.name for p in plans(rest(GROUPED, RANGE), missing([[True]]))] == ["range", "grouped"]


def test_pages_are_counted_by_rows() -> None:
    (plan,) = plans(rest(MULTI), missing([[True] * 50] * 10))
    assert (plan.first_calls, plan.pages) == (1, 5)


def test_nothing_missing_is_no_request() -> None:
    (plan,) = plans(rest(GROUPED), missing([[False, False]]))
    assert plan.asks == ()


def test_cost_counts_minutes_and_quota_days() -> None:
    (plan,) = plans(rest(RANGE), missing([[True]] * 100))
    spent = cost(plan, (RateLimit(5, 60.0), RateLimit(25, 86_400.0)), 8)
    assert (spent.calls, spent.minutes, spent.quota_days) == (100, 20.0, 4.0)


def test_an_endpoint_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match=r"expected v to have daily_bars through nope, was grouped, range"):
        plans(rest(GROUPED, RANGE), missing([[True]]), endpoint="nope")

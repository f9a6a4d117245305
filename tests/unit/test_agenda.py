from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tickerplant.calendar import NEW_YORK, UTC, session
from tickerplant.jobs import agenda
from tickerplant.jobs.agenda import Done, Errand, Work

WORK = Work(("daily_bars", "splits"), ("AAPL",), ("quotes", "trades"), date(2020, 1, 2))
EVENING = ("maintain", "fetch daily_bars", "fetch splits", "transform", "retention")


def new_york(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).astimezone(UTC)


def done(*names: tuple[str, str], at: datetime) -> dict[tuple[str, str], Done]:
    return {
        name: Done(at + timedelta(minutes=n), at + timedelta(minutes=n, seconds=50)) for n, name in enumerate(names)
    }


def of_key(found: list[Errand], key: str) -> list[str]:
    return [e.what for e in found if e.key == key]


@pytest.mark.parametrize(
    ("day", "begin", "end"),
    [
        ("2024-11-01", "2024-11-01T03:59", "2024-11-01T20:00"),
        ("2024-11-04", "2024-11-04T03:59", "2024-11-04T20:00"),
        ("2024-11-29", "2024-11-29T03:59", "2024-11-29T17:00"),
        ("2024-12-24", "2024-12-24T03:59", "2024-12-24T17:00"),
        ("2025-03-10", "2025-03-10T03:59", "2025-03-10T20:00"),
    ],
)
def test_a_capture_begins_a_minute_before_pre_market_and_ends_with_after_hours(day: str, begin: str, end: str) -> None:
    window = new_york(begin), new_york(end)
    assert agenda.capture_window(new_york(f"{day}T03:00")) == window
    assert not agenda.is_open(window[0] - timedelta(microseconds=1))
    assert agenda.is_open(window[0])
    assert agenda.is_open(window[1] - timedelta(microseconds=1))
    assert not agenda.is_open(window[1])


def test_the_clock_of_new_york_changes_and_the_market_opens_at_four_all_the_same() -> None:
    before, after = (
        agenda.capture_window(new_york("2024-11-01T03:00")),
        agenda.capture_window(new_york("2024-11-02T12:00")),
    )
    assert (before[0].hour, before[0].minute) == (7, 59)
    assert (after[0].day, after[0].hour, after[0].minute) == (4, 8, 59)


@pytest.mark.parametrize("closed", ["2024-11-28T12:00", "2024-12-25T12:00", "2024-11-30T10:00", "2025-01-09T12:00"])
def test_nothing_is_captured_on_a_day_without_a_session(closed: str) -> None:
    assert not agenda.is_open(new_york(closed))


def test_an_evening_has_its_order_and_begins_when_after_hours_end() -> None:
    assert of_key(agenda.pending(WORK, {}, new_york("2024-11-27T19:59")), "2024-11-27") == []
    assert of_key(agenda.pending(WORK, {}, new_york("2024-11-27T20:00")), "2024-11-27") == list(EVENING)
    assert of_key(agenda.pending(WORK, {}, new_york("2024-11-29T17:00")), "2024-11-29") == list(EVENING)


def test_what_is_done_is_not_pending_and_a_missed_evening_is_made_good_by_the_next_one() -> None:
    at = new_york("2024-11-26T20:01")
    ledger = done(*((what, "2024-11-26") for what in EVENING), ("recheck daily_bars", "2024-W47"), at=at)
    ledger |= done(("recheck splits", "2024-W47"), ("transform", "2024-W47"), at=at + timedelta(hours=1))
    assert agenda.pending(WORK, ledger, new_york("2024-11-27T12:00")) == []
    found = agenda.pending(WORK, ledger, new_york("2024-12-03T12:00"))
    assert of_key(found, "2024-12-02") == list(EVENING)
    assert of_key(found, "2024-11-27") == of_key(found, "2024-11-29") == []
    fetch = next(e for e in found if e.what == "fetch daily_bars")
    start, end = (fetch.arguments[fetch.arguments.index(option) + 1] for option in ("--start", "--end"))
    assert start <= "2024-11-26"
    assert end == "2024-12-03"


def test_a_fetch_that_came_late_has_the_marts_built_again() -> None:
    at, key = new_york("2024-11-26T20:01"), "2024-11-26"
    ledger = done(*((what, key) for what in EVENING), at=at)
    assert of_key(agenda.pending(WORK, ledger, at + timedelta(hours=2)), key) == []
    late = at + timedelta(hours=1)
    ledger["fetch splits", key] = Done(late, late + timedelta(seconds=9))
    assert of_key(agenda.pending(WORK, ledger, at + timedelta(hours=2)), key) == ["transform", "retention"]


def test_missed_sessions_are_asked_for_table_by_table_before_the_marts() -> None:
    missed = [("quotes", date(2024, 11, 25)), ("trades", date(2024, 11, 25))]
    found = agenda.pending(WORK, {}, new_york("2024-11-27T20:00"), missed)
    names = of_key(found, "2024-11-27")
    assert names[1:3] == ["missed quotes 2024-11-25", "missed trades 2024-11-25"]
    assert names.index("transform") > 2
    assert found[1].arguments[:4] == ("fetch", "AAPL", "--table", "quotes")
    assert found[1].arguments[4:8] == ("--start", "2024-11-25", "--end", "2024-11-26")


def test_the_history_is_asked_for_again_once_a_week() -> None:
    def weekly(at: str) -> list[Errand]:
        return [e for e in agenda.pending(WORK, {}, new_york(at)) if "-W" in e.key]

    assert {e.key for e in weekly("2024-11-30T09:59")} == {"2024-W47"}
    now = weekly("2024-11-30T10:00")
    assert [e.what for e in now] == ["recheck daily_bars", "recheck splits", "transform"]
    assert {e.key for e in now} == {"2024-W48"}
    assert now[0].arguments[-2:] == ("--recheck", "2024-11-30T15:00:00+00:00")
    assert now[0].arguments[now[0].arguments.index("--start") + 1] == "2020-01-02"
    assert {e.key for e in weekly("2024-12-06T23:00")} == {"2024-W48"}


def test_before_the_history_begins_there_is_none_to_ask_for_again() -> None:
    young = replace(WORK, history=date(2024, 11, 25))
    assert not [e for e in agenda.pending(young, {}, new_york("2024-11-29T12:00")) if "-W" in e.key]
    assert [e for e in agenda.pending(young, {}, new_york("2024-11-30T12:00")) if "-W" in e.key]


MOMENTS = st.integers(0, 3 * 365 * 24 * 60).map(lambda m: datetime(2023, 1, 3, tzinfo=UTC) + timedelta(minutes=m))


def _worked_off(now: datetime) -> Iterator[list[Errand]]:
    """Do what is pending, the first one each time, until nothing is."""
    ledger: dict[tuple[str, str], Done] = {}
    at = now
    while found := agenda.pending(WORK, ledger, now):
        yield found
        ledger[found[0].name] = Done(at, at + timedelta(seconds=30))
        at += timedelta(seconds=31)


@settings(max_examples=60, deadline=None)
@given(MOMENTS)
def test_doing_what_is_pending_ends_and_does_each_errand_once(now: datetime) -> None:
    steps = list(_worked_off(now))
    names = [found[0].name for found in steps]
    assert len(names) == len(set(names)) == len(EVENING) + 3


@settings(max_examples=100, deadline=None)
@given(MOMENTS)
def test_the_next_event_is_to_come_and_a_capture_runs_only_in_a_session(now: datetime) -> None:
    at, _ = agenda.next_event(now)
    assert at > now
    if agenda.is_open(now):
        found = session((now + agenda.LEAD).astimezone(NEW_YORK).date())
        assert found is not None
        assert found.pre_open - agenda.LEAD <= now < found.post_close

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest

from tickerplant.calendar import NEW_YORK, next_session, session, session_at, sessions

HOLIDAYS = """
    2024-01-01 2024-01-15 2024-02-19 2024-03-29 2024-05-27 2024-06-19 2024-07-04 2024-09-02 2024-11-28 2024-12-25
    2025-01-01 2025-01-20 2025-02-17 2025-04-18 2025-05-26 2025-06-19 2025-07-04 2025-09-01 2025-11-27 2025-12-25
    2026-01-01 2026-01-19 2026-02-16 2026-04-03 2026-05-25 2026-06-19 2026-07-03 2026-09-07 2026-11-26 2026-12-25
""".split()  # noqa: SIM905
UNSCHEDULED = """
    2018-12-05 2025-01-09 2012-10-29 2012-10-30 2007-01-02 2004-06-11 2001-09-11 2001-09-14
""".split()  # noqa: SIM905
EARLY = """
    2024-07-03 2024-11-29 2024-12-24 2025-07-03 2025-11-28 2025-12-24 2026-11-27 2026-12-24
""".split()  # noqa: SIM905


def new_york(day: str, clock: str) -> datetime:
    return datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=NEW_YORK)


@pytest.mark.parametrize("day", [*HOLIDAYS, *UNSCHEDULED, "2024-07-06", "2024-07-07"])
def test_no_session_on_a_closed_day(day: str) -> None:
    assert session(date.fromisoformat(day)) is None
    assert session_at(new_york(day, "12:00")) is None


def test_every_weekday_of_three_years_is_a_session_or_a_known_closure() -> None:
    days = [date(2024, 1, 1) + timedelta(days=i) for i in range(365 * 3 + 1)]
    closed = {d.isoformat() for d in days if d.weekday() < 5 and session(d) is None}
    assert closed == {*HOLIDAYS, "2025-01-09"}


@pytest.mark.parametrize("day", EARLY)
def test_early_close_is_at_13_and_after_hours_end_at_17(day: str) -> None:
    found = session(date.fromisoformat(day))
    assert found is not None
    assert found.is_early_close
    assert (found.close, found.post_close) == (new_york(day, "13:00"), new_york(day, "17:00"))
    assert found.is_regular(new_york(day, "12:59:59"))
    assert not found.is_regular(new_york(day, "13:00"))
    assert session_at(new_york(day, "16:59:59")) == found
    assert session_at(new_york(day, "17:00")) is None


def test_early_closes_of_three_years_are_these() -> None:
    found = [s.day.isoformat() for s in sessions(date(2024, 1, 1), date(2027, 1, 1)) if s.is_early_close]
    assert found == EARLY


def test_an_ordinary_day_is_half_open_at_both_ends() -> None:
    found = session(date(2026, 11, 20))
    assert found is not None
    assert found.pre_open == datetime(2026, 11, 20, 9, tzinfo=UTC)
    assert found.open == datetime(2026, 11, 20, 14, 30, tzinfo=UTC)
    assert found.close == datetime(2026, 11, 20, 21, tzinfo=UTC)
    assert found.post_close == datetime(2026, 11, 21, 1, tzinfo=UTC)
    assert session_at(found.pre_open) == found
    assert session_at(found.pre_open - timedelta(microseconds=1)) is None
    assert session_at(found.post_close) is None


@pytest.mark.parametrize(
    ("before", "after"), [("2024-03-08", "2024-03-11"), ("2024-11-01", "2024-11-04"), ("2025-03-07", "2025-03-10"),
                          ("2025-10-31", "2025-11-03"), ("2026-03-06", "2026-03-09"), ("2026-10-30", "2026-11-02")]
)  # fmt: skip
def test_new_york_hours_stay_over_both_clock_changes(before: str, after: str) -> None:
    shifts = set()
    for day in (before, after):
        found = session(date.fromisoformat(day))
        assert found is not None
        local = [t.astimezone(NEW_YORK).time() for t in (found.pre_open, found.open, found.close, found.post_close)]
        assert local == [time(4), time(9, 30), time(16), time(20)]
        shifts.add(found.open.hour)
    assert shifts == {13, 14}


def test_next_session_is_the_running_one_until_it_ends() -> None:
    friday, monday = session(date(2024, 11, 1)), session(date(2024, 11, 4))
    assert friday is not None
    assert next_session(friday.post_close - timedelta(seconds=1)) == friday
    assert next_session(friday.post_close) == monday
    assert next_session(new_york("2025-01-08", "21:00")).day == date(2025, 1, 10)


def test_a_day_outside_the_calendar_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a day in 2000-01-03"):
        session(date(1999, 12, 31))

"""Every session of 2010 to 2028 against NYSE's own rules, written out here, with the closures nobody had planned.

Rules: NYSE Rule 7.2 and https://www.nyse.com/markets/hours-calendars. Published half days are listed one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

from tickerplant import calendar
from tickerplant.calendar import NEW_YORK, session, unusual_days

UNPLANNED = {date(2012, 10, 29), date(2012, 10, 30), date(2018, 12, 5), date(2025, 1, 9)}
"""Hurricane Sandy, the mourning of G. H. W. Bush and of J. Carter."""

HALF_DAYS = """
2010-11-26 2011-11-25 2012-07-03 2012-11-23 2012-12-24 2013-07-03 2013-11-29 2013-12-24 2014-07-03 2014-11-28 2014-12-24
2015-11-27 2015-12-24 2016-11-25 2017-07-03 2017-11-24 2018-07-03 2018-11-23 2018-12-24 2019-07-03 2019-11-29 2019-12-24
2020-11-27 2020-12-24 2021-11-26 2022-11-25 2023-07-03 2023-11-24 2024-07-03 2024-11-29 2024-12-24 2025-07-03 2025-11-28
2025-12-24 2026-11-27 2026-12-24 2027-11-26 2028-07-03 2028-11-24
"""
EASTERS = {
    2010: (4, 4), 2011: (4, 24), 2012: (4, 8), 2013: (3, 31), 2014: (4, 20), 2015: (4, 5), 2016: (3, 27), 2017: (4, 16),
    2018: (4, 1), 2019: (4, 21), 2020: (4, 12), 2021: (4, 4), 2022: (4, 17), 2023: (4, 9), 2024: (3, 31), 2025: (4, 20),
    2026: (4, 5), 2027: (3, 28), 2028: (4, 16),
}  # fmt: skip


def nth(year: int, month: int, weekday: int, n: int) -> date:
    """The n-th such weekday of a month; -1 is the last."""
    days = [d for i in range(31) if (d := date(year, month, 1) + timedelta(days=i)).month == month]
    return [d for d in days if d.weekday() == weekday][n if n < 0 else n - 1]


def observed(day: date) -> date:
    """A holiday on Saturday is kept on Friday, on Sunday on Monday."""
    return day + timedelta(days={5: -1, 6: 1}.get(day.weekday(), 0))


def holidays(year: int) -> Iterator[date]:
    new_year = date(year, 1, 1)
    if new_year.weekday() != 5:  # A Saturday's New Year is not kept: the Friday ends the year's accounts.
        yield observed(new_year)
    yield nth(year, 1, 0, 3)
    yield nth(year, 2, 0, 3)
    yield date(year, *EASTERS[year]) - timedelta(days=2)
    yield nth(year, 5, 0, -1)
    if year >= 2022:
        yield observed(date(year, 6, 19))
    yield observed(date(year, 7, 4))
    yield nth(year, 9, 0, 1)
    yield nth(year, 11, 3, 4)
    yield observed(date(year, 12, 25))


def test_every_day_of_nineteen_years_is_a_session_exactly_when_the_exchange_says_so() -> None:
    closed = {day for year in EASTERS for day in holidays(year)} | UNPLANNED
    day, checked = date(2010, 1, 1), 0
    while day <= date(2028, 12, 29):
        is_open = day.weekday() < 5 and day not in closed
        assert (session(day) is not None) == is_open, day
        checked += is_open
        day += timedelta(days=1)
    assert checked == 4777


def test_the_table_of_unusual_days_is_what_the_installed_package_computes() -> None:
    table = Path(calendar.__file__).with_name("calendar_days.txt").read_text()
    assert table == unusual_days(), "do run: python -m tickerplant.calendar > src/tickerplant/calendar_days.txt"
    assert "2001-09-11 closed\n" in table
    assert "2026-11-27 09:30-13:00\n" in table


def test_every_half_day_ends_at_one_and_after_hours_at_five() -> None:
    half = {date.fromisoformat(text) for text in HALF_DAYS.split()}
    day = date(2010, 1, 1)
    while day <= date(2028, 12, 29):
        found = session(day)
        if found is not None:
            times = [t.astimezone(NEW_YORK).strftime("%H:%M") for t in (found.pre_open, found.open)]
            ends = [t.astimezone(NEW_YORK).strftime("%H:%M") for t in (found.close, found.post_close)]
            assert times == ["04:00", "09:30"], day
            assert ends == (["13:00", "17:00"] if day in half else ["16:00", "20:00"]), day
            assert found.is_early_close == (day in half)
        day += timedelta(days=1)


def test_quirk_21_hours_in_utc_move_with_the_clock_changes() -> None:
    def opens(day: date) -> str:
        found = session(day)
        assert found is not None
        return f"{found.open:%H:%M}"

    assert [opens(date(2025, 3, d)) for d in (7, 10)] == ["14:30", "13:30"]
    assert [opens(date(2025, 10, 31)), opens(date(2025, 11, 3))] == ["13:30", "14:30"]

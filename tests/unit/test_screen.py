from __future__ import annotations

from datetime import datetime, timedelta
from io import StringIO

from rich.console import Console

from tickerplant.calendar import NEW_YORK, UTC
from tickerplant.cli.screen import picture
from tickerplant.jobs.run import DaemonView, ErrandView, View


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=NEW_YORK).astimezone(UTC)


def drawn(view: View) -> str:
    to = StringIO()
    Console(file=to, width=110, no_color=True).print(picture("tickerplant data", view))
    return to.getvalue()


OPEN = View(
    now=at("2024-11-29T10:00"),
    window=(at("2024-11-29T03:59"), at("2024-11-29T17:00")),
    daemons=(
        DaemonView("capture", "running", 4711, 21_660.0, 0),
        DaemonView("loader", "waiting", None, 3.0, 2),
    ),
    errands=(
        ErrandView("transform", "2024-11-27", seconds=75.0),
        ErrandView("fetch splits", "2024-11-27", exit_code=75, wait_s=120.0),
        ErrandView("retention", "2024-11-27"),
    ),
    done=(("maintain", "2024-11-27", at("2024-11-27T20:01")),),
    behind=1_234_567,
    gaps=2,
    next_event=(at("2024-11-29T17:00"), "capture ends"),
    health=1,
)


def test_the_screen_says_what_runs_how_far_behind_which_gaps_and_what_comes_next() -> None:
    told = drawn(OPEN)
    for text in (
        "market open until 17:00",
        "capture ends Fri 2024-11-29 17:00 New York, in 7 h 00 min",
        "1.2 MB behind",
        "2 to heal",
        "something fails: tickerplant health",
        "running for 1 min 15 s",
        "exit code 75, again in 2 min 00 s",
        "waits its turn",
        "Wed 2024-11-27 20:01 New York",
    ):
        assert text in told, told
    assert "capture running 6 h 01 min 4711" in [" ".join(line.split()) for line in told.splitlines()]


def test_a_closed_market_with_nothing_to_do_is_said_as_that() -> None:
    from dataclasses import replace

    night = replace(OPEN, now=OPEN.now + timedelta(hours=12), errands=(), behind=0, gaps=0, health=None)
    told = drawn(night)
    assert "market closed" in told
    assert "nothing" in told
    assert "lag     none" in told
    assert "gaps    none" in told
    away = drawn(replace(night, behind=None, gaps=None))
    assert "store away" in away

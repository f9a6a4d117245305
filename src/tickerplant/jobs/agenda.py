"""The agenda of a plant: what is to be done when, computed from the exchange's calendar and the ledger of what is done.

Nothing is remembered between two looks: whoever asks, however late, gets the same answer. An errand is done when `jobs`
has a row of it that ended well. Errands of an evening are those of its session; an evening that was missed is made good
by the next one, whose fetch looks back over the sessions before it.

| errands | once for each | due from |
|---|---|---|
| `maintain`, `missed`, `fetch`, `transform`, `retention` | session | the end of after-hours (20:00 or 17:00) |
| `recheck`, then `transform` | week | Saturday 10:00 |

`transform` and `retention` are due again when an errand before them ended after they began.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from tickerplant.calendar import NEW_YORK, UTC, Session, last_session, next_session, sessions
from tickerplant.tables import QUOTES, TRADES

LEAD = timedelta(minutes=1)
"""How long before pre-market opens a capture begins."""

LOOK_BACK = 10
"""Sessions that an evening's fetch and its search for missed sessions go back."""

_RECHECK_WEEKDAY, _RECHECK_AT = 5, time(10)


@dataclass(frozen=True)
class Work:
    """What a plant is to do besides capturing. `tables` are fetched each evening, `history` (a day) is where the weekly
    re-check begins, `selection` names whose symbols (arguments of `fetch`)."""

    tables: tuple[str, ...] = ()
    selection: tuple[str, ...] = ("--all",)
    live_tables: tuple[str, ...] = ()
    history: date | None = None
    transforms: bool = True


@dataclass(frozen=True)
class Errand:
    """One command to run. `key` is the session or the week that it is for."""

    what: str
    key: str
    due: datetime
    arguments: tuple[str, ...]

    @property
    def name(self) -> tuple[str, str]:
        """What the ledger knows it by."""
        return self.what, self.key


@dataclass(frozen=True)
class Done:
    """When an errand last ended well, and when that run had begun."""

    began: datetime
    ended: datetime


Ledger = Mapping[tuple[str, str], Done]

Missed = tuple[str, date]
"""A table, and a session of which it has not one row."""


def capture_window(now: datetime) -> tuple[datetime, datetime]:
    """`[begin, end)` of the capture that runs at `now`, or else of the next one."""
    found = next_session(now)
    return found.pre_open - LEAD, found.post_close


def is_open(now: datetime) -> bool:
    """Whether a capture is to run at `now`."""
    begin, end = capture_window(now)
    return begin <= now < end


def pending(work: Work, ledger: Ledger, now: datetime, missed: Sequence[Missed] = ()) -> list[Errand]:
    """What is due and not done, in the order in which to do it. `missed` are sessions that were not captured."""
    return [*_undone(evening(work, last_session(now), missed), ledger), *_undone(weekly(work, now), ledger)]


def _undone(chain: Sequence[Errand], ledger: Ledger) -> Iterator[Errand]:
    """Those of a chain that are not done, or that were begun before one that they follow had ended."""
    before: list[datetime] = []
    for errand in chain:
        done = ledger.get(errand.name)
        follows = errand.what in ("transform", "retention")
        if done is None or (follows and any(done.began < at for at in before)):
            yield errand
        elif not follows:
            before.append(done.ended)


def evening(work: Work, session: Session, missed: Sequence[Missed] = ()) -> list[Errand]:
    """The errands after a session."""
    key, due, until = session.day.isoformat(), session.post_close, session.day + timedelta(days=1)
    start = before(session, LOOK_BACK)
    found = [Errand("maintain", key, due, ("maintain", "--json"))]
    found += [_live(work, table, day, key, due) for table, day in missed]
    found += [Errand(f"fetch {t}", key, due, _fetch(work, t, start, until)) for t in work.tables]
    if work.transforms:
        found.append(Errand("transform", key, due, ("transform", "--json", "--no-fail")))
    return [*found, Errand("retention", key, due, ("maintain", "--json"))]


def weekly(work: Work, now: datetime) -> list[Errand]:
    """The errands of the last Saturday: the whole history asked for once more, quotes and trades where it has holes."""
    due = _last_saturday(now)
    year, week, _ = due.astimezone(NEW_YORK).isocalendar()
    key, until = f"{year}-W{week:02d}", last_session(due).day + timedelta(days=1)
    if work.history is None or work.history >= until or not work.tables:
        return []
    found = [_recheck(work, t, key, due, until) for t in work.tables]
    return [*found, Errand("transform", key, due, ("transform", "--json", "--no-fail"))] if work.transforms else found


def next_event(now: datetime) -> tuple[datetime, str]:
    """The next moment at which the agenda changes, and what it is."""
    begin, end = capture_window(now)
    saturday = _last_saturday(now) + timedelta(days=7)
    events = [(begin, "capture begins"), (end, "capture ends"), (saturday, "weekly re-check")]
    return min((at, what) for at, what in events if at > now)


def before(session: Session, count: int) -> date:
    """The day of the session `count` sessions before one."""
    return sessions(session.day - timedelta(days=2 * count + 10), session.day)[-count].day


def _fetch(work: Work, table: str, start: date, end: date) -> tuple[str, ...]:
    span = ("--start", start.isoformat(), "--end", end.isoformat())
    return ("fetch", *work.selection, "--table", table, *span, "--json")


def _recheck(work: Work, table: str, key: str, due: datetime, until: date) -> Errand:
    assert work.history is not None
    again = ("--again",) if table in (QUOTES.name, TRADES.name) else ("--recheck", due.isoformat())
    return Errand(f"recheck {table}", key, due, (*_fetch(work, table, work.history, until), *again))


def _live(work: Work, table: str, day: date, key: str, due: datetime) -> Errand:
    arguments = _fetch(work, table, day, day + timedelta(days=1))
    return Errand(f"missed {table} {day}", key, due, arguments)


def _last_saturday(now: datetime) -> datetime:
    here = now.astimezone(NEW_YORK)
    day = here.date() - timedelta(days=(here.weekday() - _RECHECK_WEEKDAY) % 7)
    at = datetime.combine(day, _RECHECK_AT, NEW_YORK).astimezone(UTC)
    return at if at <= now else datetime.combine(day - timedelta(days=7), _RECHECK_AT, NEW_YORK).astimezone(UTC)

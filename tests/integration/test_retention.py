"""Retention: what `maintain` drops on each kind of store, and what it never does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.contract.test_store_contract import TIMESCALE
from tests.support.postgres import fresh_schema, server, timescale_url
from tests.support.rows import rows
from tickerplant.calendar import NEW_YORK
from tickerplant.errors import UsageError
from tickerplant.jobs.status import status
from tickerplant.logs import open_log
from tickerplant.model import Batch, Counters, Maintained, Position, Retention
from tickerplant.stores import AnyStore, StoreOptions, open_store
from tickerplant.tables import GAPS, QUARANTINE, QUOTES, TRADES

NOW = date(2026, 1, 10)
"""The running session."""

Opener = Callable[..., AnyStore]


@pytest.fixture(params=["lake", "postgres", TIMESCALE])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    """Opens the store with a retention: `opener("*", 9, "quotes", 2)`."""
    with ExitStack() as stack:
        url, options = str(tmp_path / "lake"), StoreOptions()
        if request.param != "lake":
            url = (timescale_url() if request.param == "timescale" else None) or server().url
            options = stack.enter_context(fresh_schema(url=url))
        opened: dict[Any, AnyStore] = {}

        def store(*words: Any) -> AnyStore:
            if words not in opened:
                retention = Retention(tuple(zip(words[::2], words[1::2], strict=True)))
                opened[words] = open_store(url, options=replace(options, retention=retention))
                stack.enter_context(closing(opened[words]))
            return opened[words]

        yield store


def session(days_ago: int, table: Any = QUOTES, hour: int = 10) -> Batch:
    """Three rows of a session, at ten, or at another hour of New York."""
    at = datetime.combine(NOW - timedelta(days=days_ago), datetime.min.time(), NEW_YORK) + timedelta(hours=hour)
    return rows(table, *({"symbol": s, "ts": at.astimezone(UTC), "seq": i} for i, s in enumerate("ABA")))


def write(store: AnyStore, start: int, *found: Batch) -> None:
    count = sum(b.rows.num_rows for b in found if b.table not in (GAPS, QUARANTINE))
    before = store.progress("p").counters
    counters = before + Counters(count, count)
    store.write("p", Position(start), Position(start + 1), found, counters)


def dropped(done: list[Maintained]) -> set[tuple[str, date, int]]:
    return {(m.table, m.session, m.rows) for m in done if m.action == "dropped"}


def ago(days: int) -> date:
    return NOW - timedelta(days=days)


def test_sessions_older_than_the_days_are_dropped_others_stay(opener: Opener, tmp_path: Path) -> None:
    store = opener("*", 9, "quotes", 2)
    sessions = [session(n, t) for t in (QUOTES, TRADES) for n in (0, 1, 2, 3, 9, 10)]
    evenings = [session(n, QUOTES, 23) for n in (2, 3)]
    write(store, 0, *sessions, *evenings, rows(GAPS, {}), rows(QUARANTINE, {}))

    done = list(store.maintain(NOW, timedelta(days=7)))

    expected = {("quotes", ago(3), 6), ("quotes", ago(9), 3), ("quotes", ago(10), 3), ("trades", ago(10), 3)}
    assert dropped(done) == expected
    assert store.sessions(QUOTES) == [ago(2), ago(1), NOW]
    assert store.sessions(TRADES) == [ago(9), ago(3), ago(2), ago(1), NOW]
    assert store.query("select count(*) as n from quotes").to_pylist() == [{"n": 12}]
    assert store.query("select count(*) as n from gaps").to_pylist() == [{"n": 1}]
    assert store.query("select count(*) as n from quarantine").to_pylist() == [{"n": 1}]
    assert store.progress("p") == opener().progress("p")
    assert store.retired() == {"quotes": 12, "trades": 3}
    assert status(open_log(str(tmp_path / "log")), store).missing_rows == 0

    assert dropped(list(store.maintain(NOW, timedelta(days=7)))) == set()
    assert {m.action for m in store.maintain(NOW + timedelta(days=1), timedelta(days=7))} >= {"dropped"}
    assert store.sessions(QUOTES) == [ago(1), NOW]


def test_nothing_is_dropped_without_the_setting(opener: Opener) -> None:
    store = opener()
    write(store, 0, session(10), session(4000, TRADES))
    assert dropped(list(store.maintain(NOW, timedelta(0)))) == set()
    assert (store.sessions(QUOTES), store.sessions(TRADES)) == ([ago(10)], [ago(4000)])
    assert store.retired() == {}


def test_late_rows_of_a_dropped_session_are_dropped_and_counted_again(opener: Opener, tmp_path: Path) -> None:
    store = opener("quotes", 2)
    write(store, 0, session(5), session(1))
    assert dropped(list(store.maintain(NOW, timedelta(0)))) == {("quotes", ago(5), 3)}
    write(store, 1, session(5))
    assert store.sessions(QUOTES) == [ago(5), ago(1)]
    list(store.maintain(NOW, timedelta(0)))
    assert (store.sessions(QUOTES), store.retired()) == ([ago(1)], {"quotes": 6})
    assert status(open_log(str(tmp_path / "log")), store).missing_rows == 0


def test_the_lake_shows_a_dropped_session_as_of_before_until_its_files_go(tmp_path: Path) -> None:
    options = StoreOptions(retention=Retention((("*", 2),)))
    with closing(open_store(str(tmp_path / "lake"), options=options)) as store:
        write(store, 0, session(5), session(1))
        before = store.query("select count(*) as n from quotes", as_of=1).to_pylist()
        list(store.maintain(NOW, timedelta(days=7)))
        assert store.query("select count(*) as n from quotes", as_of=1).to_pylist() == before == [{"n": 6}]
        assert store.query("select count(*) as n from quotes").to_pylist() == [{"n": 3}]
        assert list((tmp_path / "lake" / "quotes" / f"session={ago(5)}").glob("*.parquet"))
        list(store.maintain(NOW, timedelta(0)))
        assert not list((tmp_path / "lake" / "quotes" / f"session={ago(5)}").glob("*.parquet"))


@pytest.mark.parametrize("name", ["gaps", "daily_bars", "nothing"])
def test_tables_without_sessions_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match=rf"retention: expected tables of bars, .*, was '{name}'"):
        StoreOptions(retention=Retention(((name, 3),)))

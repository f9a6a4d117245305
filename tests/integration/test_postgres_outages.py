"""A PostgreSQL that is away in all the ways there are: what is waited for, what is told at once, nothing twice."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import psycopg
import pytest
from structlog.testing import capture_logs

from tests.support.plant import log_tally, wait_for
from tests.support.postgres import OwnServer, fresh_schema, server
from tests.support.proxy import Cut, Proxy, Way, When
from tests.support.rows import rows
from tickerplant.errors import Fatal, Retryable, TickerplantError, UsageError
from tickerplant.fingerprint import Tally
from tickerplant.jobs.load import LoadOptions, LoadSummary, load
from tickerplant.logs import open_log
from tickerplant.model import Counters, Kind, Position
from tickerplant.stores import AnyStore, StoreOptions, open_store
from tickerplant.stores.postgres import PostgresStore
from tickerplant.stores.postgres_link import Link, connect, named
from tickerplant.stores.postgres_query import _POOL_WAIT_S
from tickerplant.tables import QUOTES, VENDOR_TABLES
from tickerplant.vendors import vendor

_AT = 1_763_649_000_000_000_000
_QUOTE = (
    b'{"T":"q","S":"%s","bx":"N","bp":1.5,"bs":%d,"ax":"Q","ax":"Q","ap":1.6,"as":2,"c":["R"],"z":"C",'
    b'"t":"2025-11-20T14:30:%02d.%06dZ"}'
)

_TERMINATE = "select pg_terminate_backend(pid, 5000) from pg_stat_activity where state = 'active' and query ~ '^copy'"


def _socket() -> Path:
    return server().folder / "socket" / ".s.PGSQL.5432"


def _write_log(folder: Path, frames: int, first: int = 0) -> None:
    """Frames of 20 quotes each, all different."""
    with open_log(str(folder)).writer("alpaca.sip") as writer:
        for frame in range(first, first + frames):
            number = range(20 * frame, 20 * frame + 20)
            quotes = [_QUOTE % (b"ABC"[n % 3 : n % 3 + 1], n, n // 1_000_000 % 60, n % 1_000_000) for n in number]
            writer.append(Kind.DATA, _AT + frame * 10_000, b"[" + b",".join(quotes) + b"]")


@contextmanager
def _schema(silence_s: float = 120.0) -> Iterator[StoreOptions]:
    with fresh_schema(StoreOptions(silence_s=silence_s)) as options:
        yield options


class Following:
    """`load` of a log in a thread of its own, following, with what it logged; ended by `end`."""

    def __init__(self, log: Path, url: str, options: StoreOptions, batch: int = 2_000) -> None:
        self._stop, self.summary = Event(), list[LoadSummary]()
        self.error: TickerplantError | None = None
        self._words = (log, url, options, LoadOptions(batch, 0.05, follow=True))
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        log, url, options, pace = self._words
        try:
            with closing(open_store(url, options=options)) as store:
                self.summary.append(load(open_log(str(log)), store, vendor, pace, stop=self._stop))
        except TickerplantError as error:
            self.error = error

    def end(self) -> None:
        self._stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


def _write_one(store: AnyStore, number: int) -> None:
    counters = Counters(number + 1, number + 1)
    store.write("alpaca.sip", Position(number), Position(number + 1), [rows(QUOTES, {"symbol": "A"})], counters)


def _count(options: StoreOptions, url: str | None = None) -> int:
    with psycopg.connect(url or server().url) as link:
        row = link.execute(f"select count(*) from {options.schema}.quotes".encode()).fetchone()
    assert row is not None
    return int(row[0])


def _assert_equal(log: Path, options: StoreOptions, url: str | None = None) -> None:
    expected, counters = log_tally(log)
    with closing(open_store(url or server().url, read_only=True, options=options)) as store:
        assert Tally.of_store(store, VENDOR_TABLES).tables == expected.tables
        assert store.progress("alpaca.sip").counters == counters


@pytest.mark.parametrize("when", ["before", "at", "after"])
def test_a_connection_lost_at_commit_neither_loses_nor_doubles(when: When, tmp_path: Path) -> None:
    _write_log(tmp_path / "log", 500)
    with _schema() as options, Proxy(_socket()) as proxy, capture_logs() as said:
        cut = Cut(when, countdown=3)
        proxy.cut = cut
        following = Following(tmp_path / "log", proxy.url, options)
        wait_for(lambda: _count(options) >= 10_000, 30, "all rows")
        following.end()
        assert cut.done.is_set()
        assert following.error is None
        _assert_equal(tmp_path / "log", options)
    assert [e["event"] for e in said if e["event"] in ("store away", "store back")] == ["store away", "store back"]
    assert following.summary[0].counters == Counters(10_000, 10_000, 0, 0)


def test_a_write_whose_answer_was_lost_is_made_again_without_effect() -> None:
    with (
        _schema() as options,
        Proxy(_socket()) as proxy,
        closing(open_store(proxy.url, options=options)) as store,
        store.loading("alpaca.sip"),
    ):
        _write_one(store, 0)
        proxy.cut = Cut("after")
        with pytest.raises(Retryable, match="expected a server that answers"):
            _write_one(store, 1)
        assert _count(options) == 2
        _write_one(store, 1)
        assert _count(options) == 2
        proxy.cut = Cut("before")
        with pytest.raises(Retryable, match="expected a server that answers"):
            _write_one(store, 2)
        assert _count(options) == 2
        _write_one(store, 2)
        assert _count(options) == 3


@pytest.mark.parametrize("way", ["swallow", "stall"])
def test_a_network_that_swallows_everything_is_given_up_and_tried_again(way: Way, tmp_path: Path) -> None:
    _write_log(tmp_path / "log", 300)
    with _schema(silence_s=0.5) as options, Proxy(_socket()) as proxy, capture_logs() as said:
        following = Following(tmp_path / "log", proxy.url, options)
        wait_for(lambda: _count(options) >= 6_000, 30, "the first rows")
        proxy.way = way
        _write_log(tmp_path / "log", 300, first=300)
        wait_for(lambda: any(e["event"] == "store away" for e in said), 30, "the end of patience with silence")
        proxy.way = "forward"
        proxy.drop()
        wait_for(lambda: _count(options) >= 12_000, 30, "all rows")
        following.end()
        _assert_equal(tmp_path / "log", options)
    assert "silence for 0.5 s" in next(e["reason"] for e in said if e["event"] == "store away")
    assert any(e["event"] == "caught up" for e in said)


def test_a_backend_terminated_in_the_middle_of_copy_costs_nothing(tmp_path: Path) -> None:
    _write_log(tmp_path / "log", 1_000)
    with _schema() as options, Proxy(_socket()) as proxy, psycopg.connect(server().url, autocommit=True) as other:
        ended = list[Any]()

        def terminate(data: bytes) -> None:
            if b"PGCOPY" in data and len(ended) < 3:
                ended.extend(other.execute(_TERMINATE).fetchall())

        proxy.on_bytes = terminate
        following = Following(tmp_path / "log", proxy.url, options)
        wait_for(lambda: _count(options) >= 20_000, 30, "all rows")
        following.end()
        assert following.error is None
        assert ended == [(True,)] * 3
        _assert_equal(tmp_path / "log", options)


STATES: dict[str, tuple[type[TickerplantError], str]] = {
    "08006": (Retryable, "expected a server that answers"),
    "22003": (Fatal, "expected the server to agree"),
    "23505": (Fatal, "expected the server to agree"),
    "25006": (Retryable, "expected a server that can be written to"),
    "25P03": (Retryable, "expected the statement to end in time"),
    "25P04": (Retryable, "expected the statement to end in time"),
    "28000": (Fatal, "expected to be let in"),
    "28P01": (Fatal, "expected to be let in"),
    "3D000": (Fatal, "expected to be let in"),
    "40001": (Retryable, "expected a server that answers"),
    "40P01": (Retryable, "expected a server that answers"),
    "42501": (Fatal, "expected a user with the right to do this"),
    "42P01": (UsageError, "expected our tables"),
    "53100": (Retryable, "expected room at the server"),
    "53200": (Retryable, "expected room at the server"),
    "53300": (Retryable, "expected a server that answers"),
    "53400": (Retryable, "expected a server that answers"),
    "55P03": (Retryable, "expected a server that answers"),
    "57014": (Retryable, "expected the statement to end in time"),
    "57P01": (Retryable, "expected a server that answers"),
    "57P02": (Retryable, "expected a server that answers"),
    "57P03": (Retryable, "expected a server that answers"),
    "57P05": (Retryable, "expected a server that answers"),
    "58030": (Retryable, "expected a server that answers"),
    "XX000": (Fatal, "expected the server to agree"),
    "XX001": (Fatal, "expected the server to agree"),
}
"""What each SQLSTATE of a server means to a loader, https://www.postgresql.org/docs/current/errcodes-appendix.html
(read 2026-11-21)."""


def test_what_each_sqlstate_of_the_server_means() -> None:
    with _schema() as options, closing(open_store(server().url, options=options)) as store:
        _write_one(store, 0)
        for state, (kind, message) in STATES.items():
            with _refusing(options.schema, state), pytest.raises(kind, match=message) as caught:
                _write_one(store, 1)
            assert type(caught.value) is kind, state
            assert "refused for a test" in str(caught.value)
        assert _count(options) == 1
        _write_one(store, 1)
        assert _count(options) == 2


@contextmanager
def _refusing(schema: str, state: str) -> Iterator[None]:
    """Every row of quotes is refused by the server with this SQLSTATE."""
    table = f"{schema}.quotes"
    with psycopg.connect(server().url, autocommit=True) as link:
        link.execute(
            f"create or replace function {schema}.refuse() returns trigger language plpgsql as "
            f"$$ begin raise exception 'refused for a test' using errcode = '{state}'; end $$".encode()
        )
        link.execute(
            f"create trigger refuse before insert on {table} for each row execute function {schema}.refuse()".encode()
        )
        yield
        link.execute(f"drop trigger refuse on {table}".encode())


def test_a_full_disk_is_waited_for(tmp_path: Path) -> None:
    _write_log(tmp_path / "log", 10)
    with _schema() as options, capture_logs() as said:
        with _refusing(options.schema, "53100"):
            following = Following(tmp_path / "log", server().url, options)
            wait_for(lambda: any(e["event"] == "store away" for e in said), 30, "a full disk")
        wait_for(lambda: _count(options) == 200, 30, "all rows")
        following.end()
        _assert_equal(tmp_path / "log", options)


@pytest.fixture(scope="module")
def own() -> Iterator[OwnServer]:
    started = OwnServer()
    with closing(started), closing(PostgresStore(started.url, StoreOptions())) as store:
        store.init()
        yield started


def _sql(own: OwnServer, *statements: str) -> None:
    with psycopg.connect(own.url, autocommit=True) as link:
        for statement in statements:
            link.execute(statement.encode())


def _wait_for_reason(said: list[Any], text: str) -> None:
    """Wait until the loader says that it waits for this reason."""
    wait_for(lambda: any(e["event"] == "store away" and text in e["reason"] for e in said), 30, text)


def test_too_many_connections_are_waited_for(own: OwnServer, tmp_path: Path) -> None:
    _write_log(tmp_path / "log", 10)
    _sql(own, "drop schema tickerplant cascade", "create role narrow login connection limit 0")
    options = StoreOptions(schema="narrow")
    url = own.url.replace("postgres@", "narrow@")
    with closing(PostgresStore(own.url, options)) as store:
        store.init()
    _sql(own, "grant all on schema narrow to narrow", "grant all on all tables in schema narrow to narrow")
    with capture_logs() as said:
        following = Following(tmp_path / "log", url, options)
        _wait_for_reason(said, 'too many connections for role "narrow"')
        _sql(own, "alter role narrow connection limit 10", "alter role narrow superuser")
        wait_for(lambda: _count(options, own.url) == 200, 30, "all rows")
        following.end()
    _assert_equal(tmp_path / "log", options, own.url)


@pytest.mark.parametrize("hot", ["off", "on"])
def test_a_standby_is_waited_for_until_it_is_promoted(own: OwnServer, tmp_path: Path, hot: str) -> None:
    _write_log(tmp_path / "log", 10)
    options = StoreOptions(schema=f"standby_{hot}")
    with closing(PostgresStore(own.url, options)) as store:
        store.init()
    _sql(own, f"alter system set hot_standby = {hot}")
    own.stop()
    (own.data / "standby.signal").touch()
    own.launch()
    with capture_logs() as said:
        following = Following(tmp_path / "log", own.url, options)
        _wait_for_reason(said, "a server that can be written to" if hot == "on" else "not accepting connections")
        own.promote()
        wait_for(lambda: _count(options, own.url) == 200, 30, "all rows")
        following.end()
    assert following.error is None
    _assert_equal(tmp_path / "log", options, own.url)


def test_a_wrong_password_ends_a_follower_at_once(own: OwnServer, tmp_path: Path) -> None:
    _write_log(tmp_path / "log", 1)
    _sql(own, "create role locked login password 'right'")
    hba = own.data / "pg_hba.conf"
    before = hba.read_text()
    hba.write_text("local all locked scram-sha-256\n" + before)
    try:
        _sql(own, "select pg_reload_conf()")
        url = own.url.replace("postgres@", "locked:Wr0ngUnmistakable@")
        following = Following(tmp_path / "log", url, StoreOptions())
        error = wait_for(lambda: following.error, 30, "an error")
        following.end()
    finally:
        hba.write_text(before)
        _sql(own, "select pg_reload_conf()")
    assert type(error) is Fatal
    assert 'password authentication failed for user "locked"' in str(error)
    assert "Wr0ngUnmistakable" not in str(error)


def test_a_database_dropped_under_a_follower_ends_it(own: OwnServer, tmp_path: Path) -> None:
    _write_log(tmp_path / "log", 10)
    _sql(own, "create database doomed")
    url = own.url.replace("/postgres?", "/doomed?")
    with closing(PostgresStore(url, StoreOptions())) as store:
        store.init()
    following = Following(tmp_path / "log", url, StoreOptions())
    wait_for(lambda: _count(StoreOptions(), url) == 200, 30, "all rows")
    _sql(own, "drop database doomed with (force)")
    _write_log(tmp_path / "log", 10, first=10)
    error = wait_for(lambda: following.error, 30, "an error")
    following.end()
    assert type(error) is Fatal
    assert 'database "doomed" does not exist' in str(error)


def test_a_server_that_is_not_there_at_the_start_is_waited_for(own: OwnServer, tmp_path: Path) -> None:
    _write_log(tmp_path / "log", 10)
    options = StoreOptions(schema="late")
    with closing(PostgresStore(own.url, options)) as store:
        store.init()
    own.kill()
    with capture_logs() as said:
        following = Following(tmp_path / "log", own.url, options)
        _wait_for_reason(said, "expected a server that answers")
        own.start()
        wait_for(lambda: _count(options, own.url) == 200, 30, "all rows")
        following.end()
    assert following.error is None
    _assert_equal(tmp_path / "log", options, own.url)


def test_a_reader_that_loses_its_server_soon_says_why_and_reads_on_afterwards(own: OwnServer) -> None:
    with closing(PostgresStore(own.url, StoreOptions())) as store:
        assert store.query("select 1 as n").to_pylist() == [{"n": 1}]
        own.kill()
        began = time.monotonic()
        with pytest.raises(Retryable, match=r"expected a server that answers, was .* failed: "):
            store.query("select 1 as n")
        assert time.monotonic() - began < _POOL_WAIT_S / 2
        own.start()
        assert store.query("select 1 as n").to_pylist() == [{"n": 1}]


def test_silence_ends_a_connection_and_a_slow_server_that_says_something_does_not() -> None:
    with pytest.raises(Retryable, match=r"silence for 0\.8 s"), connect_to(0.8) as link, named("here"):
        link.execute("select pg_sleep(30)")
    assert link.closed
    with connect_to(0.8) as link:
        link.execute("do $$ begin for n in 1..6 loop perform pg_sleep(0.25); raise notice 'slow'; end loop; end $$")
        assert link.execute("select 1").fetchone() == (1,)


def connect_to(silence_s: float) -> Link:
    return connect(server().url, "here", (), silence_s)

"""What each layout of PostgreSQL does with sessions: room ahead, maintenance, aggregates, migration."""

from __future__ import annotations

import json
import os
import random
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.contract.test_store_contract import NO_TIMESCALE, TIMESCALE
from tests.support.days import today
from tests.support.plant import ask
from tests.support.postgres import drop, fresh_schema, server, timescale_url
from tests.support.rows import NINE_THIRTY, rows
from tickerplant.calendar import NEW_YORK
from tickerplant.errors import UsageError
from tickerplant.model import Batch, Counters, Housing, Position, Retention
from tickerplant.stores import StoreOptions
from tickerplant.stores.postgres import PostgresStore
from tickerplant.stores.postgres_partitions import AHEAD, Partitions
from tickerplant.stores.postgres_schema import Step, migrating, steps
from tickerplant.stores.postgres_timescale import obstacle
from tickerplant.tables import QUOTES, TRADES

LATER = date(2026, 1, 1)
DAY = date(2013, 10, 7)


@dataclass(frozen=True)
class Place:
    """A schema of a server."""

    url: str
    options: StoreOptions
    kind: str

    def store(self, **changes: Any) -> PostgresStore:
        """The store there."""
        return PostgresStore(self.url, replace(self.options, **changes))

    def link(self) -> psycopg.Connection[Any]:
        """A connection of our own."""
        return psycopg.connect(
            self.url, autocommit=True, options=f"-csearch_path={self.options.schema},public -ctimezone=UTC"
        )

    def select(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows, by a connection of our own."""
        with self.link() as link:
            return link.execute(sql.encode()).fetchall()


@pytest.fixture(params=["postgres", TIMESCALE])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    url = timescale_url() if request.param == "timescale" else None
    with fresh_schema(url=url) as options:
        yield Place(url or server().url, options, request.param)


on_plain = pytest.mark.parametrize("place", ["postgres"], indirect=True)
on_timescale = pytest.mark.parametrize("place", [TIMESCALE], indirect=True)


def write(store: PostgresStore, start: int, *found: Batch) -> None:
    count = sum(batch.rows.num_rows for batch in found)
    store.write("p", Position(start), Position(start + 1), found, Counters(count, count))


def quote(at: datetime, **values: Any) -> Batch:
    return rows(QUOTES, {"symbol": "A", "ts": at, **values})


# Partitions ahead


@on_plain
def test_partitions_of_the_next_weekdays_are_there_before_their_rows(place: Place) -> None:
    days = [today() + timedelta(days=i) for i in range(7)]
    coming = [d for d in days if d.weekday() < 5][:AHEAD]
    expected = {f"{table}_{d:%Y%m%d}" for table in ("quotes", "trades", "bars", "lulds") for d in coming}
    found = "select relname from pg_class join pg_inherits on oid = inhrelid"

    assert expected <= {name for (name,) in place.select(found)}
    with place.link() as link:
        for name in sorted(expected):
            link.execute(f"drop table {name}".encode())
    with closing(place.store()) as store:
        write(store, 0)
        assert expected <= {name for (name,) in place.select(found)}
        assert store.sessions(QUOTES) == []


@on_plain
def test_a_partition_dropped_behind_a_loader_is_made_again_by_need(place: Place) -> None:
    with closing(place.store()) as store:
        write(store, 0, quote(NINE_THIRTY))
        with place.link() as link:
            link.execute("drop table quotes_20131007")
        write(store, 1, quote(NINE_THIRTY, ns=7))
        assert place.select("select ns from quotes_20131007") == [(7,)]
        assert store.progress("p").position == 2


# Maintain


def test_maintain_runs_once_again_after_late_rows_and_keeps_every_row(place: Place) -> None:
    action = {"postgres": "vacuumed", "timescale": "compressed"}[place.kind]
    with closing(place.store()) as store:
        ticks = [quote(NINE_THIRTY + timedelta(seconds=i // 3), ns=i, symbol=s) for i, s in enumerate("BABCA" * 40)]
        write(store, 0, *ticks, quote(datetime.now(UTC)))
        before = store.query("select * from quotes order by symbol, ts, ns").to_pylist()
        done = list(store.maintain(today()))
        assert [(m.table, m.session, m.rows, m.action) for m in done] == [("quotes", DAY, 200, action)]
        assert done[0].bytes_before > 0 < done[0].bytes_after
        assert store.query("select * from quotes order by symbol, ts, ns").to_pylist() == before
        assert list(store.maintain(today())) == []

        write(store, 1, quote(NINE_THIRTY, symbol="D"))
        assert [m.rows for m in store.maintain(today())] == [201]
        assert list(store.maintain(today())) == []
        assert store.query("select count(*) as n from quotes where symbol = 'D'").to_pylist() == [{"n": 1}]


def test_rows_that_come_while_a_session_is_maintained_make_it_due_again(place: Place) -> None:
    with closing(place.store()) as store, closing(place.store()) as loader:
        write(store, 0, quote(NINE_THIRTY), rows(TRADES, {"ts": NINE_THIRTY}))
        running = store.maintain(LATER)
        first = next(running)
        write(loader, 1, quote(NINE_THIRTY, ns=1))
        assert (first.table, first.rows) == ("quotes", 1)
        assert [m.table for m in running] == ["trades"]
        assert [(m.table, m.rows) for m in store.maintain(LATER)] == [("quotes", 2)]


def test_sessions_are_new_york_days_whatever_the_chunk(place: Place) -> None:
    evening = datetime(2013, 10, 7, 23, 30, tzinfo=NEW_YORK)
    with closing(place.store()) as store:
        write(store, 0, quote(NINE_THIRTY), quote(evening), quote(evening + timedelta(days=3)))
        assert store.sessions(QUOTES) == [DAY, date(2013, 10, 10)]
        list(store.maintain(LATER))
        assert store.sessions(QUOTES) == [DAY, date(2013, 10, 10)]
        assert store.query("select count(*) as n from quotes where session = ?", [DAY]).to_pylist() == [{"n": 2}]


@on_timescale
def test_finished_chunks_are_in_the_columnstore_and_nothing_is_unique(place: Place) -> None:
    evening = datetime(2013, 10, 7, 23, 30, tzinfo=NEW_YORK)
    with closing(place.store()) as store:
        write(store, 0, quote(NINE_THIRTY), quote(evening), quote(datetime.now(UTC)))
        done = list(store.maintain(date(2013, 10, 8)))
        assert [m.session for m in done] == [DAY]  # 8 October has rows of the 7th, and may still get some of its own
    found = place.select(
        "select range_start::date, is_compressed from timescaledb_information.chunks "
        "where hypertable_schema = current_schema() order by 1"
    )
    assert found == [(DAY, True), (date(2013, 10, 8), False), (datetime.now(UTC).date(), False)]
    assert place.select(
        "select count(*) from pg_index join pg_class c on c.oid = indrelid "
        "where relname in ('quotes', 'trades') and relnamespace = current_schema()::regnamespace and indisunique"
    ) == [(0,)]
    assert place.select(
        "select segmentby, orderby from timescaledb_information.hypertable_columnstore_settings "
        "where hypertable = 'quotes'::regclass"
    ) == [("symbol", "ts,ns")]


@on_timescale
def test_the_server_has_a_job_for_the_columnstore_of_each_table_and_for_each_aggregate(place: Place) -> None:
    found = place.select(
        "select proc_name, count(*) from timescaledb_information.jobs "
        "where hypertable_schema = current_schema() or proc_schema = current_schema() "
        "or hypertable_name like '_materialized%' and hypertable_name in (select materialization_hypertable_name "
        "from timescaledb_information.continuous_aggregates where view_schema = current_schema()) group by 1 order by 1"
    )
    assert found == [("policy_compression", 7), ("policy_refresh_continuous_aggregate", 2)]


@on_timescale
def test_the_servers_own_job_drops_what_maintain_would(place: Place) -> None:
    with closing(place.store(retention=Retention((("quotes", 30),)))) as store:
        write(store, 0, quote(NINE_THIRTY), quote(datetime.now(UTC)), rows(TRADES, {"ts": NINE_THIRTY}))
        store.init()
        [(number,)] = place.select(
            "select job_id from timescaledb_information.jobs where proc_schema = current_schema()"
        )
        store.init()
        with place.link() as link:
            link.execute(f"call run_job({number})".encode())
        assert store.sessions(QUOTES) == [today()]
        assert store.sessions(TRADES) == [DAY]
        assert store.retired() == {"quotes": 1}
    with closing(place.store()) as store:
        store.init()
    assert not place.select("select 1 from timescaledb_information.jobs where proc_schema = current_schema()")


# Aggregates


def ticks(chance: random.Random, start: datetime, count: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Trades and quotes with equal times, one-sided quotes and fractional sizes."""
    trades, quotes = [], []
    for i in range(count):
        common = {
            "symbol": chance.choice("AB"),
            "feed": chance.choice(["sip", "sip", "iex"]),
            "ts": start + timedelta(microseconds=chance.randrange(0, 200_000_000, 7_000_000)),
            "ns": chance.choice([0, 0, 999]),
            "received_at": start + timedelta(seconds=chance.randrange(200, 203)),
            "seq": i,
        }
        trades.append({**common, "price": round(chance.uniform(1, 9), 2), "size": chance.choice([1.0, 100.0, 0.25])})
        sides = {n: chance.choice([0.0, 5.25, 5.5]) for n in ("bid_price", "ask_price", "bid_size", "ask_size")}
        quotes.append({**common, **sides})
    return trades, quotes


def by_minute(found: list[dict[str, Any]]) -> dict[Any, list[dict[str, Any]]]:
    grouped = defaultdict(list)
    for row in sorted(found, key=lambda r: (r["ts"], r["ns"], r["received_at"], r["seq"])):
        minute = row["ts"].replace(second=0, microsecond=0)
        grouped[row["symbol"], minute, row["feed"], minute.astimezone(NEW_YORK).date()].append(row)
    return grouped


def expected_bars(found: list[dict[str, Any]]) -> dict[Any, list[Any]]:
    bars = {}
    for key, group in by_minute(found).items():
        prices, volume = [r["price"] for r in group], sum(r["size"] for r in group)
        vwap = pytest.approx(sum(r["price"] * r["size"] for r in group) / volume)
        bars[key] = [prices[0], max(prices), min(prices), prices[-1], volume, len(group), vwap]
    return bars


def expected_statistics(found: list[dict[str, Any]]) -> dict[Any, list[Any]]:
    statistics = {}
    for key, group in by_minute(found).items():
        spreads = [r["ask_price"] - r["bid_price"] for r in group if r["bid_price"] and r["ask_price"]]
        sizes = [pytest.approx(sum(r[n] for r in group) / len(group)) for n in ("bid_size", "ask_size")]
        spread = pytest.approx(sum(spreads) / len(spreads)) if spreads else None
        last = [group[-1][n] for n in ("bid_price", "bid_size", "ask_price", "ask_size")]
        statistics[key] = [len(group), spread, *sizes, *last]
    return statistics


def held(store: PostgresStore, name: str) -> dict[Any, list[Any]]:
    found = {}
    for row in store.query(f"select * from {name}").to_pylist():
        key = (row.pop("symbol"), row.pop("ts"), row.pop("feed"), row.pop("session"))
        assert row.pop("vendor") == "x"
        assert key not in found
        found[key] = list(row.values())
    return found


def test_aggregates_equal_an_independent_computation_also_after_late_and_dropped_rows(place: Place) -> None:
    chance = random.Random(5)
    now = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=5)
    midnight = datetime.combine(date(2013, 10, 8), time(), NEW_YORK).astimezone(UTC)
    trades: list[dict[str, Any]] = []
    quotes: list[dict[str, Any]] = []
    retention = Retention((("*", (today() - date(2013, 10, 8)).days),))
    with closing(place.store()) as store, closing(place.store(retention=retention)) as dropping:
        for turn, start in enumerate([NINE_THIRTY, midnight - timedelta(seconds=90), now]):
            more = ticks(chance, start, 150)
            trades += more[0]
            quotes += more[1]
            write(store, turn, rows(TRADES, *more[0]), rows(QUOTES, *more[1]))
            assert held(store, "trades_1m") == expected_bars(trades)
        assert held(store, "quotes_1m") == expected_statistics(quotes)

        list(store.maintain(today()))
        assert held(store, "trades_1m") == expected_bars(trades)
        assert held(store, "quotes_1m") == expected_statistics(quotes)

        for turn, start in enumerate([NINE_THIRTY + timedelta(seconds=30), now], 3):
            more = ticks(chance, start, 150)
            trades += more[0]
            quotes += more[1]
            write(store, turn, rows(TRADES, *more[0]), rows(QUOTES, *more[1]))
        recent = {key: bar for key, bar in expected_bars(trades).items() if key[1] >= now}
        assert {key: bar for key, bar in held(store, "trades_1m").items() if key[1] >= now} == recent
        list(store.maintain(today()))
        assert held(store, "trades_1m") == expected_bars(trades)
        assert held(store, "quotes_1m") == expected_statistics(quotes)

        list(dropping.maintain(today()))
        assert held(store, "trades_1m") == expected_bars([r for r in trades if r["ts"] >= midnight])
        assert held(store, "quotes_1m") == expected_statistics([r for r in quotes if r["ts"] >= midnight])


def test_an_absurd_row_does_not_end_the_aggregates(place: Place) -> None:
    absurd = [{"ts": NINE_THIRTY, "seq": i, "price": v, "size": v} for i, v in enumerate([1e308, 1e308, 5e-324, 2.0])]
    sides = [
        {"ts": NINE_THIRTY, "seq": i, **dict.fromkeys(("bid_price", "bid_size", "ask_price", "ask_size"), 1e308)}
        for i in range(2)
    ]
    with closing(place.store()) as store:
        write(store, 0, rows(TRADES, *absurd), rows(QUOTES, *sides, {"ts": NINE_THIRTY, "seq": 2, "ask_price": 1.5}))
        list(store.maintain(LATER))
        trades = store.query("select open, high, low, close, volume, trade_count, vwap from trades_1m").to_pylist()
        assert [list(row.values()) for row in trades] == [[1e308, 1e308, 5e-324, 2.0, 2.0, 4, 2.0]]
        quotes = store.query("select quote_count, average_spread, average_bid_size from quotes_1m").to_pylist()
        assert quotes == [{"quote_count": 3, "average_spread": 0.5, "average_bid_size": 1.0}]


# Which layout, and its migrations


def test_housing_and_sizes(place: Place) -> None:
    with closing(place.store()) as store:
        write(store, 0, quote(NINE_THIRTY))
        housing, sizes = store.housing(), store.sizes()
    [(version,)] = place.select("show server_version")
    if place.kind == "timescale":
        [(extension,)] = place.select("select extversion from pg_extension where extname = 'timescaledb'")
        expected = Housing("hypertables", f"TimescaleDB {extension} on PostgreSQL {version.split()[0]}")
        assert {"trades_1m", "quotes_1m"} <= sizes.keys()
    else:
        expected = Housing("partitions", f"PostgreSQL {version.split()[0]}")
    assert housing == expected
    assert sizes["quotes"] > sizes["trades"] >= 0
    assert {"positions", "gaps", "daily_bars"} <= sizes.keys()


def test_status_and_maintain_name_the_layout_and_the_sizes(
    place: Place, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("TICKERPLANT_STORE", place.url)
    monkeypatch.setenv("TICKERPLANT_SCHEMA", place.options.schema)
    monkeypatch.setenv("TICKERPLANT_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("DATA_RETENTION_DAYS", "trades=1")
    with closing(place.store()) as store:
        write(store, 0, quote(NINE_THIRTY), rows(TRADES, {"ts": NINE_THIRTY}))
        housing = store.housing()
    text = ask("maintain")
    assert "dropped" in text
    assert "On disk" in text
    found = json.loads(ask("status", "--json"))
    assert (found["layout"], found["version"]) == (housing.layout, housing.version)
    assert (found["missing_rows"], found["balanced"]) == (0, True)
    assert {t["table"]: (t["rows"], t["dropped"]) for t in found["tables"] if t["dropped"] or t["rows"]} == {
        "quotes": (1, 0),
        "trades": (0, 1),
    }
    assert found["sizes"]["quotes"] == found["tables"][0]["bytes"] > 0
    text = ask("status")
    assert f"{housing.layout}, {housing.version}" in text
    assert "1 rows were dropped by DATA_RETENTION_DAYS" in text


def _as_before(place: Place, schema: str, upto: int) -> None:
    """A schema of native partitions as an earlier version left it: only its first steps."""
    layout = Partitions()
    first: list[Step] = steps(layout)[:upto]
    with closing(place.store(schema=schema)) as store, store.connect() as link, migrating(link, schema):
        link.execute(f"create schema {schema}".encode())
        link.execute(
            f"create table {schema}._migrations (number integer primary key, title text not null, "
            "layout text not null, at timestamptz not null default now())".encode()
        )
        for step in first:
            for statement in step.statements:
                link.execute(statement.encode())
            link.execute(
                f"insert into {schema}._migrations (number, title, layout) values ($1, $2, $3)".encode(),
                [step.number, step.title, layout.kind],
            )
        layout.ensure(link, QUOTES, [DAY])
        link.execute("insert into _maintained (relation, bytes) values ('quotes_20131007', 8192)")
        link.execute(
            "insert into quotes_20131007 (symbol, ts, ns, vendor, feed, received_at, seq, session) "
            "values ('A', '2013-10-07 13:30+00', 0, 'x', 'x', '2013-10-07 13:30+00', 0, '2013-10-07')"
        )


def test_a_schema_of_an_earlier_version_moves_on_and_stays_partitions(place: Place) -> None:
    schema = place.options.schema + "_old"
    _as_before(place, schema, 3)
    try:
        with closing(place.store(schema=schema)) as store:
            with pytest.raises(UsageError, match="do run `tickerplant init`"):
                write(store, 0, quote(NINE_THIRTY))
            assert next(iter(store.plan())).number == 4
            assert next(iter(store.init())).number == 4
            assert (store.plan(), store.init()) == ([], [])
            write(store, 0, quote(NINE_THIRTY, ns=1))
            assert store.housing().layout == "partitions"
            [statistics] = store.query("select quote_count, session from quotes_1m where symbol = 'A'").to_pylist()
            assert statistics == {"quote_count": 2, "session": DAY}
            assert [(m.table, m.rows) for m in store.maintain(LATER)] == [("quotes", 2)]
    finally:
        with place.link() as link:
            drop(link, schema)


@on_plain
def test_a_server_without_the_extension_says_so(place: Place) -> None:
    with closing(place.store()) as store, store.connect() as link:
        assert obstacle(link) == "the server does not have it"


@contextmanager
def fresh_database() -> Iterator[str]:
    """A database of the server with TimescaleDB that has nothing in it."""
    url, name = timescale_url() or "", f"layouts_{os.getpid()}"
    with psycopg.connect(url, autocommit=True) as link:
        link.execute(f"create database {name} template template0".encode())
    try:
        yield make_conninfo(url, dbname=name)
    finally:
        with psycopg.connect(url, autocommit=True) as link:
            link.execute(f"drop database {name} with (force)".encode())


@NO_TIMESCALE
def test_another_licence_means_partitions() -> None:
    with fresh_database() as info:
        limited = make_conninfo(info, options="-ctimescaledb.license=apache")
        with closing(PostgresStore(limited, StoreOptions())) as store:
            store.init()
            with store.connect() as link:
                assert "its licence is 'apache'" in (obstacle(link) or "")
            write(store, 0, quote(NINE_THIRTY))
            assert store.housing().layout == "partitions"


@NO_TIMESCALE
def test_stores_made_at_once_in_a_new_database_all_get_hypertables() -> None:
    def made(number: int) -> str:
        with closing(PostgresStore(info, StoreOptions(schema=f"s{number}"))) as store:
            store.init()
            return store.housing().layout

    with fresh_database() as info, ThreadPoolExecutor(3) as pool:
        assert list(pool.map(made, range(3))) == ["hypertables"] * 3


# Queries end in time


def test_a_query_that_takes_longer_ends_with_what_to_do(place: Place) -> None:
    with closing(place.store(statement_timeout_s=0.2)) as store:
        with pytest.raises(UsageError, match=r"expected to end in time, was .*TICKERPLANT_STATEMENT_TIMEOUT_SECONDS"):
            store.query("select pg_sleep(30)")
        assert store.query("select 1 as one").to_pylist() == [{"one": 1}]
    with closing(place.store(statement_timeout_s=0)) as store:
        assert store.query("show statement_timeout").to_pylist() == [{"statement_timeout": "0"}]

"""The roles on a real server: what each may do and what not, and a whole market loaded by a login with few rights."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from tests.support.plant import answer, ask, log_tally, simulator, stop, tickerplant, wait_for
from tests.support.postgres import server
from tests.support.rows import rows
from tickerplant.errors import Fatal
from tickerplant.fingerprint import Tally
from tickerplant.jobs.backup import backup
from tickerplant.jobs.restore import restore
from tickerplant.logs import open_log
from tickerplant.model import Counters, Position
from tickerplant.postgres_url import parse, url
from tickerplant.stores import StoreOptions, open_store
from tickerplant.stores.postgres import PostgresStore
from tickerplant.stores.postgres_partitions import Partitions, partition
from tickerplant.stores.postgres_roles import grant
from tickerplant.tables import QUOTES, TRADES, VENDOR_TABLES

_GROUPS = ("tickerplant_reader", "tickerplant_writer")


@dataclass(frozen=True)
class Plant:
    """A schema with roles, owned by a user of its own; a login for each role."""

    schema: str
    owner: str
    reader: str
    writer: str

    def url(self, user: str) -> str:
        return url({**parse(server().url, ""), "user": user})

    def execute(self, user: str, statement: str) -> list[tuple[object, ...]]:
        """What a statement returns for a user, whose search path is the schema."""
        with psycopg.connect(self.url(user), options=f"-csearch_path={self.schema}", autocommit=True) as link:
            found = link.execute(statement.encode())
            return found.fetchall() if found.description else []

    def store(self, user: str) -> PostgresStore:
        opened = open_store(self.url(user), options=StoreOptions(schema=self.schema))
        assert isinstance(opened, PostgresStore)
        return opened


def _admin(*statements: str) -> None:
    with psycopg.connect(server().url, autocommit=True) as link:
        for statement in statements:
            link.execute(statement.encode())


def _grant(plant: Plant) -> None:
    """What `init --roles` does."""
    with closing(plant.store(plant.owner)) as store, store.connect() as link:
        store.init()
        grant(link, plant.schema, store.url)


def _drop_roles(*names: str) -> None:
    """One by one: several that share default privileges trip the server."""
    for name in names:
        with psycopg.connect(server().url, autocommit=True) as link:
            if link.execute("select from pg_roles where rolname = %s", [name]).fetchall():
                _admin(f"drop owned by {name} cascade", f"drop role {name}")


@pytest.fixture
def plant(monkeypatch: pytest.MonkeyPatch) -> Iterator[Plant]:
    name = f"roles_{os.getpid()}_{random.randrange(10**6)}"
    made = Plant(name, f"{name}_owner", f"{name}_reader", f"{name}_writer")
    _admin(
        f"create role {made.owner} login createrole",
        f"grant create on database postgres to {made.owner}",
        *(f"create role {login} login" for login in (made.reader, made.writer)),
    )
    monkeypatch.setenv("TICKERPLANT_SCHEMA", name)
    try:
        _grant(made)
        _admin(f"grant tickerplant_reader to {made.reader}", f"grant tickerplant_writer to {made.writer}")
        yield made
    finally:
        _admin(f"drop schema if exists {name} cascade")
        _drop_roles(*_GROUPS, made.reader, made.writer, made.owner)


def test_the_writer_loads_a_whole_market_exactly_and_the_reader_sees_it(plant: Plant, tmp_path: Path) -> None:
    oracle, log = tmp_path / "oracle", tmp_path / "log"
    market = ("--seed", "7", "--symbols", "20", "--minutes", "2", "--speed", "120", "--linger", "60")
    with simulator(*market, "--oracle", oracle) as (feed, _):
        capture = tickerplant("capture", "--url", feed, "--symbols", "*", "--log", log, "--always-open")
        wait_for(lambda: oracle.exists() and json.loads(oracle.read_text())["complete"], 60, "the end of the market")
        assert stop(capture) == 0
    expected, counters = log_tally(tmp_path / "log")
    writer = plant.url(plant.writer)

    loaded = json.loads(ask("load", "--log", tmp_path / "log", "--store", writer, "--batch-size", "2000", "--json"))

    assert loaded["counters"]["stored"] == counters.stored > 1000
    with closing(plant.store(plant.reader)) as store:
        assert Tally.of_store(store, VENDOR_TABLES).tables == expected.tables
        assert store.sessions(QUOTES)
    found = ask(
        *("query", "--store", plant.url(plant.reader), "--json"),
        "select received, stored from positions where partition not like 'plant.%'",
    )
    assert json.loads(found) == [{"received": counters.received, "stored": counters.stored}]
    assert json.loads(ask("status", "--store", plant.url(plant.reader), "--log", tmp_path / "log", "--json"))
    owners = "select distinct tableowner from pg_tables where schemaname = current_schema()"
    assert plant.execute(plant.owner, owners) == [(plant.owner,)]


_WRITES: tuple[str, ...] = (
    "insert into quotes (symbol) values ('A')",
    "insert into positions (partition) values ('A')",
    "update positions set position = 0",
    "select _make_partition('quotes', '2026-01-05', '2026-01-05 05:00Z', '2026-01-06 05:00Z')",
)
_NEVER: tuple[str, ...] = (
    "delete from quotes",
    "delete from positions",
    "delete from gaps",
    "truncate quotes",
    "truncate gaps",
    "drop table quotes",
    "drop table gaps",
    "drop view bars_latest",
    "alter table quotes add column x integer",
    "update quotes set symbol = 'A'",
    "create table mine (x integer)",
    "insert into _migrations (number, title, layout) values (99, 'x', 'x')",
    "update _migrations set number = 0",
)


def _refused(plant: Plant, user: str, statements: tuple[str, ...]) -> None:
    for statement in statements:
        with pytest.raises(errors.InsufficientPrivilege):
            plant.execute(user, statement)


def test_the_reader_reads_everything_of_the_schema_and_nothing_else(plant: Plant) -> None:
    other = f"{plant.schema}_other"
    _admin(f"create schema {other}", f"create table {other}.secrets (x integer)")
    try:
        for relation in ("quotes", "bars_latest", "bars_known_at(now())", "positions", "gaps", "_migrations"):
            plant.execute(plant.reader, f"select * from {relation}")
        _refused(plant, plant.reader, (*_WRITES, *_NEVER, f"select * from {other}.secrets"))
    finally:
        _admin(f"drop schema {other} cascade")


def test_the_writer_adds_and_moves_but_never_takes_away(plant: Plant) -> None:
    with closing(plant.store(plant.writer)) as store:
        store.write("p", Position(0), Position(9), [rows(QUOTES, {"symbol": "A"})], Counters(1, 1, 0, 0))
    day = plant.execute(plant.reader, "select tableoid::regclass::text, symbol from quotes")
    assert day == [("quotes_20131007", "A")]
    _refused(plant, plant.writer, (*_NEVER, "delete from quotes_20131007", "drop table quotes_20131007"))
    with pytest.raises(Fatal, match=r"expected a user with the right to do this, .*init --roles"):
        list(plant.store(plant.writer).maintain(date(2026, 1, 1)))


def test_partitions_made_for_the_writer_are_those_the_owner_would_make(plant: Plant) -> None:
    days = [
        date(1, 1, 1),
        date(1883, 11, 18),
        date(2026, 3, 8),
        date(2026, 11, 1),
        date(2026, 7, 4),
        date(9999, 12, 31),
    ]
    bounds = """select relname, pg_get_expr(relpartbound, oid), (select string_agg(pg_get_constraintdef(k.oid), ' ')
        from pg_constraint k where conrelid = c.oid and contype = 'c')
        from pg_class c where relispartition and relname like 'trades\\_%' and relkind = 'r'
        and relnamespace = current_schema::regnamespace order by relname"""
    with closing(plant.store(plant.writer)) as store, store.connect() as link:
        Partitions().ensure(link, TRADES, days)
        ahead = [day for day in Partitions().sessions(link, TRADES) if day not in days]
    plant.execute(plant.owner, "".join(f"drop table {partition(TRADES, day)};" for day in ahead))
    lent = plant.execute(plant.owner, bounds)
    plant.execute(plant.owner, "".join(f"drop table {row[0]};" for row in lent))
    plant.execute(plant.owner, "drop function _make_partition")
    with closing(plant.store(plant.owner)) as store, store.connect() as link:
        Partitions().ensure(link, TRADES, days)

    assert len(lent) == len(days)
    assert plant.execute(plant.owner, bounds) == lent


def test_the_lent_right_makes_nothing_but_a_day_of_a_table_of_ours(plant: Plant) -> None:
    day, span = "'2026-01-05'", "'2026-01-05 05:00Z', '2026-01-06 05:00Z'"
    for call in (
        f"'positions', {day}, {span}",
        f"'pg_class', {day}, {span}",
        f"'quotes', {day}, '2026-02-05 05:00Z', '2026-02-06 05:00Z'",
        f"'quotes', {day}, '2026-01-05 05:00Z', '2027-01-06 05:00Z'",
        f"'quotes; drop table quotes', {day}, {span}",
    ):
        with pytest.raises(errors.RaiseException, match="expected "):
            plant.execute(plant.writer, f"select _make_partition({call})")


def test_what_comes_later_is_open_at_once_and_init_completes_the_rights(plant: Plant) -> None:
    plant.execute(plant.owner, "create table later (x integer); create table _own (x integer)")
    plant.execute(plant.reader, "select * from later")
    plant.execute(plant.writer, "insert into later values (1)")
    _admin(f"grant delete on {plant.schema}.quotes to tickerplant_writer")

    ask("init", "--roles", "--store", plant.url(plant.owner))
    _grant(plant)

    plant.execute(plant.writer, "insert into later values (2)")
    _refused(plant, plant.reader, ("insert into later values (1)",))
    _refused(plant, plant.writer, ("insert into _own values (1)", "delete from quotes"))


def test_without_the_right_to_create_roles_the_sql_for_the_administrator_is_told(plant: Plant) -> None:
    _admin(
        f"alter role {plant.owner} nocreaterole",
    )
    _drop_roles(*_GROUPS)
    done = answer("init", "--roles", "--store", plant.url(plant.owner))
    assert done.returncode == 1
    assert f"expected a user who may create roles, was {plant.owner}" in done.stderr
    assert "`create role tickerplant_reader nologin; create role tickerplant_writer nologin`" in done.stderr

    plan = ask("init", "--roles", "--plan", "--store", plant.url(plant.owner))
    _admin(plan)  # what an administrator would do with it
    _admin(f"grant tickerplant_reader to {plant.reader}")
    plant.execute(plant.reader, "select * from quotes")
    _refused(plant, plant.reader, _WRITES)
    _grant(plant)


def test_somebody_else_than_the_owner_is_told_who_may(plant: Plant) -> None:
    done = answer("init", "--roles", "--store", plant.url(plant.reader))

    assert done.returncode == 1
    assert f"expected {plant.owner}, who owns schema {plant.schema}" in done.stderr


def test_a_restored_schema_has_its_rights_again_and_lends_the_owners_to_nobody(plant: Plant, tmp_path: Path) -> None:
    public = (
        "select has_function_privilege('public', '_make_partition(text, date, timestamptz, timestamptz)', 'execute')"
    )
    write = ("p", Position(0), Position(9), [rows(QUOTES, {"symbol": "A"})], Counters(1, 1, 0, 0))
    with closing(plant.store(plant.writer)) as store:
        store.write(*write)
    with closing(plant.store(plant.owner)) as store:
        backup(open_log(str(tmp_path / "log")), store, tmp_path / "backups")
        assert restore(tmp_path / "backups", None, store, replace=True).ok
        assert plant.execute(plant.owner, public) == [(False,)]
        assert plant.execute(plant.reader, "select symbol from quotes") == [("A",)]
        with closing(plant.store(plant.writer)) as writer:
            late = rows(TRADES, {"symbol": "B"})
            writer.write("p", Position(9), Position(10), [late], Counters(2, 2, 0, 0))
        _admin(f"drop schema {plant.schema} cascade")
        assert restore(tmp_path / "backups", None, store).ok
    assert plant.execute(plant.owner, public) == [(False,)]
    with pytest.raises(errors.InsufficientPrivilege):
        plant.execute(plant.reader, f"select symbol from {plant.schema}.quotes")
    _grant(plant)
    assert plant.execute(plant.reader, "select symbol from quotes") == [("A",)]

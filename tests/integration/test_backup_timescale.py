"""Backup and restore of hypertables, where TICKERPLANT_TEST_TIMESCALE_URL names a server that may make databases."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.support.rows import rows
from tickerplant.errors import UsageError
from tickerplant.fingerprint import Tally
from tickerplant.jobs.backup import backup
from tickerplant.jobs.restore import restore
from tickerplant.logs import open_log
from tickerplant.model import Counters, Position
from tickerplant.stores import StoreOptions, open_store
from tickerplant.stores.postgres import PostgresStore
from tickerplant.stores.postgres_partitions import Partitions
from tickerplant.stores.postgres_schema import migrate
from tickerplant.tables import QUOTES, TRADES, VENDOR_TABLES

URL = os.environ.get("TICKERPLANT_TEST_TIMESCALE_URL", "")
pytestmark = pytest.mark.skipif(not URL, reason="TICKERPLANT_TEST_TIMESCALE_URL names no server")

OPTIONS = StoreOptions(schema="backed_up")


def _run(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True, options="-c search_path=backed_up,public") as link:
        for statement in statements:
            link.execute(statement.encode())


def _value(url: str, sql: str) -> object:
    with psycopg.connect(url) as link:
        row = link.execute(sql.encode()).fetchone()
    return row[0] if row else None


@pytest.fixture
def databases() -> Iterator[tuple[str, str]]:
    names = [f"backup_{os.getpid()}_{n}" for n in (1, 2)]
    for name in names:
        _run(URL, f"create database {name} template template0")
    urls = [urlsplit(URL)._replace(path=f"/{name}").geturl() for name in names]
    for url in urls:
        _run(url, "create extension if not exists timescaledb")
    yield urls[0], urls[1]
    for name in names:
        _run(URL, f"drop database {name} with (force)")


def _filled(url: str) -> PostgresStore:
    store = open_store(url, options=OPTIONS)
    assert isinstance(store, PostgresStore)
    store.init()
    first = datetime(2025, 1, 1, 15, tzinfo=UTC)
    items = [
        {"symbol": f"S{n % 5}", "ts": first + timedelta(minutes=20 * n), "bid_price": n / 8, "price": n / 4}
        for n in range(2000)
    ]
    quotes = rows(QUOTES, *({k: v for k, v in i.items() if k != "price"} for i in items))
    trades = rows(TRADES, *({k: v for k, v in i.items() if k != "bid_price"} for i in items[:100]))
    store.write("p", Position(0), Position(9), [quotes, trades], Counters(2100, 2100, 0, 0))
    list(store.maintain(date(2025, 12, 1)))
    return store


def test_hypertables_come_back_compressed_chunks_too(databases: tuple[str, str], tmp_path: Path) -> None:
    chunks = (
        "select array[count(*), count(*) filter (where is_compressed)] from timescaledb_information.chunks "
        "where hypertable_name = 'quotes'"
    )
    minutes = "select count(*) || ' ' || sum(trade_count) from backed_up.trades_1m"
    with closing(_filled(databases[0])) as store:
        held = Tally.of_store(store, VENDOR_TABLES).as_json()
        done = backup(open_log(str(tmp_path / "log")), store, tmp_path / "backups")
    assert done.manifest.store.is_whole
    assert done.manifest.tables["quotes"].count == 2000
    with closing(open_store(databases[1], options=OPTIONS)) as store:
        assert restore(tmp_path / "backups", None, store).ok
        assert Tally.of_store(store, VENDOR_TABLES).as_json() == held
        assert _value(databases[1], chunks) == _value(databases[0], chunks) == [29, 29]
        assert _value(databases[1], minutes) == _value(databases[0], minutes) == "100 100"
        assert _value(databases[1], "show timescaledb.restoring") == "off"
        with pytest.raises(UsageError, match="without rows"):
            restore(tmp_path / "backups", None, store)
        assert restore(tmp_path / "backups", None, store, replace=True).ok
        assert Tally.of_store(store, VENDOR_TABLES).as_json() == held


def test_a_database_with_other_hypertables_is_refused(databases: tuple[str, str], tmp_path: Path) -> None:
    with closing(_filled(databases[0])) as store:
        backup(open_log(str(tmp_path / "log")), store, tmp_path / "backups")
    other = "select create_hypertable('public.other', 'at')"
    _run(databases[1], "create table public.other (at timestamptz not null)", other)
    with closing(_filled(databases[1])) as store:
        with pytest.raises(UsageError, match="schema public"):
            restore(tmp_path / "backups", None, store, replace=True)
        assert Tally.of_store(store, VENDOR_TABLES).total("quotes").count == 2000


def test_partitions_beside_the_extension_need_only_their_schema(databases: tuple[str, str], tmp_path: Path) -> None:
    with closing(open_store(databases[0], options=OPTIONS)) as store:
        assert isinstance(store, PostgresStore)
        with store.connect() as link:
            migrate(link, OPTIONS.schema, Partitions(), store.url)
        store.write("p", Position(0), Position(9), [rows(QUOTES, {"symbol": "A"})], Counters(1, 1, 0, 0))
        done = backup(open_log(str(tmp_path / "log")), store, tmp_path / "backups")
        assert not done.manifest.store.is_whole
        assert restore(tmp_path / "backups", None, store, replace=True).ok
        assert done.manifest.store.timescaledb

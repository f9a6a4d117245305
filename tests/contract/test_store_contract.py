"""What every store promises, tested for each kind of store."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support import s3
from tests.support.plant import wait_for
from tests.support.postgres import fresh_schema, server, timescale_url
from tests.support.rows import NINE_THIRTY, batches, rows
from tickerplant.errors import Busy, UsageError
from tickerplant.fingerprint import Tally
from tickerplant.model import Batch, Counters, Position, Progress, Selection, Store
from tickerplant.stores import in_bucket, open_store
from tickerplant.stores.lake import LakeStore
from tickerplant.tables import POSITIONS, QUARANTINE, QUOTES, TABLES, TRADES, VENDOR_TABLES

Opener = Callable[[], Store]
LATER = date(2026, 1, 1)
LOADED = Counters(2, 2, 0, 0)


@contextmanager
def _lake() -> Iterator[Opener]:
    with TemporaryDirectory() as folder:
        yield lambda: open_store(f"{folder}/lake")


@contextmanager
def _lake_on_s3() -> Iterator[Opener]:
    url = s3.new_url("lake")
    yield lambda: LakeStore(in_bucket(url, s3.settings(Path())))


@contextmanager
def _postgres() -> Iterator[Opener]:
    with fresh_schema() as options:
        yield lambda: open_store(server().url, options=options)


@contextmanager
def _timescale() -> Iterator[Opener]:
    url = timescale_url()
    assert url
    with fresh_schema(url=url) as options:
        yield lambda: open_store(url, options=options)


KINDS = {"lake": _lake, "lake on s3": _lake_on_s3, "postgres": _postgres, "timescale": _timescale}
NO_TIMESCALE = pytest.mark.skipif(not timescale_url(), reason="TICKERPLANT_TEST_TIMESCALE_URL names no server")
TIMESCALE = pytest.param("timescale", marks=NO_TIMESCALE)
on_lake = pytest.mark.parametrize("opener", ["lake", "lake on s3"], indirect=True)
on_postgres = pytest.mark.parametrize("opener", ["postgres", TIMESCALE], indirect=True)


@pytest.fixture(params=["lake", "lake on s3", "postgres", TIMESCALE])
def opener(request: pytest.FixtureRequest) -> Iterator[Opener]:
    with KINDS[request.param]() as opened:
        yield opened


@pytest.fixture
def store(opener: Opener) -> Iterator[Store]:
    with closing(opener()) as opened:
        yield opened


def quote(symbol: str = "A", **values: Any) -> Batch:
    return rows(QUOTES, {"symbol": symbol, **values})


def write(store: Store, start: int, end: int, *found: Batch, counters: Counters = LOADED) -> None:
    store.write("alpaca.sip", Position(start), Position(end), found, counters)


def symbols(store: Store, table: str = "quotes") -> list[str]:
    found = store.query(f"select symbol from {table} order by received_at, seq, symbol")
    return list(found.column("symbol").to_pylist())


def test_unknown_partition_starts_at_zero(store: Store) -> None:
    assert store.progress("alpaca.sip") == Progress(Position(0), Counters(), ())


def test_rows_and_position_are_there_after_write(store: Store, opener: Opener) -> None:
    write(store, 0, 10, quote("A"), quote("B"), rows(TRADES, {"symbol": "A", "price": 2.5}))
    with closing(opener()) as other:
        assert symbols(other) == ["A", "B"]
        assert other.query("select price from trades").to_pylist() == [{"price": 2.5}]
        assert other.progress("alpaca.sip") == Progress(Position(10), LOADED, ())
        assert other.progress("alpaca.iex").position == 0


def test_repeating_a_write_changes_nothing(store: Store, opener: Opener) -> None:
    write(store, 0, 10, quote("A"))
    write(store, 0, 10, quote("A"))
    with closing(opener()) as other:
        write(other, 0, 10, quote("A"))
        write(other, 10, 20, quote("B"))
    write(store, 10, 20, quote("B"))
    assert symbols(store) == ["A", "B"]
    assert store.progress("alpaca.sip").position == 20


def test_second_loader_of_a_stretch_is_refused(store: Store, opener: Opener) -> None:
    write(store, 0, 10, quote("A"))
    with closing(opener()) as other:
        write(other, 10, 30, quote("B"))
        with pytest.raises(Busy, match=r"expected alpaca\.sip at position 10, was 30"):
            write(store, 10, 40, quote("C"))
    assert symbols(store) == ["A", "B"]


def test_a_hole_between_stretches_is_refused(store: Store) -> None:
    write(store, 0, 10, quote("A"))
    with pytest.raises(Busy, match=r"expected alpaca\.sip at position 20, was 10"):
        write(store, 20, 30, quote("B"))


def test_partitions_do_not_disturb_each_other(store: Store, opener: Opener) -> None:
    write(store, 0, 10, quote("A"))
    with closing(opener()) as other:
        other.write("alpaca.iex", Position(0), Position(5), [quote("B")], Counters(1, 1))
    write(store, 10, 20, quote("C"))
    assert Counter(symbols(store)) == Counter("ABC")
    assert (store.progress("alpaca.iex").position, store.progress("alpaca.sip").position) == (5, 20)


def test_merge_table_keeps_the_last_row_of_a_key(store: Store) -> None:
    first = rows(QUARANTINE, {"position": 1, "reason": "old"}, {"position": 2, "reason": "kept"})
    write(store, 0, 10, first)
    write(store, 10, 20, rows(QUARANTINE, {"position": 1, "reason": "mid"}, {"position": 1, "reason": "new"}))
    found = store.query("select position, reason from quarantine order by position").to_pylist()
    assert found == [{"position": 1, "reason": "new"}, {"position": 2, "reason": "kept"}]


def test_append_tables_keep_identical_rows(store: Store) -> None:
    write(store, 0, 10, quote("A"), quote("A"))
    write(store, 10, 20, quote("A"))
    assert symbols(store) == ["A", "A", "A"]


def test_a_batch_of_another_schema_is_refused(store: Store) -> None:
    wrong = Batch(QUOTES, pa.RecordBatch.from_pydict({"symbol": ["A"]}))
    with pytest.raises(TypeError, match="quotes: expected columns"):
        write(store, 0, 10, wrong)
    assert store.progress("alpaca.sip").position == 0


def test_stretch_without_rows_moves_the_position(store: Store) -> None:
    write(store, 0, 10, counters=Counters(3, 0, 0, 3))
    assert store.progress("alpaca.sip") == Progress(Position(10), Counters(3, 0, 0, 3), ())


def test_loading_is_owned_by_one(store: Store, opener: Opener) -> None:
    with closing(opener()) as other, store.loading("alpaca.sip"):
        with other.loading("alpaca.iex"):
            pass
        with pytest.raises(Busy, match="was owned by process"), other.loading("alpaca.sip", 0):
            pass
    with store.loading("alpaca.sip"):
        pass


def test_who_loads_is_told(store: Store, opener: Opener) -> None:
    assert store.loaders(["alpaca.sip", "alpaca.iex"]) == {}
    with closing(opener()) as other, other.loading("alpaca.sip"):
        found = store.loaders(["alpaca.sip", "alpaca.iex"])
        assert list(found) == ["alpaca.sip"]
        assert str(os.getpid()) in found["alpaca.sip"]
        assert socket.gethostname() in found["alpaca.sip"]
    wait_for(lambda: not store.loaders(["alpaca.sip"]), 10, "the lease's end")


def test_types_of_query_results(store: Store) -> None:
    for table in TABLES.values():
        found = store.query(
            f"select {', '.join(f'{chr(34)}{n}{chr(34)}' for n in table.schema.names)} from {table.name}"
        )
        assert found.num_rows == 0
        assert found.schema.types == table.schema.types, table.name
    write(store, 0, 10, *(rows(t, {}) for t in TABLES.values() if t is not POSITIONS))
    for table in TABLES.values():
        found = store.query(f"select * from {table.name}")
        assert found.num_rows == 1
        assert [found.schema.field(n).type for n in table.schema.names] == table.schema.types, table.name


def test_session_is_the_new_york_day(store: Store) -> None:
    late = datetime(2013, 10, 8, 3, 59, 59, tzinfo=UTC)
    write(store, 0, 10, quote("A", ts=late), quote("B", ts=late + timedelta(seconds=1)))
    found = store.query("select symbol, session from quotes order by symbol").to_pylist()
    assert found == [
        {"symbol": "A", "session": date(2013, 10, 7)},
        {"symbol": "B", "session": date(2013, 10, 8)},
    ]
    assert symbols_of(store, "quotes where session = date '2013-10-08'") == ["B"]


def symbols_of(store: Store, source: str) -> list[str]:
    return [r["symbol"] for r in store.query(f"select symbol from {source} order by symbol").to_pylist()]


def test_a_time_far_off_is_stored_in_summer_and_winter(store: Store) -> None:
    """A garbled time must not stop a loader; tools disagree on summer time after 2037."""
    far = [datetime(year, month, 20, 4, 30, tzinfo=UTC) for year in (1850, 2038, 2233) for month in (1, 7)]
    write(store, 0, 10, rows(QUOTES, *({"symbol": "A", "ts": at} for at in far)))
    found = store.query("select ts from quotes order by ts").column("ts").to_pylist()
    assert [at.astimezone(UTC) for at in found] == far


def test_parameters_are_bound(store: Store) -> None:
    write(store, 0, 10, quote("A'; drop"), quote("B"))
    found = store.query("select symbol from quotes where symbol = ? and ts >= ?", ["A'; drop", NINE_THIRTY])
    assert found.to_pylist() == [{"symbol": "A'; drop"}]


@pytest.mark.parametrize(
    "sql",
    [
        "create table x (a int)",
        "copy (select 1) to 'x.csv'",
        "explain analyze copy (select 1) to 'x.csv'",
        "insert into quotes select * from quotes",
        "set threads = 1",
        "attach ':memory:' as z",
        "select 1; select 2",
        "",
        "selec 1",
        "select nothing from quotes",
        "select * from read_csv('/etc/passwd')",
        "select cast('x' as int)",
    ],
)
def test_only_reading_statements_run(store: Store, sql: str) -> None:
    write(store, 0, 10, quote("A"))
    with pytest.raises(UsageError, match="query: expected"):
        store.query(sql)
    assert symbols(store) == ["A"]


@on_lake
@pytest.mark.parametrize(
    "sql",
    [
        "from quotes",
        "with q as (select * from quotes) select * from q",
        "values (1)",
        "describe quotes",
        "summarize quotes",
        "show tables",
        "explain select * from quotes",
        "explain analyze select 1",
    ],
)
def test_every_kind_of_reading_statement_runs(store: Store, sql: str) -> None:
    write(store, 0, 10, quote("A"))
    assert store.query(sql).num_rows > 0


@on_postgres
@pytest.mark.parametrize(
    "sql",
    [
        "table quotes",
        "with q as (select * from quotes) select * from q",
        "-- why\n(select 1) union all values (2)",
        "show timezone",
        "explain select * from quotes",
        "explain analyze select 1",
    ],
)
def test_every_kind_of_reading_statement_runs_on_postgres(store: Store, sql: str) -> None:
    write(store, 0, 10, quote("A"))
    assert store.query(sql).num_rows > 0


@on_postgres
@pytest.mark.parametrize(
    "sql",
    [
        "with x as (delete from quotes returning *) select * from x",
        "explain analyze delete from quotes",
        "select set_config('transaction_read_only', 'off', false); delete from quotes",
        "with x as (select set_config('transaction_read_only', 'off', false)) select * from x",
        "select nextval('nothing')",
        "select * into other from quotes",
    ],
)
def test_a_reading_word_in_front_does_not_help(store: Store, sql: str) -> None:
    write(store, 0, 10, quote("A"))
    with pytest.raises(UsageError, match="query: expected"):
        store.query(sql)
    assert symbols(store) == ["A"]


@on_lake
def test_as_of_shows_what_was_there(store: Store) -> None:
    write(store, 0, 10, quote("A"))
    after_first = datetime.now(UTC)
    wait_past(after_first)
    write(store, 10, 20, quote("B"), rows(TRADES, {}))
    assert store.query("select symbol from quotes", as_of=after_first).to_pylist() == [{"symbol": "A"}]
    assert store.query("select * from trades", as_of=after_first).num_rows == 0
    assert store.query("select * from quotes", as_of=NINE_THIRTY).num_rows == 0
    assert store.query("select * from quotes", as_of=1).num_rows == 1
    assert [b.num_rows for b in store.scan(QUOTES, Selection(("quotes",)), after_first)] == [1]
    assert symbols(store) == ["A", "B"]


def wait_past(moment: datetime) -> None:
    while datetime.now(UTC) - moment < timedelta(milliseconds=2):
        pass


@pytest.mark.parametrize("as_of", [99, -1, datetime(2026, 1, 1)])  # noqa: DTZ001
def test_as_of_that_cannot_be_is_refused(store: Store, as_of: datetime | int) -> None:
    write(store, 0, 10, quote("A"))
    with pytest.raises(UsageError, match="as_of: expected"):
        store.query("select * from quotes", as_of=as_of)


def test_latest_and_known_at_views_of_bars(store: Store) -> None:
    at = datetime(2013, 10, 7, 14, tzinfo=UTC)
    first = {"symbol": "A", "close": 1.0, "received_at": at, "interval": "1m"}
    second = {**first, "close": 2.0, "received_at": at + timedelta(seconds=30), "revision": 1}
    write(store, 0, 10, rows("bars", second, first, {**first, "symbol": "B", "close": 9.0}))
    latest = store.query("select symbol, close from bars_latest order by symbol").to_pylist()
    assert latest == [{"symbol": "A", "close": 2.0}, {"symbol": "B", "close": 9.0}]
    known = store.query("select close from bars_known_at(?) where symbol = 'A'", [at]).to_pylist()
    assert known == [{"close": 1.0}]
    assert store.query("select * from daily_bars_latest").num_rows == 0


def test_scan_prunes_symbols_and_half_open_span(store: Store) -> None:
    ticks = [quote(s, ts=NINE_THIRTY + timedelta(days=d)) for s in "ABC" for d in range(3)]
    write(store, 0, 10, *ticks)
    span = Selection(("quotes",), ("A", "C"), NINE_THIRTY, NINE_THIRTY + timedelta(days=2))
    found = [r for b in store.scan(QUOTES, span) for r in QUOTES.check(b).to_pylist()]
    days = [NINE_THIRTY, NINE_THIRTY + timedelta(days=1)]
    assert {(r["symbol"], r["ts"]) for r in found} == {(s, d) for s in "AC" for d in days}
    assert len(found) == 4


def crash(store: Store, opener: Opener, tables: set[str], *stretches: tuple[int, int, list[Batch]]) -> Store:
    """What a kill leaves: some tables hold the stretches, the position does not."""
    for start, end, found in stretches:
        for table in TABLES.values():
            mine = [b for b in found if b.table is table and table.name in tables]
            if mine:
                merged = pa.Table.from_batches([b.rows for b in mine])
                store._write_table("alpaca.sip", start, end, table, merged)  # type: ignore[attr-defined]
    store.close()
    return opener()


@on_lake
def test_resume_after_a_kill_between_table_commits(store: Store, opener: Opener) -> None:
    write(store, 0, 10, quote("A"))
    stretch = [quote("B", seq=1), rows(TRADES, {"symbol": "B"}), rows(QUARANTINE, {"position": 3})]
    resumed = crash(store, opener, {"quotes"}, (10, 20, stretch))
    assert resumed.progress("alpaca.sip") == Progress(Position(10), LOADED, (Position(20),))
    with pytest.raises(ValueError, match="expected no stretch across 20"):
        write(resumed, 10, 30, *stretch)
    write(resumed, 10, 20, *stretch, counters=Counters(5, 4, 1, 0))
    write(resumed, 20, 30, quote("C", seq=2), counters=Counters(6, 5, 1, 0))
    assert symbols(resumed) == ["A", "B", "C"]
    assert symbols(resumed, "trades") == ["B"]
    assert resumed.query("select count(*) as n from quarantine").to_pylist() == [{"n": 1}]
    assert resumed.progress("alpaca.sip") == Progress(Position(30), Counters(6, 5, 1, 0), ())


@on_lake
def test_maintain_changes_no_row_and_runs_once(store: Store) -> None:
    ticks = [quote(s, ts=NINE_THIRTY + timedelta(seconds=i), ns=i, seq=i) for i, s in enumerate("BABA")]
    for i, tick in enumerate(ticks):
        write(store, i, i + 1, tick)
    done = list(store.maintain(LATER, timedelta(days=7)))
    assert [(m.table, m.session, m.rows, m.files_before, m.files_after) for m in done] == [
        ("quotes", date(2013, 10, 7), 4, 4, 1)
    ]
    found = [r["symbol"] + str(r["ns"]) for b in store.scan(QUOTES, Selection(("quotes",))) for r in b.to_pylist()]
    assert found == ["A1", "A3", "B0", "B2"]
    assert list(store.maintain(LATER, timedelta(days=7))) == []
    write(store, 4, 5, quote("A"))
    assert [m.rows for m in store.maintain(LATER, timedelta(days=7))] == [5]


@on_lake
def test_maintain_leaves_running_sessions_alone(store: Store) -> None:
    write(store, 0, 10, quote("A"))
    assert list(store.maintain(date(2013, 10, 7), timedelta(days=7))) == []
    assert len(list(store.maintain(date(2013, 10, 8), timedelta(days=7)))) == 1


@pytest.mark.parametrize("kind", ["lake", "postgres", TIMESCALE])
@pytest.mark.parametrize("table", VENDOR_TABLES, ids=lambda t: t.name)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_rows_come_out_as_they_went_in(kind: str, table: Any, data: st.DataObject) -> None:
    batch = data.draw(batches(table))
    expected = contents([batch.rows])
    if kind != "lake":
        expected = Counter({row.replace("\\x00", "\u2400"): n for row, n in expected.items()})
    with KINDS[kind]() as opened, closing(opened()) as store:
        write(store, 0, 10, batch)
        assert read(store, table) == expected
        if kind == "lake" or "\u2400" not in str(expected):
            assert Tally.of(Batch(table, b) for b in store.scan(table, Selection((table.name,)))) == Tally.of([batch])
        list(store.maintain(LATER, timedelta(0)))
        assert read(store, table) == expected


def read(store: Store, table: Any) -> Counter[str]:
    return contents(list(store.scan(table, Selection((table.name,)))))


def contents(found: list[pa.RecordBatch]) -> Counter[str]:
    """Rows as text that tells -0.0 from 0.0 and null from empty."""
    return Counter(repr(row) for batch in found for row in batch.to_pylist())

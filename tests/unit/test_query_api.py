"""The Python API, named queries, `query` and `export`."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest

import tickerplant
from tests.support.plant import answer
from tests.support.rows import NINE_THIRTY, rows
from tickerplant.cli.query import objects, version
from tickerplant.errors import UsageError
from tickerplant.jobs.export import export
from tickerplant.model import Batch, Counters, Position
from tickerplant.query import Plant, moment
from tickerplant.stores import open_store
from tickerplant.tables import QUOTES


def at(seconds: float) -> datetime:
    return NINE_THIRTY + timedelta(seconds=seconds)


def quote(symbol: str, seconds: float, bid: float, ns: int = 0, **values: Any) -> Batch:
    own = {"symbol": symbol, "ts": at(seconds), "ns": ns, "bid_price": bid, "ask_price": bid + 0.5}
    return rows("quotes", {**own, "received_at": at(seconds), **values})


def trade(symbol: str, seconds: float, price: float, size: float, ns: int = 0) -> Batch:
    return rows("trades", {"symbol": symbol, "ts": at(seconds), "ns": ns, "price": price, "size": size})


FOUND = [
    quote("B", 1, 20.0),
    quote("A", 2, 11.0, ns=7),
    quote("A", 1, 10.0),
    quote("A", 86_400, 12.0),
    trade("A", 1, 10.1, 100, ns=1),
    trade("A", 2, 11.2, 50, ns=6),
    trade("A", 2, 11.3, 50, ns=8),
    trade("A", 301, 9.0, 1.5),
    rows("bars", {"symbol": "A", "interval": "1m", "ts": at(0), "close": 1.0, "volume": 2.0, "trade_count": 3}),
    rows("daily_bars", {"symbol": "A", "session": date(2013, 10, 4)}, {"symbol": "A", "session": date(2013, 10, 7)}),
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = str(tmp_path_factory.mktemp("plant"))
    with closing(open_store(folder)) as store:
        store.write("p", Position(0), Position(1), FOUND, Counters(len(FOUND), len(FOUND)))
    return folder


@pytest.fixture
def plant(url: str) -> Iterator[Plant]:
    with tickerplant.open(url) as opened:
        yield opened


def test_rows_are_in_order_with_nanoseconds(plant: Plant) -> None:
    found = plant.quotes().arrow()
    assert found.schema.field("ts").type == pa.timestamp("ns", "UTC")
    assert "ns" not in found.schema.names
    assert found.column("symbol").to_pylist() == ["A", "A", "A", "B"]
    assert found.column("bid_price").to_pylist() == [10.0, 11.0, 12.0, 20.0]
    nanos = found.column("ts").cast(pa.int64()).to_pylist()
    assert nanos[1] == int(at(2).timestamp()) * 10**9 + 7


@pytest.mark.parametrize(
    ("symbols", "start", "end", "bids"),
    [
        ("A", None, None, [10.0, 11.0, 12.0]),
        (["B", "A", "none"], at(1), at(2), [10.0, 20.0]),
        ([], None, None, []),
        ("*", "2013-10-07", "2013-10-08", [10.0, 11.0, 20.0]),
        (None, date(2013, 10, 8), None, [12.0]),
        ("A", "2013-10-07T09:30:02-04:00", "2013-10-07T13:30:03Z", [11.0]),
    ],
)
def test_symbols_and_half_open_spans(plant: Plant, symbols: Any, start: Any, end: Any, bids: list[float]) -> None:
    assert plant.quotes(symbols, start, end).arrow().column("bid_price").to_pylist() == bids
    if symbols != []:
        assert plant.fingerprints("quotes", symbols, start, end).total("quotes").count == len(bids)


def test_days_of_daily_bars(plant: Plant) -> None:
    found = plant.table("daily_bars", "A", date(2013, 10, 5), "2013-10-08").arrow()
    assert found.column("session").to_pylist() == [date(2013, 10, 7)]
    assert len(plant.table("daily_bars", end=date(2013, 10, 7))) == 1
    assert plant.fingerprints("daily_bars", "A", date(2013, 10, 5)).total("daily_bars").count == 1


def test_other_shapes(plant: Plant) -> None:
    result = plant.trades("A")
    assert result.polars()["price"].to_list() == [10.1, 11.2, 11.3, 9.0]
    assert list(result.pandas()["size"]) == [100.0, 50.0, 50.0, 1.5]
    assert (len(result), repr(result).startswith("Result(4 rows: symbol, ts")) == (4, True)


def test_what_cannot_be_says_so(plant: Plant) -> None:
    with pytest.raises(UsageError, match="table: expected one of quotes"):
        plant.table("quote")
    with pytest.raises(UsageError, match="expected one with a zone"):
        plant.quotes(start=datetime(2013, 10, 7))  # noqa: DTZ001
    with pytest.raises(UsageError, match="time: expected 2026-11-20"):
        plant.quotes(start="yesterday")
    with pytest.raises(UsageError, match="gaps: expected no symbols"):
        plant.table("gaps", "A")
    with pytest.raises(UsageError, match="interval: expected a number"):
        plant.bars("A", "5x")
    with pytest.raises(UsageError, match="bars: expected source"):
        plant.bars("A", source="quotes")


def test_last_quotes(plant: Plant) -> None:
    last = plant.last_quotes().arrow()
    assert [(r["symbol"], r["bid_price"]) for r in last.to_pylist()] == [("A", 12.0), ("B", 20.0)]
    assert last.schema.names == [n for n in QUOTES.schema.names if n != "ns"]
    assert plant.last_quotes("A", at(2)).arrow().column("bid_price").to_pylist() == [10.0]


def test_bars_of_any_interval_from_trades(plant: Plant) -> None:
    found = plant.bars("A", "5m").arrow().to_pylist()
    assert [(r["ts"], r["open"], r["high"], r["low"], r["close"], r["volume"], r["trade_count"]) for r in found] == [
        (at(0), 10.1, 11.3, 10.1, 11.3, 200.0, 3),
        (at(300), 9.0, 9.0, 9.0, 9.0, 1.5, 1),
    ]
    assert found[0]["vwap"] == pytest.approx((10.1 * 100 + 11.2 * 50 + 11.3 * 50) / 200)
    [day] = plant.bars("A", "1d").arrow().to_pylist()
    assert (day["ts"], day["volume"]) == (datetime(2013, 10, 7, 4, tzinfo=UTC), 201.5)
    assert [b["ts"] for b in plant.bars("A", "1h").arrow().to_pylist()] == [datetime(2013, 10, 7, 13, tzinfo=UTC)]


def test_bars_from_minute_bars(plant: Plant) -> None:
    [bar] = plant.bars("A", "15m", source="bars").arrow().to_pylist()
    assert (bar["ts"], bar["close"], bar["volume"], bar["trade_count"]) == (at(0), 1.0, 2.0, 3)


def test_trades_get_the_quote_in_force(plant: Plant) -> None:
    found = plant.asof_join("A", at(0), at(100)).arrow()
    assert found.column("price").to_pylist() == [10.1, 11.2, 11.3]
    assert found.column("bid_price").to_pylist() == [10.0, 10.0, 11.0]
    assert found.column("spread").to_pylist() == [0.5, 0.5, 0.5]
    assert found.schema.field("ts").type == pa.timestamp("ns", "UTC")


def test_sessions_tables_and_past_versions(plant: Plant, url: str) -> None:
    assert plant.sessions() == [date(2013, 10, 7), date(2013, 10, 8)]
    assert plant.tables() == ["quotes", "trades", "bars", "daily_bars", "positions"]
    with tickerplant.open(url, as_of=NINE_THIRTY) as past:
        assert len(past.quotes()) == 0
    assert plant.sql("select count(*) as n from quotes where symbol = ?", ["A"]).arrow().to_pylist() == [{"n": 3}]


def test_moments() -> None:
    assert moment(None) is None
    assert moment(date(2013, 10, 7)) == datetime(2013, 10, 7, 4, tzinfo=UTC)
    assert moment("2013-12-07") == datetime(2013, 12, 7, 5, tzinfo=UTC)
    assert version("12") == 12
    assert version("2013-10-07T13:30:00Z") == NINE_THIRTY


def test_values_as_json() -> None:
    table = pa.table(
        {
            "t": pa.array([1], pa.timestamp("us", "UTC")),
            "d": pa.array([date(2013, 10, 7)]),
            "b": [b"\x00"],
            "n": [float("nan")],
            "l": [[1.5, None]],
        }
    )
    assert objects(table) == [
        {"t": "1970-01-01T00:00:00.000001Z", "d": "2013-10-07", "b": "AA==", "n": None, "l": [1.5, None]}
    ]
    assert objects(table.slice(0, 0)) == []


def test_export_to_every_kind_of_file(url: str, tmp_path: Path) -> None:
    files = {suffix: tmp_path / f"out{suffix}" for suffix in (".parquet", ".arrow", ".csv", ".jsonl")}
    with closing(open_store(url, read_only=True)) as store:
        for path in files.values():
            assert export(store, "quotes", path, ("A",), at(1), at(100)) == 2
    expected = [at(1), at(2)]
    for table in (pq.read_table(files[".parquet"]), pa.ipc.open_file(files[".arrow"]).read_all()):
        assert table.schema.field("ts").type == pa.timestamp("ns", "UTC")
        nanos = sorted(table.column("ts").cast(pa.int64()).to_pylist())
        assert nanos == [int(expected[0].timestamp()) * 10**9, int(expected[1].timestamp()) * 10**9 + 7]
    assert pyarrow.csv.read_csv(files[".csv"]).column("bid_price").to_pylist() == [11.0, 10.0]
    lines = [json.loads(line) for line in files[".jsonl"].read_text().splitlines()]
    assert {line["ts"] for line in lines} == {"2013-10-07T13:30:01.000000000Z", "2013-10-07T13:30:02.000000007Z"}
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in files.values())


def test_export_refuses_what_it_cannot_write(url: str, tmp_path: Path) -> None:
    with closing(open_store(url, read_only=True)) as store:
        for table, name in (("quote", "a.csv"), ("quotes", "a.xlsx"), ("quotes", "no/such/a.csv")):
            with pytest.raises(UsageError, match="expected"):
                export(store, table, tmp_path / name)
        with pytest.raises(UsageError, match="expected start before end"):
            export(store, "quotes", tmp_path / "a.csv", start=at(1), end=at(0))
    assert list(tmp_path.iterdir()) == []


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return answer(*args)


def test_commands(url: str, tmp_path: Path) -> None:
    sql = "select symbol, max(ts) as last from quotes group by symbol order by symbol"
    done = run("query", "--store", url, "--json", sql)
    assert json.loads(done.stdout) == [
        {"symbol": "A", "last": "2013-10-08T13:30:00.000000Z"},
        {"symbol": "B", "last": "2013-10-07T13:30:01.000000Z"},
    ]
    (tmp_path / "q.sql").write_text(sql)
    text = run("query", "--store", url, "--file", str(tmp_path / "q.sql"))
    assert "2013-10-08T13:30:00.000000Z" in text.stdout
    assert run("query", "--store", url, "drop table quotes").returncode == 2
    assert run("query", "--store", url).returncode == 2
    target = tmp_path / "out.parquet"
    done = run("export", "trades", "--store", url, "--to", str(target), "--symbols", "A", "--json")
    assert json.loads(done.stdout)["rows"] == pq.read_metadata(target).num_rows == 4

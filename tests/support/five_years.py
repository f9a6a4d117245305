"""Five years of daily bars of the S&P 500: served by the simulator, fetched, loaded, held against the source.

The source is `../shared/market-data/daily-sp500-2013-2018`. Its dirt goes through as it is: 27 prices that are missing
(rows with only a close), one row whose high is below its low.
"""

from __future__ import annotations

import json
import os
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from tests.support.plant import SHARED, query, tickerplant
from tickerplant.simulator.process import running
from tickerplant.stores import open_store

ARCHIVE = SHARED / "market-data/daily-sp500-2013-2018/individual_stocks_5yr_20180209.zip"
START, END = "2013-02-08", "2018-02-08"
VENDORS = ("alpaca", "polygon", "alphavantage")
_COLUMNS = ("symbol", "session", "open", "high", "low", "close", "volume")
_ORDER = [("symbol", "ascending"), ("session", "ascending")]


def source(symbols: Sequence[str] | None = None) -> pa.Table:
    """Rows of the archive, by symbol and session; of some symbols, or of all."""
    parts = []
    with zipfile.ZipFile(ARCHIVE) as archive:
        for name in archive.namelist():
            if name.endswith("_data.csv") and (symbols is None or Path(name).name[:-9] in symbols):
                convert = pa.csv.ConvertOptions(
                    column_types={"date": pa.date32(), "Name": pa.string(), "volume": pa.float64()}
                    | dict.fromkeys(("open", "high", "low", "close"), pa.float64()),
                    null_values=[""],
                )
                parts.append(pa.csv.read_csv(pa.py_buffer(archive.read(name)), convert_options=convert))
    return (
        pa.concat_tables(parts)
        .rename_columns({"date": "session", "Name": "symbol"})
        .select(_COLUMNS)
        .sort_by(_ORDER)
        .combine_chunks()
    )


def expected(truth: pa.Table, vendor: str) -> tuple[pa.Table, int]:
    """What a store must hold of a vendor, and how many rows its quarantine."""
    if vendor != "polygon":
        return truth, 0
    whole = truth.drop_null()
    return whole.combine_chunks(), truth.num_rows - whole.num_rows


def set_aside(store_url: str, vendor: str) -> int:
    """Rows of a vendor in quarantine."""
    return int(query(store_url, f"select count(*) as n from quarantine where vendor = '{vendor}'")[0]["n"])


def stored(store_url: str, vendor: str) -> pa.Table:
    """Rows of a vendor in a store, every version, by symbol and session."""
    store = open_store(store_url, read_only=True)
    try:
        rows = store.query(f"select {', '.join(_COLUMNS)} from daily_bars where vendor = ?", [vendor])
        return rows.cast(pa.schema([pa.field(f.name, f.type) for f in rows.schema])).sort_by(_ORDER).combine_chunks()
    finally:
        store.close()


@dataclass(frozen=True)
class VendorReport:
    """One vendor's way: calls asked, seconds of fetching (into the lake) and of loading elsewhere, what came out.

    `set_aside` are answers in quarantine: Polygon promises four prices in each bar, so its decoder takes no row that
    lacks one. Equal means every other row, with every column, once.
    """

    vendor: str
    calls: int
    rows: int
    set_aside: int
    fetch_s: float
    load_s: float
    is_lake_equal: bool
    is_postgres_equal: bool | None

    @property
    def is_well(self) -> bool:
        """Whether every store that was filled equals the source."""
        return self.is_lake_equal and self.is_postgres_equal is not False


@dataclass(frozen=True)
class _Plant:
    folder: Path
    environment: dict[str, str]

    def run(self, *words: str) -> str:
        process = tickerplant(*words, env=self.environment, cwd=self.folder)
        out, _ = process.communicate(timeout=1800)
        assert process.returncode == 0, f"{words}: exit {process.returncode}\n{out}"
        return out


def five_years(
    folder: Path,
    symbols: Sequence[str] | None = None,
    vendors: Sequence[str] = VENDORS,
    *,
    postgres: str | None = None,
    form: str = "parquet",
) -> list[VendorReport]:
    """Play it for each vendor; `postgres` is the URL of a second store, `form` that of the simulator's files."""
    truth = source(symbols)
    _write(truth, folder, form)
    arguments = ["--rest-only", "--history", str(folder / "history"), "--port", "0"]
    with running(arguments) as simulator:
        plant = _Plant(folder, _environment(folder, dict(simulator.rest)))
        plant.run("universe", "import", "five", str(folder / "five.csv"), "--on", END)
        return [_through(plant, vendor, truth, postgres) for vendor in vendors]


def _write(truth: pa.Table, folder: Path, form: str) -> None:
    (folder / "history").mkdir(parents=True)
    if form == "csv":
        pa.csv.write_csv(truth, folder / "history/daily_bars.csv")
    else:
        pa.parquet.write_table(truth, folder / "history/daily_bars.parquet")
    (folder / "five.csv").write_text("symbol\n" + "\n".join(sorted(set(truth.column("symbol").to_pylist()))) + "\n")


def _environment(folder: Path, urls: dict[str, str]) -> dict[str, str]:
    keys = dict.fromkeys(
        ("ALPACA_API_KEY", "ALPACA_SECRET_KEY", "ALPHA_VANTAGE_API_KEY", "POLYGON_API_KEY"), "A-KEY-4711"
    )
    plans = {"ALPACA_PLAN": "plus", "ALPHA_VANTAGE_PLAN": "1200", "POLYGON_PLAN": "advanced"}
    hosts = {"ALPACA_DATA_URL": urls["alpaca"], "ALPACA_TRADING_URL": urls["alpaca"]}
    hosts |= {"ALPHA_VANTAGE_URL": urls["alphavantage"], "POLYGON_URL": urls["polygon"]}
    return {**os.environ, **keys, **plans, **hosts, "TICKERPLANT_DATA": str(folder)}


def _through(plant: _Plant, vendor: str, truth: pa.Table, postgres: str | None) -> VendorReport:
    words = ("--table", "daily_bars", "--universe", "five", "--start", START, "--end", END, "--vendor", vendor)
    began = time.monotonic()
    done = json.loads(plant.run("fetch", *words, "--json").splitlines()[-1])["done"]
    fetched = time.monotonic()
    if postgres:
        plant.run("load", "--log", str(plant.folder / "log"), "--store", postgres)
    loaded = time.monotonic()
    right = expected(truth, vendor)
    found = [(stored(url, vendor), set_aside(url, vendor)) for url in (str(plant.folder / "lake"), postgres) if url]
    are_equal = [rows.equals(right[0]) and aside == right[1] for rows, aside in found]
    return VendorReport(
        vendor,
        done["calls"],
        found[0][0].num_rows,
        found[0][1],
        fetched - began,
        loaded - fetched,
        are_equal[0],
        are_equal[1] if postgres else None,
    )

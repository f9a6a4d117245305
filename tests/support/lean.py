"""Reader of LEAN's tick files (QuantConnect/Lean, Data/equity/usa/tick): zips of CSV without header.

Times are milliseconds since midnight in New York, prices ten-thousandths of a dollar. Each CSV row becomes one row, in
the order of the file; a quote row has one side only, the other is 0 with a blank venue. Not part of the package.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from tickerplant.calendar import NEW_YORK
from tickerplant.model import Batch
from tickerplant.schema import Table
from tickerplant.tables import QUOTES, TRADES

TICKS = Path(__file__).resolve().parents[2].parent / "shared" / "market-data" / "lean-equity-usa" / "tick"
QUOTE_ROWS, TRADE_ROWS = 5_690_227, 1_684_116

_TAPES = {"SPY": "B"}
_QUOTE_COLUMNS = ("time", "bid", "bid_size", "ask", "ask_size", "exchange", "condition", "suspicious")
_TRADE_COLUMNS = ("time", "price", "size", "exchange", "condition", "suspicious")
_TEXT = {"exchange": pa.string(), "condition": pa.string()}


def read(path: Path) -> Iterator[list[Batch]]:
    """Days in order, each the quotes and trades of every symbol below `path` (`<path>/<symbol>/<day>_<kind>.zip`)."""
    for day in days(path):
        yield read_day(path, day)


def days(path: Path) -> list[date]:
    """The days there are."""
    return sorted({datetime.strptime(f.name[:8], "%Y%m%d").date() for f in path.glob("*/*.zip")})  # noqa: DTZ007


def read_day(path: Path, day: date, symbols: Sequence[str] | None = None, kinds: str = "quote trade") -> list[Batch]:
    """Batches of one day, one for each symbol and kind, rows in file order (which is time order)."""
    names = symbols or sorted(folder.name.upper() for folder in path.iterdir() if folder.is_dir())
    found = []
    for kind in kinds.split():
        for symbol in names:
            file = path / symbol.lower() / f"{day:%Y%m%d}_{kind}.zip"
            if file.is_file():
                found.append(_quotes(file, symbol, day) if kind == "quote" else _trades(file, symbol, day))
    return found


def _csv(file: Path, names: tuple[str, ...]) -> pa.Table:
    with zipfile.ZipFile(file) as archive:
        data = archive.read(archive.namelist()[0])
    types = {n: _TEXT.get(n, pa.int64()) for n in names}
    convert = csv.ConvertOptions(column_types=types, strings_can_be_null=False)
    read_options = csv.ReadOptions(column_names=list(names), use_threads=False, block_size=8 << 20)
    return csv.read_csv(pa.BufferReader(data), read_options, convert_options=convert).combine_chunks()


def _quotes(file: Path, symbol: str, day: date) -> Batch:
    rows = _csv(file, _QUOTE_COLUMNS)
    exchange, bid, ask = rows["exchange"], _numpy(rows["bid"]), _numpy(rows["ask"])
    columns = {
        "bid_price": bid / 10_000,
        "bid_size": _numpy(rows["bid_size"]).astype(np.float64),
        "bid_exchange": pc.if_else(pa.array(bid > 0), exchange, " "),
        "ask_price": ask / 10_000,
        "ask_size": _numpy(rows["ask_size"]).astype(np.float64),
        "ask_exchange": pc.if_else(pa.array(ask > 0), exchange, " "),
        "conditions": rows["condition"],
    }
    return _batch(QUOTES, symbol, _micros(rows, day), columns)


def _trades(file: Path, symbol: str, day: date) -> Batch:
    rows = _csv(file, _TRADE_COLUMNS)
    columns = {
        "trade_id": pa.array(np.arange(1, rows.num_rows + 1)).cast(pa.string()),
        "price": _numpy(rows["price"]) / 10_000,
        "size": _numpy(rows["size"]).astype(np.float64),
        "exchange": rows["exchange"],
        "conditions": rows["condition"],
    }
    return _batch(TRADES, symbol, _micros(rows, day), columns)


def _numpy(column: Any) -> Any:
    return column.to_numpy()


def _micros(rows: pa.Table, day: date) -> Any:
    midnight = int(datetime.combine(day, time(), NEW_YORK).timestamp())
    return _numpy(rows["time"]) * 1000 + midnight * 1_000_000


def _batch(table: Table, symbol: str, micros: Any, columns: dict[str, Any]) -> Batch:
    constants = {"symbol": symbol, "ns": 0, "tape": _TAPES.get(symbol, "A")}
    constants |= {"vendor": "alpaca", "feed": "sip", "received_at": 0, "seq": 0}
    arrays = []
    for field in table.schema:
        if field.name in constants:
            arrays.append(pa.repeat(pa.scalar(constants[field.name], field.type), len(micros)))
        else:
            values = micros if field.name == "ts" else columns[field.name]
            arrays.append(_array(values).cast(field.type))
    return Batch(table, pa.RecordBatch.from_arrays(arrays, schema=table.schema))


def _array(values: Any) -> pa.Array:
    if isinstance(values, pa.ChunkedArray):
        return values.chunk(0) if values.num_chunks == 1 else pa.concat_arrays(values.chunks)
    return values if isinstance(values, pa.Array) else pa.array(values)

"""`simulate --history`: a folder of files in our own columns becomes what the simulated vendors know."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from tickerplant.errors import UsageError
from tickerplant.simulator.history import MarketHistory
from tickerplant.simulator.recorded import recorded

FAR = (datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
DAY = pa.table(
    {"symbol": ["NA", "BRK.B"], "session": [date(2025, 11, 20)] * 2, "close": [1, 2], "volume": [None, 0.5]},
    schema=pa.schema(
        [("symbol", pa.large_string()), ("session", pa.date32()), ("close", pa.int64()), ("volume", pa.float64())]
    ),
)


def known(folder: Path, table: str) -> list[dict[str, object]]:
    return MarketHistory(recorded(folder)).rows(table, None, *FAR).to_pylist()


def test_every_format_gives_the_same_rows_and_null_where_nothing_is_said(tmp_path: Path) -> None:
    for name in ("parquet", "arrow", "csv"):
        (tmp_path / name).mkdir()
    pa.parquet.write_table(DAY, tmp_path / "parquet/daily_bars.parquet")
    pa.feather.write_feather(DAY, str(tmp_path / "arrow/daily_bars.arrow"))
    (tmp_path / "csv/daily_bars.csv").write_text(
        "symbol,session,close,volume\nNA,2025-11-20,1,\nBRK.B,2025-11-20,2,0.5\n"
    )
    for name in ("parquet", "arrow", "csv"):
        rows = known(tmp_path / name, "daily_bars")
        assert [(r["symbol"], r["session"], r["close"], r["volume"], r["open"], r["vendor"]) for r in rows] == [
            ("BRK.B", date(2025, 11, 20), 2.0, 0.5, None, "recorded"),
            ("NA", date(2025, 11, 20), 1.0, None, None, "recorded"),
        ]


def test_a_folder_named_after_the_table_may_hold_many_files(tmp_path: Path) -> None:
    (tmp_path / "daily_bars/year=2025").mkdir(parents=True)
    pa.parquet.write_table(DAY.slice(0, 1), tmp_path / "daily_bars/year=2025/part-0.parquet")
    pa.parquet.write_table(DAY.slice(1, 1), tmp_path / "daily_bars/part-1.parquet")
    (tmp_path / "daily_bars/README.txt").write_text("nothing of ours")
    assert [r["symbol"] for r in known(tmp_path, "daily_bars")] == ["BRK.B", "NA"]


def test_without_tickers_whoever_has_a_bar_is_listed(tmp_path: Path) -> None:
    pa.parquet.write_table(DAY, tmp_path / "daily_bars.parquet")
    assert [(r["symbol"], r["vendor_symbol"], r["is_active"]) for r in known(tmp_path, "tickers")] == [
        ("BRK.B", "BRK.B", True),
        ("NA", "NA", True),
    ]
    (tmp_path / "tickers.csv").write_text("symbol,name,is_active,delisted_on\nNA,Nano Labs,false,2025-11-21\n")
    assert [(r["name"], r["is_active"], r["delisted_on"]) for r in known(tmp_path, "tickers")] == [
        ("Nano Labs", False, date(2025, 11, 21))
    ]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("daily_bars.csv", "symbol,session,last\nA,2025-11-20,1\n", "expected columns of daily_bars .*, was 'last'"),
        ("daily_bars.csv", "symbol,close\nA,1\n", "expected a column session, was none"),
        ("daily_bars.csv", "symbol,session\n,2025-11-20\n", "expected a value of symbol in every row, was none in 1"),
        ("daily_bars.csv", "symbol,session,close\nA,2025-11-20,much\n", "daily_bars.csv: .*invalid value 'much'"),
        ("prices.csv", "symbol\nA\n", "expected to be named after one of quotes, .*, was 'prices'"),
        ("notes.txt", "", "expected files such as daily_bars.parquet"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=said):
        recorded(tmp_path)

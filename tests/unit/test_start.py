"""What a command imports: the time to start is the same for every answer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"pandas", "exchange_calendars", "pyarrow", "polars", "duckdb", "httpx2", "psycopg", "picows", "matplotlib"}


RUN = """import atexit, sys
from tickerplant.cli import main
atexit.register(lambda: print(*sys.modules, file=sys.stderr))
sys.argv = ["tickerplant", *sys.argv[1:]]
main()"""


def imported(folder: Path, *words: str) -> set[str]:
    """The heavy packages that a command has imported when it ends well."""
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words], capture_output=True, text=True, cwd=folder, check=True, timeout=60
    )
    return set(done.stderr.split()) & HEAVY


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), set()),
        (("load", "--help"), set()),
        (("capture", "--help"), set()),
        (("calendar",), set()),
        (("load",), {"pyarrow"}),
        (("query", "select 1"), {"pyarrow", "duckdb"}),
        (("status",), {"pyarrow", "duckdb"}),
    ],
    ids=lambda value: " ".join(value) or "help" if isinstance(value, tuple) else None,
)
def test_a_command_imports_what_it_needs(tmp_path: Path, words: tuple[str, ...], expected: set[str]) -> None:
    assert imported(tmp_path, *(words or ("--help",))) == expected


def test_a_deferred_pandas_is_there_when_a_dataframe_is_wanted() -> None:
    lines = (
        "import sys, warnings",
        "from tickerplant.cli.arrow import defer_pandas",
        "defer_pandas()",
        "import pyarrow as pa",
        "table = pa.table({'x': [1, None]})",
        "assert 'pandas' not in sys.modules",
        "assert table.to_pandas()['x'].isna().tolist() == [False, True]",
        "import pandas",
        "assert pa.array(pandas.Series([1.0, None])).null_count == 1",
    )
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")

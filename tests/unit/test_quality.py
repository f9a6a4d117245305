"""Quality: heads of rules, grades, the report's page, the command."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import polars as pl
import pyarrow as pa
import pytest

from tests.support.defects import AFTER, DAY, daily, fill, quote, wiggle
from tests.support.plant import answer
from tests.support.rows import rows
from tickerplant.cli.quality import _bounds
from tickerplant.errors import UsageError
from tickerplant.jobs.quality import chosen_days, quality
from tickerplant.quality.inputs import Span, question
from tickerplant.quality.outcome import Collector
from tickerplant.quality.page import page
from tickerplant.quality.report import _with_outliers, gather
from tickerplant.quality.rule import KEEP, parse, rule, rules
from tickerplant.quality.run import Found
from tickerplant.stores import open_store
from tickerplant.tables import TABLES

ROOT = Path(__file__).resolve().parents[2]
HEAD = """-- severity: warning
-- grain: row
-- tables: quotes trades
-- value: dollars
-- meaning: One line
--   and another.
-- thresholds: least=10 share=0.5
"""
DAYS = [date(2025, 11, 18), date(2025, 11, 19), DAY]


def test_a_head_says_what_a_rule_is() -> None:
    found = parse("name", HEAD + "select 1 as is_bad\n")
    assert (found.name, found.severity, found.grain, found.tables) == ("name", "warning", "row", ("quotes", "trades"))
    assert found.meaning == "One line and another."
    assert found.thresholds == {"least": 10.0, "share": 0.5}
    assert (found.keep, found.sql, found.is_daily) == (KEEP, "select 1 as is_bad", False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("-- severity: error\nselect 1", "expected the keys"),
        (HEAD + "-- colour: red\nselect 1", "expected the keys"),
        (HEAD.replace("warning", "bad") + "select 1", "known severity and grain, was bad, row"),
        ("--nothing\nselect 1", "expected `-- key: value`, was '--nothing'"),
        (HEAD + "select :most", "expected a threshold of the head, was :most"),
    ],
)
def test_a_wrong_head_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse("name", text)


@pytest.mark.parametrize(
    ("name", "checked", "flagged", "grade"),
    [
        ("quotes_positive", 1000, 0, "A"),
        ("quotes_positive", 1000, 1, "D"),
        ("quotes_positive", 1000, 2, "F"),
        ("quotes_sizeless", 1000, 1, "B"),
        ("quotes_sizeless", 1000, 2, "C"),
        ("quotes_sizeless", 1000, 51, "D"),
        ("quotes_crossed", 1000, 1, "A"),
        ("quotes_locked", 1000, 1000, "A"),
        ("bars_missing_minutes", 1, 1, "C"),
    ],
)
def test_the_share_of_flagged_rows_gives_the_grade(name: str, checked: int, flagged: int, grade: str) -> None:
    assert rule(name).grade(checked, flagged) == grade


def test_every_rule_is_described_with_its_thresholds() -> None:
    text = (ROOT / "docs" / "quality.md").read_text()
    described = dict(re.findall(r"^### (\w+)\n\n((?:.+\n|\n(?!#))+)", text, re.MULTILINE))
    assert set(described) == {r.name for r in rules()}
    for r in rules():
        section = " ".join(described[r.name].split())
        assert r.severity in section, r.name
        assert r.meaning in section, r.name
        assert all(f"{k} {v:g}" in section for k, v in r.thresholds.items()), r.name


def test_rules_name_tables_that_are_there() -> None:
    known = set(TABLES)
    for r in rules():
        assert set(r.tables) <= known
        assert r.tables[0] == r.name.split("_")[0].replace("daily", "daily_bars").replace("gap", "gaps"), r.name


def test_a_question_reads_the_sessions_in_question_only() -> None:
    asked = question(rule("quotes_crossed"), "duckdb", Span((DAY,), AFTER))
    assert "session >= date '2025-11-20' and session <= date '2025-11-20'" in asked
    assert "ts >= timestamptz '2025-11-20T05:00:00+00:00'" in asked
    assert "trades" not in asked


def found(name: str, *counts: tuple[str, date, int, int]) -> Found:
    symbols, days, checked, flagged = zip(*counts, strict=True)
    columns = {"symbol": symbols, "session": days, "checked": checked, "flagged": flagged}
    flags = [
        {"symbol": s, "session": d, "vendor": "v", "feed": "f", "ts": AFTER, "ns": 0, "received_at": AFTER, "seq": 0}
        | {"value": 2.0, "expected": 1.0, "detail": "x"}
        for s, d, _, n in counts
        if n
    ]
    schema = pa.schema([(c.name, c.type) for c in TABLES["quality_flags"].columns if c.name not in _ADDED])
    return Found(rule(name), pa.table(columns), pa.Table.from_pylist(flags, schema), 0.1)


_ADDED = ("run", "n", "rule", "severity", "table_name")


def test_the_worst_rule_grades_a_symbol_and_says_why() -> None:
    collector = Collector()
    collector.add(found("quotes_positive", ("A", DAY, 100, 0), ("B", DAY, 1000, 1)))
    collector.add(found("quotes_sizeless", ("A", DAY, 2000, 1), ("B", DAY, 1000, 100)))
    collector.add(found("quotes_locked", ("A", DAY, 100, 50), ("C", DAY, 10, 10)))
    outcome = collector.outcome("run", AFTER)
    grades = {r["symbol"]: r for r in outcome.grades.to_dicts()}
    assert {s: (r["grade"], r["flagged"], r["checked"]) for s, r in grades.items()} == {
        "A": ("B", 1, 2200),
        "B": ("D", 101, 2000),
        "C": ("A", 0, 10),
    }
    assert grades["A"]["why"] == "quotes_sizeless 1 of 2000 (0.05 %)"
    assert grades["B"]["why"] == "quotes_sizeless 100 of 1000 (10 %), quotes_positive 1 of 1000 (0.1 %)"
    assert (grades["C"]["why"], grades["C"]["severity"]) == (None, "info")
    assert [t.rule for t in outcome.totals] == ["quotes_positive", "quotes_sizeless", "quotes_locked"]
    assert outcome.is_failed
    assert outcome.rows.schema == TABLES["quality"].schema
    assert outcome.flags.column("n").to_pylist() == list(range(5))
    totals = outcome.rows.filter(pa.compute.equal(outcome.rows["symbol"], "*")).to_pylist()
    assert {r["rule"]: (r["checked"], r["flagged"]) for r in totals}["quotes_sizeless"] == (3000, 101)


def test_nothing_to_look_at_is_no_grade(tmp_path: Path) -> None:
    outcome = Collector().outcome("run", AFTER)
    assert (outcome.rows.num_rows, outcome.flags.num_rows, outcome.days, outcome.is_failed) == (0, 0, (), False)
    with closing(open_store(str(tmp_path))) as store, pytest.raises(UsageError, match="a run without any"):
        gather(store, outcome)


@pytest.fixture(scope="module")
def store_url(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Three sessions of daily bars and a few quotes; one bar is wrong on the last day."""
    url = str(tmp_path_factory.mktemp("lake"))
    past = [date(2025, 11, d) for d in range(3, 8)] + [date(2025, 11, d) for d in range(10, 15)]
    names = [f"S{n}" for n in range(12)] + ["<&>"]
    bars = [b for n in names for b in wiggle(n, [*past, *DAYS[:2]], 100.0)]
    bars += [
        daily(n, DAY, 100.0, low=101.0 if n == "<&>" else 99.0, volume=1e6 * (place + 1))
        for place, n in enumerate(names)
    ]
    quotes = [quote(n, k, 10.0, 10.0 + 0.01 * (place + 1)) for place, n in enumerate(names) for k in range(3)]
    with closing(open_store(url)) as store:
        fill(store, [rows("daily_bars", *bars), rows("quotes", *quotes)])
    return url


def test_the_page_is_one_file_with_its_plots(store_url: str) -> None:
    with closing(open_store(store_url)) as store:
        outcome = quality(store, chosen_days(store, DAYS[0]), AFTER)
        report = gather(store, outcome)
    assert report.grades.height == 13 * 3
    assert report.volumes.sort("symbol")["ratio"].to_list()[0] == 13.0
    assert report.spreads.height == 13
    text = page(report)
    assert not re.search(r"(src|href)=|url\(|@import|<script", text)
    assert "1 rule of severity error failed" in text
    assert "&lt;&amp;&gt;" in text
    assert "<&>" not in text
    pictures = [ElementTree.fromstring(p) for p in re.findall(r"<svg.*?</svg>", text, re.DOTALL)]
    assert [p.attrib["aria-label"] for p in pictures] == [
        "Grades by session",
        "Grades of the worst symbols by session",
        "Flagged rows by rule",
        "Spread by volume",
        "Volume against what is usual",
    ]
    cells = [r.attrib["class"] for r in pictures[1].iter("rect")]
    assert (cells.count("gF"), cells.count("gA")) == (1, 38)
    assert len(list(pictures[3].iter("circle"))) == 13


def run(url: str, *words: str) -> subprocess.CompletedProcess[str]:
    return answer("quality", "--store", url, *words)


def test_the_command_fails_by_an_error_and_tells_it(store_url: str, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    found = run(store_url, "--report", str(file))
    assert found.returncode == 1, found.stderr
    assert "failed: daily_price_order" in found.stdout
    assert re.search(r"2025-11-20\s+13\s+12\s+1", found.stdout)
    assert file.read_text().startswith("<!doctype html>")
    lenient = run(store_url, "--json", "--no-fail", "--start", "2025-11-19")
    assert lenient.returncode == 0
    told: dict[str, Any] = json.loads(lenient.stdout)
    assert (told["ok"], told["sessions"]) == (False, ["2025-11-19", "2025-11-20"])
    assert told["grades"] == {"A": 25, "B": 0, "C": 0, "D": 0, "F": 1}
    [failed] = [r for r in told["rules"] if r["is_failed"]]
    assert (failed["rule"], failed["flagged"], failed["checked"]) == ("daily_price_order", 1, 26)
    assert told["worst"][0]["symbol"] == "<&>"


def test_the_command_ends_well_without_errors(store_url: str) -> None:
    clean = run(store_url, "--session", "2025-11-19")
    assert (clean.returncode, "no errors" in clean.stdout) == (0, True)


def test_days_that_cannot_be_are_usage_errors(store_url: str) -> None:
    with pytest.raises(UsageError, match="--session: expected a day such as 2026-11-20, was 'yesterday'"):
        _bounds("yesterday", None, None)
    with pytest.raises(UsageError, match="expected --session or --start and --end"):
        _bounds("2025-11-20", "2025-11-19", None)
    assert _bounds("2025-11-20", None, None) == (DAY, date(2025, 11, 21))
    with closing(open_store(store_url)) as store:
        with pytest.raises(UsageError, match="was rows from 2025-11-03 to 2025-11-20"):
            chosen_days(store, date(2025, 11, 21))
        assert chosen_days(store) == [DAY]


def test_spreads_far_from_the_others_are_outliers() -> None:
    symbols = [f"S{n}" for n in range(30)]
    spreads = pl.DataFrame(
        {"symbol": symbols, "quotes": [1] * 30, "spread": [2.0 + n % 3 for n in range(29)] + [400.0]}
    )
    volumes = pl.DataFrame({"symbol": symbols, "volume": [1000.0 + n for n in range(30)]})
    found = _with_outliers(spreads, volumes)
    assert found.filter(pl.col("is_outlier"))["symbol"].to_list() == ["S29"]

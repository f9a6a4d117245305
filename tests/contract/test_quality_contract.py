"""Every quality rule finds exactly what was injected, and nothing on clean data, on every kind of store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.support.defects import AFTER, DAY, SATURDAY, Place, clean, defects, fill, market
from tests.support.postgres import fresh_schema, server
from tickerplant.errors import UsageError
from tickerplant.jobs.quality import chosen_days, quality
from tickerplant.model import Counters, Position
from tickerplant.quality.outcome import Outcome
from tickerplant.quality.rule import rules
from tickerplant.stores import AnyStore, open_store


@contextmanager
def store_of(kind: str, folder: Path) -> Iterator[AnyStore]:
    if kind == "lake":
        with closing(open_store(str(folder))) as lake:
            yield lake
        return
    with fresh_schema() as options, closing(open_store(server().url, options=options)) as postgres:
        yield postgres


@pytest.fixture(scope="module", params=["lake", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def clean_run(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    with store_of(kind, tmp_path_factory.mktemp("clean")) as store:
        return quality(fill(store, clean()), chosen_days(store), AFTER)


@pytest.fixture(scope="module")
def dirty(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[AnyStore, Outcome]]:
    with store_of(kind, tmp_path_factory.mktemp("dirty")) as store:
        fill(store, [*clean(), *defects()[0]])
        yield store, quality(store, [DAY, SATURDAY], AFTER)


def flags(outcome: Outcome, name: str) -> pl.DataFrame:
    found = pl.from_arrow(outcome.flags)
    assert isinstance(found, pl.DataFrame)
    return found.filter(pl.col("rule") == name)


def places(rows: pl.DataFrame) -> list[Place]:
    return sorted(rows.select("symbol", "session", "ts").rows(), key=str)


def test_nothing_is_flagged_on_clean_data(clean_run: Outcome) -> None:
    assert [(t.rule, t.flagged) for t in clean_run.totals if t.flagged and t.severity != "info"] == []
    assert not clean_run.is_failed
    assert clean_run.grade_counts == {"A": clean_run.grades.height, "B": 0, "C": 0, "D": 0, "F": 0}
    looked = {t.rule: t.checked for t in clean_run.totals}
    quotes = sum(b.rows.num_rows for b in market() if b.table.name == "quotes")
    assert looked["quotes_positive"] == looked["quotes_doubled"] == quotes
    assert looked["bars_missing_minutes"] == 1
    assert looked["daily_split_without_jump"] == 1
    assert looked["daily_vendors_differ"] == 1
    assert set(looked) == {r.name for r in rules()}


def test_locked_quotes_of_the_market_are_counted(clean_run: Outcome) -> None:
    """They are real, so they lower no grade; counted here a second way."""
    expected = 0
    for batch in market():
        if batch.table.name == "quotes":
            bids, asks = (batch.rows.column(n).to_pylist() for n in ("bid_price", "ask_price"))
            expected += sum(b == a > 0 for b, a in zip(bids, asks, strict=True))
    [total] = [t for t in clean_run.totals if t.rule == "quotes_locked"]
    assert total.flagged == expected > 0


@pytest.mark.parametrize("name", [r.name for r in rules()])
def test_a_rule_finds_exactly_what_was_injected(dirty: tuple[AnyStore, Outcome], name: str) -> None:
    found = flags(dirty[1], name)
    if name == "quotes_locked":
        found = found.filter(pl.col("symbol") == "QUOTE")
    assert places(found) == sorted(defects()[1][name], key=str)


def test_the_run_fails_by_its_errors_only(dirty: tuple[AnyStore, Outcome]) -> None:
    outcome = dirty[1]
    assert outcome.is_failed
    failed = {t.rule for t in outcome.totals if t.is_failed}
    assert failed == {r.name for r in rules() if r.severity == "error"}


def test_values_say_what_was_found(dirty: tuple[AnyStore, Outcome]) -> None:
    def one(name: str, symbol: str) -> dict[str, Any]:
        [row] = flags(dirty[1], name).filter(pl.col("symbol") == symbol).to_dicts()
        return row

    crossed = one("quotes_crossed", "QUOTE")
    assert (crossed["value"], crossed["expected"]) == (pytest.approx(0.1), 0.0)
    assert (crossed["vendor"], crossed["feed"], crossed["table_name"]) == ("alpaca", "sip", "quotes")
    assert (one("bars_missing_minutes", "MISSING")["value"], one("bars_missing_minutes", "MISSING")["expected"]) == (
        300.0,
        390.0,
    )
    assert one("gap_overlap", "UNHEARD")["value"] == pytest.approx(30.0)
    assert one("trades_jump", "JUMP")["detail"].startswith("60")
    assert one("daily_jump_of_a_split", "UNKNOWN")["expected"] == 4.0
    assert one("daily_vendors_differ", "DIFFER")["detail"].startswith("close differs from polygon.sip")


def test_flags_join_to_rows_and_grades_to_queries(dirty: tuple[AnyStore, Outcome]) -> None:
    store = dirty[0]
    joined = store.query(
        """select q.bid_price, q.ask_price, f.rule from quotes q
        join quality_flags f on f.table_name = 'quotes' and f.symbol = q.symbol and f.ts = q.ts and f.ns = q.ns
            and f.received_at = q.received_at and f.seq = q.seq
        where f.rule in ('quotes_crossed', 'quotes_sizeless') order by f.rule"""
    ).to_pylist()
    assert joined == [
        {"bid_price": 10.1, "ask_price": 10.0, "rule": "quotes_crossed"},
        {"bid_price": 10.0, "ask_price": 10.1, "rule": "quotes_sizeless"},
    ]
    graded = store.query(
        """select d.symbol, g.grade, g.why from daily_bars d join quality_grades g using (symbol, session)
        where d.symbol in ('CALM', 'MOVED', 'DAILY', 'DIFFER') and d.vendor = 'alpaca' and d.feed = 'sip'
        and d.session = date '2025-11-20' order by 1"""
    ).to_pylist()
    assert [(r["symbol"], r["grade"]) for r in graded] == [
        ("CALM", "A"),
        ("DAILY", "F"),
        ("DIFFER", "C"),
        ("MOVED", "C"),
    ]
    assert graded[0]["why"] is None
    assert graded[1]["why"].startswith("daily_price_order 1 of 1 (100")
    assert graded[3]["why"].startswith("daily_jump 1 of 1 (100")


def test_rows_are_counted_for_symbols_sessions_and_rules(dirty: tuple[AnyStore, Outcome]) -> None:
    store, outcome = dirty
    found = store.query("select * from quality where rule = 'quotes_positive' order by symbol").to_pylist()
    assert [(r["symbol"], r["flagged"]) for r in found if r["flagged"]] == [("*", 3), ("QUOTE", 3)]
    own = next(r for r in found if r["symbol"] == "QUOTE")
    assert (own["checked"], own["severity"], own["grade"], own["run"]) == (17, "error", "F", outcome.run)
    [whole] = store.query(
        "select * from quality where rule = '*' and symbol = 'QUOTE' and session = date '2025-11-20'"
    ).to_pylist()
    assert (whole["grade"], whole["severity"]) == ("F", "error")
    assert "quotes_positive 3 of 17" in whole["why"]


def test_history_is_kept_and_the_last_run_counts(kind: str, tmp_path: Path) -> None:
    with store_of(kind, tmp_path) as store:
        fill(store, [b for b in clean() if b.table.name == "daily_bars"])
        with pytest.raises(UsageError, match=r"was rows from .* to 2025-11-20"):
            chosen_days(store, SATURDAY)
        first = quality(store, [DAY], AFTER)
        kept = [b for b in defects()[0] if b.table.name == "daily_bars"]
        store.write("p", Position(1), Position(2), kept, Counters(2, 2))
        second = quality(store, [DAY], AFTER.replace(hour=1))
        runs = store.query("select run, count(*)::bigint as n from quality group by run order by n").to_pylist()
        assert [r["run"] for r in runs] == [first.run, second.run]
        latest = store.query("select * from quality_grades where symbol in ('CALM', 'MOVED')").to_pylist()
        assert {(r["symbol"], r["grade"], r["run"]) for r in latest} == {
            ("CALM", "A", second.run),
            ("MOVED", "C", second.run),
        }
        jobs = store.query("select what, outcome from jobs where what = 'quality'").to_pylist()
        assert jobs == [{"what": "quality", "outcome": "done"}] * 2

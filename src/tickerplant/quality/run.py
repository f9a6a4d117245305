"""Running the rules over a store: what each looked at, what it flagged. Nothing is written here."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from typing import TYPE_CHECKING

import pyarrow as pa

from tickerplant.quality.inputs import Span, question
from tickerplant.quality.rule import Rule, rules
from tickerplant.tables import TABLES

if TYPE_CHECKING:
    from tickerplant.stores import AnyStore

_SUMMARY = """{question}
select symbol, session, count(*) as checked, sum(case when is_bad then 1 else 0 end) as flagged
from found group by symbol, session"""
_FLAGGED = """{question}
select symbol, session, vendor, feed, ts, ns, received_at, seq, value, expected, detail
from (
    select *, row_number() over (
        partition by symbol, session order by abs(value - expected) desc, ts, ns, received_at, seq
    ) as place
    from found where is_bad
) numbered where place <= {keep} order by session, symbol, place"""
_MOST_DAYS = 520


@dataclass(frozen=True)
class Found:
    """What one rule found in some sessions.

    `counts` has symbol, session, checked, flagged; `flags` the flagged rows that are kept, the worst first within a
    symbol and session.
    """

    rule: Rule
    counts: pa.Table
    flags: pa.Table
    seconds: float


def days_with_rows(store: AnyStore) -> dict[str, tuple[date, ...]]:
    """The days of which the store has rows, by table; quotes, trades, bars and daily_bars."""
    held = set(store.tables())
    found = {t: tuple(store.sessions(TABLES[t])) if t in held else () for t in ("quotes", "trades", "bars")}
    rows = store.analyse("select distinct session from daily_bars order by session") if "daily_bars" in held else None
    return {**found, "daily_bars": tuple(rows.column("session").to_pylist()) if rows else ()}


def run_rules(
    store: AnyStore, days: Sequence[date], now: datetime, told: Callable[[Rule, date], None] = lambda rule, day: None
) -> Iterator[Found]:
    """Each rule over the days of `days` that its table has rows of: daily rules many at once, the others one by one.

    `told` is called before each question. Raises what `store.query` raises.
    """
    there = days_with_rows(store)
    wanted = sorted(set(days))
    for rule in rules():
        held = {d for t in rule.tables for d in there.get(t, ())}
        mine = [day for day in wanted if day in held]
        for part in _parts(mine, _MOST_DAYS if rule.is_daily else 1):
            told(rule, part[0])
            yield _ask(store, rule, Span(part, now))


def _parts(days: Sequence[date], most: int) -> Iterator[tuple[date, ...]]:
    for _, part in groupby(enumerate(days), lambda item: item[0] // most):
        yield tuple(day for _, day in part)


def _ask(store: AnyStore, rule: Rule, span: Span) -> Found:
    began = time.monotonic()
    asked = question(rule, store.dialect, span)
    counts = _typed(store.analyse(_SUMMARY.format(question=asked)), _COUNTS)
    flags = _FLAGS.empty_table()
    if any(counts.column("flagged").to_pylist()):
        flags = _typed(store.analyse(_FLAGGED.format(question=asked, keep=rule.keep)), _FLAGS)
    return Found(rule, counts, flags, time.monotonic() - began)


_COUNTS = pa.schema(
    [("symbol", pa.string()), ("session", pa.date32()), ("checked", pa.int64()), ("flagged", pa.int64())]
)
_FLAG_COLUMNS = frozenset(
    ("symbol", "session", "ts", "ns", "vendor", "feed", "received_at", "seq", "value", "expected", "detail")
)
_FLAGS = pa.schema([(c.name, c.type) for c in TABLES["quality_flags"].columns if c.name in _FLAG_COLUMNS])


def _typed(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    return rows.select(schema.names).cast(schema)

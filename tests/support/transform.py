"""Stores with a few days of prices, and transforms of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, Literal

import psycopg
import pytest

from tests.support import s3
from tests.support.postgres import drop, server
from tests.support.rows import rows
from tickerplant.jobs.transform import run_transform
from tickerplant.model import Batch, Counters, Position
from tickerplant.stores import AnyStore, StoreOptions, open_store
from tickerplant.stores.postgres import PostgresStore
from tickerplant.transform import ModelResult, Report, Request

KINDS = ("lake", "postgres")
FIRST = date(2024, 1, 2)
NOON = datetime(2024, 3, 1, 12, tzinfo=UTC)

USER_MODELS = {
    "by_session": """{{ config(grain=['symbol', 'session'], slice='session', bucket='month') }}
        select symbol, session, count(*) as trades, sum(size) as volume
        from {{ ref('stg_trades') }} where {{ in_slice() }} group by symbol, session""",
    "moved": """{{ config(grain=['symbol', 'session'], slice='symbol', bucket='year') }}
        select symbol, session, adjusted_close,
            adjusted_close / lag(adjusted_close) over (partition by symbol order by session) - 1 as change,
            sum(close) over (partition by symbol order by session) as total
        from {{ changed(ref('prices_daily')) }} p""",
    "near": """{{ config(grain=['symbol', 'session'], slice='symbol') }}
        select symbol, session,
            avg(split_close) over (partition by symbol order by session rows 2 preceding) as average
        from {{ changed(ref('prices_daily'), back=2) }} p""",
    "breadth": """{{ config(grain=['session'], slice='session', bucket='year') }}
        select session, count(change) as known, sum(case when change > 0 then 1 else 0 end) as up
        from {{ ref('moved') }} where {{ in_slice() }} group by session""",
    "loose": "select symbol, max(trades) as most from {{ ref('by_session') }} group by symbol",
}
"""Models of a user's own, one of each kind."""


@dataclass
class Place:
    """A store for tests, opened anew with another set of marts by `other`."""

    kind: Literal["lake", "postgres"]
    url: str
    options: StoreOptions
    models: Path
    store: AnyStore
    _moments = count(1)

    def write(self, *batches: Batch) -> None:
        """Load rows, received later than all before; batches of no rows are left out."""
        at = self.store.progress("p").position
        moment = NOON + timedelta(seconds=next(self._moments))
        found = [_received(b, moment) for b in batches if b.rows.num_rows]
        self.store.write("p", at, Position(at + 1), found, Counters())

    def transform(self, store: AnyStore | None = None, **words: Any) -> dict[str, ModelResult]:
        """Run a transform that has to be without failures; the results by name."""
        report = self.report(store, **words)
        assert report.ok, [r for r in report.results if r.status == "failed"]
        return {r.name: r for r in report.results}

    def report(self, store: AnyStore | None = None, **words: Any) -> Report:
        """Run a transform, without the models' tests unless asked for.

        In a thread of its own: dbt asks for the module of each frame of the stack, and those of pytest's workers are in
        none, which takes half a second.
        """
        request = Request(**{"tests": False, "user": self.models if self.models.is_dir() else None, **words})
        with ThreadPoolExecutor(1) as one:
            return one.submit(run_transform, store or self.store, request).result()

    @contextmanager
    def other(self, marts: str) -> Iterator[AnyStore]:
        """The same store with other marts."""
        with closing(open_store(self.url, options=replace(self.options, marts=marts))) as store:
            yield store

    def model(self, name: str, sql: str) -> None:
        """Write a model of the user's own."""
        self.models.mkdir(parents=True, exist_ok=True)
        (self.models / f"{name}.sql").write_text(sql)

    def select(self, sql: str) -> list[dict[str, Any]]:
        """Rows of a query."""
        return self.store.query(sql).to_pylist()


@contextmanager
def place(kind: str, folder: Path) -> Iterator[Place]:
    """A store of a kind (KINDS, or `s3`: a lake there) with nothing in it."""
    if kind == "s3":
        with pytest.MonkeyPatch.context() as patch:
            for name, value in s3.variables().items():
                patch.setenv(name, value)
            url = s3.new_url("lake")
            with closing(open_store(url)) as store:
                yield Place("lake", url, StoreOptions(), folder / "models", store)
        return
    if kind == "lake":
        url, options = str(folder / "lake"), StoreOptions()
        with closing(open_store(url)) as store:
            yield Place("lake", url, options, folder / "models", store)
        return
    # One name for all tests of a process: dbt then parses what changed, not all.
    options = StoreOptions(schema=f"test_{os.getpid()}_transform")
    _drop(options)
    with closing(open_store(server().url, options=options)) as store:
        assert isinstance(store, PostgresStore)
        store.init()
        try:
            yield Place("postgres", server().url, options, folder / "models", store)
        finally:
            _drop(options)


def _drop(options: StoreOptions) -> None:
    with psycopg.connect(server().url, autocommit=True) as link:
        link.execute("set client_min_messages to warning")
        found = link.execute("select nspname from pg_namespace where starts_with(nspname, %s)", [options.schema])
        for (name,) in found.fetchall():
            drop(link, name)


def _received(batch: Batch, moment: datetime) -> Batch:
    import pyarrow as pa

    place = batch.rows.schema.get_field_index("received_at")
    field = batch.rows.schema.field(place)
    column = pa.array([moment] * batch.rows.num_rows, field.type)
    return Batch(batch.table, batch.rows.set_column(place, field, column))


def day(number: int) -> date:
    """A session by its number."""
    return FIRST + timedelta(days=number)


def bars(*items: tuple[str, int, float], vendor: str = "alpaca", feed: str = "sip") -> Batch:
    """Daily bars of (symbol, number of the session, close)."""
    made = [
        {"symbol": s, "session": day(n), "open": c, "high": c + 1, "low": c - 1, "close": c, "vwap": c, "volume": 100.0}
        | {"vendor": vendor, "feed": feed, "seq": i}
        for i, (s, n, c) in enumerate(items)
    ]
    return rows("daily_bars", *made)


def splits(*items: tuple[str, int, float], vendor: str = "alpaca") -> Batch:
    """Splits of (symbol, number of the ex-date, new shares for one)."""
    made = [
        {"symbol": s, "ex_date": day(n), "split_from": 1.0, "split_to": to, "vendor": vendor, "feed": "sip", "seq": i}
        for i, (s, n, to) in enumerate(items)
    ]
    return rows("splits", *made)


def dividends(*items: tuple[str, int, float], vendor: str = "alpaca") -> Batch:
    """Cash dividends of (symbol, number of the ex-date, dollars)."""
    made = [
        {"symbol": s, "ex_date": day(n), "amount": a, "currency": "USD", "type": "CD", "vendor": vendor, "feed": "sip"}
        | {"vendor_id": f"{s}{n}", "seq": i}
        for i, (s, n, a) in enumerate(items)
    ]
    return rows("dividends", *made)


def trades(*items: tuple[str, int, str, float], feed: str = "sip") -> Batch:
    """Trades of (symbol, number of the session, trade id, price) at noon in New York."""
    made = [
        {"symbol": s, "ts": datetime(2024, 1, 2, 17, tzinfo=UTC) + timedelta(days=n), "trade_id": i, "price": p}
        | {"size": 10.0, "exchange": "V", "conditions": "@", "tape": "A", "vendor": "alpaca", "feed": feed, "seq": k}
        for k, (s, n, i, p) in enumerate(items)
    ]
    return rows("trades", *made)


def cancels(*items: tuple[str, int, str]) -> Batch:
    """Cancels of trades (symbol, number of the session, trade id)."""
    made = [
        {"symbol": s, "ts": datetime(2024, 1, 2, 18, tzinfo=UTC) + timedelta(days=n), "kind": "cancel"}
        | {"exchange": "V", "original_id": i, "corrected_id": None, "vendor": "alpaca", "feed": "sip", "seq": k}
        for k, (s, n, i) in enumerate(items)
    ]
    return rows("trade_corrections", *made)


def contents(store: AnyStore, names: Sequence[str]) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of marts in a fixed order, floats to 12 digits, without the times of receipt."""
    return {name: sorted(map(_plain, store.query(f"select * from {name}").to_pylist()), key=repr) for name in names}


def _plain(row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(float(f"{v:.12g}") if isinstance(v, float) else v for v in row.values())

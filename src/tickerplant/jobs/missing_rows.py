"""Which rows of a vendor's history a store lacks. Pure.

Rows are compared as a multiset, because identical quotes and trades are real: of n equal rows of history as many are
missing as the store has fewer. Nothing that is held is ever taken away (docs/decisions/0201-repair.md).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import polars as pl
import pyarrow as pa

from tickerplant.schema import Table
from tickerplant.tables import BARS, DAILY_BARS, INDEX_BARS, QUOTES, TRADE_CORRECTIONS, TRADES

_SOURCE = ("vendor", "feed")
_EVENT = {QUOTES.name: ("symbol", "ts"), TRADES.name: ("symbol", "ts", "trade_id")}
"""What tells one event from another, where live and history might spell the rest differently."""
_BAR, _BAR_VALUES = ("symbol", "ts", "interval"), ("open", "high", "low", "close", "volume")
_VOIDED = ("symbol", "exchange", "original_id")

COMPARED = (QUOTES.name, TRADES.name, BARS.name, TRADE_CORRECTIONS.name, DAILY_BARS.name, INDEX_BARS.name)
"""Tables of which only missing rows are added; every version of the others is kept."""


def missing_rows(table: Table, history: pa.Table, held: pa.Table, corrections: pa.Table | None = None) -> pa.Table:
    """Rows of `history` that `held` lacks, in their order; both have the table's schema. Bars are numbered as the
    revision that they replace.

    `corrections` (of TRADE_CORRECTIONS) are those held of the same symbols: a trade that one of them already put in
    the place of another is not missing. Rows that these very answers gave the store before do not count as held, so
    that the same is found after a crash.
    """
    if not history.num_rows:
        return history
    ours = _frame(history).with_row_index("_row")
    theirs = _frame(held).join(ours, on=[*_SOURCE, "received_at", "seq"], how="anti")
    found = _MISSING[table.name](table, ours, theirs)
    if corrections is not None and corrections.num_rows:
        found = found.join(_put_in_place(_frame(corrections)), on=["symbol", "trade_id", "exchange"], how="anti")
    found = found.sort("_row")
    rows = history.take(pa.array(found.get_column("_row").to_list(), pa.int64()))
    if table is BARS:
        place = table.schema.get_field_index("revision")
        rows = rows.set_column(place, table.schema.field(place), [found.get_column("_revision").to_arrow()])
    return rows


def _frame(rows: pa.Table) -> pl.DataFrame:
    found = pl.from_arrow(rows)
    assert isinstance(found, pl.DataFrame)
    return found


def _put_in_place(corrections: pl.DataFrame) -> pl.DataFrame:
    return corrections.select("symbol", pl.col("corrected_id").alias("trade_id"), "exchange").drop_nulls("trade_id")


def _events(table: Table, ours: pl.DataFrame, theirs: pl.DataFrame) -> pl.DataFrame:
    """Rows beyond those that are held. Held ones that history spells differently count for one of the same event."""
    event = [*_SOURCE, *_EVENT[table.name]]
    whole = [*event, *(c for c in table.content if c not in event)]
    lacking = _numbered(ours, whole).join(_numbered(theirs, whole), on=[*whole, "_n"], how="anti", nulls_equal=True)
    other = theirs.join(ours, on=whole, how="anti", nulls_equal=True).group_by(event).agg(pl.len().alias("_other"))
    return (
        _numbered(lacking, event)
        .join(other, on=event, how="left", nulls_equal=True)
        .filter(pl.col("_n") >= pl.col("_other").fill_null(0))
    )


def _numbered(rows: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """With `_n`, the place of a row among those equal to it."""
    return rows.with_columns(pl.int_range(pl.len()).over(names).alias("_n"))


def _bars(table: Table, ours: pl.DataFrame, theirs: pl.DataFrame) -> pl.DataFrame:
    """Bars that are not held, or whose last revision held says something else.

    They take the number of that revision, so that an update still to come live stands above them.
    """
    key = [*_SOURCE, *_BAR]
    latest = theirs.sort("revision", "received_at", "seq").group_by(key, maintain_order=True).last()
    lacking = ours.join(latest, on=[*key, *_BAR_VALUES], how="anti", nulls_equal=True)
    held = latest.select(*key, pl.col("revision").alias("_revision"))
    return lacking.join(held, on=key, how="left").with_columns(pl.col("_revision").fill_null(0))


def _versions(table: Table, ours: pl.DataFrame, theirs: pl.DataFrame) -> pl.DataFrame:
    """Rows of which nothing is held, or whose last version held says something else."""
    key = list(table.key)
    latest = theirs.sort("received_at", "seq").group_by(key, maintain_order=True).last()
    return ours.join(latest, on=[*key, *(c for c in table.content if c not in key)], how="anti", nulls_equal=True)


def _corrections(table: Table, ours: pl.DataFrame, theirs: pl.DataFrame) -> pl.DataFrame:
    return ours.join(theirs, on=[*_SOURCE, *_VOIDED], how="anti", nulls_equal=True)


_MISSING: dict[str, Callable[[Table, pl.DataFrame, pl.DataFrame], pl.DataFrame]] = {
    QUOTES.name: _events,
    TRADES.name: _events,
    BARS.name: _bars,
    TRADE_CORRECTIONS.name: _corrections,
    DAILY_BARS.name: _versions,
    INDEX_BARS.name: _versions,
}

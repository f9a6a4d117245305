"""The tables of the plant. Everything else (Arrow, DDL, docs/tables.md, views) derives from these definitions."""

from __future__ import annotations

from tickerplant.schema import Table
from tickerplant.tables_fetched import (
    CORPORATE_ACTIONS,
    COVERAGE,
    DIVIDENDS,
    INDEX_BARS,
    MARKET_DAYS,
    SNAPSHOTS,
    SPLITS,
    TICKERS,
    UNIVERSE,
)
from tickerplant.tables_live import BARS, DAILY_BARS, IMBALANCES, LULDS, QUOTES, STATUSES, TRADE_CORRECTIONS, TRADES
from tickerplant.tables_plant import GAPS, JOBS, POSITIONS, QUALITY, QUALITY_FLAGS, QUARANTINE

__all__ = [
    "BARS",
    "CORPORATE_ACTIONS",
    "COVERAGE",
    "DAILY_BARS",
    "DIVIDENDS",
    "FETCHED_TABLES",
    "GAPS",
    "IMBALANCES",
    "INDEX_BARS",
    "JOBS",
    "LIVE_TABLES",
    "LULDS",
    "MARKET_DAYS",
    "PLANT_TABLES",
    "POSITIONS",
    "QUALITY",
    "QUALITY_FLAGS",
    "QUARANTINE",
    "QUOTES",
    "SNAPSHOTS",
    "SPLITS",
    "STATUSES",
    "TABLES",
    "TICKERS",
    "TRADES",
    "TRADE_CORRECTIONS",
    "UNIVERSE",
    "VENDOR_TABLES",
]

LIVE_TABLES = (QUOTES, TRADES, TRADE_CORRECTIONS, BARS, DAILY_BARS, STATUSES, LULDS, IMBALANCES)
FETCHED_TABLES = (
    *(SNAPSHOTS, INDEX_BARS, TICKERS, SPLITS, DIVIDENDS, CORPORATE_ACTIONS, MARKET_DAYS, UNIVERSE),
    COVERAGE,
)
VENDOR_TABLES = (*LIVE_TABLES, *FETCHED_TABLES)
"""Tables that decoders fill."""
PLANT_TABLES = (GAPS, QUARANTINE, POSITIONS, JOBS, QUALITY_FLAGS, QUALITY)
TABLES: dict[str, Table] = {t.name: t for t in (*VENDOR_TABLES, *PLANT_TABLES)}

"""Tables that a capture fills."""

from __future__ import annotations

import pyarrow as pa

from tickerplant.columns import ENVELOPE, REAL, SIZE_UNIT, TAPE, TEXT, conditions, ohlcv, symbol, time_of
from tickerplant.schema import Column, Table

QUOTES = Table(
    "quotes",
    "Best bid and offer, one row for each message received. No unique index: identical quotes are real.",
    (
        symbol(),
        *time_of(),
        Column("bid_price", REAL, "Bid, 0 when that side is empty", "dollars"),
        Column("bid_size", REAL, "Size at the bid", SIZE_UNIT),
        Column("bid_exchange", TEXT, "Venue of the bid; a blank means no active side"),
        Column("ask_price", REAL, "Ask, 0 when that side is empty", "dollars"),
        Column("ask_size", REAL, "Size at the ask", SIZE_UNIT),
        Column("ask_exchange", TEXT, "Venue of the ask; a blank means no active side"),
        conditions(),
        TAPE,
        *ENVELOPE,
    ),
)

TRADES = Table(
    "trades",
    "Prints, one row for each message received. Cancels and corrections are in `trade_corrections`; `trades_latest` "
    "shows what became of each trade, `trades_known_at(moment)` what was known.",
    (
        symbol(),
        *time_of(),
        Column("trade_id", TEXT, "The vendor's trade id; unique for a symbol, venue and session only"),
        Column("price", REAL, "Price", "dollars"),
        Column("size", REAL, "Size; fractional since 2026", "shares"),
        Column("exchange", TEXT, "Venue"),
        conditions(),
        TAPE,
        *ENVELOPE,
    ),
)

TRADE_CORRECTIONS = Table(
    "trade_corrections",
    "Trades the venue corrected, cancelled or marked as errors after they were printed. `trade_corrections_unmatched` "
    "shows those whose trade was never received.",
    (
        symbol(),
        *time_of("When the correction was sent"),
        Column("kind", TEXT, "correction, cancel or error", nullable=False),
        Column("exchange", TEXT, "Venue"),
        Column("original_id", TEXT, "`trade_id` of the trade concerned"),
        Column("original_price", REAL, "Price as first printed", "dollars"),
        Column("original_size", REAL, "Size as first printed", "shares"),
        Column("original_conditions", TEXT, "Conditions as first printed; null for cancels"),
        Column("corrected_id", TEXT, "Trade id of the corrected trade; null for cancels"),
        Column("corrected_price", REAL, "Right price; null for cancels", "dollars"),
        Column("corrected_size", REAL, "Right size; null for cancels", "shares"),
        Column("corrected_conditions", TEXT, "Right conditions; null for cancels"),
        TAPE,
        *ENVELOPE,
    ),
)

BARS = Table(
    "bars",
    "Intraday bars, every revision received; `bars_latest` shows the last of each key. A minute without an eligible "
    "trade has no bar.",
    (
        symbol(),
        *time_of("Start of the window"),
        Column("interval", TEXT, "Length of the window: 1m", nullable=False),
        *ohlcv(),
        Column("revision", pa.int32(), "0 as first sent, 1 an update after a late trade", nullable=False),
        *ENVELOPE,
    ),
    key=("vendor", "feed", "symbol", "ts", "interval"),
)

DAILY_BARS = Table(
    "daily_bars",
    "Daily bars, every version received (live ones are running totals); `daily_bars_latest` "
    "shows the last of each key.",
    (
        symbol(),
        Column("session", pa.date32(), "Trading day of the exchange, New York", nullable=False),
        *ohlcv(),
        *ENVELOPE,
    ),
    key=("vendor", "feed", "symbol", "session"),
    time=None,
)

STATUSES = Table(
    "statuses",
    "Trading halts, resumptions and other statuses. Codes are open strings: vendors send more than they document.",
    (
        symbol(),
        *time_of(),
        Column("status_code", TEXT, "The tape's status code"),
        Column("status_message", TEXT, "Its text"),
        Column("reason_code", TEXT, "The tape's reason code"),
        Column("reason_message", TEXT, "Its text"),
        TAPE,
        *ENVELOPE,
    ),
)

LULDS = Table(
    "lulds",
    "Limit-up limit-down price bands.",
    (
        symbol(),
        *time_of(),
        Column("limit_up", REAL, "Upper band", "dollars"),
        Column("limit_down", REAL, "Lower band", "dollars"),
        Column("indicator", TEXT, "The tape's indicator"),
        TAPE,
        *ENVELOPE,
    ),
)

IMBALANCES = Table(
    "imbalances",
    "Order imbalances during halts.",
    (symbol(), *time_of(), Column("price", REAL, "Reference price", "dollars"), TAPE, *ENVELOPE),
)

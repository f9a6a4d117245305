"""The tables of the plant. Everything else (Arrow, DDL, docs/tables.md, views) derives from these definitions."""

from __future__ import annotations

import pyarrow as pa

from tickerplant.schema import TIMESTAMP, Column, Table

_TEXT, _REAL, _INT = pa.string(), pa.float64(), pa.int64()

_SIZE_UNIT = "shares (quotes stamped before 2025-11-03: round lots)"


def _symbol() -> Column:
    return Column("symbol", _TEXT, "Our symbol, case-sensitive, class shares with a dot (BRK.B)", nullable=False)


def _time(doc: str = "Event time as the vendor stamped it") -> tuple[Column, Column]:
    return (
        Column("ts", TIMESTAMP, doc, "UTC, microseconds", nullable=False),
        Column("ns", pa.int16(), "Nanoseconds of the event time beyond `ts`, 0-999", "ns", nullable=False),
    )


_ENVELOPE = (
    Column("vendor", _TEXT, "Who sent it", nullable=False, envelope=True),
    Column("feed", _TEXT, "The vendor's feed (sip, iex, delayed_sip, test)", nullable=False, envelope=True),
    Column("received_at", TIMESTAMP, "When this machine received the frame", "UTC, microseconds", False, True),
    Column(
        "seq",
        pa.int32(),
        "Place of the message in its frame; (received_at, seq) is the order of arrival",
        "from 0",
        nullable=False,
        envelope=True,
    ),
)

_TAPE = Column("tape", _TEXT, "A NYSE, B Arca and regional, C Nasdaq, N overnight, O OTC")


def _conditions(doc: str = "The vendor's condition codes joined by commas, in their order") -> Column:
    return Column("conditions", _TEXT, doc)


def _ohlcv() -> tuple[Column, ...]:
    return (
        Column("open", _REAL, "First eligible price", "dollars, unadjusted"),
        Column("high", _REAL, "Highest eligible price", "dollars, unadjusted"),
        Column("low", _REAL, "Lowest eligible price", "dollars, unadjusted"),
        Column("close", _REAL, "Last eligible price", "dollars, unadjusted"),
        Column("volume", _REAL, "Shares traded; fractional since 2026", "shares"),
        Column("trade_count", _INT, "Trades in the window, null when the vendor does not say", "trades"),
        Column("vwap", _REAL, "Volume-weighted average price, null when the vendor does not say", "dollars"),
    )


QUOTES = Table(
    "quotes",
    "Best bid and offer, one row for each message received. No unique index: identical quotes are real.",
    (
        _symbol(),
        *_time(),
        Column("bid_price", _REAL, "Bid, 0 when that side is empty", "dollars"),
        Column("bid_size", _REAL, "Size at the bid", _SIZE_UNIT),
        Column("bid_exchange", _TEXT, "Venue of the bid; a blank means no active side"),
        Column("ask_price", _REAL, "Ask, 0 when that side is empty", "dollars"),
        Column("ask_size", _REAL, "Size at the ask", _SIZE_UNIT),
        Column("ask_exchange", _TEXT, "Venue of the ask; a blank means no active side"),
        _conditions(),
        _TAPE,
        *_ENVELOPE,
    ),
)

TRADES = Table(
    "trades",
    "Prints, one row for each message received. Cancels and corrections are in `trade_corrections`; `trades_latest` "
    "shows what became of each trade, `trades_known_at(moment)` what was known.",
    (
        _symbol(),
        *_time(),
        Column("trade_id", _TEXT, "The vendor's trade id; unique for a symbol, venue and session only"),
        Column("price", _REAL, "Price", "dollars"),
        Column("size", _REAL, "Size; fractional since 2026", "shares"),
        Column("exchange", _TEXT, "Venue"),
        _conditions(),
        _TAPE,
        *_ENVELOPE,
    ),
)

TRADE_CORRECTIONS = Table(
    "trade_corrections",
    "Trades the venue corrected, cancelled or marked as errors after they were printed. `trade_corrections_unmatched` "
    "shows those whose trade was never received.",
    (
        _symbol(),
        *_time("When the correction was sent"),
        Column("kind", _TEXT, "correction, cancel or error", nullable=False),
        Column("exchange", _TEXT, "Venue"),
        Column("original_id", _TEXT, "`trade_id` of the trade concerned"),
        Column("original_price", _REAL, "Price as first printed", "dollars"),
        Column("original_size", _REAL, "Size as first printed", "shares"),
        Column("original_conditions", _TEXT, "Conditions as first printed; null for cancels"),
        Column("corrected_id", _TEXT, "Trade id of the corrected trade; null for cancels"),
        Column("corrected_price", _REAL, "Right price; null for cancels", "dollars"),
        Column("corrected_size", _REAL, "Right size; null for cancels", "shares"),
        Column("corrected_conditions", _TEXT, "Right conditions; null for cancels"),
        _TAPE,
        *_ENVELOPE,
    ),
)

BARS = Table(
    "bars",
    "Intraday bars, every revision received; `bars_latest` shows the last of each key. A minute without an eligible "
    "trade has no bar.",
    (
        _symbol(),
        *_time("Start of the window"),
        Column("interval", _TEXT, "Length of the window: 1m", nullable=False),
        *_ohlcv(),
        Column("revision", pa.int32(), "0 as first sent, 1 an update after a late trade", nullable=False),
        *_ENVELOPE,
    ),
    key=("vendor", "feed", "symbol", "ts", "interval"),
)

DAILY_BARS = Table(
    "daily_bars",
    "Daily bars, every version received (live ones are running totals); `daily_bars_latest` "
    "shows the last of each key.",
    (
        _symbol(),
        Column("session", pa.date32(), "Trading day of the exchange, New York", nullable=False),
        *_ohlcv(),
        *_ENVELOPE,
    ),
    key=("vendor", "feed", "symbol", "session"),
    time=None,
)

STATUSES = Table(
    "statuses",
    "Trading halts, resumptions and other statuses. Codes are open strings: vendors send more than they document.",
    (
        _symbol(),
        *_time(),
        Column("status_code", _TEXT, "The tape's status code"),
        Column("status_message", _TEXT, "Its text"),
        Column("reason_code", _TEXT, "The tape's reason code"),
        Column("reason_message", _TEXT, "Its text"),
        _TAPE,
        *_ENVELOPE,
    ),
)

LULDS = Table(
    "lulds",
    "Limit-up limit-down price bands.",
    (
        _symbol(),
        *_time(),
        Column("limit_up", _REAL, "Upper band", "dollars"),
        Column("limit_down", _REAL, "Lower band", "dollars"),
        Column("indicator", _TEXT, "The tape's indicator"),
        _TAPE,
        *_ENVELOPE,
    ),
)

IMBALANCES = Table(
    "imbalances",
    "Order imbalances during halts.",
    (_symbol(), *_time(), Column("price", _REAL, "Reference price", "dollars"), _TAPE, *_ENVELOPE),
)

GAPS = Table(
    "gaps",
    "Stretches for which this plant did not listen or cannot read what it wrote: each disconnect, watchdog alarm, "
    "killed capture and damaged stretch of log, for each channel.",
    (
        Column("vendor", _TEXT, "Vendor", nullable=False),
        Column("feed", _TEXT, "Feed", nullable=False),
        Column("channel", _TEXT, "Subscribed channel (quotes, trades, ...), `*` when unknown", nullable=False),
        Column("start", TIMESTAMP, "Receipt of the last frame before the hole", "UTC, microseconds", False),
        Column("end", TIMESTAMP, "When data could flow again; null while open", "UTC, microseconds"),
        Column("reason", _TEXT, "disconnected, mute, half_dead, killed, stopped, damaged, ...", nullable=False),
        Column("state", _TEXT, "open (still down), closed (bounds final) or healed (data fetched)", nullable=False),
        Column("evidence", _TEXT, "JSON: close code, attempts, rates, positions"),
    ),
    key=("vendor", "feed", "channel", "start"),
    time=None,
    mode="merge",
)

QUARANTINE = Table(
    "quarantine",
    "What could not be decoded, with its place in the log. Nothing is dropped: `load --quarantined` tries again.",
    (
        Column("vendor", _TEXT, "Vendor", nullable=False),
        Column("feed", _TEXT, "Feed", nullable=False),
        Column("channel", _TEXT, "Table or message type when known"),
        Column("partition", _TEXT, "Partition of the log", nullable=False),
        Column("position", _INT, "Start of the line in the log: segment << 36 | byte offset", nullable=False),
        Column("item", pa.int32(), "Place of the message in its frame; -1 the whole line", nullable=False),
        Column("received_at", TIMESTAMP, "Receipt; of the line before when the line is damaged", "UTC, microseconds"),
        Column("reason", _TEXT, "What was expected and what was found", nullable=False),
        Column("payload", pa.binary(), "The bytes, as received", nullable=False),
        Column("state", _TEXT, "open, or loaded when a later decoder could read it", nullable=False),
    ),
    key=("partition", "position", "item"),
    time=None,
    mode="merge",
)

POSITIONS = Table(
    "positions",
    "How far each partition of the log has been loaded, with counters that balance at that position: "
    "received = stored + quarantined + control.",
    (
        Column("partition", _TEXT, "Partition of the log", nullable=False),
        Column("position", _INT, "Loaded up to here: segment << 36 | byte offset", nullable=False),
        Column("received", _INT, "Messages in the log up to here", "messages", False),
        Column("stored", _INT, "Messages that became a row", "messages", False),
        Column("quarantined", _INT, "Messages and lines set aside", "messages", False),
        Column("control", _INT, "Control messages and connection records", "messages", False),
        Column("updated_at", TIMESTAMP, "When this position was committed", "UTC, microseconds", False),
    ),
    key=("partition",),
    time=None,
    mode="merge",
)

VENDOR_TABLES = (QUOTES, TRADES, TRADE_CORRECTIONS, BARS, DAILY_BARS, STATUSES, LULDS, IMBALANCES)
PLANT_TABLES = (GAPS, QUARANTINE, POSITIONS)
TABLES: dict[str, Table] = {t.name: t for t in (*VENDOR_TABLES, *PLANT_TABLES)}

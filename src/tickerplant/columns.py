"""Columns that many tables share."""

from __future__ import annotations

import pyarrow as pa

from tickerplant.schema import TIMESTAMP, Column

TEXT, REAL, INT = pa.string(), pa.float64(), pa.int64()

SIZE_UNIT = "shares (quotes stamped before 2025-11-03: round lots)"


def symbol() -> Column:
    """Our symbol."""
    return Column("symbol", TEXT, "Our symbol, case-sensitive, class shares with a dot (BRK.B)", nullable=False)


def time_of(doc: str = "Event time as the vendor stamped it") -> tuple[Column, Column]:
    """Event time: microseconds and the nanoseconds beyond."""
    return (
        Column("ts", TIMESTAMP, doc, "UTC, microseconds", nullable=False),
        Column("ns", pa.int16(), "Nanoseconds of the event time beyond `ts`, 0-999", "ns", nullable=False),
    )


ENVELOPE = (
    Column("vendor", TEXT, "Who sent it", nullable=False, envelope=True),
    Column("feed", TEXT, "The vendor's feed (sip, iex, delayed_sip, test)", nullable=False, envelope=True),
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

TAPE = Column("tape", TEXT, "A NYSE, B Arca and regional, C Nasdaq, N overnight, O OTC")


def conditions(doc: str = "The vendor's condition codes joined by commas, in their order") -> Column:
    """Sale or quote conditions."""
    return Column("conditions", TEXT, doc)


def ohlcv() -> tuple[Column, ...]:
    """Prices and volume of a bar."""
    return (
        Column("open", REAL, "First eligible price", "dollars, unadjusted"),
        Column("high", REAL, "Highest eligible price", "dollars, unadjusted"),
        Column("low", REAL, "Lowest eligible price", "dollars, unadjusted"),
        Column("close", REAL, "Last eligible price", "dollars, unadjusted"),
        Column("volume", REAL, "Shares traded; fractional since 2026", "shares"),
        Column("trade_count", INT, "Trades in the window, null when the vendor does not say", "trades"),
        Column("vwap", REAL, "Volume-weighted average price, null when the vendor does not say", "dollars"),
    )


def day() -> Column:
    """The trading day."""
    return Column("session", pa.date32(), "Trading day of the exchange, New York", nullable=False)

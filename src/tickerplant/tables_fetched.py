"""Tables that only requests fill, and what was asked."""

from __future__ import annotations

import pyarrow as pa

from tickerplant.columns import ENVELOPE, INT, REAL, TEXT, day, symbol
from tickerplant.schema import TIMESTAMP, Column, Table

SNAPSHOTS = Table(
    "snapshots",
    "The vendor's present view of a symbol, each answer a row.",
    (
        symbol(),
        Column("session", pa.date32(), "Trading day that the vendor names as the latest", nullable=False),
        Column("price", REAL, "Last price", "dollars"),
        Column("open", REAL, "First price of that day", "dollars"),
        Column("high", REAL, "Highest price of that day", "dollars"),
        Column("low", REAL, "Lowest price of that day", "dollars"),
        Column("volume", REAL, "Shares traded that day", "shares"),
        Column("previous_close", REAL, "Close of the trading day before", "dollars"),
        Column("change", REAL, "price - previous_close, as the vendor says", "dollars"),
        Column("change_percent", REAL, "The same in percent, a number", "%"),
        *ENVELOPE,
    ),
    key=("vendor", "feed", "symbol", "session"),
    time=None,
)

INDEX_BARS = Table(
    "index_bars",
    "Daily values of market indices, every version received; where an ETF stands in for the index, `proxy` names it "
    "and `feed` is `proxy`, so that it never hides the index itself.",
    (
        Column("symbol", TEXT, "The index: SPX, NDX, DJI, RUT, VIX, ...", nullable=False),
        day(),
        Column("open", REAL, "First value", "points, dollars of the proxy"),
        Column("high", REAL, "Highest value", "points, dollars of the proxy"),
        Column("low", REAL, "Lowest value", "points, dollars of the proxy"),
        Column("close", REAL, "Last value", "points, dollars of the proxy"),
        Column("volume", REAL, "Shares of the proxy traded; null for the index itself", "shares"),
        Column("proxy", TEXT, "Symbol of the ETF whose prices these are; null for the index itself"),
        *ENVELOPE,
    ),
    key=("vendor", "feed", "symbol", "session"),
    time=None,
)

TICKERS = Table(
    "tickers",
    "What a vendor says of a ticker, every version received; `tickers_latest` shows the last. A ticker that ends is "
    "inactive with a date, never deleted; one that is used again has another `listed_on`. Answers about one ticker "
    "have the feed `details`: they stand beside the lists and hide none of their rows.",
    (
        symbol(),
        Column("vendor_symbol", TEXT, "The ticker in the vendor's spelling", nullable=False),
        Column("name", TEXT, "Name of the company or fund"),
        Column("exchange", TEXT, "Primary exchange, in the vendor's code"),
        Column("type", TEXT, "Kind of security, in the vendor's code (CS, ETF, Stock, us_equity, ...)"),
        Column("is_active", pa.bool_(), "Whether it trades", nullable=False),
        Column("listed_on", pa.date32(), "First day of trading"),
        Column("delisted_on", pa.date32(), "Last day, null while active"),
        Column("vendor_id", TEXT, "The vendor's own id of the security (Alpaca asset id, composite FIGI, CUSIP)"),
        Column("currency", TEXT, "Currency of the prices"),
        Column("cik", TEXT, "SEC's number of the issuer"),
        Column("figi", TEXT, "Composite FIGI"),
        Column("sector", TEXT, "Sector"),
        Column("industry", TEXT, "Industry"),
        Column("market_cap", REAL, "Market capitalisation", "dollars"),
        Column("shares_outstanding", REAL, "Shares outstanding", "shares"),
        Column("details", TEXT, "Everything else that the vendor said, JSON"),
        *ENVELOPE,
    ),
    key=("vendor", "feed", "symbol", "vendor_symbol"),
    time=None,
)

SPLITS = Table(
    "splits",
    "Stock splits, every version received. One old share becomes split_to / split_from new ones.",
    (
        symbol(),
        Column("ex_date", pa.date32(), "First day at the new price", nullable=False),
        Column("split_from", REAL, "Old shares", "shares", nullable=False),
        Column("split_to", REAL, "New shares", "shares", nullable=False),
        Column("vendor_id", TEXT, "The vendor's id of the action"),
        Column("details", TEXT, "Everything else that the vendor said, JSON"),
        *ENVELOPE,
    ),
    key=("vendor", "feed", "symbol", "ex_date"),
    time=None,
)

DIVIDENDS = Table(
    "dividends",
    "Cash dividends, every version received, as declared (unadjusted).",
    (
        symbol(),
        Column("ex_date", pa.date32(), "First day without the right to it", nullable=False),
        Column("amount", REAL, "For each share", "in `currency`", nullable=False),
        Column("currency", TEXT, "Currency, null when the vendor does not say"),
        Column("type", TEXT, "Kind, in the vendor's code (CD, SC, LT, ST; special, foreign)"),
        Column("frequency", INT, "Payments a year, null when not said"),
        Column("declared_on", pa.date32(), "Day of the announcement"),
        Column("record_date", pa.date32(), "Holders of that day are paid"),
        Column("pay_date", pa.date32(), "Day of payment"),
        Column("vendor_id", TEXT, "The vendor's id of the action"),
        *ENVELOPE,
    ),
    key=("vendor", "feed", "symbol", "ex_date", "type", "vendor_id"),
    time=None,
)

CORPORATE_ACTIONS = Table(
    "corporate_actions",
    "Renames, mergers, spin-offs and all other actions, every version received; splits and cash dividends are in their "
    "own tables.",
    (
        symbol(),
        Column("kind", TEXT, "The vendor's name of the kind (name_changes, spin_offs, stock_mergers, ...)", "", False),
        Column("effective_on", pa.date32(), "Ex, effective or process date, the first there is"),
        Column("new_symbol", TEXT, "The symbol after it: renamed, acquiring, spun off"),
        Column("vendor_id", TEXT, "The vendor's id of the action"),
        Column("details", TEXT, "Everything that the vendor said, JSON", nullable=False),
        *ENVELOPE,
    ),
    key=("vendor", "feed", "kind", "symbol", "vendor_id"),
    time=None,
)

MARKET_DAYS = Table(
    "market_days",
    "The vendor's own calendar: days and hours of the exchange, every version received. The plant's clock is its own "
    "calendar; this is for comparing.",
    (
        Column("exchange", TEXT, "Exchange, in the vendor's code", nullable=False),
        day(),
        Column("status", TEXT, "open, closed or early-close", nullable=False),
        Column("opens_at", TIMESTAMP, "Start of regular hours", "UTC, microseconds"),
        Column("closes_at", TIMESTAMP, "End of regular hours", "UTC, microseconds"),
        Column("name", TEXT, "Name of the holiday"),
        *ENVELOPE,
    ),
    key=("vendor", "feed", "exchange", "session"),
    time=None,
)

UNIVERSE = Table(
    "universe",
    "Symbol lists with dates: who was a member on the day of the list.",
    (
        Column("universe", TEXT, "Name of the list (russell3000, sp500, ...)", nullable=False),
        Column("as_of", pa.date32(), "Day that the list speaks of", nullable=False),
        symbol(),
        Column("vendor_symbol", TEXT, "The symbol in the list's spelling", nullable=False),
        Column("name", TEXT, "Name in the list"),
        Column("weight", REAL, "Weight in the index", "%"),
        Column("exchange", TEXT, "Exchange in the list"),
        *ENVELOPE,
    ),
    key=("vendor", "universe", "as_of", "symbol"),
    time=None,
)

COVERAGE = Table(
    "coverage",
    "What was asked of a vendor and what came: one row for each symbol with rows in a page, and, on a request's last "
    "page, for each symbol asked for. `asked, empty` is a request whose last page is there and whose rows are 0.",
    (
        Column("table_name", TEXT, "The table asked for", nullable=False),
        Column("interval", TEXT, "Length of the bars asked for; null for other tables"),
        Column("symbol", TEXT, "Our symbol; `*` is all of the market", nullable=False),
        Column("start", TIMESTAMP, "Start of the span asked for", "UTC, microseconds"),
        Column("end", TIMESTAMP, "End of the span asked for, exclusive", "UTC, microseconds"),
        Column("endpoint", TEXT, "The vendor's endpoint", nullable=False),
        Column("chain", TEXT, "The request with all its pages", nullable=False),
        Column("page", pa.int32(), "Place of the page, from 0", nullable=False),
        Column("is_last", pa.bool_(), "Whether the request is complete with this page", nullable=False),
        Column("rows", INT, "Rows of this symbol in this page", "rows", nullable=False),
        Column(
            "outcome",
            TEXT,
            "rows, no_data, not_entitled, not_asked (the plan had refused it), bad_request",
            nullable=False,
        ),
        Column("next_call", TEXT, "JSON of the call for the next page; null on the last"),
        *ENVELOPE,
    ),
    time=None,
)

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


def _daily() -> Column:
    return Column("session", pa.date32(), "Trading day of the exchange, New York", nullable=False)


SNAPSHOTS = Table(
    "snapshots",
    "The vendor's present view of a symbol, each answer a row.",
    (
        _symbol(),
        Column("session", pa.date32(), "Trading day that the vendor names as the latest", nullable=False),
        Column("price", _REAL, "Last price", "dollars"),
        Column("open", _REAL, "First price of that day", "dollars"),
        Column("high", _REAL, "Highest price of that day", "dollars"),
        Column("low", _REAL, "Lowest price of that day", "dollars"),
        Column("volume", _REAL, "Shares traded that day", "shares"),
        Column("previous_close", _REAL, "Close of the trading day before", "dollars"),
        Column("change", _REAL, "price - previous_close, as the vendor says", "dollars"),
        Column("change_percent", _REAL, "The same in percent, a number", "%"),
        *_ENVELOPE,
    ),
    key=("vendor", "feed", "symbol", "session"),
    time=None,
)

INDEX_BARS = Table(
    "index_bars",
    "Daily values of market indices, every version received; where an ETF stands in for the index, `proxy` names it "
    "and `feed` is `proxy`, so that it never hides the index itself.",
    (
        Column("symbol", _TEXT, "The index: SPX, NDX, DJI, RUT, VIX, ...", nullable=False),
        _daily(),
        Column("open", _REAL, "First value", "points, dollars of the proxy"),
        Column("high", _REAL, "Highest value", "points, dollars of the proxy"),
        Column("low", _REAL, "Lowest value", "points, dollars of the proxy"),
        Column("close", _REAL, "Last value", "points, dollars of the proxy"),
        Column("volume", _REAL, "Shares of the proxy traded; null for the index itself", "shares"),
        Column("proxy", _TEXT, "Symbol of the ETF whose prices these are; null for the index itself"),
        *_ENVELOPE,
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
        _symbol(),
        Column("vendor_symbol", _TEXT, "The ticker in the vendor's spelling", nullable=False),
        Column("name", _TEXT, "Name of the company or fund"),
        Column("exchange", _TEXT, "Primary exchange, in the vendor's code"),
        Column("type", _TEXT, "Kind of security, in the vendor's code (CS, ETF, Stock, us_equity, ...)"),
        Column("is_active", pa.bool_(), "Whether it trades", nullable=False),
        Column("listed_on", pa.date32(), "First day of trading"),
        Column("delisted_on", pa.date32(), "Last day, null while active"),
        Column("vendor_id", _TEXT, "The vendor's own id of the security (Alpaca asset id, composite FIGI, CUSIP)"),
        Column("currency", _TEXT, "Currency of the prices"),
        Column("cik", _TEXT, "SEC's number of the issuer"),
        Column("figi", _TEXT, "Composite FIGI"),
        Column("sector", _TEXT, "Sector"),
        Column("industry", _TEXT, "Industry"),
        Column("market_cap", _REAL, "Market capitalisation", "dollars"),
        Column("shares_outstanding", _REAL, "Shares outstanding", "shares"),
        Column("details", _TEXT, "Everything else that the vendor said, JSON"),
        *_ENVELOPE,
    ),
    key=("vendor", "feed", "symbol", "vendor_symbol"),
    time=None,
)

SPLITS = Table(
    "splits",
    "Stock splits, every version received. One old share becomes split_to / split_from new ones.",
    (
        _symbol(),
        Column("ex_date", pa.date32(), "First day at the new price", nullable=False),
        Column("split_from", _REAL, "Old shares", "shares", nullable=False),
        Column("split_to", _REAL, "New shares", "shares", nullable=False),
        Column("vendor_id", _TEXT, "The vendor's id of the action"),
        Column("details", _TEXT, "Everything else that the vendor said, JSON"),
        *_ENVELOPE,
    ),
    key=("vendor", "feed", "symbol", "ex_date"),
    time=None,
)

DIVIDENDS = Table(
    "dividends",
    "Cash dividends, every version received, as declared (unadjusted).",
    (
        _symbol(),
        Column("ex_date", pa.date32(), "First day without the right to it", nullable=False),
        Column("amount", _REAL, "For each share", "in `currency`", nullable=False),
        Column("currency", _TEXT, "Currency, null when the vendor does not say"),
        Column("type", _TEXT, "Kind, in the vendor's code (CD, SC, LT, ST; special, foreign)"),
        Column("frequency", _INT, "Payments a year, null when not said"),
        Column("declared_on", pa.date32(), "Day of the announcement"),
        Column("record_date", pa.date32(), "Holders of that day are paid"),
        Column("pay_date", pa.date32(), "Day of payment"),
        Column("vendor_id", _TEXT, "The vendor's id of the action"),
        *_ENVELOPE,
    ),
    key=("vendor", "feed", "symbol", "ex_date", "type", "vendor_id"),
    time=None,
)

CORPORATE_ACTIONS = Table(
    "corporate_actions",
    "Renames, mergers, spin-offs and all other actions, every version received; splits and cash dividends are in their "
    "own tables.",
    (
        _symbol(),
        Column("kind", _TEXT, "The vendor's name of the kind (name_changes, spin_offs, stock_mergers, ...)", "", False),
        Column("effective_on", pa.date32(), "Ex, effective or process date, the first there is"),
        Column("new_symbol", _TEXT, "The symbol after it: renamed, acquiring, spun off"),
        Column("vendor_id", _TEXT, "The vendor's id of the action"),
        Column("details", _TEXT, "Everything that the vendor said, JSON", nullable=False),
        *_ENVELOPE,
    ),
    key=("vendor", "feed", "kind", "symbol", "vendor_id"),
    time=None,
)

MARKET_DAYS = Table(
    "market_days",
    "The vendor's own calendar: days and hours of the exchange, every version received. The plant's clock is its own "
    "calendar; this is for comparing.",
    (
        Column("exchange", _TEXT, "Exchange, in the vendor's code", nullable=False),
        _daily(),
        Column("status", _TEXT, "open, closed or early-close", nullable=False),
        Column("opens_at", TIMESTAMP, "Start of regular hours", "UTC, microseconds"),
        Column("closes_at", TIMESTAMP, "End of regular hours", "UTC, microseconds"),
        Column("name", _TEXT, "Name of the holiday"),
        *_ENVELOPE,
    ),
    key=("vendor", "feed", "exchange", "session"),
    time=None,
)

UNIVERSE = Table(
    "universe",
    "Symbol lists with dates: who was a member on the day of the list.",
    (
        Column("universe", _TEXT, "Name of the list (russell3000, sp500, ...)", nullable=False),
        Column("as_of", pa.date32(), "Day that the list speaks of", nullable=False),
        _symbol(),
        Column("vendor_symbol", _TEXT, "The symbol in the list's spelling", nullable=False),
        Column("name", _TEXT, "Name in the list"),
        Column("weight", _REAL, "Weight in the index", "%"),
        Column("exchange", _TEXT, "Exchange in the list"),
        *_ENVELOPE,
    ),
    key=("vendor", "universe", "as_of", "symbol"),
    time=None,
)

COVERAGE = Table(
    "coverage",
    "What was asked of a vendor and what came: one row for each symbol with rows in a page, and, on a request's last "
    "page, for each symbol asked for. `asked, empty` is a request whose last page is there and whose rows are 0.",
    (
        Column("table_name", _TEXT, "The table asked for", nullable=False),
        Column("interval", _TEXT, "Length of the bars asked for; null for other tables"),
        Column("symbol", _TEXT, "Our symbol; `*` is all of the market", nullable=False),
        Column("start", TIMESTAMP, "Start of the span asked for", "UTC, microseconds"),
        Column("end", TIMESTAMP, "End of the span asked for, exclusive", "UTC, microseconds"),
        Column("endpoint", _TEXT, "The vendor's endpoint", nullable=False),
        Column("chain", _TEXT, "The request with all its pages", nullable=False),
        Column("page", pa.int32(), "Place of the page, from 0", nullable=False),
        Column("is_last", pa.bool_(), "Whether the request is complete with this page", nullable=False),
        Column("rows", _INT, "Rows of this symbol in this page", "rows", nullable=False),
        Column(
            "outcome",
            _TEXT,
            "rows, no_data, not_entitled, not_asked (the plan had refused it), bad_request",
            nullable=False,
        ),
        Column("next_call", _TEXT, "JSON of the call for the next page; null on the last"),
        *_ENVELOPE,
    ),
    time=None,
)

JOBS = Table(
    "jobs",
    "Every run of a command or task.",
    (
        Column("job", _TEXT, "Id of the run", nullable=False),
        Column("what", _TEXT, "Command or task", nullable=False),
        Column("selection", _TEXT, "What it was asked to do, JSON without secrets"),
        Column("started_at", TIMESTAMP, "Start", "UTC, microseconds", nullable=False),
        Column("ended_at", TIMESTAMP, "End; null while it runs or when it was killed", "UTC, microseconds"),
        Column("rows", _INT, "Rows stored", "rows"),
        Column("bytes", _INT, "Bytes received", "bytes"),
        Column("calls", _INT, "Requests sent", "calls"),
        Column("outcome", _TEXT, "running, done, failed, stopped, quota", nullable=False),
        Column("error", _TEXT, "What went wrong, without secrets"),
    ),
    key=("job",),
    time=None,
    mode="merge",
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

QUALITY = Table(
    "quality",
    "What each run of `tickerplant quality` found. A row of rule `*` is a symbol's session, all rules together: its "
    "grade and why. A row of symbol `*` is a rule's session, all symbols together. A row of both says that the rule "
    "flagged rows of the symbol; without any it is not there. Runs are kept; `quality_grades` shows the last grade of "
    "each symbol and session.",
    (
        Column("run", _TEXT, "Id of the run: `jobs.job`", nullable=False),
        _daily(),
        Column("symbol", _TEXT, "Our symbol; `*` is all of the session", nullable=False),
        Column("rule", _TEXT, "Rule; `*` is all of them", nullable=False),
        Column("checked_at", TIMESTAMP, "When the run began", "UTC, microseconds", nullable=False),
        Column("severity", _TEXT, "error, warning or info: the rule's, or the worst that flagged anything"),
        Column("checked", _INT, "Rows the rule looked at; of rule `*` the sum over the rules", "rows", nullable=False),
        Column("flagged", _INT, "Rows it flagged; of rule `*` those of errors and warnings", "rows", nullable=False),
        Column("worst", _REAL, "Value of the flagged row that is farthest from what was expected", "the rule's"),
        Column("grade", _TEXT, "A (nothing wrong) to F; of one rule, what it alone gives. Null for symbol `*`"),
        Column("why", _TEXT, "The rules behind the grade, worst first; null for an A"),
    ),
    key=("run", "session", "symbol", "rule"),
    time=None,
    mode="merge",
)

QUALITY_FLAGS = Table(
    "quality_flags",
    "The rows that rules flagged; the rows themselves are never changed. Join by symbol, ts, ns, received_at and seq "
    "to quotes, trades and bars, by symbol and session to daily bars. Of a symbol and session a rule keeps 10,000 rows "
    "(rules of severity info 1,000), the worst; `quality.flagged` counts all.",
    (
        Column("run", _TEXT, "Id of the run: `quality.run`", nullable=False),
        Column("n", _INT, "Number in the run, from 0", nullable=False),
        Column("rule", _TEXT, "Rule", nullable=False),
        Column("severity", _TEXT, "error, warning or info", nullable=False),
        Column("table_name", _TEXT, "Table of the row", nullable=False),
        _symbol(),
        _daily(),
        Column("ts", TIMESTAMP, "Event time of the row, start of the window; null for a whole session", "UTC"),
        Column("ns", pa.int16(), "Nanoseconds of the event time beyond `ts`", "ns"),
        Column("vendor", _TEXT, "Who sent the row; null for a whole session"),
        Column("feed", _TEXT, "The vendor's feed"),
        Column("received_at", TIMESTAMP, "Receipt of the row", "UTC, microseconds"),
        Column("seq", pa.int32(), "Place of the row in its frame"),
        Column("value", _REAL, "What was found", "the rule's"),
        Column("expected", _REAL, "The limit that it passed, or what should have been there", "the rule's"),
        Column("detail", _TEXT, "The same in words"),
    ),
    key=("run", "n"),
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

LIVE_TABLES = (QUOTES, TRADES, TRADE_CORRECTIONS, BARS, DAILY_BARS, STATUSES, LULDS, IMBALANCES)
FETCHED_TABLES = (
    *(SNAPSHOTS, INDEX_BARS, TICKERS, SPLITS, DIVIDENDS, CORPORATE_ACTIONS, MARKET_DAYS, UNIVERSE),
    COVERAGE,
)
VENDOR_TABLES = (*LIVE_TABLES, *FETCHED_TABLES)
"""Tables that decoders fill."""
PLANT_TABLES = (GAPS, QUARANTINE, POSITIONS, JOBS, QUALITY_FLAGS, QUALITY)
TABLES: dict[str, Table] = {t.name: t for t in (*VENDOR_TABLES, *PLANT_TABLES)}

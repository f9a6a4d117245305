"""Every setting: its variables, default, meaning and how its text is read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tickerplant.model import Secret
from tickerplant.settings_values import (
    count,
    count_if_any,
    day_if_any,
    identifier,
    intervals,
    level,
    names,
    outcome,
    polls,
    port,
    positive,
    retention,
    seconds,
    truth,
    whole,
)


@dataclass(frozen=True)
class Setting:
    """One setting: its field in Settings, the variables it is read from (first wins), default text, meaning."""

    name: str
    env: tuple[str, ...]
    default: str
    doc: str
    parse: Callable[[str], Any] = str


LAKE, LOG = "<data>/lake", "<data>/log"
SETTINGS = (
    Setting(
        "log",
        ("TICKERPLANT_LOG",),
        LOG,
        "Where raw records are kept: a folder, s3://bucket/prefix, or kinesis://stream",
    ),
    Setting(
        "store_url",
        ("TICKERPLANT_STORE",),
        LAKE,
        "Where rows are kept: a folder or s3://bucket/prefix (a lake of Delta tables), postgresql://..., or "
        "postgresql+embedded:///folder",
        Secret,
    ),
    Setting(
        "timescale",
        ("TIMESCALE_LIVE_CONN_STRING",),
        "",
        "Instead of TICKERPLANT_STORE: a PostgreSQL URL (also SQLAlchemy's) or `host=... dbname=...`; never printed",
        Secret,
    ),
    Setting("postgres_host", ("POSTGRES_HOST",), "", "Instead of TICKERPLANT_STORE: the PostgreSQL server"),
    Setting("postgres_port", ("POSTGRES_PORT",), "", "Its port, 5432 when not set", port),
    Setting("postgres_db", ("POSTGRES_DB",), "", "Its database, as libpq decides (the user's name) when not set"),
    Setting("postgres_user", ("POSTGRES_USER",), "", "Its user, as libpq decides (yours) when not set"),
    Setting(
        "postgres_password",
        ("POSTGRES_PASSWORD",),
        "",
        "Its password, plain, not percent-encoded; also beside a URL without one; never printed",
        Secret,
    ),
    Setting("schema", ("TICKERPLANT_SCHEMA",), "tickerplant", "PostgreSQL: the schema that holds our tables"),
    Setting("data", ("TICKERPLANT_DATA", "LOCAL_OUTPUT_PATH"), "./data", "Folder that holds log and lake by default"),
    Setting("alpaca_key", ("ALPACA_API_KEY", "APCA_API_KEY_ID"), "", "Alpaca key"),
    Setting("alpaca_secret", ("ALPACA_SECRET_KEY", "APCA_API_SECRET_KEY"), "", "Alpaca secret; never printed", Secret),
    Setting(
        "alpaca_url",
        ("ALPACA_WEBSOCKET_URL",),
        "wss://stream.data.alpaca.markets/v2/iex",
        "Websocket of the feed: v2/iex (free), v2/sip, v2/delayed_sip, v2/test (always on, symbol FAKEPACA)",
    ),
    Setting("symbols", ("STOCK_SYMBOLS",), "*", "Symbols to capture, separated by commas; `*` is all", names),
    Setting(
        "channels",
        ("TICKERPLANT_CHANNELS",),
        "quotes,trades,bars",
        "Channels to capture: quotes, trades, bars, updated_bars, daily_bars, statuses, lulds, imbalances",
        names,
    ),
    Setting(
        "batch_size",
        ("BATCH_SIZE",),
        "",
        "Load: commit after this many messages; when not set what suits the store (lake 500000, PostgreSQL 100000). "
        "Log on Kinesis: send when this many lines wait (5000)",
        count_if_any,
    ),
    Setting(
        "batch_timeout_s",
        ("BATCH_TIMEOUT_SECONDS",),
        "1",
        "Load: commit at least this often; log on Kinesis: send at least this often, in seconds",
        positive,
    ),
    Setting(
        "sync_interval_s",
        ("TICKERPLANT_SYNC_SECONDS",),
        "0.1",
        "Capture: force the log to disk at least this often, in seconds",
        positive,
    ),
    Setting(
        "segment_bytes", ("TICKERPLANT_SEGMENT_BYTES",), "268435456", "Log: begin a new segment at this size", count
    ),
    Setting(
        "segment_age_s",
        ("TICKERPLANT_SEGMENT_SECONDS",),
        "3600",
        "Log: begin a new segment at this age, in seconds",
        positive,
    ),
    Setting(
        "keep_versions_days",
        ("TICKERPLANT_KEEP_VERSIONS_DAYS",),
        "7",
        "Lake: days for which replaced files stay, so that `as_of` works",
        positive,
    ),
    Setting(
        "alpaca_data_url",
        ("ALPACA_DATA_URL", "APCA_API_DATA_URL"),
        "https://data.alpaca.markets",
        "Alpaca: REST host of market data",
    ),
    Setting(
        "alpaca_trading_url",
        ("ALPACA_TRADING_URL", "APCA_API_BASE_URL"),
        "https://paper-api.alpaca.markets",
        "Alpaca: REST host of assets and calendar (api.alpaca.markets for live accounts)",
    ),
    Setting("alpaca_plan", ("ALPACA_PLAN",), "basic", "Alpaca: basic, plus, ...; sets the rate of requests"),
    Setting("alpaca_rest_feed", ("ALPACA_REST_FEED",), "sip", "Alpaca: feed of history: sip, iex, otc, boats"),
    Setting("alpha_vantage_key", ("ALPHA_VANTAGE_API_KEY", "ALPHAVANTAGE_API_KEY"), "", "Alpha Vantage key", Secret),
    Setting("alpha_vantage_url", ("ALPHA_VANTAGE_URL",), "https://www.alphavantage.co", "Alpha Vantage: REST host"),
    Setting(
        "alpha_vantage_plan", ("ALPHA_VANTAGE_PLAN",), "free", "Alpha Vantage: free, 75, 150, 300, 600, 1200 (a minute)"
    ),
    Setting("polygon_key", ("POLYGON_API_KEY", "MASSIVE_API_KEY"), "", "Polygon (Massive) key", Secret),
    Setting(
        "polygon_url",
        ("POLYGON_URL", "MASSIVE_URL"),
        "https://api.massive.com",
        "Polygon (Massive): REST host; api.polygon.io is the same",
    ),
    Setting("polygon_plan", ("POLYGON_PLAN", "MASSIVE_PLAN"), "basic", "Polygon: basic, starter, developer, advanced"),
    Setting(
        "polygon_s3_key",
        ("POLYGON_S3_ACCESS_KEY", "MASSIVE_S3_ACCESS_KEY"),
        "",
        "Polygon: access key of the flat files (not the API's key)",
    ),
    Setting(
        "polygon_s3_secret",
        ("POLYGON_S3_SECRET_KEY", "MASSIVE_S3_SECRET_KEY"),
        "",
        "Polygon: its secret; never printed",
        Secret,
    ),
    Setting(
        "polygon_s3_url",
        ("POLYGON_S3_URL", "MASSIVE_S3_URL"),
        "https://files.massive.com",
        "Polygon: host of the flat files; files.polygon.io is the same",
    ),
    Setting(
        "flat_piece_bytes",
        ("TICKERPLANT_FLAT_PIECE_BYTES",),
        "4194304",
        "Fetch: bytes of a flat file's text in one line of the log",
        count,
    ),
    Setting(
        "fetch_parallel", ("TICKERPLANT_FETCH_PARALLEL",), "8", "Fetch: requests of one vendor at the same time", count
    ),
    Setting(
        "fetch_patience_s",
        ("TICKERPLANT_FETCH_PATIENCE_SECONDS",),
        "120",
        "Fetch: longest wait for a vendor's allowance before the run ends with exit code 75, in seconds",
        positive,
    ),
    Setting(
        "alert_webhook",
        ("TICKERPLANT_ALERT_WEBHOOK",),
        "",
        "Health: URL that gets each alert as a JSON POST when it begins and when it is over; never printed",
        Secret,
    ),
    Setting("alert_to", ("TICKERPLANT_ALERT_EMAIL",), "", "Health: addresses that get each alert by e-mail", names),
    Setting(
        "smtp_url",
        ("TICKERPLANT_SMTP_URL",),
        "smtp://localhost:25",
        "Health: mail server, smtp://user:password@host:587 (STARTTLS where offered) or smtps://...; never printed",
        Secret,
    ),
    Setting(
        "alert_from",
        ("TICKERPLANT_ALERT_FROM",),
        "tickerplant@localhost",
        "Health: sender of e-mails",
    ),
    Setting(
        "alert_level",
        ("TICKERPLANT_ALERT_LEVEL",),
        "fail",
        "Health: alert on `fail` only, or on `warn` too",
        outcome,
    ),
    Setting(
        "repair_settling_s",
        ("TICKERPLANT_REPAIR_SETTLING_SECONDS",),
        "5",
        "Repair: how long a live message may still come after the vendor's history has it, in seconds",
        positive,
    ),
    Setting(
        "run_tables",
        ("TICKERPLANT_RUN_FETCH",),
        "daily_bars,splits,dividends",
        "Run: tables to fetch after each session, of those for which a vendor's key is set; `none` for none",
        names,
    ),
    Setting(
        "run_symbols",
        ("TICKERPLANT_RUN_SYMBOLS",),
        "",
        "Run: whose rows to fetch: symbols, `all`, or `universe:NAME`; when not set STOCK_SYMBOLS, and all for `*`",
    ),
    Setting(
        "run_polls",
        ("TICKERPLANT_RUN_POLL",),
        "",
        "Run: tables to poll while the market is open, `snapshots=15m,bars=5m`",
        polls,
    ),
    Setting(
        "run_history",
        ("TICKERPLANT_RUN_HISTORY",),
        "",
        "Run: day from which the weekly re-check asks for what is missing; when not set the first of `daily_bars`",
        day_if_any,
    ),
    Setting(
        "run_captures",
        ("TICKERPLANT_RUN_CAPTURES",),
        "1",
        "Run: over how many captures, with a connection each, the symbols are shared out; more than one need symbols "
        "by name, no `*`",
        count,
    ),
    Setting(
        "run_loaders",
        ("TICKERPLANT_RUN_LOADERS",),
        "1",
        "Run: how many loaders share the partitions of the log",
        count,
    ),
    Setting(
        "retention",
        ("DATA_RETENTION_DAYS",),
        "",
        "`maintain` drops sessions more than so many days before the current one: `90`, or by table "
        "`quotes=30,trades=90`. Empty keeps everything",
        retention,
    ),
    Setting(
        "statement_timeout_s",
        ("TICKERPLANT_STATEMENT_TIMEOUT_SECONDS",),
        "300",
        "PostgreSQL: a query that takes longer ends with an error, in seconds; 0 is no limit",
        seconds,
    ),
    Setting("models", ("TICKERPLANT_MODELS",), "", "`transform`: a folder of dbt models of your own"),
    Setting(
        "marts",
        ("TICKERPLANT_MARTS",),
        "marts",
        "Where marts are: a folder of the lake, a schema `<schema>_<marts>` of PostgreSQL",
        identifier,
    ),
    Setting(
        "vendors",
        ("TICKERPLANT_VENDORS",),
        "alpaca,polygon,alphavantage",
        "`transform`: whose rows are taken where several vendors have some, first wins",
        names,
    ),
    Setting(
        "bar_intervals",
        ("TICKERPLANT_BAR_INTERVALS",),
        "1m,5m,15m,30m,1h",
        "`transform`: lengths of the bars made from trades: seconds (30s), minutes, hours that divide a day",
        intervals,
    ),
    Setting(
        "feed_keys",
        ("TICKERPLANT_FEED_KEYS",),
        "",
        "`serve --feed`: keys that clients may log in with, `key:secret,key:secret`; empty takes any, on this machine "
        "only; never printed",
        Secret,
    ),
    Setting(
        "feed_buffer_bytes",
        ("TICKERPLANT_FEED_BUFFER_BYTES",),
        "16777216",
        "`serve --feed`: a live client that is more bytes of the log behind is told 407 (slow client) and cut",
        count,
    ),
    Setting("spool", ("TICKERPLANT_SPOOL",), "<data>/spool", "Log on S3 or Kinesis: folder of what is not shipped yet"),
    Setting(
        "spool_bytes",
        ("TICKERPLANT_SPOOL_BYTES",),
        "10737418240",
        "Log on S3 or Kinesis: alarm when more bytes than this wait for shipping; the capture goes on until the disk "
        "is full",
        count,
    ),
    Setting(
        "s3_endpoint",
        ("TICKERPLANT_S3_ENDPOINT", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        "",
        "S3: URL of the service when it is not Amazon's",
    ),
    Setting("aws_region", ("AWS_REGION", "AWS_DEFAULT_REGION"), "us-east-1", "S3, Kinesis: region of the service"),
    Setting(
        "aws_key",
        ("AWS_ACCESS_KEY_ID",),
        "",
        "S3, Kinesis: access key; without one, that of the container or instance (Kinesis: profile, sign-on too)",
    ),
    Setting("aws_secret", ("AWS_SECRET_ACCESS_KEY",), "", "S3, Kinesis: its secret; never printed", Secret),
    Setting(
        "aws_token",
        ("AWS_SESSION_TOKEN",),
        "",
        "S3, Kinesis: session token of a temporary key; never printed",
        Secret,
    ),
    Setting(
        "local_mode",
        ("LOCAL_MODE",),
        "true",
        "`false`: the log is the stream KINESIS_STREAM_NAME, unless TICKERPLANT_LOG names one; `true`: a folder",
        truth,
    ),
    Setting("kinesis_stream", ("KINESIS_STREAM_NAME",), "", "Kinesis: the stream of the log"),
    Setting(
        "kinesis_endpoint",
        ("KINESIS_ENDPOINT_URL", "AWS_ENDPOINT_URL_KINESIS", "AWS_ENDPOINT_URL"),
        "",
        "Kinesis: another endpoint (private link, emulator)",
    ),
    Setting(
        "kinesis_lanes",
        ("KINESIS_LANES",),
        "8",
        "Kinesis: over how many lanes the symbols of a feed are spread, 1 to 500; at least as many as shards",
        count,
    ),
    Setting(
        "kinesis_keep_segments",
        ("KINESIS_KEEP_SEGMENTS",),
        "2",
        "Kinesis: how many segments of the log stay on the capture's disk after they were sent, 2 at least",
        count,
    ),
    Setting(
        "max_attempts",
        ("MAX_RECONNECT_ATTEMPTS",),
        "0",
        "Capture: failed connects, or calls to Kinesis, in a row after which it ends with an error; 0 is never",
        whole,
    ),
    Setting("log_level", ("LOG_LEVEL",), "info", "debug, info, warning or error", level),
)

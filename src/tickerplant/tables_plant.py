"""What the plant knows of itself."""

from __future__ import annotations

import pyarrow as pa

from tickerplant.columns import INT, REAL, TEXT, day, symbol
from tickerplant.schema import TIMESTAMP, Column, Table

JOBS = Table(
    "jobs",
    "Every run of a command or task.",
    (
        Column("job", TEXT, "Id of the run", nullable=False),
        Column("what", TEXT, "Command or task", nullable=False),
        Column("selection", TEXT, "What it was asked to do, JSON without secrets"),
        Column("started_at", TIMESTAMP, "Start", "UTC, microseconds", nullable=False),
        Column("ended_at", TIMESTAMP, "End; null while it runs or when it was killed", "UTC, microseconds"),
        Column("rows", INT, "Rows stored", "rows"),
        Column("bytes", INT, "Bytes received", "bytes"),
        Column("calls", INT, "Requests sent", "calls"),
        Column("outcome", TEXT, "running, done, failed, stopped, quota", nullable=False),
        Column("error", TEXT, "What went wrong, without secrets"),
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
        Column("vendor", TEXT, "Vendor", nullable=False),
        Column("feed", TEXT, "Feed", nullable=False),
        Column("channel", TEXT, "Subscribed channel (quotes, trades, ...), `*` when unknown", nullable=False),
        Column("start", TIMESTAMP, "Receipt of the last frame before the hole", "UTC, microseconds", False),
        Column("end", TIMESTAMP, "When data could flow again; null while open", "UTC, microseconds"),
        Column("reason", TEXT, "disconnected, mute, half_dead, killed, stopped, damaged, ...", nullable=False),
        Column("state", TEXT, "open (still down), closed (bounds final) or healed (data fetched)", nullable=False),
        Column("evidence", TEXT, "JSON: close code, attempts, rates, positions"),
    ),
    key=("vendor", "feed", "channel", "start"),
    time=None,
    mode="merge",
)

QUARANTINE = Table(
    "quarantine",
    "What could not be decoded, with its place in the log. Nothing is dropped: `load --quarantined` tries again.",
    (
        Column("vendor", TEXT, "Vendor", nullable=False),
        Column("feed", TEXT, "Feed", nullable=False),
        Column("channel", TEXT, "Table or message type when known"),
        Column("partition", TEXT, "Partition of the log", nullable=False),
        Column("position", INT, "Start of the line in the log: segment << 36 | byte offset", nullable=False),
        Column("item", pa.int32(), "Place of the message in its frame; -1 the whole line", nullable=False),
        Column("received_at", TIMESTAMP, "Receipt; of the line before when the line is damaged", "UTC, microseconds"),
        Column("reason", TEXT, "What was expected and what was found", nullable=False),
        Column("payload", pa.binary(), "The bytes, as received", nullable=False),
        Column("state", TEXT, "open, or loaded when a later decoder could read it", nullable=False),
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
        Column("run", TEXT, "Id of the run: `jobs.job`", nullable=False),
        day(),
        Column("symbol", TEXT, "Our symbol; `*` is all of the session", nullable=False),
        Column("rule", TEXT, "Rule; `*` is all of them", nullable=False),
        Column("checked_at", TIMESTAMP, "When the run began", "UTC, microseconds", nullable=False),
        Column("severity", TEXT, "error, warning or info: the rule's, or the worst that flagged anything"),
        Column("checked", INT, "Rows the rule looked at; of rule `*` the sum over the rules", "rows", nullable=False),
        Column("flagged", INT, "Rows it flagged; of rule `*` those of errors and warnings", "rows", nullable=False),
        Column("worst", REAL, "Value of the flagged row that is farthest from what was expected", "the rule's"),
        Column("grade", TEXT, "A (nothing wrong) to F; of one rule, what it alone gives. Null for symbol `*`"),
        Column("why", TEXT, "The rules behind the grade, worst first; null for an A"),
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
        Column("run", TEXT, "Id of the run: `quality.run`", nullable=False),
        Column("n", INT, "Number in the run, from 0", nullable=False),
        Column("rule", TEXT, "Rule", nullable=False),
        Column("severity", TEXT, "error, warning or info", nullable=False),
        Column("table_name", TEXT, "Table of the row", nullable=False),
        symbol(),
        day(),
        Column("ts", TIMESTAMP, "Event time of the row, start of the window; null for a whole session", "UTC"),
        Column("ns", pa.int16(), "Nanoseconds of the event time beyond `ts`", "ns"),
        Column("vendor", TEXT, "Who sent the row; null for a whole session"),
        Column("feed", TEXT, "The vendor's feed"),
        Column("received_at", TIMESTAMP, "Receipt of the row", "UTC, microseconds"),
        Column("seq", pa.int32(), "Place of the row in its frame"),
        Column("value", REAL, "What was found", "the rule's"),
        Column("expected", REAL, "The limit that it passed, or what should have been there", "the rule's"),
        Column("detail", TEXT, "The same in words"),
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
        Column(
            "partition",
            TEXT,
            "Partition of the log; `plant.*` counts the plant's own writes",
            nullable=False,
        ),
        Column("position", INT, "Loaded up to here: segment << 36 | byte offset", nullable=False),
        Column("received", INT, "Messages in the log up to here", "messages", False),
        Column("stored", INT, "Messages that became a row", "messages", False),
        Column("quarantined", INT, "Messages and lines set aside", "messages", False),
        Column("control", INT, "Control messages and connection records", "messages", False),
        Column("updated_at", TIMESTAMP, "When this position was committed", "UTC, microseconds", False),
    ),
    key=("partition",),
    time=None,
    mode="merge",
)

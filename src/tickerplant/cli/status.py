"""`tickerplant status`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tickerplant.cli import console

if TYPE_CHECKING:
    from rich.table import Table

    from tickerplant.jobs.status import Status


def _lasted(gap: dict[str, Any]) -> str:
    return f"{(gap['end'] - gap['start']).total_seconds():,.3f} s" if gap["end"] else "open"


def _sheets(status: Status) -> list[Table]:
    log = console.sheet("Log", "partition", "log", "behind", "received", "stored", "quarantined", "control")
    for p in status.partitions:
        numbers = (p.received, p.stored, p.quarantined, p.control)
        log.add_row(p.partition, console.size(p.log_bytes), console.size(p.lag_bytes), *(f"{n:,}" for n in numbers))
    kind = f"{status.layout}, {status.version}" if status.version else status.layout
    tables = console.sheet(f"Tables ({kind}), times UTC", "table", "rows", "symbols", "first", "last", "bytes")
    for t in status.tables:
        if t.rows:
            span = (f"{at:%Y-%m-%d %H:%M:%S}" if at else "" for at in (t.first, t.last))
            tables.add_row(t.table, f"{t.rows:,}", f"{t.symbols:,}", *span, console.size(t.bytes))
    gaps = console.sheet("Gaps, latest first, times UTC", "feed", "channel", "start", "lasted", "reason", "state")
    for g in status.gaps:
        feed = f"{g['vendor']}.{g['feed']}"
        gaps.add_row(feed, g["channel"], console.clock(g["start"]), _lasted(g), g["reason"], g["state"])
    quarantine = console.sheet("Quarantine", "partition", "messages", "state", "reason")
    for q in status.quarantine:
        quarantine.add_row(q["partition"], f"{q['messages']:,}", q["state"], console.plain(q["reason"]))
    return [log, tables, *([gaps] if status.gaps else []), *([quarantine] if status.quarantine else [])]


def command(
    log: Annotated[str | None, typer.Option(help="The log.")] = None,
    store: Annotated[str | None, typer.Option(help="The store.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what is there, how far it is loaded, which holes are known. Exit code 1 when the counters do not balance."""
    from tickerplant.jobs.status import status
    from tickerplant.logs import open_log
    from tickerplant.stores import open_store

    settings = console.settings()
    target = open_store(store or settings.store, read_only=True, options=console.store_options())
    try:
        found = status(open_log(log or settings.log), target)
    finally:
        target.close()
    if as_json:
        console.print_json(asdict(found))
    else:
        for sheet in _sheets(found):
            console.out.print(sheet)
        balance = f"{found.stored:,} stored + {found.quarantined:,} quarantined + {found.control:,} control"
        sign, colour = ("=", "green") if found.balanced else ("is not", "red")
        console.out.print(f"[{colour}]{found.received:,} received {sign} {balance}[/]")
        dropped = sum(t.dropped for t in found.tables)
        if dropped:
            console.out.print(f"{dropped:,} rows were dropped by DATA_RETENTION_DAYS")
        if found.missing_rows:
            console.out.print(f"[red]{found.missing_rows:,} stored messages are not in the tables[/]")
    if not found.balanced or found.missing_rows:
        raise typer.Exit(1)

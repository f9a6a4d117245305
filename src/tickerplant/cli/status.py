"""`tickerplant status`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tickerplant.cli import console

if TYPE_CHECKING:
    from rich.table import Table

    from tickerplant.jobs.coverage_report import Line
    from tickerplant.jobs.status import PartitionStatus, Status
    from tickerplant.model import Store


def _lasted(gap: dict[str, Any]) -> str:
    return f"{(gap['end'] - gap['start']).total_seconds():,.3f} s" if gap["end"] else "open"


def _sheets(status: Status) -> list[Table]:
    names = ("partition", "log", "behind", "lag", "loader", "received", "stored", "quarantined", "control")
    log = console.sheet("Log", *names)
    for p in status.partitions:
        numbers = (p.received, p.stored, p.quarantined, p.control)
        shown = (console.size(p.log_bytes), *_behind(p), console.plain(p.loader or "nobody"))
        log.add_row(p.partition, *shown, *(f"{n:,}" for n in numbers))
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


def _behind(p: PartitionStatus) -> tuple[str, str]:
    """How much of a partition is not loaded, and for how long."""
    least = "at least " if p.lag_is_least else ""
    much = console.size(p.lag_bytes) if p.lag_records is None else f"{least}{p.lag_records:,} records"
    much = much if p.lag_records else console.size(p.lag_bytes)
    if p.lag_seconds is None:
        return ("unknown" if p.lag_records is None and not p.lag_bytes else much), "unknown"
    return much, f"{least}{p.lag_seconds:,.1f} s" if p.lag_seconds else ""


def _coverage_sheet(lines: list[Line]) -> Table:
    """Each dataset in a line; reasons that do not occur are left out."""
    reasons = [r for r in lines[0].cells if any(x.cells[r] for x in lines)]
    names = [r.replace("_", " ") for r in reasons]
    sheet = console.sheet("Coverage, symbols x sessions", "vendor", "table", "symbols", "start", "end", *names)
    for x in lines:
        table = f"{x.table} {x.interval}" if x.interval else x.table
        cells = (f"{x.cells[r]:,}" for r in reasons)
        sheet.add_row(x.vendor, table, f"{x.symbols:,}", str(x.start), str(x.end), *cells)
    return sheet


def _jobs_sheet(jobs: list[dict[str, Any]]) -> Table:
    sheet = console.sheet(
        "Jobs, latest first, times UTC", "what", "start", "lasted", "rows", "calls", "outcome", "error"
    )
    for j in jobs:
        lasted = f"{(j['ended_at'] - j['started_at']).total_seconds():,.1f} s" if j["ended_at"] else ""
        numbers = (f"{j['rows']:,}", f"{j['calls']:,}")
        sheet.add_row(
            j["what"], console.clock(j["started_at"]), lasted, *numbers, j["outcome"], console.plain(j["error"] or "")
        )
    return sheet


def _detail(
    store: Store, table: str, vendor: str | None, span: tuple[str | None, str | None], per_symbol: bool, as_json: bool
) -> None:
    """Coverage of one table: a map of all cells, or a line a symbol."""
    from tickerplant.errors import UsageError
    from tickerplant.jobs.coverage_report import MARKS, by_symbol, datasets, heat_map, line, report

    start, end = (date.fromisoformat(t) if t else None for t in span)
    chosen = [d for d in datasets(store) if d.table == table and vendor in (None, d.vendor)]
    if not chosen:
        known = ", ".join(sorted({f"{d.table} of {d.vendor}" for d in datasets(store)})) or "nothing yet"
        raise UsageError(f"status: expected a table that was asked for, was {table}; there is {known}")
    for dataset in chosen:
        found = report(store, dataset, None, start, end)
        if as_json:
            console.print_json({**asdict(line(found)), "by_symbol": by_symbol(found) if per_symbol else None})
            continue
        console.out.print(_coverage_sheet([line(found)]))
        if per_symbol:
            sheet = console.sheet(
                "Symbols, fewest present first", "symbol", *(r.replace("_", " ") for r in found.counts())
            )
            for row in by_symbol(found):
                sheet.add_row(*(v if isinstance(v, str) else f"{v:,}" for v in row.values()))
            console.out.print(sheet)
        else:
            width = max(20, console.out.width - 18)
            for label, marks in heat_map(found, width, 40):
                console.out.print(f"{label[:16]:<16}  {marks}", soft_wrap=True)
            legend = "  ".join(f"{m} {r.name.lower().replace('_', ' ')}" for r, m in MARKS.items() if m != " ")
            console.out.print(f"[dim]{legend}[/]")


def command(
    log: Annotated[str | None, typer.Option(help="The log.")] = None,
    store: Annotated[str | None, typer.Option(help="The store.")] = None,
    coverage: Annotated[
        str | None, typer.Option(help="Show a table's coverage as a map of symbols and sessions: daily_bars, bars, ...")
    ] = None,
    vendor: Annotated[str | None, typer.Option(help="With --coverage: only this vendor.")] = None,
    start: Annotated[str | None, typer.Option(help="With --coverage: first day.")] = None,
    end: Annotated[str | None, typer.Option(help="With --coverage: day after the last.")] = None,
    per_symbol: Annotated[bool, typer.Option("--per-symbol", help="With --coverage: a line a symbol.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show what is there, how far it is loaded, which holes are known. Exit code 1 when the counters do not balance."""
    from tickerplant.jobs.coverage_report import datasets, line, report
    from tickerplant.jobs.status import status
    from tickerplant.logs import open_log
    from tickerplant.stores import open_store

    settings = console.settings()
    target = open_store(store or settings.store, read_only=True, options=console.store_options())
    try:
        if coverage is not None:
            _detail(target, coverage, vendor, (start, end), per_symbol, as_json)
            return
        lines = [line(report(target, d)) for d in datasets(target)]
        found = status(open_log(log or settings.log), target)
    finally:
        target.close()
    if as_json:
        console.print_json(asdict(found) | {"coverage": [asdict(x) for x in lines]})
    else:
        for sheet in _sheets(found):
            console.out.print(sheet)
        if lines:
            console.out.print(_coverage_sheet(lines))
        if found.jobs:
            console.out.print(_jobs_sheet(list(found.jobs)))
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

"""`tickerplant restore`."""

from __future__ import annotations

import signal
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tickerplant.cli import console

if TYPE_CHECKING:
    from tickerplant.jobs.restore import Restored


class Part(StrEnum):
    """What to restore."""

    STORE = "store"
    LOG = "log"


def command(
    source: Annotated[Path, typer.Option("--from", help="A backup, or a folder of backups: the newest one there.")],
    store: Annotated[str | None, typer.Option(help="Where rows go.")] = None,
    log: Annotated[str | None, typer.Option(help="Where the log goes; segments that are there and go on stay.")] = None,
    only: Annotated[Part | None, typer.Option(help="Restore only the store or only the log.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace a store that has rows; set other segments of the log aside.")
    ] = False,
    verify_only: Annotated[bool, typer.Option("--verify-only", help="Only check the backup; write nothing.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Put a backup back and compare count and checksum of each table and each segment. Exit code 1 when one differs."""
    from tickerplant.jobs.restore import check

    # As on SIGINT: pg_restore is ended.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with console.Ticker(quiet=as_json) as ticker:
        done = check(source, ticker.say) if verify_only else _restore(source, store, log, only, replace, ticker)
    if as_json:
        console.print_json(_as_json(done))
    else:
        _show(done)
    if not done.ok:
        raise typer.Exit(1)


def _restore(
    source: Path, store: str | None, log: str | None, only: Part | None, replace: bool, ticker: console.Ticker
) -> Restored:
    from tickerplant.jobs.restore import restore
    from tickerplant.logs import open_log
    from tickerplant.stores import open_store

    settings = console.settings()
    into = None if only == Part.STORE else open_log(log or settings.log)
    if only == Part.LOG:
        return restore(source, into, None, replace=replace, say=ticker.say)
    target = open_store(store or settings.store, options=console.store_options())
    try:
        return restore(source, into, target, replace=replace, say=ticker.say)
    finally:
        target.close()


def _as_json(done: Restored) -> dict[str, Any]:
    return {
        "folder": done.folder,
        "ok": done.ok,
        "taken_at": done.manifest.taken_at,
        "damaged": done.problems,
        "tables": [{"table": t.table, "ok": t.ok, "expected": t.expected, "found": t.found} for t in done.tables],
        "segments": [
            {"partition": s.partition, "segment": s.segment, "ok": s.ok, "kept": s.kept, "problem": s.problem}
            for s in done.segments
        ],
        "kept_aside": done.kept_aside,
        "seconds": round(done.seconds, 3),
    }


def _show(done: Restored) -> None:
    files = done.manifest.files
    for path, reason in done.problems.items():
        console.out.print(f"[red]damaged[/]: {console.plain(path)}: {console.plain(reason)}", soft_wrap=True)
    if done.problems:
        console.out.print(f"{len(done.problems)} of {len(files):,} files are damaged; nothing was restored")
        return
    if done.tables:
        sheet = console.sheet("Restored", "table", "rows", "checksum", "state")
        for t in done.tables:
            state = "[green]ok[/]" if t.ok else f"[red]differs: {t.found.count:,} rows, {t.found.checksum}[/]"
            sheet.add_row(t.table, f"{t.expected.count:,}", t.expected.checksum, state)
        console.out.print(sheet)
    _show_segments(done)
    for place in done.kept_aside:
        console.out.print(f"What was there before is kept: {console.plain(place)}", soft_wrap=True)
    end = "[green]ok[/]: as in the backup" if done.ok else "[red]differs[/] from the backup"
    console.out.print(f"{end}, {console.plain(done.folder)} of {done.manifest.taken_at}, {len(files):,} files")


def _show_segments(done: Restored) -> None:
    for s in done.segments:
        if not s.ok:
            console.out.print(f"[red]differs[/]: log {s.partition} segment {s.segment}: {console.plain(s.problem)}")
    if done.segments:
        kept = sum(s.kept for s in done.segments)
        console.out.print(f"{len(done.segments):,} segments of the log, {kept:,} of them were there already")

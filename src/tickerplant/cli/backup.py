"""`tickerplant backup`."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tickerplant.cli import console

if TYPE_CHECKING:
    from tickerplant.jobs.backup import Backup


def command(
    to: Annotated[Path, typer.Option(help="The folder of backups; each is a folder of its own in it.")],
    log: Annotated[str | None, typer.Option(help="The log.")] = None,
    store: Annotated[str | None, typer.Option(help="The store.")] = None,
    keep: Annotated[int | None, typer.Option(min=1, help="Keep only the newest so many. Default: all.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Copy store and log as they are now, beside running captures and loaders, and read the copy back."""
    from tickerplant.jobs.backup import backup
    from tickerplant.logs import open_log
    from tickerplant.stores import open_store

    # As on SIGINT: pg_dump is ended and what was written is removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settings = console.settings()
    target = open_store(store or settings.store, read_only=True, options=console.store_options())
    try:
        with console.Ticker(quiet=as_json) as ticker:
            done = backup(open_log(log or settings.log), target, to, keep=keep, say=ticker.say)
    finally:
        target.close()
    if as_json:
        console.print_json(_as_json(done))
    else:
        _show(done)


def _as_json(done: Backup) -> dict[str, Any]:
    manifest = done.manifest
    return {
        "folder": done.folder,
        "verified": True,
        "taken_at": manifest.taken_at,
        "tables": manifest.tables,
        "positions": manifest.positions,
        "beyond_log": manifest.beyond_log,
        "files": len(manifest.files),
        "copied_bytes": done.copied_bytes,
        "linked_bytes": done.linked_bytes,
        "removed": done.removed,
        "seconds": round(done.seconds, 3),
    }


def _show(done: Backup) -> None:
    sheet = console.sheet("Backed up", "table", "rows", "checksum")
    for name, found in done.manifest.tables.items():
        sheet.add_row(name, f"{found.count:,}", found.checksum)
    console.out.print(sheet)
    segments = len(done.manifest.files_of("log"))
    sizes = f"{console.size(done.copied_bytes)} copied, {console.size(done.linked_bytes)} linked from the backup before"
    console.out.print(f"{segments:,} segments of the log; {sizes}; {done.seconds:,.1f} s")
    if done.manifest.beyond_log:
        names = ", ".join(done.manifest.beyond_log)
        console.out.print(
            f"[yellow]The store holds more of {console.plain(names)} than the log: is it the right --log?[/]"
        )
    console.out.print(f"[green]verified[/]: every file was read back; {console.plain(done.folder)}", soft_wrap=True)

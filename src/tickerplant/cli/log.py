"""`tickerplant log`: list, print and check the raw log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer
from rich.table import Table

from tickerplant.cli import console
from tickerplant.errors import UsageError, excerpt
from tickerplant.model import Damage, Entry, Kind, Log, Position, position, split_position

if TYPE_CHECKING:
    from tickerplant.logs.verify import SegmentCheck

app = typer.Typer(help="List, print and check the raw log.", no_args_is_help=True)

_LogOption = Annotated[str | None, typer.Option("--log", help="The log; TICKERPLANT_LOG by default.")]
_JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON array.")]

_READ_BYTES = 2**20


def _open(url: str | None) -> Log:
    from tickerplant.logs import open_log

    return open_log(url or console.settings().log)


def _time(ns: int | None) -> str:
    if ns is None:
        return ""
    return f"{datetime.fromtimestamp(ns // 10**9, UTC):%Y-%m-%d %H:%M:%S}"


@app.command("ls")
def ls(log: _LogOption = None, as_json: _JsonOption = False) -> None:
    """List the segments of the log."""
    source = _open(log)
    segments = [segment for name in source.partitions() for segment in source.segments(name)]
    if as_json:
        console.print_json([asdict(segment) for segment in segments])
        return
    table = console.sheet("Segments", "partition", "segment", "state", "bytes", "stored", "ratio")
    for s in segments:
        ratio = f"{s.size_bytes / s.stored_bytes:.1f}" if s.stored_bytes else ""
        state = "sealed" if s.sealed else "open"
        table.add_row(s.partition, str(s.number), state, f"{s.size_bytes:,}", f"{s.stored_bytes:,}", ratio)
    console.out.print(table)


def _position(text: str) -> Position:
    """A position written as one number or as `segment:offset`."""
    head, colon, tail = text.partition(":")
    try:
        return position(int(head), int(tail)) if colon else Position(int(head))
    except ValueError:
        raise UsageError(f"--from: expected a position like 68719476736 or 1:0, was {text!r}") from None


def _entries(log: Log, partition: str, start: Position) -> Iterator[Entry]:
    reader = log.reader(partition, start)
    try:
        while entries := reader.read(_READ_BYTES) or reader.finish():
            yield from entries
    finally:
        reader.close()


def _print(entry: Entry) -> None:
    from tickerplant.logs.line import encode

    if not isinstance(entry.item, Damage):
        sys.stdout.write(encode(entry.item).decode())
        return
    segment, offset = split_position(entry.start)
    text = f"{segment}:{offset}: {entry.item.reason}: {excerpt(entry.item.payload)!r}"
    console.err.print(console.plain(text), soft_wrap=True)


def _partitions(log: Log, partition: str | None) -> list[str]:
    names = log.partitions()
    if partition is None:
        return names
    if partition not in names:
        raise UsageError(
            f"--partition: expected one of {', '.join(names) or 'none (the log is empty)'}, was {partition}"
        )
    return [partition]


@app.command("cat")
def cat(
    log: _LogOption = None,
    partition: Annotated[str | None, typer.Option(help="Only this partition.")] = None,
    start: Annotated[str, typer.Option("--from", help="Begin at this position: a number or segment:offset.")] = "0",
    kind: Annotated[Kind | None, typer.Option(help="Only records of this kind.")] = None,
    limit: Annotated[int | None, typer.Option(min=0, help="Stop after so many lines.")] = None,
) -> None:
    """Print whole lines as they are stored; damaged stretches go to stderr."""
    source, begin, left = _open(log), _position(start), limit
    for name in _partitions(source, partition):
        for entry in _entries(source, name, begin):
            if isinstance(entry.item, Damage):
                _print(entry)
                continue
            if kind is not None and entry.item.kind != kind:
                continue
            if left == 0:
                return
            _print(entry)
            left = None if left is None else left - 1


def _checks_table(checks: list[SegmentCheck]) -> Table:
    table = console.sheet("Segments, receipts UTC", "partition", "segment", "lines", "bytes", "damaged", "first")
    for c in checks:
        damaged = f"[red]{c.damaged:,} ({console.size(c.damaged_bytes)})[/]" if c.damaged else "0"
        size = console.size(c.size_bytes)
        table.add_row(c.partition, str(c.segment), f"{c.lines:,}", size, damaged, _time(c.first_received_at))
    return table


@app.command("verify")
def verify(log: _LogOption = None, as_json: _JsonOption = False) -> None:
    """Check every line. Exit code 1 when bytes are damaged."""
    from tickerplant.logs.verify import verify as check

    checks = check(_open(log))
    damaged = sum(c.damaged for c in checks)
    if as_json:
        console.print_json(msgspec.to_builtins(checks))
    else:
        console.out.print(_checks_table(checks))
        lines = sum(c.lines for c in checks)
        end = (
            f"[red]{damaged:,} damaged stretch{'es'[: 2 * (damaged != 1)]}[/]"
            if damaged
            else "[green]nothing damaged[/]"
        )
        unfinished = sum(c.unfinished_bytes for c in checks)
        tail = f", {console.size(unfinished)} not finished yet" if unfinished else ""
        console.out.print(f"{lines:,} whole lines in {len(checks)} segment{'s'[: len(checks) != 1]}, {end}{tail}")
    if damaged:
        raise typer.Exit(1)

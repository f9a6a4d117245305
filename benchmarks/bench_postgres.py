"""Log to PostgreSQL beside `psql \\copy` of the same rows and `execute_values`, all in turns on one embedded server.

Every run starts with an empty schema after a checkpoint; the server has its default, durable settings throughout.
Loaders are timed as whole processes, and without the start of the interpreter. `psql` copies a binary file, made
before, straight into the day's partition. The usual way parses the same log lines to dicts and inserts with
`psycopg2.extras.execute_values`. Ratios are of runs in the same turn. A run is made again when others used much of the
machine, and turns that stayed disturbed are left out where enough quiet ones remain.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import psycopg2
import structlog
from psycopg2.extras import execute_values

from benchmarks.bench_latency import receipt_to_visible
from benchmarks.frames import write_log
from benchmarks.processes import Run, Stopwatch, psql, settings, timed
from tests.support.plant import tickerplant_command
from tests.support.postgres import fresh_schema, server
from tickerplant.jobs.load import load
from tickerplant.logs import open_log
from tickerplant.model import Record
from tickerplant.schema import quoted
from tickerplant.stores import StoreOptions
from tickerplant.stores.postgres import PostgresStore
from tickerplant.stores.postgres_layout import layout_for
from tickerplant.stores.postgres_link import raw
from tickerplant.stores.postgres_schema import column_names, layout_of
from tickerplant.tables import QUOTES
from tickerplant.vendors import vendor

COUNT = int(os.environ.get("BENCH_QUOTES", "4000000"))
USUAL = int(os.environ.get("BENCH_USUAL", "60000"))
TURNS = int(os.environ.get("BENCH_TURNS", "5"))
TIMESCALE = os.environ.get("TICKERPLANT_TEST_TIMESCALE_URL", "")
_DAY = date(2025, 11, 20)
_HALVES = ("alpaca.sip", "alpaca.iex")
_PAGES = (1_000, 10_000)
_SLOW_TURNS = 3
_QUIET, _ENOUGH, _TRIES = 0.15, 3, 3


def _prepare(folder: Path) -> None:
    """`one`: a log of one partition; `two`: of two that hold half of the quotes each; `rows`: COPY's binary file."""
    write_log(folder / "one", COUNT)
    for partition in _HALVES:
        write_log(folder / "two", COUNT // 2, partition=partition)
    with fresh_schema() as options:
        subprocess.run(_loader(folder / "one"), env=_env(options), check=True, stdout=subprocess.DEVNULL)
        words = [str(psql()), server().url, "-qc", f"copy {_target(options)} to stdout (format binary)"]
        with (folder / "rows").open("wb") as rows:
            subprocess.run(words, stdout=rows, check=True)


def _loader(log: Path, *words: str) -> list[str]:
    return tickerplant_command("load", "--log", log, "--store", server().url, "--json", *words)


def _env(options: StoreOptions) -> dict[str, str]:
    return {**os.environ, "TICKERPLANT_SCHEMA": options.schema, "LOG_LEVEL": "error"}


def _target(options: StoreOptions) -> str:
    """The relation that holds the day, made when it is not there."""
    store = PostgresStore(server().url, options)
    with store.connect() as link:
        layout = layout_for(link, layout_of(link, options.schema))
        layout.ensure(link, QUOTES, [_DAY])
        found = f"{quoted(options.schema)}.{quoted(layout.target(QUOTES, _DAY))}"
    store.close()
    return found


def _loaders(folder: Path, halves: bool, half_speed: bool = False) -> Run:
    if halves:
        commands = [_loader(folder / "two", "--partition", half) for half in _HALVES]
    else:
        commands = [_loader(folder / "one")]
    with fresh_schema() as options:
        found = timed(commands, _env(options), half_speed)
        _check(options, COUNT)
    return found


def _copied(folder: Path) -> Run:
    with fresh_schema() as options:
        statement = f"\\copy {_target(options)} from '{folder / 'rows'}' (format binary)"
        found = timed([[str(psql()), server().url, "-qc", statement]], _env(options))
        _check(options, COUNT)
    return found


def _check(options: StoreOptions, count: int) -> None:
    store = PostgresStore(server().url, options, read_only=True)
    assert store.query("select count(*) as n from quotes").column("n").to_pylist() == [count]
    store.close()


def _usual_rows(log: Path) -> Iterator[tuple[Any, ...]]:
    reader = open_log(str(log)).reader("alpaca.sip")
    while entries := reader.read(1 << 20):
        for record in (e.item for e in entries if isinstance(e.item, Record)):
            received = datetime.fromtimestamp(record.received_at / 1e9, UTC)
            for seq, q in enumerate(json.loads(record.payload)):
                yield (
                    q["S"], q["t"], int(q["t"][26:29]), q["bp"], q["bs"], q["bx"], q["ap"], q["as"], q["ax"],
                    ",".join(q["c"]), q["z"], record.vendor, record.feed, received, seq, q["t"][:10],
                )  # fmt: skip
    reader.close()


def _usual(folder: Path, page: int) -> Run:
    """The usual way, in this process: its start is not counted."""
    columns = ", ".join(map(quoted, column_names(QUOTES)))
    with fresh_schema() as options:
        insert, rows = f"insert into {options.schema}.quotes ({columns}) values %s", _usual_rows(folder / "one")
        _target(options)
        watch = Stopwatch()
        link = psycopg2.connect(server().url)
        for _ in range(0, USUAL, page):
            with link, link.cursor() as cursor:
                execute_values(cursor, insert, [next(rows) for _ in range(page)], page_size=page)
        link.close()
        found = watch.stop()
        _check(options, USUAL)
    return found


def _ways(folder: Path) -> dict[str, Callable[[], Run]]:
    return {
        "psql \\copy": partial(_copied, folder),
        "one loader": partial(_loaders, folder, halves=False),
        "two loaders": partial(_loaders, folder, halves=True),
        **{f"execute_values {page:,}": partial(_usual, folder, page) for page in _PAGES},
    }


def _slow_ways(folder: Path) -> dict[str, Callable[[], Run]]:
    return {
        "one at half speed": partial(_loaders, folder, halves=False, half_speed=True),
        "two at half speed": partial(_loaders, folder, halves=True, half_speed=True),
    }


def _undisturbed(way: Callable[[], Run]) -> Run:
    """A run, made again when others took much of the machine: the quietest of `_TRIES`."""
    best = way()
    for _ in range(_TRIES - 1):
        if best.others < _QUIET:
            break
        best = min(best, way(), key=lambda run: run.others)
    return best


def _turns(ways: dict[str, Callable[[], Run]], turns: int) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {name: [] for name in ways}
    for turn in range(turns):
        for name, way in ways.items():
            found[name].append(_undisturbed(way))
        shares = ", ".join(f"{runs[-1].others:.0%}" for runs in found.values())
        print(f"turn {turn + 1} of {turns}; others took {shares}", file=sys.stderr, flush=True)
    return found


def _print_runs(found: dict[str, list[Run]]) -> None:
    print(f"{COUNT:,} quotes, JSON, 20 a frame; {os.cpu_count()} cores; {settings()}")
    print("medians, us a quote         clock  without start  our processor  server's processor")
    for name, runs in found.items():
        micros = 1e6 / (USUAL if name.startswith("execute") else COUNT)
        parts = [median(getattr(r, p) for r in runs) * micros for p in ("seconds", "inside", "client", "server")]
        print("{:22}{:11.2f}{:15.2f}{:15.2f}{:20.2f}".format(name, *parts))


def _ratio(label: str, ours: Sequence[Run], other: Sequence[Run], of_rows: float = 1.0) -> dict[str, float]:
    """How many times as fast as the other, turn by turn: whole processes, and without their start."""
    pairs = list(zip(ours, other, strict=True))
    quiet = [(a, b) for a, b in pairs if max(a.others, b.others) < _QUIET]
    chosen = quiet if len(quiet) >= _ENOUGH else pairs
    whole = [b.seconds / a.seconds * of_rows for a, b in chosen]
    inside = [b.inside / a.inside * of_rows for a, b in chosen]
    spread = f"({min(whole):.2f} to {max(whole):.2f}), without start {median(inside):.2f}"
    turns = f"{len(chosen)} {'quiet ' if chosen is quiet else ''}turns"
    print(f"{label:40}{median(whole):7.2f} {spread} ({min(inside):.2f} to {max(inside):.2f}), {turns}")
    return {label: median(whole), f"{label}, without start": median(inside)}


def _ratios(found: dict[str, list[Run]]) -> dict[str, float]:
    copied, one, two = found["psql \\copy"], found["one loader"], found["two loaders"]
    usual = min((found[f"execute_values {page:,}"] for page in _PAGES), key=lambda r: median(x.seconds for x in r))
    figures = _ratio("one loader / psql \\copy", one, copied)
    figures |= _ratio("two loaders / psql \\copy", two, copied)
    figures |= _ratio("one loader / execute_values", one, usual, COUNT / USUAL)
    figures |= _ratio("two loaders / one", two, one)
    figures |= _ratio("two loaders / one, each at half speed", found["two at half speed"], found["one at half speed"])
    cores = os.cpu_count() or 1
    busy = median((r.client + r.server) / (r.seconds * cores) + r.others for r in two)
    print(f"two loaders, the server and others keep {busy:.0%} of {cores} cores busy")
    return {**figures, "two loaders: share of cores in use": busy}


def _bytes_per_quote(url: str, options: StoreOptions, folder: Path) -> float:
    """On disk, indexes and all, after `maintain`."""
    store = PostgresStore(url, options)
    load(open_log(str(folder / "one")), store, vendor)
    list(store.maintain(date(2100, 1, 1)))
    kind = store.housing().layout
    size = "hypertable_size('quotes')" if kind != "partitions" else "sum(pg_total_relation_size(inhrelid))"
    source = "" if kind != "partitions" else " from pg_inherits where inhparent = 'quotes'::regclass"
    with store.connect() as link:
        row = link.execute(raw(f"select {size}{source}")).fetchone()
    store.close()
    assert row is not None
    print(f"bytes a quote on disk, {kind}: {float(row[0]) / COUNT:.1f}")
    return float(row[0]) / COUNT


def _sizes(folder: Path) -> dict[str, float]:
    with fresh_schema() as options:
        figures = {"bytes a quote, partitions": _bytes_per_quote(server().url, options, folder)}
    if TIMESCALE:
        options = StoreOptions(schema="bench_postgres")
        store = PostgresStore(TIMESCALE, options)
        store.init()
        figures["bytes a quote, columnstore"] = _bytes_per_quote(TIMESCALE, options, folder)
        with store.connect() as link:
            link.execute(raw(f"drop schema {options.schema} cascade"))
        store.close()
    return figures


def _latency() -> dict[str, float]:
    store = PostgresStore(server().url, StoreOptions())
    store.init()
    store.close()
    return receipt_to_visible(server().url)


def run() -> dict[str, float]:
    """Rates, ratios, bytes a quote, and receipt to visible."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _prepare(folder)
        found = _turns(_ways(folder), TURNS) | _turns(_slow_ways(folder), _SLOW_TURNS)
        _print_runs(found)
        figures = _ratios(found) | _sizes(folder)
    return figures | _latency()


if __name__ == "__main__":
    run()

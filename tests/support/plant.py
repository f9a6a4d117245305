"""A plant made of real processes, and ways to hold its log, its lake and a simulator's oracle against each other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

import pytest
import structlog

from tickerplant.errors import UsageError
from tickerplant.fingerprint import Fingerprint, Tally
from tickerplant.jobs.load import decode_entries
from tickerplant.logs import open_log
from tickerplant.model import Counters, Kind, Record, position
from tickerplant.simulator.process import running
from tickerplant.stores import StoreOptions, open_store
from tickerplant.tables import VENDOR_TABLES
from tickerplant.vendors import vendor

SHARED = Path(__file__).resolve().parents[2].parent / "shared"


def tickerplant_command(*args: str | Path) -> list[str]:
    """The words that run our command line in this environment."""
    return [sys.executable, "-m", "tickerplant", *map(str, args)]


def tickerplant(*args: str | Path, **options: Any) -> subprocess.Popen[str]:
    """Start the command line as a process, stdout piped."""
    return subprocess.Popen(tickerplant_command(*args), text=True, **{"stdout": subprocess.PIPE, **options})


def run(*args: str | Path, timeout: float = 100, check: bool = True) -> str:
    """Run the command line to its end and return its stdout."""
    done = subprocess.run(tickerplant_command(*args), capture_output=True, text=True, timeout=timeout)
    assert not check or done.returncode == 0, f"{args}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def answer(
    *words: str | Path, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end in this process: starting another takes longer than most commands.

    Environment, folder, settings and logging are its own; a command that serves, or that is killed, needs a process.
    """
    from tickerplant.cli import answer as begin

    out, err, code = StringIO(), StringIO(), 0
    with _as_if_alone(environment, folder), redirect_stdout(out), redirect_stderr(err):
        try:
            begin([str(w) for w in words])
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


def ask(*words: str | Path, environment: Mapping[str, str] | None = None, folder: Path | None = None) -> str:
    """Run a command that does what it is told, in this process; its stdout."""
    done = answer(*words, environment=environment, folder=folder)
    assert done.returncode == 0, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@contextmanager
def _as_if_alone(environment: Mapping[str, str] | None, folder: Path | None) -> Iterator[None]:
    from tickerplant.cli import console

    here, term = Path.cwd(), signal.getsignal(signal.SIGTERM)
    logging = structlog.get_config() if structlog.is_configured() else None
    console.settings.cache_clear()
    try:
        os.chdir(folder or here)
        with patch.dict(os.environ, environment or {}, clear=environment is not None):
            yield
    finally:
        os.chdir(here)
        signal.signal(signal.SIGTERM, term)
        console.settings.cache_clear()
        structlog.configure(**logging) if logging else structlog.reset_defaults()


def refusal(name: str, *words: str | Path, environment: Mapping[str, str], folder: Path) -> tuple[int, str]:
    """The exit code and the text with which a command refuses its words, asked in this process."""
    from tickerplant.cli import exit_code, load_command

    with _as_if_alone(environment, folder), pytest.raises(UsageError) as caught:
        load_command(name).main([str(w) for w in words], standalone_mode=False)
    return exit_code(caught.value), str(caught.value)


T = TypeVar("T")


def wait_for(condition: Callable[[], T], timeout: float = 30, what: str = "condition", pause: float | None = None) -> T:
    """Poll until `condition` is truthy and return it; without a `pause` first often, then every 50 ms."""
    deadline, wait = time.monotonic() + timeout, pause or 0.01
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: expected within {timeout} s")
        time.sleep(wait)
        wait = pause or min(0.05, wait * 1.2)
    return found


@contextmanager
def simulator(*args: str | Path, stderr: Any = None) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A simulator process on a free port; yields its websocket URL."""
    with running([str(a) for a in args], stderr=stderr) as found:
        yield found.ws, found.process


def stop(process: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM, timeout: float = 30) -> int:
    """Signal a process and wait for its end."""
    if process.poll() is None:
        process.send_signal(number)
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise
    finally:
        if process.stdout is not None:
            process.stdout.close()


def kill(*processes: subprocess.Popen[str]) -> None:
    """SIGKILL to those that still run."""
    for process in processes:
        if process.poll() is None:
            process.kill()
            process.wait()


def log_end(log_url: Path, partition: str = "alpaca.sip") -> int:
    """The position just after what a partition holds now."""
    segments = open_log(str(log_url)).segments(partition)
    return position(segments[-1].number, segments[-1].size_bytes) if segments else 0


def loaded_to(store_url: Path, partition: str = "alpaca.sip") -> int:
    """The position that a store has reached."""
    store = open_store(str(store_url), read_only=True)
    try:
        return store.progress(partition).position
    finally:
        store.close()


def log_records(log_url: Path) -> Iterator[Record]:
    """Every whole record of a log, all partitions."""
    log = open_log(str(log_url))
    for partition in log.partitions():
        reader = log.reader(partition)
        while entries := reader.read(1 << 20):
            yield from (e.item for e in entries if isinstance(e.item, Record))
        reader.close()


def log_tally(log_url: Path, partitions: Sequence[str] | None = None) -> tuple[Tally, Counters]:
    """What the log holds, or some partitions of it, decoded here and now without any store."""
    log, tally, counters = open_log(str(log_url)), Tally(), Counters()
    for partition in log.partitions() if partitions is None else partitions:
        reader = log.reader(partition)
        while entries := reader.read(4 << 20):
            decoded, _, counted = decode_entries(partition, entries, vendor(partition.partition(".")[0]))
            counters += counted
            for batch in decoded.batches:
                tally.add(batch)
        reader.close()
    return tally, counters


def store_tally(store_url: Path | str, options: StoreOptions | None = None) -> Tally:
    """What a store holds, by table and symbol."""
    store = open_store(str(store_url), read_only=True, options=options)
    try:
        return Tally.of_store(store, VENDOR_TABLES)
    finally:
        store.close()


def differences(expected: Tally, found: Tally) -> tuple[int, int]:
    """Rows lost and rows doubled, by table and symbol."""
    lost = doubled = 0
    for table in expected.tables.keys() | found.tables.keys():
        ours, theirs = expected.tables.get(table, {}), found.tables.get(table, {})
        for symbol in ours.keys() | theirs.keys():
            more = theirs.get(symbol, Fingerprint()).count - ours.get(symbol, Fingerprint()).count
            lost, doubled = lost + max(0, -more), doubled + max(0, more)
    return lost, doubled


def query(store_url: Path | str, sql: str) -> list[dict[str, Any]]:
    """Rows of a query over a store."""
    store = open_store(str(store_url), read_only=True)
    try:
        rows: list[dict[str, Any]] = store.query(sql).to_pylist()
        return rows
    finally:
        store.close()


def unclosed_connections(records: Iterator[Record]) -> int:
    """How often a log shows a connection that no `disconnected` record ended before the next one began."""
    is_open, found = False, 0
    for record in records:
        if record.kind is Kind.CONNECTED:
            found += is_open
            is_open = True
        elif record.kind is Kind.DISCONNECTED:
            is_open = False
    return found

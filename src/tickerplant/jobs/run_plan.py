"""What a plant runs, out of its settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeAlias

from tickerplant.errors import UsageError
from tickerplant.jobs.accounts import choose
from tickerplant.jobs.agenda import Work
from tickerplant.jobs.capture_shards import Shard
from tickerplant.jobs.run import Plan
from tickerplant.settings import Settings
from tickerplant.vendors import vendors

Capture: TypeAlias = Callable[[datetime], Sequence[str]]
"""The arguments of a capture that ends at a moment."""

_LIVE = {"quotes": "quotes", "trades": "trades", "bars": "bars", "updated_bars": "bars"}


def plan_of(
    settings: Settings,
    capture: Capture,
    channels: Sequence[str],
    *,
    repairs: bool,
    fetches: bool,
    log: str,
    batch_seconds: float | None = None,
) -> Plan:
    """The plan of a plant. `fetches` is whether vendors may be asked at all, `repairs` for history after gaps."""
    loaders = dict.fromkeys(numbered("loader", settings.run_loaders), loader_arguments(log, batch_seconds))
    beside: dict[str, Sequence[str]] = {}
    if repairs:
        beside["repair"] = ("repair", "--log", log, "--follow", "--json")
    selection = chosen(settings)
    tables = tuple(t for t in settings.run_tables if t != "none" and fetches and _has_vendor(settings, t))
    for table, every in settings.run_polls if fetches else ():
        beside[f"poll {table}"] = ("fetch", *selection, "--table", table, "--poll", every, "--log", log, "--json")
    live = tuple(dict.fromkeys(_LIVE[c] for c in channels if c in _LIVE)) if repairs else ()
    work = Work(tables, selection, live, settings.run_history)
    return Plan(work, _captures(capture, settings.run_captures), loaders, beside)


def numbered(name: str, count: int) -> list[str]:
    """Names of so many of a kind: `loader`, or `loader 1/3` and so on."""
    return [name] if count == 1 else [f"{name} {n + 1}/{count}" for n in range(count)]


def _captures(capture: Capture, count: int) -> dict[str, Capture]:
    """One capture of all symbols, or several, each of its share."""
    if count == 1:
        return {"capture": capture}

    def sharded(shard: str) -> Capture:
        return lambda end: [*capture(end), "--shard", shard]

    return {name: sharded(name.removeprefix("capture ")) for name in numbered("capture", count)}


def check_shares(symbols: Sequence[str], count: int) -> None:
    """Raises UsageError when symbols cannot be shared out over so many captures."""
    for number in range(1, count + 1) if count > 1 else ():
        Shard(number, count).share(tuple(symbols))


def loader_arguments(log: str, batch_seconds: float | None) -> list[str]:
    """The arguments of a loader that follows a log."""
    pace = ["--batch-seconds", f"{batch_seconds:g}"] if batch_seconds else []
    return ["load", "--log", log, "--follow", "--json", *pace]


def chosen(settings: Settings) -> tuple[str, ...]:
    """The arguments of `fetch` that say whose rows. Raises UsageError for a universe without a name."""
    text = settings.run_symbols or ",".join(settings.symbols)
    if text in ("*", "all"):
        return ("--all",)
    kind, _, name = text.partition(":")
    if kind != "universe":
        return (text,)
    if not name:
        raise UsageError("TICKERPLANT_RUN_SYMBOLS: expected universe:NAME, was no name")
    return ("--universe", name)


def _has_vendor(settings: Settings, table: str) -> bool:
    try:
        choose(settings, table, vendors())
    except UsageError:
        return False
    return True

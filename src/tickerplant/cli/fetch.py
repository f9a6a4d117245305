"""`tickerplant fetch`."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tickerplant.cli import console
from tickerplant.cli.fetch_show import done_json, plan_json, show_done, show_plan
from tickerplant.clock import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from tickerplant.jobs.fetch import Fetched
    from tickerplant.jobs.fetch_table import FetchPlan
    from tickerplant.jobs.flat import FlatSource
    from tickerplant.jobs.poll import Rhythm
    from tickerplant.model import Log, Store
    from tickerplant.net.http import RestClient

_QUOTA_EXIT = 75


@dataclass(frozen=True)
class _Wanted:
    """What the command line asks for."""

    table: str
    interval: str | None
    start: date
    end: date
    feed: str | None
    endpoint: str | None
    again: bool
    is_poll: bool = False
    is_flat: bool = False
    is_landing: bool = False
    fresh_s: float | None = None
    recheck: datetime | None = None


def command(
    symbols: Annotated[list[str] | None, typer.Argument(help="Symbols; none with --all or --universe.")] = None,
    table: Annotated[str, typer.Option(help="daily_bars, bars, quotes, trades, tickers, splits, ...")] = "daily_bars",
    vendor: Annotated[str | None, typer.Option(help="The vendor; else the first with a key.")] = None,
    universe: Annotated[str | None, typer.Option(help="Symbols of a universe (see `universe`).")] = None,
    on: Annotated[str | None, typer.Option(help="The day of the universe's list; else --end.")] = None,
    all_symbols: Annotated[bool, typer.Option("--all", help="Every active ticker of the vendor.")] = False,
    start: Annotated[str | None, typer.Option(help="First day, New York; else the last session.")] = None,
    end: Annotated[str | None, typer.Option(help="Day after the last, New York; else today's last session.")] = None,
    interval: Annotated[str | None, typer.Option(help="Length of bars: 1m, 5m, ...; for --table bars.")] = None,
    feed: Annotated[str | None, typer.Option(help="The vendor's feed, where it has several.")] = None,
    endpoint: Annotated[str | None, typer.Option(help="The endpoint; else the cheapest.")] = None,
    flat: Annotated[bool, typer.Option("--flat", help="Whole days out of the vendor's flat files.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Ask again for what was asked in vain.")] = False,
    recheck: Annotated[
        str | None,
        typer.Option(help="Ask again for all that was not answered since this day or time; what changed is added."),
    ] = None,
    fresh: Annotated[
        str | None, typer.Option(help="Lists and snapshots answered so recently (50m, 20h) are not asked for again.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    no_load: Annotated[
        bool, typer.Option("--no-load", help="Land the answers and leave them in the log to a loader.")
    ] = False,
    poll: Annotated[str | None, typer.Option(help="Repeat so often (5m, 1h) while the market is open.")] = None,
    extended: Annotated[
        bool, typer.Option("--extended", help="With --poll: in pre-market and after-hours too.")
    ] = False,
    log: Annotated[str | None, typer.Option(help="Where answers are landed.")] = None,
    store: Annotated[str | None, typer.Option(help="Where rows go, and what says what is missing.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON line.")] = False,
) -> None:
    """Ask a vendor for what is missing, land the answers, load them. Exit code 75 when the vendor's quota is spent."""
    from tickerplant.jobs.accounts import account, choose, client
    from tickerplant.logs import open_log
    from tickerplant.query import moment
    from tickerplant.stores import open_store
    from tickerplant.vendors import vendor as vendor_named
    from tickerplant.vendors import vendors

    settings = console.settings()
    _known(table)
    name = vendor or choose(settings, table, vendors())
    rhythm = _rhythm(poll, extended)
    _able(no_load, flat, poll, recheck)
    source = open_log(log or settings.log)
    target = open_store(store or settings.store, read_only=no_load, options=console.store_options())

    def once(stop: Event, is_poll: bool) -> int:
        wanted = _wanted(
            table, interval, start, end, feed or account(settings, name).feed, endpoint, again, is_poll, flat
        )
        wanted = replace(wanted, is_landing=no_load, fresh_s=_seconds("--fresh", fresh) if fresh else None)
        wanted = replace(wanted, recheck=moment(recheck)) if recheck else wanted
        asking = client(settings, vendor_named(name))
        try:
            names = _symbols(source, target, asking, wanted, symbols, universe, on, all_symbols, stop)
            with _alone(wanted, name, names, stop):
                return _once(source, target, asking, wanted, names, stop, dry_run=dry_run, as_json=as_json)
        finally:
            asking.limiter.close()

    try:
        with console.stop_on_signals() as stop:
            if rhythm is None or dry_run:
                code = once(stop, False)
            else:
                code = _poll(lambda at: once(stop, True) == 0 or stop.is_set(), rhythm, stop, as_json)
    finally:
        target.close()
    raise typer.Exit(code)


def _alone(wanted: _Wanted, vendor: str, names: list[str], stop: Event) -> AbstractContextManager[object]:
    """With --no-load nobody else asks for these symbols meanwhile: the store does not say what is landed."""
    from pathlib import Path

    from tickerplant.jobs.claims import claimed

    if not wanted.is_landing:
        return nullcontext()
    return claimed(Path(console.settings().data), vendor, wanted.table, names, stop)


def _able(no_load: bool, flat: bool, poll: str | None, recheck: str | None) -> None:
    from tickerplant.errors import UsageError

    if recheck is not None and (no_load or flat or poll is not None):
        other = "--no-load" if no_load else "--flat" if flat else "--poll"
        raise UsageError(f"--recheck: expected requests whose answers are compared, was with {other}")
    if no_load and (flat or poll is not None):
        raise UsageError(f"--no-load: expected requests, was {'--flat' if flat else '--poll'}")


def _rhythm(every: str | None, is_extended: bool) -> Rhythm | None:
    from tickerplant.errors import UsageError
    from tickerplant.jobs.poll import Rhythm

    if every is None and is_extended:
        raise UsageError("--extended: expected --poll with it, was without")
    return None if every is None else Rhythm(timedelta(seconds=_seconds("--poll", every)), is_extended)


def _poll(once: Callable[[datetime], bool], rhythm: Rhythm, stop: Event, as_json: bool) -> int:
    """Poll until told to stop, which is no failure."""
    from tickerplant.jobs.poll import poll, wall_clock

    done = poll(once, rhythm, stop, wall_clock(stop))
    if as_json:
        console.print_json({"polled": asdict(done)})
    else:
        console.out.print(f"ended: {done.polls:,} polls, {done.failed:,} failed")
    return 0


def _known(table: str) -> None:
    from tickerplant.errors import UsageError
    from tickerplant.tables import FETCHED_TABLES, LIVE_TABLES

    known = [t.name for t in (*LIVE_TABLES, *FETCHED_TABLES) if t.name not in ("coverage", "universe")]
    if table not in known:
        raise UsageError(f"--table: expected one of {', '.join(known)}, was {table!r}")


def _wanted(
    table: str,
    interval: str | None,
    start: str | None,
    end: str | None,
    feed: str | None,
    endpoint: str | None,
    again: bool,
    is_poll: bool = False,
    is_flat: bool = False,
) -> _Wanted:
    from tickerplant.calendar import NEW_YORK, last_session
    from tickerplant.errors import UsageError

    newest = last_session(utc_now()).day
    last = _day("--end", end) if end else newest + timedelta(days=1)
    first = _day("--start", start) if start else min(newest, last - timedelta(days=1))
    if first >= last:
        raise UsageError(f"--start: expected a day before --end {last}, was {first}")
    today = utc_now().astimezone(NEW_YORK).date()
    length = (interval or "1m") if table == "bars" else None
    return _Wanted(table, length, first, min(last, today + timedelta(days=1)), feed, endpoint, again, is_poll, is_flat)


def _day(option: str, text: str) -> date:
    from tickerplant.errors import UsageError

    try:
        return date.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{option}: expected a day such as 2025-11-21, was {text!r}") from None


def _symbols(
    source: Log,
    target: Store,
    asking: RestClient,
    wanted: _Wanted,
    given: list[str] | None,
    universe: str | None,
    on: str | None,
    all_symbols: bool,
    stop: Event,
) -> list[str]:
    from tickerplant.errors import Fatal, UsageError
    from tickerplant.jobs.fetch_table import is_by_session
    from tickerplant.jobs.universe import listed, members

    ways = sum((bool(given), universe is not None, all_symbols))
    if ways > 1:
        raise UsageError("fetch: expected symbols, --universe or --all, was more than one of them")
    if given:
        return list(dict.fromkeys(s for text in given for s in text.split(",") if s))
    if universe is not None:
        return members(target, universe, _day("--on", on) if on else wanted.end)
    if not is_by_session(wanted.table) or (wanted.is_flat and not all_symbols):
        return []
    if not all_symbols:
        raise UsageError("fetch: expected symbols, --universe NAME or --all, was none of them")
    if not listed(target, asking.vendor) and not wanted.is_landing:
        console.err.print(f"no tickers of {asking.vendor} yet: asking for them first")
        tickers = _Wanted("tickers", None, wanted.start, wanted.end, None, None, False)
        _once(source, target, asking, tickers, [], stop, quiet=True)
    found = listed(target, asking.vendor)
    if not found:
        raise Fatal(f"fetch --all: expected tickers of {asking.vendor}, was none; do fetch --table tickers")
    return found


def _plan(source: Log, target: Store, asking: RestClient, wanted: _Wanted, names: list[str]) -> FetchPlan:
    from tickerplant.calendar import sessions
    from tickerplant.jobs.coverage import Dataset, day_span
    from tickerplant.jobs.fetch_table import is_by_session, plan_lists, plan_sessions
    from tickerplant.jobs.pending import pending
    from tickerplant.vendors import vendor as vendor_named

    how: dict[str, Any] = {"endpoint": wanted.endpoint, "again": wanted.again, "is_poll": wanted.is_poll}
    if wanted.is_landing:
        how["landed"] = pending(source, target, vendor_named(asking.vendor), wanted.table, names)
    if not is_by_session(wanted.table):
        span = day_span(wanted.start)[0], day_span(wanted.end)[0]
        how |= {"fresh_for": timedelta(seconds=wanted.fresh_s)} if wanted.fresh_s else {}
        how |= {"fresh_for": utc_now() - wanted.recheck} if wanted.recheck else {}
        return plan_lists(target, asking, wanted.table, names, span, **how)
    dataset = Dataset(asking.vendor, wanted.table, wanted.interval)
    how |= {"feed": wanted.feed, "recheck": wanted.recheck}
    return plan_sessions(target, asking, dataset, names, sessions(wanted.start, wanted.end), **how)


def _cheapest(
    source: Log, target: Store, asking: RestClient, wanted: _Wanted, names: list[str]
) -> tuple[FetchPlan, FlatSource | None]:
    """The plan of requests, or that of flat files when they are asked for or take less time; then with their source."""
    from tickerplant.jobs.fetch_table import is_by_session
    from tickerplant.jobs.flat import is_cheaper

    is_other = wanted.is_poll or wanted.is_landing or wanted.recheck is not None
    is_able = is_by_session(wanted.table) and wanted.endpoint is None and not is_other
    files = _files(asking, wanted) if is_able or wanted.is_flat else None
    flat = None if files is None else _plan_flat(target, files, wanted, names, is_wish=wanted.is_flat)
    if wanted.is_flat and flat is not None:
        return flat, files
    plan = _plan(source, target, asking, wanted, names)
    if flat is not None and (flat.resumed > 0 or is_cheaper(plan, flat)):
        return flat, files
    return plan, None


def _files(asking: RestClient, wanted: _Wanted) -> FlatSource | None:
    """The vendor's flat files, None without keys. Raises UsageError when they were asked for."""
    from tickerplant.errors import UsageError
    from tickerplant.jobs.accounts import files_account
    from tickerplant.jobs.flat import flat_source
    from tickerplant.vendors import vendor as vendor_named

    settings = console.settings()
    who = files_account(settings, vendor_named(asking.vendor))
    if who is None and wanted.is_flat:
        raise UsageError(
            f"--flat: expected keys of {asking.vendor}'s flat files, was none; "
            "do set POLYGON_S3_ACCESS_KEY and POLYGON_S3_SECRET_KEY, with --vendor polygon"
        )
    return None if who is None else flat_source(settings, asking.vendor, asking.rest, who)


def _plan_flat(target: Store, files: FlatSource, wanted: _Wanted, names: list[str], is_wish: bool) -> FetchPlan | None:
    """The plan of flat files; None when they do not hold what is wanted and were not asked for."""
    from tickerplant.calendar import sessions
    from tickerplant.errors import UsageError
    from tickerplant.jobs.coverage import Dataset
    from tickerplant.jobs.flat import plan_flat

    dataset = Dataset(files.vendor, wanted.table, wanted.interval)
    days = sessions(wanted.start, wanted.end)
    try:
        return plan_flat(target, files, dataset, names, days, again=wanted.again)
    except UsageError:
        if is_wish:
            raise
        return None


def _once(
    source: Log,
    target: Store,
    asking: RestClient,
    wanted: _Wanted,
    names: list[str],
    stop: Event,
    *,
    dry_run: bool = False,
    as_json: bool = False,
    quiet: bool = False,
) -> int:
    """Plan, show, do, show; returns the exit code."""
    from tickerplant.jobs.fetch_table import load_answers, run_plan
    from tickerplant.jobs.flat import FlatOptions, run_flat
    from tickerplant.jobs.joblog import job, unlogged
    from tickerplant.vendors import vendor as vendor_named

    if not wanted.is_landing:
        load_answers(source, target, asking.vendor, vendor_named, stop)
    plan, files = _cheapest(source, target, asking, wanted, names)
    if not as_json and not quiet:
        show_plan(plan, asking.vendor, wanted.table, len(names))
    if dry_run:
        if as_json:
            console.print_json({"plan": plan_json(plan, wanted.table)})
        return 0
    selection = {"vendor": asking.vendor, "symbols": len(names)}
    selection |= {k: v for k, v in asdict(wanted).items() if v not in (None, False)}
    logged = nullcontext(unlogged("fetch", selection)) if wanted.is_landing else job(target, "fetch", selection)
    with logged as run, console.Ticker(as_json or quiet) as ticker:

        def report(fetched: Fetched) -> None:
            ticker.say(f"fetching: {fetched.landed:,} answers, {fetched.chains:,} of {plan.requests:,} requests done")

        if files is not None:
            options = FlatOptions(console.settings().flat_piece_bytes)
            summary = run_flat(source, target, files, vendor_named, plan, options=options, stop=stop, report=report)
        else:
            again = wanted.again or wanted.recheck is not None
            how: dict[str, Any] = {"polls": plan.polls, "stop": stop, "report": report, "again": again}
            how["is_loading"] = not wanted.is_landing
            summary = run_plan(source, target, asking, vendor_named, plan.todos, **how)
        run.rows, run.bytes, run.calls = summary.rows, summary.bytes, summary.calls
        run.outcome = summary.fetched.outcome
        run.error = summary.fetched.failures[0].reason if summary.fetched.failures else None
    if as_json:
        console.print_json({"plan": plan_json(plan, wanted.table), "done": done_json(summary)})
    elif not quiet:
        show_done(summary)
    return {"done": 0, "quota": _QUOTA_EXIT}.get(summary.fetched.outcome, 1)


def _seconds(option: str, text: str) -> float:
    from tickerplant.errors import UsageError

    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    try:
        value = float(text[:-1]) * units[text[-1:]]
    except (ValueError, KeyError):
        raise UsageError(f"{option}: expected a distance such as 5m, 30s or 1h, was {text!r}") from None
    if value <= 0:
        raise UsageError(f"{option}: expected a distance above 0, was {text!r}")
    return value

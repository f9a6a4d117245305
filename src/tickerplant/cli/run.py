"""`tickerplant run`."""

from __future__ import annotations

import json
import os
from contextlib import ExitStack
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from tickerplant.cli import console
from tickerplant.cli.capture import (
    AlwaysOpen,
    AsJson,
    Channels,
    Duration,
    Encoding,
    LogUrl,
    Request,
    Symbols,
    Until,
    Url,
    perform,
    say,
)
from tickerplant.errors import Fatal, UsageError

if TYPE_CHECKING:
    from tickerplant.jobs.run import Plan
    from tickerplant.settings import Settings


def _repairs(settings: Settings, url: str | None) -> bool:
    """Whether history may be asked for: never a vendor's for a market that is simulated here."""
    from tickerplant.net.websocket import is_loopback

    return bool(settings.alpaca_secret) and is_loopback(url or settings.alpaca_url) == is_loopback(
        settings.alpaca_data_url
    )


def command(
    url: Url = None,
    symbols: Symbols = None,
    channels: Channels = None,
    log: LogUrl = None,
    store: Annotated[str | None, typer.Option(help="Where rows go.")] = None,
    duration: Duration = None,
    until: Until = None,
    encoding: Encoding = "json",
    always_open: AlwaysOpen = False,
    calendar: Annotated[
        bool | None,
        typer.Option(
            "--calendar/--now",
            help="On the market's clock until stopped, or one capture from now on; else on the clock, unless an end "
            "is given or the feed is always on (v2/test, one on this machine).",
        ),
    ] = None,
    env: Annotated[
        Path | None, typer.Option(help="A file of settings, NAME=value a line, for what the environment does not set.")
    ] = None,
    batch_seconds: Annotated[float | None, typer.Option(min=0.01, help="Commit at least this often.")] = None,
    repair: Annotated[
        bool | None,
        typer.Option(
            "--repair/--no-repair",
            help="Fill holes out of the vendor's history; else when there is a key, and market and history are both "
            "the vendor's or both on this machine.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The whole plant on the market's clock: capture in sessions, load, repair, and each evening maintain, fetch,
    transform, check. With an end, one capture and its load."""
    if env is not None:
        _take(env)
    settings = console.settings()
    request = Request(url, symbols, channels, log or settings.log, duration, until, encoding, always_open)
    able = _repairs(settings, url) if repair is None else repair
    if _is_on_calendar(settings, request, calendar):
        _on_calendar(settings, request, store or settings.store, batch_seconds, able)
    else:
        _once(settings, request, store or settings.store, batch_seconds, able, as_json)


def _take(env: Path) -> None:
    """Put a file's settings into the environment, where children find them too."""
    from dotenv import dotenv_values

    if not env.is_file():
        raise UsageError(f"--env: expected a file of settings, was {str(env)!r}")
    for name, value in dotenv_values(env).items():
        if value is not None:
            os.environ.setdefault(name, value)


def _is_on_calendar(settings: Settings, request: Request, wish: bool | None) -> bool:
    from tickerplant.net.websocket import is_loopback

    has_end = bool(request.duration or request.until or request.always_open)
    if wish and has_end:
        raise UsageError("--calendar: expected no --for, --until or --always-open beside it, was one of them")
    url = request.url or settings.alpaca_url
    is_always_on = is_loopback(url) or url.rstrip("/").endswith("/test")
    return not has_end and not is_always_on if wish is None else wish


def _into(request: Request, store: str) -> dict[str, str]:
    from tickerplant.settings import STORE_VARIABLES

    assert request.log is not None
    return {**dict.fromkeys(STORE_VARIABLES, ""), "TICKERPLANT_STORE": store, "TICKERPLANT_LOG": request.log}


def _on_calendar(settings: Settings, request: Request, store: str, batch_seconds: float | None, repairs: bool) -> None:
    from tickerplant.cli.screen import Screen
    from tickerplant.jobs.daemons import Surroundings
    from tickerplant.jobs.run import run
    from tickerplant.logs import open_log
    from tickerplant.stores import open_store

    plan = _plan(settings, request, batch_seconds, repairs)
    data = Path(settings.data)
    data.mkdir(parents=True, exist_ok=True)
    with console.stop_on_signals() as stop, ExitStack() as opened, Screen(f"tickerplant {data}") as screen:
        around = Surroundings(_into(request, store), _lines(data, opened) if screen.is_on else None)
        assert request.log is not None
        log, target = open_log(request.log), open_store(store, options=console.store_options())
        opened.callback(target.close)
        run(plan, log, target, around, data / "run.lock", stop, screen.show)


def _lines(data: Path, opened: ExitStack) -> IO[bytes]:
    """Where log lines go while the terminal shows the screen."""
    file = opened.enter_context((data / "run.log").open("ab", buffering=0))
    console.lines_to(file)
    return file


def _plan(settings: Settings, request: Request, batch_seconds: float | None, repairs: bool) -> Plan:
    from tickerplant.jobs.run_plan import check_shares, plan_of
    from tickerplant.net.websocket import is_loopback
    from tickerplant.settings import names

    options = (("--url", request.url), ("--symbols", request.symbols), ("--channels", request.channels))
    given = [word for name, value in options if value for word in (name, value)]

    def capture(end: datetime) -> list[str]:
        return ["capture", *given, "--encoding", request.encoding, "--until", end.isoformat(), "--json"]

    check_shares(names(request.symbols) if request.symbols else settings.symbols, settings.run_captures)
    channels = names(request.channels) if request.channels else settings.channels
    simulated = is_loopback(request.url or settings.alpaca_url)
    assert request.log is not None
    return plan_of(
        settings,
        capture,
        channels,
        repairs=repairs,
        fetches=not simulated or is_loopback(settings.alpaca_data_url),
        log=request.log,
        batch_seconds=batch_seconds,
    )


def _once(
    settings: Settings, request: Request, store: str, batch_seconds: float | None, repairs: bool, as_json: bool
) -> None:
    """One capture with its load; ends when everything captured is loaded and every hole that can be is filled."""
    from tickerplant.jobs.run_plan import loader_arguments, numbered
    from tickerplant.jobs.supervise import Follower

    if settings.run_captures > 1:
        raise UsageError(
            f"TICKERPLANT_RUN_CAPTURES: expected 1 for one capture from now on, was {settings.run_captures}; "
            "do use --calendar, or `tickerplant capture --shard` for each"
        )
    where, into = request.log, _into(request, store)
    assert where is not None
    arguments = loader_arguments(where, batch_seconds)
    followers = [Follower(arguments, into, name) for name in numbered("loader", settings.run_loaders)]
    with ExitStack() as beside:
        for follower in followers:
            beside.enter_context(follower)
        if repairs:
            beside.enter_context(Follower(["repair", "--log", where, "--follow", "--json"], into, "repair"))
        captured = perform(request, as_json)
    for follower in followers:
        if follower.returncode != 0:
            raise Fatal(
                f"load: expected exit code 0, was {follower.returncode}; everything captured is in {where}, "
                "load it again"
            )
    loaded = _together([json.loads(follower.output) for follower in followers])
    if as_json:
        console.print_json({"capture": asdict(captured), "load": loaded})
        return
    say(captured)
    c = loaded["counters"]
    console.out.print(f"{c['stored']:,} stored, {c['quarantined']:,} quarantined, {c['control']:,} control messages")


def _together(loaded: list[dict[str, Any]]) -> dict[str, Any]:
    """What several loaders did, as if it had been one."""
    counters = {name: sum(one["counters"][name] for one in loaded) for name in loaded[0]["counters"]}
    partitions = [partition for one in loaded for partition in one["partitions"]]
    commits, seconds = sum(one["commits"] for one in loaded), max(one["seconds"] for one in loaded)
    return {**loaded[0], "counters": counters, "commits": commits, "seconds": seconds, "partitions": partitions}

"""`tickerplant run`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

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
from tickerplant.errors import Fatal

if TYPE_CHECKING:
    from tickerplant.settings import Settings


def _loader_arguments(log: str, batch_seconds: float | None) -> list[str]:
    pace = ["--batch-seconds", f"{batch_seconds:g}"] if batch_seconds else []
    return ["load", "--log", log, "--follow", "--json", *pace]


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
    """Capture, load and repair in one command, each in a process of its own; ends when everything captured is loaded
    and every hole that can be is filled."""
    from contextlib import ExitStack

    from tickerplant.jobs.supervise import Follower
    from tickerplant.settings import STORE_VARIABLES

    settings = console.settings()
    where = log or settings.log
    request = Request(url, symbols, channels, where, duration, until, encoding, always_open)
    into = {**dict.fromkeys(STORE_VARIABLES, ""), "TICKERPLANT_STORE": store or settings.store}
    with Follower(_loader_arguments(where, batch_seconds), into) as follower, ExitStack() as beside:
        if _repairs(settings, url) if repair is None else repair:
            beside.enter_context(Follower(["repair", "--log", where, "--follow", "--json"], into, "repair"))
        captured = perform(request, as_json)
    if follower.returncode != 0:
        raise Fatal(
            f"load: expected exit code 0, was {follower.returncode}; everything captured is in {where}, load it again"
        )
    loaded = json.loads(follower.output)
    if as_json:
        console.print_json({"capture": asdict(captured), "load": loaded})
        return
    say(captured)
    c = loaded["counters"]
    console.out.print(f"{c['stored']:,} stored, {c['quarantined']:,} quarantined, {c['control']:,} control messages")

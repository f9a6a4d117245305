"""`tickerplant run`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

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


def _loader_arguments(log: str, batch_seconds: float | None) -> list[str]:
    pace = ["--batch-seconds", f"{batch_seconds:g}"] if batch_seconds else []
    return ["load", "--log", log, "--follow", "--json", *pace]


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
    as_json: AsJson = False,
) -> None:
    """Capture and load in one command, each in a process of its own; ends when everything captured is loaded."""
    from tickerplant.jobs.supervise import Follower
    from tickerplant.settings import STORE_VARIABLES

    settings = console.settings()
    where = log or settings.log
    request = Request(url, symbols, channels, where, duration, until, encoding, always_open)
    into = {**dict.fromkeys(STORE_VARIABLES, ""), "TICKERPLANT_STORE": store or settings.store}
    with Follower(_loader_arguments(where, batch_seconds), into) as follower:
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

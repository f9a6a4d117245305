"""`tickerplant serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from tickerplant.cli import console
from tickerplant.errors import Fatal, UsageError

_METRICS_PORT = 9464


def command(
    feed: Annotated[
        bool, typer.Option("--feed", help="Serve the log in Alpaca's stream protocol: live, or a recorded span.")
    ] = False,
    metrics: Annotated[
        bool, typer.Option("--metrics", help="Serve GET /metrics for Prometheus and GET /health as JSON.")
    ] = False,
    host: Annotated[
        str, typer.Option(help="Address. Beyond this machine the feed wants keys; metrics have no login.")
    ] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option(help="Port, 0 for any free one; else 9464 for metrics, any for the feed.", min=0, max=65535),
    ] = None,
    log: Annotated[str | None, typer.Option(help="Feed: the log.")] = None,
    start: Annotated[
        str | None, typer.Option(help="Feed: replay from this receipt on: a New York day, or a time with an offset.")
    ] = None,
    end: Annotated[str | None, typer.Option(help="Feed: replay up to, and without: a day or a time.")] = None,
    speed: Annotated[
        float | None,
        typer.Option(help="Feed: replay at so many seconds a second; 0 is as fast as each client takes it.", min=0),
    ] = None,
    channels: Annotated[
        str | None, typer.Option(help="Feed: channels that clients may have, by our names; else all.")
    ] = None,
    symbols: Annotated[str | None, typer.Option(help="Feed: symbols that clients may have; else all.")] = None,
) -> None:
    """Show the plant to other programs until stopped. The first line on stdout is JSON with the addresses."""
    if feed == metrics:
        raise UsageError("serve: expected either --feed or --metrics, was both or neither; do start one for each")
    if metrics:
        _metrics(host, _METRICS_PORT if port is None else port)
        return
    from tickerplant.cli.feed import serve_the_feed

    serve_the_feed(log, host, port or 0, (start, end, speed), channels, symbols)


def _metrics(host: str, port: int) -> None:
    from functools import partial
    from importlib.metadata import version

    from tickerplant.serve.http import serving
    from tickerplant.serve.monitor import Monitor
    from tickerplant.serve.observe import Observer, count, find

    plant = (console.settings(), console.store_options())
    monitor = Monitor(Observer(partial(find, *plant), partial(count, *plant)), version("tickerplant"))
    with console.stop_on_signals() as stop, serving(monitor, host, port) as (base, server):
        console.print_json({"metrics": f"{base}/metrics", "health": f"{base}/health"})
        while not stop.wait(0.5):
            if not server.is_alive():
                raise Fatal("serve: expected to serve until stopped, was ended by the server; its lines say why")

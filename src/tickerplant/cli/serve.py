"""`tickerplant serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from tickerplant.cli import console
from tickerplant.errors import Fatal, UsageError


def command(
    metrics: Annotated[
        bool, typer.Option("--metrics", help="Serve GET /metrics for Prometheus and GET /health as JSON.")
    ] = False,
    host: Annotated[str, typer.Option(help="Address to listen on; it has no login, keep it private.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port; 0 is any free one.", min=0, max=65535)] = 9464,
) -> None:
    """Show the plant over HTTP until stopped. The first line on stdout is JSON with the addresses."""
    if not metrics:
        raise UsageError("serve: expected --metrics, was nothing to serve")
    _metrics(host, port)


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

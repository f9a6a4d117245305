"""`tickerplant simulate`: a vendor on loopback."""

from __future__ import annotations

import asyncio
import signal
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from tickerplant.cli import console
from tickerplant.errors import UsageError
from tickerplant.model import Secret


def command(
    seed: Annotated[int, typer.Option(help="Seed of the made-up market; the same seed gives the same messages.")] = 7,
    symbols: Annotated[int, typer.Option(help="Symbols in the made-up market.", min=1)] = 200,
    minutes: Annotated[int, typer.Option(help="Minutes from the open, 09:30 New York; 390 is a whole day.", min=1)] = 5,
    session: Annotated[datetime, typer.Option(help="Trading day of the made-up market.", formats=["%Y-%m-%d"])] = (
        datetime(2025, 11, 20)  # noqa: DTZ001
    ),
    rate: Annotated[
        float | None, typer.Option(help="Quotes and trades a second of market time in the day's mean; 3 a symbol.")
    ] = None,
    corrected: Annotated[
        float, typer.Option(help="Share of the trades that are corrected or cancelled later.", min=0, max=1)
    ] = 1 / 5000,
    log: Annotated[str | None, typer.Option(help="Replay the frames of this log instead.")] = None,
    partition: Annotated[str | None, typer.Option(help="Partition of the log, when it has several.")] = None,
    source: Annotated[
        str | None, typer.Option(help="Play rows that module:function yields for --path: lists of batches in order.")
    ] = None,
    path: Annotated[Path | None, typer.Option(help="What --source reads.")] = None,
    speed: Annotated[float, typer.Option(help="Market seconds a second; 0 as fast as the client takes it.", min=0)] = 1,
    frame: Annotated[int, typer.Option(help="Messages in a frame at most.", min=1)] = 20,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 is any free one.")] = 0,
    oracle: Annotated[Path | None, typer.Option(help="File that says what was sent; rewritten each second.")] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            help="KIND@WHEN[:DURATION], repeatable: disconnect@3.5s:2s, garbled@5000m. KIND: disconnect, mute, "
            "slow_rate, half_dead, garbled, duplicate, unknown, 406, 407, 429, slow."
        ),
    ] = None,
    faults_seed: Annotated[int | None, typer.Option(help="Random faults from this seed, ten seconds apart.")] = None,
    clients: Annotated[int, typer.Option(help="Subscribed clients that the market waits for.", min=1)] = 1,
    connections: Annotated[int | None, typer.Option(help="Connections at once; one more gets error 406.")] = None,
    symbol_limit: Annotated[int | None, typer.Option(help="Symbols of the plan; more get error 405.")] = None,
    key: Annotated[str | None, typer.Option(help="Key that clients must send; any by default.")] = None,
    secret: Annotated[str | None, typer.Option(help="Secret that clients must send.", envvar="SIMULATE_SECRET")] = None,
    rest: Annotated[bool, typer.Option("--rest", help="Serve the vendors' REST sides as well, a port each.")] = False,
    rest_only: Annotated[
        bool, typer.Option("--rest-only", help="Serve REST only, everything known at once, until stopped.")
    ] = False,
    days: Annotated[int, typer.Option(help="REST: sessions of daily history before --session.", min=0)] = 30,
    history: Annotated[
        Path | None,
        typer.Option(
            help="REST: know the rows of this folder's files (daily_bars.parquet, .arrow, .csv, ...) instead."
        ),
    ] = None,
    rest_port: Annotated[
        list[int] | None, typer.Option(help="REST: ports of alpaca, alphavantage, polygon; free ones by default.")
    ] = None,
    latency: Annotated[float, typer.Option(help="REST: seconds before each answer.", min=0)] = 0.0,
    limits: Annotated[bool, typer.Option("--limits", help="REST: keep the limits of the free plans.")] = False,
    rest_faults: Annotated[float, typer.Option(help="REST: share of requests that fail.", min=0, max=1)] = 0.0,
    page_rows: Annotated[int | None, typer.Option(help="REST: rows in a page at most.", min=1)] = None,
    linger: Annotated[float, typer.Option(help="Seconds without a client before it ends, after the market.")] = 5.0,
) -> None:
    """Serve a made-up market, a log or recorded rows in Alpaca's protocol on 127.0.0.1, with faults on demand.

    The first line on stdout is JSON with the websocket's address, and with --rest the base URL of each vendor. The
    market begins when a client has subscribed.
    """
    from tickerplant.rest import Account
    from tickerplant.simulator.faults import parse
    from tickerplant.simulator.rest import RestOptions
    from tickerplant.simulator.server import Options

    account = Account(key, Secret(secret) if secret else None, page_rows=page_rows)
    wanted = RestOptions(
        latency_s=latency,
        limits=None if limits else (),
        faults=rest_faults,
        seed=seed,
        account=account,
        ports=tuple(rest_port or ()),
    )
    options = Options(
        port=port,
        speed=speed,
        per_frame=frame,
        clients=clients,
        connections=connections,
        symbol_limit=symbol_limit,
        key=key,
        secret=Secret(secret) if secret else None,
        faults=tuple(parse(text) for text in fault or ()),
        faults_seed=faults_seed,
        linger_s=linger,
        oracle=oracle,
        rest=wanted if rest or rest_only else None,
        is_rest_only=rest_only,
    )
    market = (seed, symbols, minutes, session.date(), rate, corrected)
    if history is not None:
        _serve(_with_recorded(history, (log, partition, source, path, market), options), options)
        return
    chosen = _source(log, partition, source, path, market)
    if options.rest is not None and log is None and source is None:
        chosen = _with_past(chosen, seed, symbols, session.date(), days)
    _serve(chosen, options)


def _source(
    log: str | None, partition: str | None, reader: str | None, path: Path | None, market: tuple[Any, ...]
) -> Any:
    if log is not None and reader is not None:
        raise UsageError("simulate: expected --log or --source, were both")
    if log is not None:
        from tickerplant.logs import open_log
        from tickerplant.simulator.replay import from_log

        return from_log(open_log(str(log)), partition)
    if reader is not None:
        from tickerplant.simulator.source import from_reader

        if path is None:
            raise UsageError("simulate: expected --path with --source, was none")
        return from_reader(reader, path)
    return _seeded(*market)


def _with_past(source: Any, seed: int, symbols: int, session: date, days: int) -> Any:
    from dataclasses import replace

    from tickerplant.calendar import sessions
    from tickerplant.simulator.reference import Past, past

    before = sessions(session - timedelta(days=2 * days + 10), session)
    start = before[-days].day if days else session
    return replace(source, history=past(Past(seed, symbols, start, session)))


def _with_recorded(folder: Path, played: tuple[Any, ...], options: Any) -> Any:
    """What is played, and the rows of a folder; with --rest-only and nothing named to play, those rows alone."""
    from dataclasses import replace

    from tickerplant.simulator.recorded import recorded
    from tickerplant.simulator.source import Source

    if options.rest is None:
        raise UsageError("simulate: expected --rest or --rest-only with --history, was neither")
    is_alone = options.is_rest_only and played[0] is None and played[2] is None
    return replace(Source(()) if is_alone else _source(*played), history=recorded(folder))


def _seeded(seed: int, symbols: int, minutes: int, session: date, rate: float | None, corrected: float) -> Any:
    from tickerplant.simulator.market import Market, seeded

    return seeded(Market(seed, symbols, minutes, session, rate, corrected))


def _serve(source: Any, options: Any) -> None:
    import uvloop

    from tickerplant.simulator.server import simulate

    async def serve() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await simulate(source, options, ready=console.print_json, stop=stop)

    uvloop.run(serve())

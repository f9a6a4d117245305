"""`tickerplant demo`: the main job in a minute, with no key, no service and no network."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.live import Live
from rich.table import Table

from tickerplant.cli import console
from tickerplant.errors import Fatal, UsageError
from tickerplant.model import Counters, Store
from tickerplant.simulator.process import Running, running

if TYPE_CHECKING:
    from tickerplant.fingerprint import Tally

_MARK = ".tickerplant-demo"
_MINUTES = 390

_QUESTION = """
with t as (
    select symbol, count(*) as trades, sum(size) as volume, sum(price * size) / sum(size) as vwap
    from trades group by symbol
), q as (
    select symbol, count(*) as quotes, avg(10000 * (ask_price - bid_price) / ((ask_price + bid_price) / 2)) as spread
    from quotes where bid_price > 0 and ask_price > 0 group by symbol
)
select symbol, quotes, trades, volume, vwap, spread from t join q using (symbol) order by volume * vwap desc limit 8
"""


@dataclass
class _Plant:
    """The processes of a demo and where they write."""

    folder: Path
    simulator: Running
    capture: subprocess.Popen[str]
    loader: subprocess.Popen[str]

    @property
    def has_failed(self) -> bool:
        """Whether a process ended with an error."""
        return any(p.poll() not in (None, 0) for p in (self.simulator.process, self.capture, self.loader))

    def oracle(self) -> dict[str, Any]:
        """What the simulator says it sent, at most about a second ago."""
        return self.simulator.oracle()

    def stop(self) -> None:
        """End the capture, then the loader when it has loaded everything; does nothing the second time."""
        for process in (self.capture, self.loader):
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def _fresh(folder: Path) -> None:
    if folder.exists():
        if not (folder / _MARK).is_file():
            raise UsageError(f"--dir: expected a new folder or one of an earlier demo, was {folder}; name another")
        shutil.rmtree(folder)
    folder.mkdir(parents=True)
    (folder / _MARK).touch()


def _start(folder: Path, *args: str) -> subprocess.Popen[str]:
    """Start one of our commands; its log lines go to a file of the demo."""
    errors = (folder / f"{args[0]}.log").open("w")
    with errors:
        return subprocess.Popen(
            [sys.executable, "-m", "tickerplant", *args], stdout=subprocess.PIPE, stderr=errors, text=True
        )


@contextmanager
def _playing(folder: Path, symbols: int, seconds: float, rate: float, seed: int) -> Iterator[_Plant]:
    """A market on the wire, captured and loaded; everything has ended on leaving."""
    market = [
        "--seed", str(seed), "--symbols", str(symbols), "--minutes", str(_MINUTES), "--rate", f"{rate:g}",
        "--speed", f"{_MINUTES * 60 / seconds:g}", "--linger", "600",
        "--fault", f"disconnect@{seconds * 0.3:g}s:1.5s", "--fault", f"garbled@{seconds * 0.6:g}s",
    ]  # fmt: skip
    log = str(folder / "log")
    with (folder / "simulate.log").open("w") as errors, running(market, folder / "oracle.json", errors) as simulator:
        asked = ("--url", simulator.ws, "--symbols", "*", "--channels", "quotes,trades,bars", "--for", "1h")
        capture = _start(folder, "capture", "--log", log, *asked)
        plant = _Plant(
            folder, simulator, capture, _start(folder, "load", "--log", log, "--store", _lake(folder), "--follow")
        )
        try:
            yield plant
        finally:
            plant.stop()


def _lake(folder: Path) -> str:
    return str(folder / "lake")


def _ledger(store: Store) -> Counters:
    progress = store.progress("alpaca.sip")
    return progress.counters


def _progress(oracle: dict[str, Any], ledger: Counters, landed: int, gaps: int, elapsed: float) -> Table:
    sheet = console.sheet("", "", "messages", "note")
    sent = oracle.get("sent", {}).get("messages", 0)
    sheet.add_row("simulator sent", f"{sent:,}", f"{elapsed:.0f} s")
    sheet.add_row("capture landed", "", f"{landed / 1e6:,.1f} MB of raw log")
    sheet.add_row("load stored", f"{ledger.stored:,}", f"{ledger.quarantined} quarantined")
    sheet.add_row("gaps named", f"{gaps}", "one for each channel")
    return sheet


def _landed(folder: Path) -> int:
    return sum(f.stat().st_size for f in (folder / "log").glob("*/*.jsonl*") if f.exists())


def _is_drained(oracle: dict[str, Any], ledger: Counters) -> bool:
    if not oracle.get("complete"):
        return False
    sent = oracle["sent"]["messages"] + oracle.get("garbled", 0)
    return ledger.stored + ledger.quarantined >= sent


def _watch(plant: _Plant, store: Store, limit: float) -> None:
    """Show progress until everything that was sent is in the lake, at most `limit` seconds."""
    began = time.monotonic()
    with Live(console=console.err, refresh_per_second=5, transient=True) as live:
        while (elapsed := time.monotonic() - began) < limit:
            if plant.has_failed:
                raise Fatal(f"demo: a process ended early; see the .log files in {plant.folder}")
            oracle, ledger = plant.oracle(), _ledger(store)
            gaps = store.query("select count(*) as n from gaps").to_pylist()[0]["n"]
            live.update(_progress(oracle, ledger, _landed(plant.folder), gaps, elapsed))
            if _is_drained(oracle, ledger):
                return
            time.sleep(0.25)


def _account(oracle: dict[str, Any], tally: Tally, ledger: Counters) -> bool:
    """Print sent against stored for each table, and whether every checksum agrees."""
    from tickerplant.fingerprint import Tally

    sent = Tally.from_json(oracle["tables"])
    sheet = console.sheet("Sent = stored, by table", "table", "sent", "stored", "symbols with equal checksums")
    for table in sorted(sent.tables):
        ours, theirs = sent.tables[table], tally.tables.get(table, {})
        equal = sum(theirs.get(symbol) == print_ for symbol, print_ in ours.items())
        sheet.add_row(table, f"{sent.total(table).count:,}", f"{tally.total(table).count:,}", f"{equal} of {len(ours)}")
    console.out.print(sheet)
    total = oracle["sent"]["messages"] + oracle.get("garbled", 0)
    received = ledger.received - ledger.control
    is_well = total == received == ledger.stored + ledger.quarantined and sent.tables == tally.tables
    sign = "=" if is_well else "is not"
    console.out.print(
        f"[{'green' if is_well else 'red'}]{total:,} sent {sign} {received:,} received {sign} "
        f"{ledger.stored:,} stored + {ledger.quarantined:,} quarantined[/]  (and {ledger.control:,} control messages)\n"
    )
    return is_well


def _holes(oracle: dict[str, Any], store: Store) -> None:
    missed = oracle.get("missed", {})
    sheet = console.sheet("What is missing, and why", "what", "start", "end", "reason", "missed")
    for g in store.query('select * from gaps order by "start", channel').to_pylist():
        bounds = [t.strftime("%H:%M:%S.%f")[:-3] if t else "open" for t in (g["start"], g["end"])]
        sheet.add_row(f"gap in {g['channel']}", *bounds, g["reason"], f"{missed.get(g['channel'], 0):,}")
    for q in store.query("select * from quarantine").to_pylist():
        at = q["received_at"].strftime("%H:%M:%S.%f")[:-3]
        sheet.add_row("quarantined frame", at, "", console.plain(q["reason"]), "")
    console.out.print(sheet)


def _answer(store: Store) -> str:
    rows = store.query(_QUESTION).to_pylist()
    sheet = console.sheet(
        "Most traded by dollars; spread in basis points",
        "symbol", "quotes", "trades", "volume", "vwap", "spread",
    )  # fmt: skip
    for r in rows:
        numbers = (
            f"{r['quotes']:,}",
            f"{r['trades']:,}",
            f"{r['volume']:,.0f}",
            f"{r['vwap']:.3f}",
            f"{r['spread']:.1f}",
        )
        sheet.add_row(r["symbol"], *numbers)
    console.out.print(sheet)
    return str(rows[0]["symbol"]) if rows else ""


def _draw(store: Store, symbol: str, to: Path) -> None:
    from tickerplant.cli.chart import draw

    try:
        draw(store, symbol, to)
    except ImportError:
        console.out.print(console.plain("No chart: install the extra `chart` (pip install 'tickerplant[chart]')."))
    else:
        console.out.print(f"Chart of {symbol}: {to}")


def _word() -> str:
    """How to call this command line from here: by name, or by path when it is not on PATH."""
    called = Path(sys.argv[0])
    return "tickerplant" if shutil.which("tickerplant") or called.name != "tickerplant" else str(called)


def _farewell(folder: Path) -> None:
    word = _word()
    console.out.print(
        f"""
Ask it yourself:     {word} query --store {folder}/lake "select * from quotes limit 5"
See the raw log:     {word} log cat --log {folder}/log --limit 3
The same, for real:  put ALPACA_API_KEY and ALPACA_SECRET_KEY into .env, then
                     {word} config --connect
                     {word} run --now --symbols AAPL,MSFT,SPY --channels quotes,trades,bars
At any hour:         {word} run --url wss://stream.data.alpaca.markets/v2/test --symbols FAKEPACA""",
        soft_wrap=True,
    )


def command(
    folder: Annotated[
        Path, typer.Option("--dir", help="Where the demo writes; an earlier demo there is replaced.")
    ] = Path("demo"),
    symbols: Annotated[int, typer.Option(min=1, help="How many symbols trade.")] = 300,
    seconds: Annotated[float, typer.Option(min=5, help="How long the session takes on the clock.")] = 30,
    rate: Annotated[float, typer.Option(min=1, help="Mean messages for each second of market time.")] = 25,
    seed: Annotated[int, typer.Option(help="The market's seed.")] = 7,
) -> None:
    """Play a trading day through simulator, capture, log, load and query, break it twice, account for everything."""
    from tickerplant.fingerprint import Tally
    from tickerplant.stores import open_store
    from tickerplant.tables import VENDOR_TABLES

    _fresh(folder)
    console.err.print(
        f"A trading day of {symbols} symbols in {seconds:g} s, over a real websocket on this machine. On the way the "
        "line is cut once and one frame is garbled."
    )
    store = open_store(_lake(folder))
    with _playing(folder, symbols, seconds, rate, seed) as plant:
        _watch(plant, store, limit=seconds * 4 + 60)
        plant.stop()
        oracle = plant.oracle()
    is_well = _account(oracle, Tally.of_store(store, VENDOR_TABLES), _ledger(store))
    _holes(oracle, store)
    symbol = _answer(store)
    _draw(store, symbol, folder / "chart.png")
    store.close()
    _farewell(folder)
    raise typer.Exit(0 if is_well else 1)

"""Make the pictures of the docs: `python docs/picture.py`.

What the demo prints (demo.svg) and draws (demo-chart.png), and the screen of `run` (run-screen.svg).
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

from rich.console import Console
from rich.text import Text

from tickerplant.cli.screen import picture
from tickerplant.clock import VARIABLE, set_clock
from tickerplant.jobs.daemons import Surroundings
from tickerplant.jobs.run import View, run
from tickerplant.jobs.run_plan import plan_of
from tickerplant.logs import open_log
from tickerplant.settings import read_settings
from tickerplant.simulator.process import Running, running
from tickerplant.stores import open_store

DOCS = Path(__file__).parent
_WIDTH = 100


def main() -> None:
    """Write the pictures of the demo and of the screen of `run`."""
    demo()
    screen()


def demo() -> None:
    """Run the demo; write what it prints and draws."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(_WIDTH)}
        command = [sys.executable, "-m", "tickerplant", "demo"]
        said = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True).stdout
        shutil.copy(Path(folder) / "demo" / "chart.png", DOCS / "demo-chart.png")
    console = Console(record=True, width=_WIDTH, file=io.StringIO())
    console.print(Text.from_ansi("$ make demo\n" + said))
    _save(console, "make demo", DOCS / "demo.svg")


def screen() -> None:
    """Run a plant beside a simulated market for a while, on a clock that is set; write its screen."""
    words = ["--rest", "--symbols", "20", "--minutes", "60", "--linger", "600"]
    with tempfile.TemporaryDirectory() as name, running(words, stderr=subprocess.DEVNULL) as vendor:
        os.environ |= _plant(Path(name), vendor)
        clock = Path(name) / "clock"
        set_clock(clock, datetime(2025, 11, 20, 14, 31, tzinfo=UTC))
        os.environ[VARIABLE] = str(clock)
        view = _last_view(Path(name), vendor.ws)
    console = Console(record=True, width=84, file=io.StringIO())
    console.print(picture("tickerplant data", view))
    _save(console, "tickerplant run", DOCS / "run-screen.svg")


def _plant(folder: Path, vendor: Running) -> dict[str, str]:
    rest = vendor.rest["alpaca"]
    return {
        "TICKERPLANT_DATA": str(folder / "data"),
        "TICKERPLANT_STORE": str(folder / "data" / "lake"),
        "TICKERPLANT_LOG": str(folder / "data" / "log"),
        "ALPACA_API_KEY": "key",
        "ALPACA_SECRET_KEY": "secret",
        "ALPACA_DATA_URL": rest,
        "ALPACA_TRADING_URL": rest,
        "ALPACA_PLAN": "plus",
    }


def _last_view(folder: Path, url: str) -> View:
    """Where the plant is when its first errands are done."""
    settings, stop, seen = read_settings(dotenv=None), Event(), []

    def capture(end: datetime) -> list[str]:
        return ["capture", "--url", url, "--until", end.isoformat(), "--json"]

    def tell(view: View) -> None:
        seen.append(view)
        if len(view.done) >= 3 and view.health is not None:
            stop.set()

    plan = plan_of(settings, capture, settings.channels, repairs=True, fetches=True, log=settings.log)
    with (folder / "err").open("wb") as err, closing(open_store(settings.store)) as store:
        run(plan, open_log(settings.log), store, Surroundings({}, err), folder / "run.lock", stop, tell)
    return seen[-1]


def _save(console: Console, title: str, to: Path) -> None:
    svg = re.sub(r"@font-face \{.*?\}", "", console.export_svg(title=title), flags=re.DOTALL)
    to.write_text(svg)


if __name__ == "__main__":
    main()

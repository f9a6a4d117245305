"""A simulated vendor's REST side in this process, and `tickerplant fetch` against it, as processes or in this one."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from tests.support.plant import answer, log_records, tickerplant_command
from tickerplant.model import Kind
from tickerplant.rest import Asked, decode_asked
from tickerplant.simulator.history import MarketHistory
from tickerplant.simulator.reference import Past, past
from tickerplant.simulator.rest import RestOptions, RestServers, serving

KEY, SECRET = "PK-UNMISTAKABLE-KEY", "sEcReT-unmistakable-4711"
VENDOR_KEYS = {
    "ALPACA_API_KEY": KEY,
    "ALPACA_SECRET_KEY": SECRET,
    "ALPHA_VANTAGE_API_KEY": f"AV-{SECRET}",
    "POLYGON_API_KEY": f"PG-{SECRET}",
}
FIRST, LAST = date(2025, 10, 1), date(2025, 11, 20)


def history(symbols: int = 60, start: date = FIRST, end: date = LAST) -> MarketHistory:
    """A made-up past."""
    return MarketHistory(past(Past(7, symbols, start, end)))


@dataclass(frozen=True)
class Plant:
    """A folder with log and lake, and vendors that answer."""

    folder: Path
    servers: RestServers
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def log(self) -> Path:
        """The log."""
        return self.folder / "log"

    @property
    def store(self) -> Path:
        """The lake."""
        return self.folder / "lake"

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to reach the vendors."""
        urls = self.servers.urls
        own = {"ALPACA_DATA_URL": urls.get("alpaca", ""), "ALPACA_TRADING_URL": urls.get("alpaca", "")}
        own |= {"ALPHA_VANTAGE_URL": urls.get("alphavantage", ""), "POLYGON_URL": urls.get("polygon", "")}
        own |= {"POLYGON_S3_URL": urls.get("polygon", "")}
        return {**os.environ, **VENDOR_KEYS, **own, "TICKERPLANT_DATA": str(self.folder), **self.extra}

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Start a command."""
        command = tickerplant_command(*words)
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=self.environment, cwd=self.folder, **{**pipes, **options})

    def run(self, *words: str, code: int = 0) -> str:
        """Run a command to its end, in this process; returns stdout."""
        done = answer(*words, environment=self.environment, folder=self.folder)
        assert done.returncode == code, f"{words}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        with (self.folder / "stderr").open("a") as kept:
            kept.write(done.stderr)
        return done.stdout

    def fetch(self, *words: str, code: int = 0) -> dict[str, Any]:
        """Run `fetch --json`; returns what it says."""
        return json.loads(self.run("fetch", *words, "--json", code=code).splitlines()[-1])

    def landed(self) -> list[Asked]:
        """What every answer in the log is the answer to."""
        if not self.log.exists():
            return []
        return [decode_asked(r.request) for r in log_records(self.log) if r.kind is Kind.RESPONSE]


@contextmanager
def plant(folder: Path, known: MarketHistory, options: RestOptions | None = None, **extra: str) -> Iterator[Plant]:
    """Vendors that answer out of a history, and a folder for what is fetched."""
    folder.mkdir(parents=True, exist_ok=True)
    with serving(known, options or RestOptions()) as servers:
        yield Plant(folder, servers, extra)

"""`tickerplant run` against a simulated market that drops the line, held against everything the market said."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.plant import differences, log_tally, tickerplant, wait_for
from tickerplant.fingerprint import Tally
from tickerplant.simulator.market import Market, seeded
from tickerplant.simulator.oracle import Accounts
from tickerplant.simulator.process import running
from tickerplant.stores import StoreOptions, open_store
from tickerplant.tables import QUOTES, TRADES
from tickerplant.vendors.dialect import Dialect

TABLES = (QUOTES, TRADES)


@dataclass(frozen=True)
class Healing:
    """Rows lost and doubled against the market, rows the line had missed, holes, those left, and the time to heal."""

    rows: int
    was_missing: int
    lost: int
    doubled: int
    holes: int
    open: int
    slowest_s: float


def heal(
    folder: Path,
    *,
    symbols: int,
    minutes: int,
    speed: float,
    rate: float,
    faults: Sequence[str],
    settling_s: float,
    store: str | None = None,
    seed: int = 7,
) -> Healing:
    """Run the market to its end; cancels and corrections are left to another test, so that rows can be counted."""
    market = Market(seed, symbols, minutes, rate=rate, corrected=0.0)
    words = ["--seed", seed, "--symbols", symbols, "--minutes", minutes, "--rate", rate, "--corrected", 0, "--rest"]
    words += ["--speed", speed, "--linger", 60, *(f"--fault={f}" for f in faults)]
    where = store or str(folder / "lake")
    with running([str(w) for w in words], folder / "oracle.json") as simulator:
        # The hole that the end of the capture opens stays open.
        environment = _environment(folder, simulator.rest["alpaca"], settling_s, where)
        process = tickerplant(
            "run", "--url", simulator.ws, "--symbols", "*", "--channels", "quotes,trades",
            "--log", folder / "log", "--always-open", "--batch-seconds", "0.2", env=environment, cwd=folder,
        )  # fmt: skip
        try:
            wait_for(lambda: simulator.oracle()["complete"], 60 * minutes / speed + 60, "the end of the market", 0.1)
            wait_for(lambda: not _unhealed(where), 120, "every hole to be healed", 0.3)
        finally:
            process.terminate()
            process.communicate(timeout=120)
    truth, received = _truth(market), log_tally(folder / "log", ["alpaca.sip"])[0]
    return _compare(where, truth, received)


def _environment(folder: Path, rest: str, settling_s: float, store: str) -> dict[str, str]:
    keys = {"ALPACA_API_KEY": "key", "ALPACA_SECRET_KEY": "secret", "ALPACA_PLAN": "plus"}
    keys |= {"ALPACA_DATA_URL": rest, "ALPACA_TRADING_URL": rest, "TICKERPLANT_DATA": str(folder)}
    return {**os.environ, **keys, "TICKERPLANT_STORE": store, "TICKERPLANT_REPAIR_SETTLING_SECONDS": str(settling_s)}


def _gaps(store: str) -> list[dict[str, Any]]:
    options = StoreOptions(schema=os.environ.get("TICKERPLANT_SCHEMA", "tickerplant"))
    with closing(open_store(store, read_only=True, options=options)) as opened:
        found: list[dict[str, Any]] = opened.query("select * from gaps").to_pylist()
        return found


def _unhealed(store: str) -> list[dict[str, Any]]:
    return [g for g in _gaps(store) if g["state"] == "closed"]


def _truth(market: Market) -> Tally:
    """Everything that the market said."""
    accounts = Accounts(Dialect())
    for part in seeded(market).slices:
        accounts.add(part, np.arange(len(part.messages)))
    return accounts.tally()


def _compare(store: str, truth: Tally, received: Tally) -> Healing:
    options = StoreOptions(schema=os.environ.get("TICKERPLANT_SCHEMA", "tickerplant"))
    with closing(open_store(store, read_only=True, options=options)) as opened:
        found = Tally.of_store(opened, TABLES)
    expected = Tally({t.name: truth.tables[t.name] for t in TABLES})
    lost, doubled = differences(expected, found)
    assert lost or doubled or found.tables == expected.tables, "as many rows, but others"
    gaps = _gaps(store)
    healed = [_took(g) for g in gaps if g["state"] == "healed"]
    missed, _ = differences(expected, Tally({t.name: received.tables[t.name] for t in TABLES}))
    rows = sum(expected.total(t.name).count for t in TABLES)
    ends = {g["end"] for g in gaps if g["end"]}
    return Healing(rows, missed, lost, doubled, len(ends), len(_unhealed(store)), max(healed, default=0.0))


def _took(gap: dict[str, Any]) -> float:
    """Seconds from the end of a gap until it was found healed."""
    at = datetime.fromisoformat(json.loads(gap["evidence"])["repair"]["at"])
    return (at - gap["end"]) / timedelta(seconds=1)

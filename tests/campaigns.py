"""Long campaigns, each with a seed: `python -m tests.campaigns --kills 100 --seed 1`.

The kill campaign plays a market at a capture and a following loader, kills one or both with SIGKILL at random moments,
starts them again, and at the end holds the log against the lake: every record of the log is in the lake once, and each
interrupted connection is a row of `gaps`.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.support.plant import (
    log_records,
    log_tally,
    query,
    run,
    simulator,
    stop,
    store_tally,
    tickerplant,
    unclosed_connections,
)


@dataclass(frozen=True)
class KillReport:
    """What a kill campaign found; `lost` and `doubled` are messages of the log, 0 when well."""

    kills: int
    captures_killed: int
    loaders_killed: int
    messages: int
    lost: int
    doubled: int
    interrupted: int
    gaps_named: int
    is_equal: bool


class _Plant:
    """A capture and a following loader that can be killed and started again."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.log, self.store = url, folder / "log", folder / "lake"
        self.capture, self.loader = self._start_capture(), self._start_loader()

    def _start_capture(self) -> subprocess.Popen[str]:
        args = ("--url", self.url, "--symbols", "*", "--channels", "quotes,trades,bars", "--log", self.log)
        return tickerplant("capture", *args, "--for", "1h", stderr=subprocess.DEVNULL)

    def _start_loader(self) -> subprocess.Popen[str]:
        args = ("--log", self.log, "--store", self.store, "--follow", "--batch-seconds", "0.2")
        return tickerplant("load", *args, stderr=subprocess.DEVNULL)

    def kill(self, who: str) -> None:
        for name, start in (("capture", self._start_capture), ("loader", self._start_loader)):
            if who in (name, "both"):
                process = getattr(self, name)
                assert process.poll() is None, f"{name} ended by itself with {process.poll()}"
                process.kill()
                process.wait()
                setattr(self, name, start())

    def end(self) -> None:
        for process in (self.capture, self.loader):
            code = stop(process)
            assert code == 0, f"expected exit 0 after SIGTERM, was {code}"


def _compare(log: Path, store: Path) -> tuple[int, int, bool]:
    expected, _ = log_tally(log)
    found = store_tally(store)
    lost = doubled = 0
    for table in expected.tables.keys() | found.tables.keys():
        ours, theirs = expected.tables.get(table, {}), found.tables.get(table, {})
        for symbol in ours.keys() | theirs.keys():
            difference = (theirs[symbol].count if symbol in theirs else 0) - (
                ours[symbol].count if symbol in ours else 0
            )
            lost, doubled = lost + max(0, -difference), doubled + max(0, difference)
    return lost, doubled, expected.tables == found.tables


def kill_campaign(kills: int, seed: int, folder: Path, pause: tuple[float, float] = (0.3, 2.0)) -> KillReport:
    """Kill capture, loader or both `kills` times at random moments and report what that cost."""
    chance = random.Random(seed)
    counts = {"capture": 0, "loader": 0, "both": 0}
    market = ("--seed", str(seed), "--symbols", "100", "--minutes", "390", "--speed", "1", "--rate", "3000")
    with simulator(*market, "--linger", "600", stderr=subprocess.DEVNULL) as (url, _):
        plant = _Plant(url, folder)
        time.sleep(2)
        for _ in range(kills):
            time.sleep(chance.uniform(*pause))
            who = chance.choice(("capture", "loader", "both"))
            counts[who] += 1
            plant.kill(who)
        time.sleep(2)
        plant.end()
    run("load", "--log", plant.log, "--store", plant.store)
    lost, doubled, is_equal = _compare(plant.log, plant.store)
    interrupted = unclosed_connections(log_records(plant.log))
    named = query(plant.store, "select count(*) as n from gaps where reason = 'killed' and channel = 'quotes'")[0]["n"]
    messages = query(plant.store, "select sum(received)::bigint as n from positions")[0]["n"]
    return KillReport(
        kills,
        counts["capture"] + counts["both"],
        counts["loader"] + counts["both"],
        messages,
        lost,
        doubled,
        interrupted,
        named,
        is_equal,
    )


def main() -> None:
    """Run the kill campaign and print its report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = kill_campaign(args.kills, args.seed, Path(folder))
    for name, value in asdict(report).items():
        print(f"{name:>16}: {value:,}")
    well = report.is_equal and not report.lost and not report.doubled and report.gaps_named == report.interrupted
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()

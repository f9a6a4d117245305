"""Long campaigns: `python -m tests.campaigns --kills 100 --seed 1 --real-ticks --postgres-kills 50 --postgres-outage
--transform 20 --triggers 1000`.

The kill campaign plays a market at a capture and a following loader, kills one or both with SIGKILL at random moments,
starts them again, and at the end holds the log against the lake: every record of the log is in the lake once, and each
interrupted connection is a row of `gaps`.

The ticks campaign plays recorded ticks at full speed through simulator, socket, log and load, and holds the lake
against the source, before and after `maintain`.

The PostgreSQL campaigns (tests/support/postgres_kills.py and postgres_outage.py) kill a loader and its server, and let
the server be away for half an hour of a market.

The repair campaign drops the line of a live market at random and holds what `run` healed against everything the market
said.

The month campaign (tests/support/month.py) lets `run` live through eight weeks on a clock that is set.

The trigger campaign (tests/support/triggers.py) drops, doubles and reorders what the DAGs trigger, runs some side by
side, and holds tables and marts against those of the plain order.

The S3 campaigns (tests/support/s3_kills.py and s3_transform_kills.py) kill a capture while it ships to a bucket, and
transforms of a lake there, whose marts are then held against those built anew on disk.

The transform campaign (tests/support/transform_random.py) brings random late, corrected and repeated rows into both
stores, and holds marts built step by step against marts built anew.

The Kinesis campaigns (tests/support/kinesis_faults.py and kinesis_kills.py) let a stream refuse, throttle and go away,
and kill captures and loaders while it is split and merged.

The scale campaign (tests/support/scale.py) kills four captures and three loaders on a stream that is split and merged,
adds, removes and moves loaders, and holds the tables against one loader on one log on files and against the market.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date
from importlib import import_module
from pathlib import Path

from tests.support.plant import (
    SHARED,
    differences,
    loaded_to,
    log_end,
    log_records,
    log_tally,
    query,
    run,
    simulator,
    stop,
    store_tally,
    tickerplant,
    unclosed_connections,
    wait_for,
)
from tests.support.real_ticks import bytes_per_quote, store_url
from tickerplant.calendar import session_dates
from tickerplant.fingerprint import Tally
from tickerplant.model import Batch

TICKS = SHARED / "market-data/lean-equity-usa/tick"


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


_LIVE_SHARE = 0.7
"""Part of the kills that wait for a capture at work; the others may hit a process that only starts."""


class _Plant:
    """A capture and a following loader that can be killed and started again."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.log, self.store = url, folder / "log", folder / "lake"
        self._seen_end = 0
        self.capture, self.loader = self._start_capture(), self._start_loader()

    def _start_capture(self) -> subprocess.Popen[str]:
        args = ("--url", self.url, "--symbols", "*", "--channels", "quotes,trades,bars", "--log", self.log)
        return tickerplant("capture", *args, "--for", "1h", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def _start_loader(self) -> subprocess.Popen[str]:
        args = ("--log", self.log, "--store", self.store, "--follow", "--batch-seconds", "0.2")
        return tickerplant("load", *args, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self, who: str) -> None:
        for name, start in (("capture", self._start_capture), ("loader", self._start_loader)):
            if who in (name, "both"):
                process = getattr(self, name)
                assert process.poll() is None, f"{name} ended by itself with {process.poll()}"
                process.kill()
                process.wait()
                setattr(self, name, start())
        self._seen_end = log_end(self.log)

    def wait_until_landing(self) -> None:
        """Wait until the capture has written something since it was last killed."""
        wait_for(lambda: log_end(self.log) > self._seen_end, 60, "a capture that lands")

    def settle(self) -> None:
        """Wait until what is landed now is loaded: both processes are up and working."""
        self.wait_until_landing()
        end = log_end(self.log)
        wait_for(lambda: loaded_to(self.store) >= end, 30, "a loader that follows")

    def end(self) -> None:
        for process in (self.capture, self.loader):
            code = stop(process)
            assert code == 0, f"expected exit 0 after SIGTERM, was {code}"


def kill_campaign(kills: int, seed: int, folder: Path, pause: tuple[float, float] = (0.0, 1.5)) -> KillReport:
    """Kill capture, loader or both `kills` times at random moments and report what that cost."""
    chance = random.Random(seed)
    counts = {"capture": 0, "loader": 0, "both": 0}
    market = ("--seed", str(seed), "--symbols", "100", "--minutes", "390", "--speed", "1", "--rate", "3000")
    with simulator(*market, "--linger", "600", stderr=subprocess.DEVNULL) as (url, _):
        plant = _Plant(url, folder)
        plant.settle()
        for _ in range(kills):
            if chance.random() < _LIVE_SHARE:
                plant.wait_until_landing()
            time.sleep(chance.uniform(*pause))
            who = chance.choice(("capture", "loader", "both"))
            counts[who] += 1
            plant.kill(who)
        plant.settle()
        plant.end()
    run("load", "--log", plant.log, "--store", plant.store)
    (expected, _), found = log_tally(plant.log), store_tally(plant.store)
    lost, doubled = differences(expected, found)
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
        expected.tables == found.tables,
    )


@dataclass(frozen=True)
class TicksReport:
    """What became of recorded ticks that went through the wire. `bytes_per_quote` is measured after `maintain`."""

    messages: int
    seconds: float
    is_equal: bool
    days_equal: bool
    is_equal_after_maintain: bool
    bytes_per_quote: float


def _by_day(batches: Iterator[list[Batch]]) -> tuple[Tally, dict[tuple[str, str, str], int]]:
    tally, counts = Tally(), Counter[tuple[str, str, str]]()
    for stretch in batches:
        for batch in stretch:
            tally.add(batch)
            days = session_dates(batch.rows.column("ts")).cast("string").to_pylist()
            pairs = zip(batch.rows.column("symbol").to_pylist(), days, strict=True)
            counts.update((batch.table.name, symbol, day) for symbol, day in pairs)
    return tally, dict(counts)


def _stored_by_day(store: str) -> dict[tuple[str, str, str], int]:
    found: dict[tuple[str, str, str], int] = {}
    for table in ("quotes", "trades"):
        sql = f"select symbol, session::text as day, count(*) as n from {table} group by symbol, session"
        found |= {(table, r["symbol"], r["day"]): r["n"] for r in query(store, sql)}
    return found


def ticks_campaign(reader: str, path: Path, folder: Path, kind: str = "lake") -> TicksReport:
    """Play recorded ticks at full speed through simulator, socket, log and load; hold the store against the source."""
    module, _, name = reader.partition(":")
    expected, counts = _by_day(getattr(import_module(module), name)(path))
    total = sum(counts.values())
    log, store = folder / "log", store_url(kind, folder)
    with simulator("--source", reader, "--path", path, "--speed", "0", "--linger", "600") as (url, _):
        began = time.monotonic()
        capture = tickerplant(
            "capture", "--url", url, "--symbols", "*", "--channels", "quotes,trades", "--log", log, "--for", "1h",
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        loader = tickerplant("load", "--log", log, "--store", store, "--follow", stdout=subprocess.DEVNULL)
        wait_for(lambda: _stored(store) >= total, 1200, f"{total:,} rows in the store", pause=0.25)
        seconds = time.monotonic() - began
        assert (stop(capture), stop(loader)) == (0, 0)
    is_equal, days_equal = store_tally(store).tables == expected.tables, _stored_by_day(store) == counts
    run("maintain", "--store", store, timeout=900)
    return TicksReport(
        total, seconds, is_equal, days_equal, store_tally(store).tables == expected.tables, bytes_per_quote(store)
    )


def _stored(store: str) -> int:
    found: int = query(store, "select coalesce(sum(stored), 0)::bigint as n from positions")[0]["n"]
    return found


def _print(report: object) -> None:
    for name, value in asdict(report).items():  # type: ignore[call-overload]
        if isinstance(value, dict):
            value = ", ".join(f"{key} {count}" for key, count in value.items())
        elif isinstance(value, float):
            value = f"{value:,.2f}"
        print(f"{name:>24}: {value:,}" if isinstance(value, int) else f"{name:>24}: {value}")


def _postgres(args: argparse.Namespace, folder: Path) -> bool:
    from tests.support.postgres_kills import postgres_kill_campaign
    from tests.support.postgres_outage import Outage, outage_campaign

    well = True
    if args.postgres_kills:
        killed = postgres_kill_campaign(args.postgres_kills, args.seed, folder / "postgres-kills")
        _print(killed)
        well &= killed.is_equal and killed.is_balanced and not killed.lost + killed.doubled + killed.again
    if args.postgres_outage:
        away = outage_campaign(folder / "postgres-outage", Outage(seed=args.seed))
        _print(away)
        well &= away.is_equal and away.is_balanced and not away.lost + away.doubled
    return well


def _repair(disconnects: int, seed: int, store: str, folder: Path) -> bool:
    from tests.support.healing import heal

    folder.mkdir()
    chance, every_s, speed = random.Random(seed), 12.0, 6.0
    faults = [
        f"disconnect@{(i + 1 + chance.uniform(-0.4, 0.4)) * every_s:.2f}s:{chance.uniform(0.1, 3.0):.2f}s"
        for i in range(disconnects)
    ]
    minutes = int((disconnects + 2) * every_s * speed / 60) + 1
    healed = heal(
        folder, symbols=200, minutes=minutes, speed=speed, rate=400, faults=faults, settling_s=5.0, seed=seed,
        store=store_url(store, folder),
    )  # fmt: skip
    _print(healed)
    return not healed.lost + healed.doubled + healed.open and healed.holes >= disconnects and healed.slowest_s < 120


def _triggers(schedules: int, seed: int, folder: Path) -> bool:
    from tests.support.triggers import trigger_campaign

    report = trigger_campaign(schedules, seed, folder)
    _print(report)
    return report.is_equal


def _quota_month(seed: int, folder: Path) -> bool:
    from tests.support.quota_month import CAMPAIGN, quota_month

    well = True
    for number, month in enumerate(CAMPAIGN):
        report = quota_month(replace(month, seed=seed), folder / f"quota-{number}")
        _print(report)
        well &= report.is_well
    return well


def _five_years(folder: Path) -> bool:
    from tests.support.five_years import five_years

    folder.mkdir()
    reports = five_years(folder, postgres=store_url("postgres", folder))
    for report in reports:
        _print(report)
    return all(report.is_well for report in reports)


def _transforms(args: argparse.Namespace, folder: Path) -> bool:
    check = import_module("tests.support.transform_random").check
    for kind in ("lake", "postgres") if args.transform else ():
        for seed in range(args.seed, args.seed + args.transform):
            check(kind, folder / f"{kind}-{seed}", seed, 10)
            print(f"transform: {kind}, seed {seed}: 10 steps, incremental equals full")
    return True


def _kinesis(kills: int, seed: int, folder: Path) -> bool:
    from tests.support.kinesis_faults import run_faults
    from tests.support.kinesis_kills import run_kills
    from tests.support.kinesis_server import serving

    with serving() as server:
        faults = run_faults(server, folder / "faults", 100 * kills, outages=3, seed=seed)
        _print(faults)
        killed = run_kills(server, folder / "kills", kills, seed)
        _print(killed)
    is_well = not (faults.lost + faults.doubled + faults.reordered + len(faults.problems))
    return is_well and killed.is_equal and not killed.lost + killed.doubled


def _scale(kills: int, seed: int, kind: str, folder: Path) -> bool:
    from tests.support.kinesis_server import serving
    from tests.support.scale import run_scale

    with serving() as server:
        report = run_scale(server, folder, kills, seed, kind)
    _print(report)
    return report.is_well


def _month(folder: Path) -> bool:
    """Eight weeks of `run`: the clocks change, holidays, half days, three kills, a missed evening and session."""
    from tests.support.month import MISHAPS, through, troubles

    report = through(folder, date(2024, 11, 1), date(2024, 12, 27), MISHAPS)
    _print(replace(report, windows=()))
    found = troubles(report, MISHAPS)
    for line in found:
        print(line)
    return not found


def _shipping(kills: int, seed: int, folder: Path) -> bool:
    from tests.support.s3_kills import shipping_kills

    report = shipping_kills(kills, seed, folder)
    _print(report)
    return report.is_ordered and not report.lost + report.doubled + report.left_in_spool


def _transforms_on_s3(kills: int, seed: int, folder: Path) -> bool:
    from tests.support.s3_transform_kills import transform_kills

    report = transform_kills(kills, seed, folder)
    _print(report)
    return not report.wrong


def main() -> None:
    """Run the campaigns asked for and print their reports; exit 1 when one is not well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=0, help="random SIGKILLs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--postgres-kills", type=int, default=0, help="random SIGKILLs of loader and server, each")
    parser.add_argument("--postgres-outage", action="store_true", help="a server away for half an hour of a market")
    parser.add_argument("--real-ticks", action="store_true", help="all recorded ticks of three days through the wire")
    parser.add_argument("--quota-month", action="store_true", help="a month of one allowance and three processes")
    parser.add_argument("--five-years", action="store_true", help="recorded daily bars of 505 symbols by each vendor")
    parser.add_argument("--month", action="store_true", help="`run` through eight weeks on a clock that is set")
    parser.add_argument("--repair", type=int, default=0, help="random disconnects that `run` heals by itself")
    parser.add_argument("--store", choices=("lake", "postgres"), default="lake", help="where rows go")
    parser.add_argument("--s3-kills", type=int, default=0, help="random SIGKILLs of a capture that ships to S3")
    parser.add_argument("--s3-transforms", type=int, default=0, help="random SIGKILLs of transforms of a lake on S3")
    parser.add_argument("--transform", type=int, default=0, help="random histories of rows, on each store")
    parser.add_argument("--kinesis", type=int, default=0, help="random SIGKILLs and faults on a log on Kinesis")
    parser.add_argument("--scale", type=int, default=0, help="random SIGKILLs of four captures and three loaders")
    parser.add_argument("--triggers", type=int, default=0, help="random schedules of ingest, load and transform")
    args = parser.parse_args()
    well = True
    with tempfile.TemporaryDirectory() as name:
        if args.kills:
            killed = kill_campaign(args.kills, args.seed, Path(name) / "kills")
            _print(killed)
            well &= killed.is_equal and not killed.lost + killed.doubled and killed.gaps_named == killed.interrupted
        if args.real_ticks:
            played = ticks_campaign("tests.support.lean:read", TICKS, Path(name) / "ticks", args.store)
            _print(played)
            well &= played.is_equal and played.days_equal and played.is_equal_after_maintain
        well &= _postgres(args, Path(name))
        well &= not args.repair or _repair(args.repair, args.seed, args.store, Path(name) / "repair")
        well &= not args.five_years or _five_years(Path(name) / "five-years")
        well &= not args.quota_month or _quota_month(args.seed, Path(name))
        well &= not args.s3_kills or _shipping(args.s3_kills, args.seed, Path(name) / "s3")
        well &= not args.s3_transforms or _transforms_on_s3(args.s3_transforms, args.seed, Path(name) / "s3-marts")
        well &= _transforms(args, Path(name))
        well &= not args.kinesis or _kinesis(args.kinesis, args.seed, Path(name) / "kinesis")
        well &= not args.scale or _scale(args.scale, args.seed, args.store, Path(name) / "scale")
        well &= not args.month or _month(Path(name) / "month")
        well &= not args.triggers or _triggers(args.triggers, args.seed, Path(name) / "triggers")
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()

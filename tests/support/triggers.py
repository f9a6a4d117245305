"""Random schedules of triggers: dropped, doubled, reordered, side by side; then one night's fallback. The end state has
to be that of the plain order, table for table and mart for mart."""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from threading import Event, Lock

from tests.support.rest import VENDOR_KEYS
from tickerplant.calendar import sessions
from tickerplant.dags.parts.batches import batches
from tickerplant.errors import Busy
from tickerplant.fingerprint import Tally
from tickerplant.jobs.accounts import client
from tickerplant.jobs.claims import claimed
from tickerplant.jobs.coverage import Dataset
from tickerplant.jobs.fetch_table import plan_sessions, run_plan
from tickerplant.jobs.load import load
from tickerplant.jobs.pending import pending
from tickerplant.jobs.transform import run_transform
from tickerplant.logs import open_log
from tickerplant.settings import Settings, read_settings
from tickerplant.simulator.history import MarketHistory
from tickerplant.simulator.reference import Past, past
from tickerplant.simulator.rest import RestOptions, serving
from tickerplant.stores import open_store
from tickerplant.tables import DAILY_BARS
from tickerplant.transform import Request
from tickerplant.vendors import vendor

FIRST, LAST = date(2025, 11, 17), date(2025, 11, 20)
_MARTS = ("prices_daily",)
_DBT = Lock()
"""dbt runs once in a process at a time; another plant's trigger would wait for its lease anyway."""

_ALL_TIME = (datetime(1990, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
Digest = tuple[str, ...]


@dataclass(frozen=True)
class Plant:
    """A log and a lake in a folder, and what each trigger does there."""

    folder: Path
    settings: Settings
    names: Sequence[str]

    def ingest(self, names: Sequence[str]) -> None:
        """Land what is missing of a batch, as `fetch --no-load` does."""
        log, store = open_log(str(self.folder / "log")), open_store(str(self.folder / "lake"), read_only=True)
        known, asking = vendor("polygon"), client(self.settings, vendor("polygon"))
        dataset = Dataset("polygon", DAILY_BARS.name)
        with closing(store), closing(asking.limiter), claimed(self.folder, "polygon", dataset.table, names, Event()):
            landed = pending(log, store, known, dataset.table, names)
            how = {"endpoint": "daily_bars", "landed": landed}
            plan = plan_sessions(store, asking, dataset, names, sessions(FIRST, LAST), **how)  # type: ignore[arg-type]
            run_plan(log, store, asking, vendor, plan.todos, is_loading=False)

    def load(self) -> None:
        """Load what is landed, as `load` does."""
        store = open_store(str(self.folder / "lake"))
        with closing(store):
            load(open_log(str(self.folder / "log")), store, vendor)

    def transform(self) -> None:
        """Build the marts of what is loaded, as `transform` does; a twin that runs already is enough."""
        store = open_store(str(self.folder / "lake"))
        with closing(store), _DBT:
            try:
                report = run_transform(store, Request(select=tuple(f"+{m}" for m in _MARTS), tests=False))
            except Busy:
                return
        assert report.ok, [r for r in report.results if r.status == "failed"]

    def digest(self) -> Digest:
        """Checksums of the table, its latest view and the marts."""
        store = open_store(str(self.folder / "lake"), read_only=True)
        with closing(store):
            found = [str(Tally.of_store(store, [DAILY_BARS]).as_json())]
            for name in ("daily_bars_latest", *_MARTS):
                rows = store.query(f'select * exclude (received_at) from "{name}"').to_pylist()
                found.append("\n".join(sorted(str(sorted(row.items())) for row in rows)))
        return tuple(hashlib.sha256(text.encode()).hexdigest()[:16] for text in found)


Trigger = Callable[[Plant], None]


def _triggers(names: Sequence[str]) -> list[Trigger]:
    """What a day's DAGs trigger, in their order."""
    parts = batches(names, most=3, least=1)
    return [*(partial(Plant.ingest, names=part) for part in parts), Plant.load, Plant.transform]


def _schedule(names: Sequence[str], chance: random.Random) -> list[list[Trigger]]:
    """Groups of triggers; those of one group run at the same time."""
    wanted = [t for t in _triggers(names) for _ in range(chance.choice((0, 0, 1, 1, 1, 2)))]
    chance.shuffle(wanted)
    groups: list[list[Trigger]] = []
    while wanted:
        size = chance.choice((1, 1, 2, 3))
        groups.append(wanted[:size])
        wanted = wanted[size:]
    return groups


@dataclass
class TriggerReport:
    """What the campaign found."""

    schedules: int = 0
    triggers: int = 0
    side_by_side: int = 0
    different: list[int] = field(default_factory=list)
    asked_twice: list[int] = field(default_factory=list)
    digest: Digest = ()
    seconds: float = 0.0

    @property
    def is_equal(self) -> bool:
        """Whether every schedule left the same, and no answer was asked for twice."""
        return not self.different and not self.asked_twice


def trigger_campaign(schedules: int, seed: int, folder: Path) -> TriggerReport:
    """Run schedules, each on a plant of its own, and compare what they leave with the plain order's."""
    began, report = time.monotonic(), TriggerReport()
    known = MarketHistory(past(Past(7, 8, FIRST, LAST)))
    names = sorted({r["symbol"] for r in known.rows("daily_bars", None, *_ALL_TIME).to_pylist()})
    with serving(known, RestOptions(("polygon",))) as servers:
        side = servers.sides["polygon"]
        place = partial(_plant, servers.urls["polygon"], names)
        report.digest, calls = (
            _run(place(folder / "plain"), [[t] for t in _triggers(names)], names),
            sum(side.calls.values()),
        )
        for number in range(schedules):
            groups, before = _schedule(names, random.Random(f"{seed} {number}")), sum(side.calls.values())
            if _run(place(folder / str(number)), groups, names) != report.digest:
                report.different.append(number)
            if sum(side.calls.values()) - before != calls:
                report.asked_twice.append(number)
            report.schedules += 1
            report.triggers += sum(map(len, groups))
            report.side_by_side += sum(len(g) > 1 for g in groups)
    report.seconds = round(time.monotonic() - began, 1)
    return report


def _plant(url: str, names: Sequence[str], folder: Path) -> Plant:
    folder.mkdir(parents=True)
    env = {**VENDOR_KEYS, "POLYGON_URL": url, "POLYGON_PLAN": "advanced", "TICKERPLANT_DATA": str(folder)}
    return Plant(folder, read_settings(env, None), names)


def _run(plant: Plant, groups: Sequence[Sequence[Trigger]], names: Sequence[str]) -> Digest:
    """The schedule, then the night's fallback in its order; removes the plant when it is done."""
    import shutil

    with ThreadPoolExecutor(3) as pool:
        for group in groups:
            for done in [pool.submit(trigger, plant) for trigger in group]:
                done.result()
    for trigger in _triggers(names):
        trigger(plant)
    found = plant.digest()
    shutil.rmtree(plant.folder)
    return found

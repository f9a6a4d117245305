"""Kill a transform of a lake on S3 at random moments, and hold its marts against those built anew on disk."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import s3
from tests.support.transform import Place, bars, contents, dividends, place, splits, trades
from tickerplant.model import Batch
from tickerplant.stores.lake import LakeStore

MARTS = ("returns_daily", "indicators_daily", "volatility_daily", "ranges_daily", "breadth_daily", "bars_from_trades")
_FIRST, _SYMBOLS = 260, tuple(f"S{i}" for i in range(8))
_TRANSFORM = """
import structlog, sys
from tickerplant.jobs.transform import run_transform
from tickerplant.stores import open_store
from tickerplant.transform import Request
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
tell = lambda item: print(item if isinstance(item, str) else item.name, flush=True)
report = run_transform(open_store(sys.argv[1]), Request(tests=False), tell)
sys.exit(0 if report.ok else 1)
"""


@dataclass(frozen=True)
class TransformKills:
    """`during`: kills of a transform that was not over; `commits`: of all marts; `wrong`: marts that differ."""

    kills: int
    during: int
    commits: int
    wrong: tuple[str, ...]


def transform_kills(kills: int, seed: int, folder: Path) -> TransformKills:
    """New, late and corrected rows, a transform killed with SIGKILL among its models, again and again."""
    chance, during = random.Random(seed), 0
    (folder / "far").mkdir(parents=True)
    with place("s3", folder / "far") as far, place("lake", folder) as near:
        for number in range(kills + 1):
            batches = _rows(chance, number)
            far.write(*batches)
            near.write(*batches)
            if number:
                during += _killed(far.url, chance)
            else:
                far.transform()
        far.transform()
        near.transform()
        found, expected = (contents(store, MARTS) for store in (far.store, near.store))
        wrong = tuple(name for name in MARTS if not _is_close(found[name], expected[name]))
        return TransformKills(kills, during, _commits(far), wrong)


def _rows(chance: random.Random, number: int) -> list[Batch]:
    if not number:
        history = [(s, n, round(chance.uniform(50, 60), 2)) for s in _SYMBOLS for n in range(_FIRST)]
        return [bars(*history), trades(*[(s, n, "1", 10.0) for s in _SYMBOLS for n in range(3)])]
    day, late = _FIRST + number, chance.randrange(_FIRST)
    one, other = chance.sample(_SYMBOLS, 2)
    new = [(s, day, round(chance.uniform(50, 60), 2)) for s in _SYMBOLS]
    return [
        bars(*new, (one, late, round(chance.uniform(50, 60), 2))),
        trades((one, late, "2", 11.0), (other, day, "1", 12.0)),
        splits(*([(one, day, 2.0)] if number % 3 == 0 else [])),
        dividends(*([(other, late, 0.25)] if number % 4 == 0 else [])),
    ]


def _killed(url: str, chance: random.Random) -> bool:
    """Run a transform until some moment after some model; whether it was still running then."""
    after, pause_s = chance.randrange(30), chance.uniform(0, 0.15)
    environment = {**os.environ, **s3.variables()}
    words = [sys.executable, "-c", _TRANSFORM, url]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as run:
        assert run.stdout is not None
        for _ in range(after):
            run.stdout.readline()
        time.sleep(pause_s)
        is_running = run.poll() is None
        run.kill()
    return is_running


def _commits(plant: Place) -> int:
    assert isinstance(plant.store, LakeStore)
    return sum(log.refresh().version for log in plant.store.marts.logs())


def _is_close(one: list[tuple[Any, ...]], other: list[tuple[Any, ...]]) -> bool:
    """Whether rows are equal, floats (sums over windows that began elsewhere) to nine digits."""
    found = [sorted(map(_rounded, rows), key=repr) for rows in (one, other)]
    return found[0] == found[1]


def _rounded(row: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(float(f"{v:.9g}") if isinstance(v, float) else v for v in row)

"""Random late, corrected and repeated rows; after each step the marts must be what building everything anew gives.

`python -m tests.campaigns --transform 20` runs many; a short form is in the default run.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from tests.support.transform import USER_MODELS, Place, bars, cancels, contents, dividends, place, splits, trades
from tickerplant.model import Batch

MARTS = ("stg_daily_bars", "stg_splits", "stg_dividends", "adjustment_factors", "prices_daily", *USER_MODELS)
_WANTED = ("+prices_daily", "+by_session", *USER_MODELS)
_SYMBOLS = ("A", "B", "C", "D")
_SESSIONS = 12


def check(kind: str, folder: Path, seed: int, steps: int, every: int = 2) -> set[str]:
    """Run one random history on a store of a kind; returns the modes in which marts were built. Raises AssertionError
    that names the seed and step when incremental and full differ."""
    chance = random.Random(seed)
    with place(kind, folder) as found:
        for name, sql in USER_MODELS.items():
            found.model(name, sql)
        found.write(*_first(chance))
        modes = _modes(found)
        for step in range(steps):
            found.write(*_more(chance))
            modes |= _modes(found)
            if step % every == every - 1 or step == steps - 1:
                _compare(found, f"seed {seed}, step {step}")
    return modes


def _modes(found: Place) -> set[str]:
    results = found.transform(select=_WANTED)
    return {f"{r.name}: {r.mode}" for r in results.values() if r.mode}


def _compare(found: Place, where: str) -> None:
    incremental = contents(found.store, MARTS)
    with found.other("anew") as store:
        found.transform(store, select=_WANTED, full=True)
        full = contents(store, MARTS)
    for name in MARTS:
        assert incremental[name] == full[name], f"{where}: {name}"


def _first(chance: random.Random) -> Iterator[Batch]:
    known = [(s, n) for s in _SYMBOLS[:3] for n in range(_SESSIONS - 2) if chance.random() < 0.8]
    yield bars(*[(s, n, _price(chance)) for s, n in known])
    yield trades(*[(s, n, str(i), _price(chance)) for s, n in known for i in range(2)])
    yield splits((chance.choice(_SYMBOLS), 5, 2.0))


def _more(chance: random.Random) -> Iterator[Batch]:
    """Rows of any table, for any symbol and session: new, late, corrected, repeated, of a second vendor."""
    places = [(chance.choice(_SYMBOLS), chance.randrange(_SESSIONS)) for _ in range(chance.randrange(4))]
    vendor = chance.choice(("alpaca", "alpaca", "polygon"))
    yield bars(*[(s, n, _price(chance)) for s, n in places], vendor=vendor)
    if chance.random() < 0.5:
        yield trades(*[(s, n, str(chance.randrange(4)), 50.0) for s, n in places], feed=chance.choice(("sip", "iex")))
    if chance.random() < 0.4:
        yield cancels(*[(s, n, str(chance.randrange(4))) for s, n in places[:1]])
    if chance.random() < 0.3:
        yield splits((chance.choice(_SYMBOLS), chance.randrange(_SESSIONS), chance.choice((2.0, 3.0, 0.1))))
    if chance.random() < 0.4:
        yield dividends((chance.choice(_SYMBOLS), chance.randrange(_SESSIONS), chance.choice((0.5, 1.25, 900.0))))


def _price(chance: random.Random) -> float:
    return round(chance.uniform(10, 200), 2)

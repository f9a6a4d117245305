"""What a transform is asked to do, what is known before it starts, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal

VENDORS = ("alpaca", "polygon", "alphavantage")
INTERVALS = ("1m", "5m", "15m", "30m", "1h")
Touched = tuple[str, ...] | Literal["all"]
"""Sessions (ISO dates) of a table that were touched, or all of them."""


@dataclass(frozen=True)
class Request:
    """A run: which models (none is all), whether from scratch, as known when, with whose rows first.

    `user` is a folder of models of the user's own. `tests` says whether the models' tests are run too. `intervals` are
    the lengths of the bars made from trades. `cache` is a folder where dbt's reading of the project is kept for the
    next process; without, each process reads it anew.
    """

    select: tuple[str, ...] = ()
    full: bool = False
    known_at: datetime | None = None
    threads: int = 2
    tests: bool = True
    user: Path | None = None
    vendors: tuple[str, ...] = VENDORS
    intervals: tuple[str, ...] = INTERVALS
    cache: Path | None = None


@dataclass(frozen=True)
class Known:
    """What a mart was built from, and what was touched since: what decides how it is built now."""

    signature: str
    seen: Mapping[str, int]
    touched: Mapping[str, Touched]

    def as_variable(self) -> dict[str, Any]:
        """As the macros read it."""
        touched = {t: d if isinstance(d, str) else list(d) for t, d in self.touched.items()}
        return {"signature": self.signature, "seen": dict(self.seen), "touched": touched}


@dataclass(frozen=True)
class ModelResult:
    """What became of one model or test. `mode`, `rows` (written) of marts only."""

    name: str
    kind: Literal["model", "test"]
    status: Literal["done", "failed", "skipped", "warned"]
    seconds: float
    mode: str | None = None
    rows: int | None = None
    message: str | None = None


@dataclass(frozen=True)
class Report:
    """What a run did. `touched`: sessions that changed since the marts were built; None is all."""

    results: tuple[ModelResult, ...] = ()
    touched: tuple[date, ...] | None = ()

    @property
    def ok(self) -> bool:
        """Whether every model was built and every test passed."""
        return all(r.status in ("done", "warned") for r in self.results)


@dataclass
class Built:
    """How marts were built, told by the store's side while the run goes on."""

    modes: dict[str, tuple[str, int | None]] = field(default_factory=dict)


Progress = Callable[[ModelResult | str], None]

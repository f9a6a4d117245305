"""What the macros are told of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import Any

from tickerplant.calendar import FIRST_SESSION, LAST_SESSION, sessions
from tickerplant.transform.request import Known, Request


@dataclass(frozen=True)
class Facts:
    """What changes from run to run: `plan` says what is known of the marts that are there, without any all are built.

    `signature` is what every mart depends on beside its rows, `snapshot` that of PostgreSQL in which `plan` was read.
    """

    signature: str
    plan: Mapping[str, Known] = field(default_factory=dict)
    snapshot: str = ""

    def as_told(self) -> dict[str, Any]:
        """As the macro `tp_run` reads it."""
        return {
            "plan": {name: known.as_variable() for name, known in self.plan.items()},
            "signature": self.signature,
            "snapshot": self.snapshot,
            "tested": "all" if self.touched is None else [day.isoformat() for day in self.touched],
        }

    @property
    def touched(self) -> tuple[date, ...] | None:
        """The sessions touched since any mart was built, which tests look at; None is all: one is built in full."""
        days = [touched for known in self.plan.values() for touched in known.touched.values()]
        is_anew = any(not known.signature.startswith(self.signature) for known in self.plan.values())
        if not self.plan or is_anew or any(isinstance(d, str) for d in days):
            return None
        return tuple(sorted({date.fromisoformat(day) for found in days for day in found}))


@cache
def _early_closes() -> tuple[str, ...]:
    return tuple(s.day.isoformat() for s in sessions(FIRST_SESSION, LAST_SESSION) if s.is_early_close)


def variables(request: Request) -> dict[str, Any]:
    """The variables of dbt: with others, dbt reads the whole project again."""
    known_at = request.known_at.isoformat() if request.known_at else ""
    return {
        "vendors": list(request.vendors),
        "known_at": known_at,
        "early_closes": list(_early_closes()),
        "bar_intervals": list(request.intervals),
    }

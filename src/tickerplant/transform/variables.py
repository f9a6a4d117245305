"""The variables of a run, as the macros read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tickerplant.calendar import FIRST_SESSION, LAST_SESSION, sessions
from tickerplant.transform.request import Known, Request


def variables(request: Request, plan: Mapping[str, Known], signature: str, snapshot: str = "") -> dict[str, Any]:
    """`plan` says what is known of the marts that are there; without any all are built in full."""
    return {
        "vendors": list(request.vendors),
        "known_at": request.known_at.isoformat() if request.known_at else "",
        "plan": {name: known.as_variable() for name, known in plan.items()},
        "signature": signature,
        "snapshot": snapshot,
        "tested": _tested(plan),
        "early_closes": [s.day.isoformat() for s in sessions(FIRST_SESSION, LAST_SESSION) if s.is_early_close],
    }


def _tested(plan: Mapping[str, Known]) -> list[str] | str:
    """The sessions that tests look at: those touched since any mart was built."""
    days = [touched for known in plan.values() for touched in known.touched.values()]
    if not plan or any(isinstance(d, str) for d in days):
        return "all"
    return sorted({day for found in days for day in found})

"""What a check before a session finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """One finding: what was looked at, how it is, and what to do when it is not well.

    `value` is what was measured, in the unit that `found` shows, for those who draw it.
    """

    name: str
    outcome: Outcome
    found: str
    do: str = ""
    value: float | None = None

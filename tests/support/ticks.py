"""Part of the recorded ticks, for tests that have little time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tests.support import lean
from tickerplant.model import Batch


def ibm_monday(path: Path) -> Iterator[list[Batch]]:
    """IBM's quotes and trades of the first day there is."""
    yield lean.read_day(path, lean.days(path)[0], ["IBM"])

"""Resident memory of processes over time, sampled from outside."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from statistics import fmean
from threading import Event, Thread
from typing import Self

import psutil

_MB = 1e6


@dataclass(frozen=True)
class Range:
    """Least, greatest and number of samples, MB, and by how much the mean of the last quarter of the time was above
    that of the second quarter."""

    least: float
    most: float
    samples: int
    growth: float

    @property
    def spread(self) -> float:
        return self.most - self.least


@dataclass
class Resident:
    """Samples what `watched` returns by name, all processes of a name added up, within `with`.

    Resident pages for one process; for several, which share memory, the pages that each has for itself.
    """

    watched: Callable[[], dict[str, Iterable[psutil.Process]]]
    every_s: float = 0.5
    phase: str = "start"
    _found: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    _end: Event = field(default_factory=Event)
    _thread: Thread | None = None

    def __enter__(self) -> Self:
        self._thread = Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        assert self._thread is not None
        self._thread.join()

    def of(self, phase: str, name: str) -> Range:
        """What was seen of a name in a phase."""
        found = self._found.get((phase, name)) or [0.0]
        quarter = max(1, len(found) // 4)
        growth = fmean(found[-quarter:]) - fmean(found[quarter : 2 * quarter] or found)
        return Range(min(found), max(found), len(found), growth)

    def _sample(self) -> None:
        while not self._end.wait(self.every_s):
            phase = self.phase
            for name, processes in self.watched().items():
                if (size := _size(list(processes))) is not None:
                    self._found[phase, name].append(size)


def _size(processes: list[psutil.Process]) -> float | None:
    """None when a process ended meanwhile."""
    try:
        if len(processes) == 1:
            return float(processes[0].memory_info().rss) / _MB
        return sum(float(p.memory_full_info().uss) for p in processes) / _MB if processes else None
    except psutil.Error:
        return None

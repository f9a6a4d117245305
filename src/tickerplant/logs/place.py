"""Where the segments of one partition are: in a folder, or anywhere that can list and open them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol, TypeAlias

from tickerplant.logs.layout import Files, list_files
from tickerplant.logs.owner import is_owned
from tickerplant.logs.sources import Source, open_source
from tickerplant.model import Record


class Place(Protocol):
    """The segments of one partition."""

    def files(self) -> Files:
        """The segments there are now."""
        ...

    def open(self, number: int) -> Source | None:
        """The bytes of a segment; None when it is not there (any more)."""
        ...

    def is_owned(self) -> bool:
        """Whether a process that can be seen from here writes to the partition."""
        ...


@dataclass(frozen=True)
class Folder:
    """The segments in a folder."""

    path: Path

    def files(self) -> Files:
        """See Place."""
        return list_files(self.path)

    def open(self, number: int) -> Source | None:
        """See Place."""
        return open_source(self.path, number)

    def is_owned(self) -> bool:
        """See Place."""
        return is_owned(self.path)


Where: TypeAlias = Path | Place


def place_of(where: Where) -> Place:
    """A folder, or any other place, as a place."""
    return Folder(where) if isinstance(where, Path) else where


class Tail(NamedTuple):
    """Where a writer goes on: the number of its first segment, and what the partition ends with."""

    number: int
    last: Record | None
    connection: Record | None

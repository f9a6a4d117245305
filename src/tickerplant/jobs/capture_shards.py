"""Symbols shared out among several captures, each with a connection and a partition of the log of its own."""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass

from tickerplant.errors import UsageError

_PARTITION = re.compile(r".+\..+\.\d+of(\d+)")
_FORM = re.compile(r"(\d{1,4})/(\d{1,4})")


@dataclass(frozen=True)
class Shard:
    """Number `number` (from 1) of `of` captures. Who has a symbol depends on nothing but its name and `of`."""

    number: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """A shard from `2/4`. Raises UsageError."""
        found = _FORM.fullmatch(text.strip())
        if not found or not 1 <= int(found[1]) <= int(found[2]):
            raise UsageError(f"--shard: expected one of several such as 2/4, was {text!r}")
        return cls(int(found[1]), int(found[2]))

    @property
    def name(self) -> str:
        """The last part of the partition's name: `2of4`."""
        return f"{self.number}of{self.of}"

    def share(self, symbols: tuple[str, ...]) -> tuple[str, ...]:
        """This shard's symbols, in their order. Raises UsageError for `*` and when there is none."""
        if "*" in symbols:
            raise UsageError("--shard: expected symbols by name, was '*'; each connection would get all of them")
        found = tuple(s for s in symbols if zlib.crc32(s.encode()) % self.of == self.number - 1)
        if not found:
            raise UsageError(f"--shard {self.number}/{self.of}: expected a symbol at least, was none; use fewer shards")
        return found


def shares_of(partition: str) -> int:
    """Over how many captures the symbols of a partition's feed were shared out: 4 for `alpaca.sip.2of4`, else 1."""
    found = _PARTITION.fullmatch(partition)
    return int(found[1]) if found else 1

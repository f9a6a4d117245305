"""Quotes in the documented wire shape, made from a seed, for benchmarks that need no socket."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from tickerplant.logs import open_log
from tickerplant.model import Kind

_QUOTE = (
    '{"T":"q","S":"%s","bx":"%s","bp":%r,"bs":%d,"ax":"%s","ap":%r,"as":%d,"c":["R"],"z":"%s",'
    '"t":"2025-11-20T%02d:%02d:%02d.%09dZ"}'
)


def quote_frames(count: int, per_frame: int = 20, seed: int = 1) -> Iterator[bytes]:
    """Frames that hold `count` quotes of 3,000 symbols with nanosecond times."""
    chance = random.Random(seed)
    symbols = [f"S{i}" for i in range(3000)]
    for first in range(0, count, per_frame):
        quotes = []
        for i in range(first, min(first + per_frame, count)):
            second = 52_200 + i * 23_400 // count
            bid = round(chance.uniform(5, 500), 2)
            quotes.append(
                _QUOTE
                % (
                    chance.choice(symbols),
                    chance.choice("NQPZKJ"),
                    bid,
                    chance.randint(1, 50) * 100,
                    chance.choice("NQPZKJ"),
                    round(bid + chance.choice((0.01, 0.02, 0.05)), 2),
                    chance.randint(1, 50) * 100,
                    chance.choice("ABC"),
                    second // 3600,
                    second // 60 % 60,
                    second % 60,
                    chance.randrange(10**9),
                )
            )
        yield ("[" + ",".join(quotes) + "]").encode()


def write_log(folder: Path, count: int, per_frame: int = 20, partition: str = "alpaca.sip") -> None:
    """A log of `count` quotes in one partition."""
    with open_log(str(folder)).writer(partition) as writer:
        at = 1_763_649_000_000_000_000
        for i, frame in enumerate(quote_frames(count, per_frame)):
            writer.append(Kind.DATA, at + i * 50_000, frame)

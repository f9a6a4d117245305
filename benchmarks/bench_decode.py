"""The decode step: parse (bytes -> structs), columns (structs -> Arrow) and both, in million messages/s on one core.

Run `python -m benchmarks.bench_decode [messages]`. Each number is the best of three runs.
"""

from __future__ import annotations

import gc
import random
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from tickerplant.model import Entry, Kind, Position, Record
from tickerplant.vendors.alpaca.columns import columns
from tickerplant.vendors.alpaca.decode import decode
from tickerplant.vendors.alpaca.parse import parse

_RECEIVED = 1_763_649_000_123_456_789
_SECOND = 1_381_156_200


def _quote(chance: random.Random) -> dict[str, Any]:
    price = round(chance.uniform(5, 500), 2)
    return {
        "T": "q",
        "S": f"S{chance.randrange(3000)}",
        "bx": chance.choice("NQPZ"),
        "bp": price,
        "bs": chance.randint(1, 50) * 100,
        "ax": chance.choice("NQPZ"),
        "ap": round(price + 0.01, 2),
        "as": chance.randint(1, 50) * 100,
        "c": ["R"],
        "z": chance.choice("ABC"),
    }


def _trade(chance: random.Random) -> dict[str, Any]:
    return {
        "T": "t",
        "S": f"S{chance.randrange(3000)}",
        "i": chance.randrange(10**9),
        "x": chance.choice("NQPZ"),
        "p": round(chance.uniform(5, 500), 2),
        "s": chance.randint(1, 500),
        "c": chance.choice((["@"], ["@", "I"])),
        "z": chance.choice("ABC"),
    }


def _bar(chance: random.Random) -> dict[str, Any]:
    bar = {"T": "b", "S": f"S{chance.randrange(3000)}", **dict.fromkeys("ohlc", round(chance.uniform(5, 500), 2))}
    return {**bar, "v": chance.randint(1, 10**6), "n": chance.randint(1, 10**4), "vw": 101.234567}


def messages(count: int, mixed: bool = False) -> list[dict[str, Any]]:
    """Messages without time: quotes, or 90 % quotes, 9 % trades, 1 % bars."""
    chance = random.Random(1)
    kinds = (_quote, _trade, _bar)
    weights = (90, 9, 1) if mixed else (1, 0, 0)
    return [make(chance) for make in chance.choices(kinds, weights, k=count)]


def _json(message: dict[str, Any], ns: int) -> bytes:
    second, rest = divmod(ns, 10**9)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)) + (f".{rest:09d}".rstrip("0") if rest else "")
    return msgspec.json.encode({**message, "t": stamp + "Z"})


def _msgpack(message: dict[str, Any], ns: int) -> bytes:
    second, rest = divmod(ns, 10**9)
    packed = (rest << 34 | second).to_bytes(8, "big")
    return msgspec.msgpack.encode({**message, "t": msgspec.msgpack.Ext(-1, packed)})


def entries(made: Sequence[dict[str, Any]], per_frame: int, packed: bool = False) -> list[Entry]:
    """Log entries of frames of `per_frame` messages, 137 microseconds apart, with odd nanoseconds."""
    encode = _msgpack if packed else _json
    parts = [encode(message, _SECOND * 10**9 + i * 137_003) for i, message in enumerate(made)]
    found = []
    for at in range(0, len(parts), per_frame):
        some = parts[at : at + per_frame]
        frame = b"\xdc" + len(some).to_bytes(2, "big") + b"".join(some) if packed else b"[" + b",".join(some) + b"]"
        found.append(
            Entry(Position(at), Position(at + 1), Record("alpaca", "sip", Kind.DATA, _RECEIVED + at * 1000, frame))
        )
    return found


def _rate(count: int, work: Callable[[], object]) -> float:
    """Million messages/s, the best of three."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return round(count / min(seconds) / 1e6, 3)


def _measure(made: Sequence[dict[str, Any]], per_frame: int, packed: bool) -> tuple[float, float, float]:
    given = entries(made, per_frame, packed)
    gc.disable()
    try:
        parsed = _rate(len(made), lambda: sum(len(chunk.messages) for chunk in parse(given)))
        chunks = list(parse(given[: max(1, 40_000 // per_frame)]))
        converted = _rate(sum(len(c.messages) for c in chunks), lambda: [columns(chunk) for chunk in chunks])
    finally:
        gc.enable()
    return parsed, converted, _rate(len(made), lambda: decode(given))


def run(count: int = 200_000) -> dict[str, float]:
    """Print and return million messages/s by `<encoding> <what> <messages a frame> <step>`."""
    numbers: dict[str, float] = {}
    for label, mixed in (("quotes", False), ("mixed", True)):
        made = messages(count, mixed)
        for encoding in ("json", "msgpack"):
            for per_frame in (1, 20, 100):
                steps = _measure(made, per_frame, encoding == "msgpack")
                for step, number in zip(("parse", "columns", "both"), steps, strict=True):
                    numbers[f"{encoding} {label} {per_frame} {step}"] = number
                print(f"{encoding:8}{label:7}{per_frame:4} a frame: ", end="")
                print("parse {:5.2f}  columns {:5.2f}  both {:5.2f}  million messages/s".format(*steps), flush=True)
    return numbers


if __name__ == "__main__":
    run(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)

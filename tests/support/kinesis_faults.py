"""Kinesis under faults: a market through a refusing, throttling, vanishing service, held against the same on files."""

from __future__ import annotations

import json
import random
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from tests.support.kinesis_proxy import Faults, Proxy, Way, between
from tests.support.kinesis_server import Server
from tickerplant.logs.kinesis.log import KinesisLog
from tickerplant.model import Entry, Kind, Log, Record

PARTITION = "alpaca.sip"
START_NS = 1_763_649_000_000_000_000


@dataclass(frozen=True)
class FaultReport:
    """What was sent, what went wrong, and what that cost: `lost`, `doubled`, `reordered` and `problems` are to be
    empty."""

    messages: int
    calls: int
    records: int
    refused: int
    throttled: int
    outages: int
    failed_calls: int
    largest_call_bytes: int
    most_records: int
    lost: int
    doubled: int
    reordered: int
    problems: tuple[str, ...]
    seconds: float


def frames(count: int, symbols: int = 60, seed: int = 7) -> list[bytes]:
    """Frames of 1 to 40 quotes and trades of a few symbols, each message with its number within its symbol."""
    chance, numbers = random.Random(seed), defaultdict[str, int](int)
    found: list[bytes] = []
    for _ in range(count):
        messages = []
        for _ in range(chance.randint(1, 40)):
            symbol = f"S{int(chance.paretovariate(0.7)) % symbols}"
            numbers[symbol] += 1
            messages.append({"T": chance.choice("qt"), "S": symbol, "i": numbers[symbol], "t": "2025-11-20T14:30:00Z"})
        found.append(json.dumps(messages, separators=(",", ":")).encode())
    return found


def read_all(
    log: Log, until: Callable[[list[Entry]], bool] | None = None, wait_s: float = 30
) -> dict[str, list[Entry]]:
    """Every entry of every partition; with `until`, reads on until each partition's entries satisfy it."""
    found: dict[str, list[Entry]] = {}
    for name in log.partitions():
        reader, entries = log.reader(name), list[Entry]()
        deadline = time.monotonic() + wait_s
        while True:
            more = reader.read(2**20)
            entries += more
            if not more and (until is None or until(entries) or time.monotonic() > deadline):
                break
        reader.close()
        found[name] = entries
    return found


def numbers_of(entries: list[Entry]) -> dict[str, list[int]]:
    """The numbers of each symbol's messages in the order in which they stand."""
    found: dict[str, list[int]] = defaultdict(list)
    for entry in entries:
        assert isinstance(entry.item, Record), entry
        if entry.item.kind is Kind.DATA:
            for message in json.loads(entry.item.payload):
                found[message["S"]].append(message["i"])
    return found


def places_of(entries: list[Entry]) -> set[tuple[int, int, str, int]]:
    """Receipt, place in the frame, symbol and number of every message."""
    found = set()
    for entry in entries:
        assert isinstance(entry.item, Record)
        messages = json.loads(entry.item.payload)
        for place, message in zip(entry.item.places or range(len(messages)), messages, strict=True):
            found.add((entry.item.received_at, place, message["S"], message["i"]))
    return found


def run_faults(server: Server, folder: Path, count: int, outages: int = 3, seed: int = 1) -> FaultReport:
    """Send `count` frames with 30 % refused records, throttles and outages, and read them back."""
    began = time.monotonic()
    sent = frames(count, seed=seed)
    stream = server.stream(shards=4)
    with between(server.url, Faults(record_share=0.3, throttle_share=0.1, seed=seed)) as (url, proxy):
        log = KinesisLog(server.options(stream, folder / "spool", endpoint=url, record_bytes=20_000))
        with log.writer(PARTITION) as writer:
            pause = max(1, count // (outages + 1))
            for i, frame in enumerate(sent):
                writer.append(Kind.DATA, START_NS + i * 10_000, frame)
                if i % pause == pause - 1 and i // pause < outages:
                    writer.sync()
                    _outage(proxy, "down" if (i // pause) % 2 == 0 else "cut")
            assert writer.flush(120), "expected everything sent"
        log.close()
    other = server.log(stream, folder / "elsewhere")
    found = read_all(other)
    other.close()
    return _report(sent, found, proxy, outages, began)


def _outage(proxy: Proxy, way: Way) -> None:
    """Let the service be away until three calls have failed."""
    before, deadline = proxy.seen.lost, time.monotonic() + 30
    proxy.faults.way = way
    while proxy.seen.lost < before + 3:
        assert time.monotonic() < deadline, "expected calls during the outage"
        time.sleep(0.005)
    proxy.faults.way = "forward"


def _report(sent: list[bytes], found: dict[str, list[Entry]], proxy: Proxy, outages: int, began: float) -> FaultReport:
    expected = {
        (START_NS + i * 10_000, place, message["S"], message["i"])
        for i, frame in enumerate(sent)
        for place, message in enumerate(json.loads(frame))
    }
    got, messages, reordered = set[tuple[int, int, str, int]](), 0, 0
    for entries in found.values():
        got |= places_of(entries)
        numbers = numbers_of(entries)
        messages += sum(map(len, numbers.values()))
        reordered += sum(b <= a for each in numbers.values() for a, b in pairwise(each))
    seen = proxy.seen
    return FaultReport(
        len(expected),
        seen.calls,
        seen.records,
        seen.refused,
        seen.throttled,
        outages,
        seen.lost,
        seen.largest_call,
        seen.most_records,
        len(expected - got),
        messages - len(got) + len(got - expected),
        reordered,
        tuple(seen.problems),
        round(time.monotonic() - began, 3),
    )

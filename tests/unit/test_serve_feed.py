"""What `serve --feed` refuses, and the tape's own arithmetic."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tickerplant.cli.serve import command
from tickerplant.errors import UsageError
from tickerplant.logs import open_log
from tickerplant.model import Entry, Kind, Position, Record
from tickerplant.serve.feed import FeedOptions
from tickerplant.serve.feed_live import Live
from tickerplant.serve.feed_recorded import seek
from tickerplant.serve.feed_stretch import STRETCH_MESSAGES, Need, stretches
from tickerplant.vendors.alpaca.server import Account, Connection
from tickerplant.vendors.dialect import Dialect

QUOTE = b'{"T":"q","S":"AAPL","bp":1.50,"t":"2025-11-20T14:30:00.000000001Z"}'
TRADE = b'{"T":"t","S":"MSFT","p":2,"t":"2025-11-20T14:30:00Z"}'


def entry(number: int, *messages: bytes, received_at: int = 0, kind: Kind = Kind.DATA) -> Entry:
    payload = b"[" + b",".join(messages) + b"]"
    return Entry(Position(number), Position(number + 1), Record("alpaca", "sip", kind, received_at, payload))


def need(is_binary: bool = False, **channels: frozenset[str] | None) -> Need:
    return Need(is_binary, tuple(channels.items()))


def test_the_command_says_what_it_needs() -> None:
    with pytest.raises(UsageError, match="expected either --feed or --metrics"):
        command()
    with pytest.raises(UsageError, match="expected channels among quotes, trades"):
        command(feed=True, channels="quotes,news")
    with pytest.raises(UsageError, match="--start before --end"):
        FeedOptions(start=datetime(2025, 1, 2, tzinfo=UTC), end=datetime(2025, 1, 1, tzinfo=UTC)).check()
    FeedOptions(host="localhost").check()
    FeedOptions(host="::1").check()


def test_stretches_hold_a_tile_of_time_or_a_number_of_messages() -> None:
    many = [entry(k, QUOTE, TRADE, received_at=k * 10) for k in range(1500)]
    assert [len(s.parts) for s in stretches(many, Dialect())] == [STRETCH_MESSAGES] * 3
    tiles = stretches([entry(k, QUOTE, received_at=at) for k, at in enumerate((99, 100, 150, 200))], Dialect(), 100)
    assert [(s.due, len(s.parts)) for s in tiles] == [(99, 1), (100, 2), (200, 1)]
    assert stretches([entry(0, QUOTE, kind=Kind.CONTROL), entry(1, b'{"T":"success"}')], Dialect())[0].parts[0].raw


def test_a_need_is_encoded_once_and_messages_keep_their_bytes() -> None:
    [stretch] = stretches([entry(0, QUOTE, TRADE)], Dialect())
    everything = need(quotes=None, trades=None)
    wire = stretch.wire(everything, Dialect())
    assert wire == b"\x81\x7b[" + QUOTE + b"," + TRADE + b"]"
    assert stretch.wire(need(quotes=None, trades=None), Dialect()) is wire
    assert stretch.wire(need(quotes=frozenset({"MSFT"}), trades=frozenset({"AAPL"})), Dialect()) == b""
    assert stretch.wire(need(trades=frozenset({"MSFT"})), Dialect())[2:] == b"[" + TRADE + b"]"
    packed = stretch.wire(need(True, quotes=None), Dialect())
    assert packed[0] == 0x82
    assert Dialect().split(packed[2:]) == [b'{"T":"q","S":"AAPL","bp":1.5,"t":"2025-11-20T14:30:00.000000001Z"}']


def test_the_need_of_a_connection_is_what_it_subscribed_and_may_have() -> None:
    connection = Connection(account=Account(only=frozenset({"AAPL", "NA"})))
    connection.receive(b'{"action":"auth","key":"","secret":""}')
    assert Need.of(connection, Dialect()) == need()
    connection.receive(b'{"action":"subscribe","quotes":["NA"],"trades":["*"]}')
    both = frozenset({"AAPL", "NA"})
    found = dict(Need.of(connection, Dialect()).channels)
    assert found == {"trades": both, "quotes": {"NA"}, "corrections": both, "cancelErrors": both}


def test_the_live_tape_counts_how_far_behind_a_place_is() -> None:
    async def scenario() -> None:
        grown: list[int] = []
        tape = Live(lambda: grown.append(tape.head.total))
        start = tape.start()
        waiting = asyncio.create_task(start.after())
        await asyncio.sleep(0)
        for size in (10, 20):
            tape.add([], size)
        first = await waiting
        assert first is not None
        assert (first.total, await first.after()) == (10, tape.head)
        assert grown == [10, 30]

    asyncio.run(scenario())


def test_seek_finds_the_first_line_of_a_time_in_any_segment(tmp_path: Path) -> None:
    log = open_log(str(tmp_path))
    for part in range(3):
        with log.writer("alpaca.sip") as writer:
            for k in range(50):
                writer.append(Kind.DATA, (part * 50 + k) * 1_000_000 + 10**18, b"[%d]" % (part * 50 + k))
    for number in (0, 1, 49, 50, 99, 100, 149):
        for before in (0, 999_999):
            [found, *_] = log.reader("alpaca.sip", seek(log, "alpaca.sip", 10**18 + number * 1_000_000 - before)).read(
                1
            )
            assert isinstance(found.item, Record)
            assert found.item.payload == b"[%d]" % number
    assert log.reader("alpaca.sip", seek(log, "alpaca.sip", 10**19)).read(1) == []

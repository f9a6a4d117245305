"""A capture that is killed and started again behind a feed: its followers hear exactly what the log holds."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

from tests.support.feed import feed, log_messages
from tests.support.plant import kill, log_end, simulator, stop, tickerplant, wait_for
from tests.support.simulator_client import JSON, MSGPACK, Heard, connect, everything, tally
from tickerplant.vendors.alpaca.render import split

MARKET = ["--seed", "5", "--symbols", "100", "--minutes", "30", "--rate", "200", "--speed", "20", "--linger", "30"]


def captured(url: str, log: Path, is_last: bool) -> None:
    """Capture until the log has grown; then kill it, or the last time end it."""
    options = ("--url", url, "--symbols", "*", "--log", log, "--always-open")
    process = tickerplant("capture", *options, stderr=subprocess.DEVNULL)
    before = log_end(log)
    wait_for(lambda: log_end(log) > before + 200_000, what="more log")
    if not is_last:
        kill(process)
    assert stop(process) == (0 if is_last else -9)


async def follow(feed_url: str, url: str, log: Path) -> list[Heard]:
    """Two followers, and three captures one after the other, of which two are killed."""
    heard = [await connect(feed_url, everything(), headers) for headers in (JSON, MSGPACK)]
    for client in heard:
        await client.until(lambda c=client: c.control and c.control[-1]["T"] == "subscription")  # type: ignore[misc]
    for part in range(3):
        await asyncio.to_thread(captured, url, log, part == 2)
    wanted = len(log_messages(log))
    for client in heard:
        await client.until(lambda c=client: count(c) >= wanted)  # type: ignore[misc]
        client.hang_up()
        await client.ended.wait()
    return heard


def count(heard: Heard) -> int:
    return sum(len(split(payload)) for payload in heard.data)


def test_a_killed_capture_costs_its_followers_nothing_that_is_in_the_log(tmp_path: Path) -> None:
    with simulator(*MARKET) as (url, _), feed(tmp_path) as feed_url:
        text, packs = asyncio.run(asyncio.wait_for(follow(feed_url, url, tmp_path), 60))
    wanted = log_messages(tmp_path)
    assert [m for p in text.data for m in split(p)] == wanted
    assert count(packs) == len(wanted) > 1500
    assert tally(packs.data) == tally(text.data)

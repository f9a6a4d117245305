"""Two captures share the symbols out: their partitions together hold, load and feed what one capture would."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path

from tests.support.feed import feed
from tests.support.plant import ask, log_tally, simulator, stop, tickerplant, wait_for
from tests.support.simulator_client import connect, everything, tally
from tickerplant.simulator.tickers import tickers
from tickerplant.vendors.alpaca.render import split

MARKET = ["--seed", "7", "--symbols", "40", "--minutes", "2", "--rate", "40", "--speed", "0", "--clients", "2"]


def test_shards_together_are_the_whole_market(tmp_path: Path) -> None:
    log, store, oracle = tmp_path / "log", tmp_path / "lake", tmp_path / "oracle.json"
    options = ("--symbols", ",".join(tickers(40, 7)), "--log", log, "--always-open", "--channels", "quotes,trades,bars")
    with simulator(*MARKET, "--linger", "30", "--oracle", oracle, stderr=subprocess.DEVNULL) as (url, _):
        shards = [
            tickerplant("capture", "--url", url, *options, "--shard", f"{n}/2", stderr=subprocess.DEVNULL)
            for n in (1, 2)
        ]
        wait_for(lambda: json.loads(oracle.read_bytes())["complete"], what="the market's end")
        wanted = json.loads(oracle.read_bytes())["tables"]
        total = sum(f["count"] for found in wanted.values() for f in found.values())
        wait_for(lambda: log_tally(log)[1].stored >= total, what="everything in the log")
        assert [stop(shard) for shard in shards] == [0, 0]
    parts = [log_tally(log, [f"alpaca.sip.{n}of2"])[0].as_json() for n in (1, 2)]
    assert not {s for t in parts[0].values() for s in t} & {s for t in parts[1].values() for s in t}
    assert log_tally(log)[0].as_json() == wanted
    loaded = json.loads(ask("load", "--log", log, "--store", store, "--json"))
    assert loaded["counters"]["stored"] == total > 2000
    with feed(log, "--speed", "0") as url:
        assert asyncio.run(asyncio.wait_for(heard(url, total), 30)) == wanted


async def heard(url: str, total: int) -> object:
    """What a client of the feed hears of both partitions."""
    client = await connect(url, everything())
    await client.until(lambda: sum(len(split(p)) for p in client.data) >= total)
    client.hang_up()
    await client.ended.wait()
    return tally(client.data)

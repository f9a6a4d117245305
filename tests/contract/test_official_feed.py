"""Alpaca's own clients on the feed: three at once, one of them slow, each get every message of a recorded market."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alpaca.data.live import StockDataStream

from tests.contract.test_official_client import text_of, wait_until
from tests.support.feed import feed, land
from tests.support.plant import log_tally
from tests.support.simulator_client import tally
from tickerplant.simulator.market import Market, seeded

MARKET = Market(seed=3, symbols=200, minutes=2, rate=25.0)


def listener(url: str, heard: list[Any], pause_s: float) -> StockDataStream:
    """A client that keeps every message, and takes so long for each."""

    async def keep(message: Any) -> None:
        heard.append(message)
        if pause_s:
            time.sleep(pause_s)

    stream = StockDataStream("key", "secret", raw_data=True, url_override=url)
    stream.subscribe_trades(keep, "*")
    stream.subscribe_quotes(keep, "*")
    stream.subscribe_bars(keep, "*")
    stream.subscribe_updated_bars(keep, "*")
    stream.subscribe_daily_bars(keep, "*")
    stream.subscribe_trading_statuses(keep, "*")
    stream.register_trade_cancels(keep)
    stream.register_trade_corrections(keep)
    return stream


@contextmanager
def listening(log: Path, pauses_s: Sequence[float]) -> Iterator[list[list[Any]]]:
    """Clients on a feed of a log, each in a thread of its own; the feed ends first, so that none waits for more."""
    heard: list[list[Any]] = [[] for _ in pauses_s]
    with feed(log, "--speed", "0") as url:
        streams = [listener(url, kept, pause) for kept, pause in zip(heard, pauses_s, strict=True)]
        threads = [threading.Thread(target=stream.run, daemon=True) for stream in streams]
        for thread in threads:
            thread.start()
        try:
            yield heard
        finally:
            for stream in streams:
                stream.stop()
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


def test_every_client_gets_every_message_at_its_own_pace(tmp_path: Path) -> None:
    land(tmp_path, seeded(MARKET).slices)
    found, _ = log_tally(tmp_path)
    wanted = {t: s for t, s in found.as_json().items() if t not in ("lulds", "imbalances")}
    total = sum(int(f["count"]) for symbols in wanted.values() for f in symbols.values())
    with listening(tmp_path, (0.0005, 0.0, 0.0)) as heard:
        for client in heard:
            wait_until(lambda c=client: len(c) >= total)  # type: ignore[misc]
    assert total > 2500
    for client in heard:
        assert len(client) == total
        assert tally([text_of(message) for message in client]) == wanted

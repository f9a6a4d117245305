"""Alpaca's own client against the simulator: it receives exactly what the oracle says, raw and typed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from alpaca.data.live import StockDataStream
from alpaca.data.models import Bar, Quote, Trade

from tests.support.simulator_client import tally
from tickerplant.simulator.process import Running, running

MARKET = ["--seed", "3", "--symbols", "600", "--minutes", "2", "--rate", "60", "--speed", "0", "--linger", "0.2"]


@contextmanager
def streaming(simulator: Running, raw: bool, subscribe: Callable[[StockDataStream], None]) -> Iterator[None]:
    """The client in a thread of its own."""
    stream = StockDataStream("key", "secret", raw_data=raw, url_override=simulator.ws)
    subscribe(stream)
    thread = threading.Thread(target=stream.run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stream.stop()
        # The client looks at its stop after a message or 5 s.
        assert stream._ws is not None
        assert stream._loop is not None
        asyncio.run_coroutine_threadsafe(stream._ws.close(), stream._loop)
        thread.join(20)
        assert not thread.is_alive()


def wait_until(condition: Callable[[], object], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def text_of(message: dict[str, Any]) -> bytes:
    """A raw message as the JSON frame it stands for, nanoseconds kept."""
    second, nanos = divmod(message["t"].to_unix_nano(), 10**9)
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)) + f".{nanos:09d}Z"
    return b"[" + msgspec.json.encode(message | {"t": stamp}) + b"]"


def test_raw_client_receives_exactly_what_was_sent(tmp_path: Path) -> None:
    heard: list[dict[str, Any]] = []

    async def keep(message: Any) -> None:
        heard.append(message)

    def subscribe(stream: StockDataStream) -> None:
        stream.subscribe_trades(keep, "*")
        stream.subscribe_quotes(keep, "*")
        stream.subscribe_bars(keep, "*")
        stream.subscribe_updated_bars(keep, "*")
        stream.subscribe_daily_bars(keep, "*")
        stream.subscribe_trading_statuses(keep, "*")
        stream.register_trade_cancels(keep)
        stream.register_trade_corrections(keep)

    with running(MARKET, tmp_path / "oracle.json") as simulator:
        with streaming(simulator, True, subscribe):
            wait_until(lambda: simulator.oracle()["complete"])
            sent = simulator.oracle()["sent"]["messages"]
            wait_until(lambda: len(heard) >= sent)
        assert simulator.wait(10) == 0
        oracle = simulator.oracle()
    assert len(heard) == sent == oracle["sent"]["messages"] > 5000
    assert tally([text_of(message) for message in heard]) == oracle["tables"]
    assert set(oracle["tables"]) >= {"trades", "quotes", "bars", "daily_bars", "statuses"}


def test_typed_client_understands_every_message(tmp_path: Path) -> None:
    heard: list[Any] = []

    async def keep(message: Any) -> None:
        heard.append(message)

    def subscribe(stream: StockDataStream) -> None:
        names = [f"S{k}" for k in range(6000)]
        stream.subscribe_trades(keep, "BRK.B", "NA", "TRUE", "ON", *names)
        stream.subscribe_quotes(keep, "SPY")
        stream.subscribe_bars(keep, "*")

    with running(MARKET, tmp_path / "oracle.json") as simulator:
        with streaming(simulator, False, subscribe):
            wait_until(lambda: simulator.oracle()["complete"])
            oracle = simulator.oracle()
            wait_until(lambda: len(heard) >= oracle["sent"]["messages"])
        assert simulator.wait(10) == 0
    kinds = Counter((type(m).__name__.lower() + "s", m.symbol) for m in heard if isinstance(m, Trade | Quote | Bar))
    counts = {(t, s): f["count"] for t, symbols in oracle["tables"].items() for s, f in symbols.items()}
    assert kinds == {key: count for key, count in counts.items() if key[0] != "trade_corrections"}
    trade = next(m for m in heard if isinstance(m, Trade))
    assert trade.symbol in ("BRK.B", "NA", "TRUE", "ON")
    assert trade.price > 1
    assert trade.size > 0
    assert isinstance(trade.id, int)
    assert trade.conditions is not None
    assert trade.conditions[0] == "@"
    assert trade.timestamp.date().isoformat() == "2025-11-20"
    quote = next(m for m in heard if isinstance(m, Quote))
    assert quote.symbol == "SPY"
    assert quote.ask_price == pytest.approx(quote.bid_price, abs=5) or quote.bid_price == 0
    bar = next(m for m in heard if isinstance(m, Bar))
    assert bar.low <= bar.open <= bar.high
    assert bar.timestamp.isoformat() == "2025-11-20T14:30:00+00:00"

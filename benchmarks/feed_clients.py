"""Alpaca's own clients on a feed, in one process: `feed_clients URL COUNT EXPECTED SLOW_EVERY SLOW_S`.

Prints one JSON line: of each client the messages and the running CRC of their text, and the seconds to the last one.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import zlib
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from alpaca.data.live import StockDataStream


def unpackb(message: bytes) -> Any:
    """A message as Alpaca's client gives it."""
    return import_module("msgpack").unpackb(message)


@dataclass
class Heard:
    """What a client heard: order and content are in the CRC."""

    count: int = 0
    crc: int = 0

    def add(self, message: Any) -> None:
        """Take one message."""
        self.count += 1
        self.crc = zlib.crc32(repr(message).encode(), self.crc)


def stream(url: str, heard: Heard, pause_every: int, pause_s: float) -> StockDataStream:
    """A raw client for quotes and trades of everything; a slow one pauses."""

    async def keep(message: Any) -> None:
        heard.add(message)
        if pause_every and heard.count % pause_every == 0:
            time.sleep(pause_s)

    found = StockDataStream("key", "secret", raw_data=True, url_override=url)
    found.subscribe_quotes(keep, "*")
    found.subscribe_trades(keep, "*")
    return found


def main() -> None:
    """Run until every client has what is expected, or nothing more comes for a minute."""
    url, count, expected, pause_every, pause_s = sys.argv[1], *map(float, sys.argv[2:])
    heard = [Heard() for _ in range(int(count))]
    began = time.monotonic()
    for number, one in enumerate(heard):
        client = stream(url, one, int(pause_every) if number == 0 else 0, pause_s)
        threading.Thread(target=client.run, daemon=True).start()
    news, before = time.monotonic(), -1
    while any(one.count < expected for one in heard) and time.monotonic() - news < 60:
        time.sleep(0.1)
        total = sum(one.count for one in heard)
        if total != before:
            news, before = time.monotonic(), total
    time.sleep(0.5)
    print(json.dumps({"heard": [[one.count, one.crc] for one in heard], "seconds": news - began}), flush=True)


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    import os

    os._exit(0)

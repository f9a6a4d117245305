"""Log in at the vendor, subscribe as a capture would, and leave again: the check before a session."""

from __future__ import annotations

import asyncio

from tickerplant.errors import Retryable, TickerplantError
from tickerplant.jobs.check import Check
from tickerplant.model import Credentials, Dialogue, Selection, Vendor
from tickerplant.net.websocket import connect, public_url
from tickerplant.settings import Settings


async def _until_live(url: str, dialogue: Dialogue, timeout_s: float) -> None:
    frames: asyncio.Queue[bytes] = asyncio.Queue()
    connection = await connect(url, dialogue.headers, lambda payload, _: frames.put_nowait(payload))
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                step = dialogue.receive(await frames.get())
                for message in step.send:
                    connection.send(message)
                if step.problem:
                    raise step.problem
                if step.live:
                    return
    except TimeoutError:
        raise Retryable(f"{public_url(url)}: expected an answer within {timeout_s:g} s, was none") from None
    finally:
        await connection.close()


def check_login(settings: Settings, vendor: Vendor, timeout_s: float = 15.0) -> Check:
    """Whether the vendor takes our keys, feed, channels and symbols. Takes the feed's one connection for a moment."""
    credentials = Credentials(settings.alpaca_key, settings.alpaca_secret)
    assert vendor.dialogue is not None
    dialogue = vendor.dialogue(Selection(settings.channels, settings.symbols), credentials)
    try:
        asyncio.run(_until_live(settings.alpaca_url, dialogue, timeout_s))
    except TickerplantError as error:
        return Check("login", "fail", str(error), "mend it before the session")
    return Check("login", "ok", f"logged in and subscribed to {', '.join(dialogue.channels)}")

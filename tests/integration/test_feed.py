"""The feed over real sockets: clients hear exactly what is in the log, in its order, and a slow one costs nobody."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.simulator_client import JSON, MSGPACK, Heard, connect
from tickerplant.errors import UsageError
from tickerplant.logs import open_log
from tickerplant.model import Kind, LogWriter, Secret
from tickerplant.serve.feed import FeedOptions, accepted_keys, serve_feed
from tickerplant.vendors.alpaca.render import split

START = 1_763_649_000_000_000_000
REPLAY = FeedOptions(speed=0)


def quote(number: int, symbol: str = "AAPL") -> bytes:
    """A quote as the vendor writes it, with a key we do not know and a price that a float would print otherwise."""
    return (
        b'{"T":"q","S":"%b","bx":"Q","bp":10.50,"bs":%d,"ax":"N","ap":10.5100,"as":2,"c":["R"],"z":"C","New":[1],'
        b'"t":"2025-11-20T14:30:00.000000%03dZ"}' % (symbol.encode(), number, number % 1000)
    )


def trade(number: int, symbol: str = "AAPL") -> bytes:
    return b'{"T":"t","S":"%b","i":%d,"x":"V","p":10.5,"s":1,"c":["@"],"z":"C","t":"2025-11-20T14:30:00.5Z"}' % (
        symbol.encode(),
        number,
    )


def frame(*messages: bytes) -> bytes:
    return b"[" + b",".join(messages) + b"]"


def land(folder: Path, frames: Sequence[bytes], partition: str = "alpaca.sip", every_ns: int = 1_000_000) -> None:
    """A log of these data frames, one each millisecond."""
    with open_log(str(folder)).writer(partition) as writer:
        for number, payload in enumerate(frames):
            writer.append(Kind.DATA, START + number * every_ns, payload)


def append(writer: LogWriter, frames: Sequence[bytes]) -> None:
    for payload in frames:
        writer.append(Kind.DATA, 0, payload)
    writer.sync()


@asynccontextmanager
async def serving(folder: Path, options: FeedOptions) -> AsyncIterator[str]:
    """A feed of a log; gives its websocket URL."""
    address: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    stop = asyncio.Event()
    task = asyncio.create_task(serve_feed(open_log(str(folder)), options, ready=address.set_result, stop=stop))
    await asyncio.wait({task, asyncio.ensure_future(address)}, return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        task.result()
    try:
        yield (await address)["ws"]
    finally:
        stop.set()
        await asyncio.wait_for(task, 10)


def play(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 60))


def messages(heard: Heard) -> list[bytes]:
    """Every message heard, as JSON."""
    return [message for payload in heard.data for message in split(payload)]


async def subscribed(url: str, headers: dict[str, str] = JSON, **request: list[str]) -> Heard:
    heard = await connect(url, request, headers)
    await heard.until(lambda: heard.control and heard.control[-1]["T"] == "subscription")
    return heard


async def count(heard: Heard, wanted: int) -> list[bytes]:
    await heard.until(lambda: sum(p.count(b'"t"') + p.count(b"\xa1t\xd7") for p in heard.data) >= wanted)
    return messages(heard)


def errors(heard: Heard) -> list[int]:
    return [m["code"] for m in heard.control if m["T"] == "error"]


def test_each_client_hears_what_it_asked_for_byte_for_byte_in_order(tmp_path: Path) -> None:
    sent = [frame(quote(k), trade(k, "MSFT"), quote(k, "NA")) for k in range(3000)]
    land(tmp_path, sent)

    async def scenario() -> None:
        async with serving(tmp_path, REPLAY) as url:
            everything = await subscribed(url, quotes=["*"], trades=["*"])
            some = await subscribed(url, quotes=["NA", "ZZZ"], trades=["AAPL"])
            other = await subscribed(url, trades=["MSFT"], bars=["*"])
            assert await count(everything, 9000) == [m for k in range(3000) for m in split(sent[k])]
            assert await count(some, 3000) == [quote(k, "NA") for k in range(3000)]
            assert await count(other, 3000) == [trade(k, "MSFT") for k in range(3000)]
            assert some.control[-1] == {
                **{"T": "subscription", "trades": ["AAPL"], "quotes": ["NA", "ZZZ"], "bars": [], "updatedBars": []},
                **{"dailyBars": [], "statuses": [], "lulds": [], "corrections": ["AAPL"], "cancelErrors": ["AAPL"]},
            }

    play(scenario)


@pytest.mark.parametrize("kept", ["json", "msgpack"])
def test_either_encoding_is_served_from_a_log_in_either(tmp_path: Path, kept: str) -> None:
    from tickerplant.vendors.alpaca.render import frame as packed_frame
    from tickerplant.vendors.alpaca.render import packed, unpacked

    texts = [quote(k) for k in range(50)]
    binary = [packed(text) for text in texts]
    land(tmp_path, [frame(*texts)] if kept == "json" else [packed_frame(binary, True)])

    async def scenario() -> None:
        async with serving(tmp_path, REPLAY) as url:
            text, packs = await subscribed(url, quotes=["*"]), await subscribed(url, MSGPACK, quotes=["*"])
            await text.until(lambda: text.data)
            await packs.until(lambda: packs.data)
            assert text.data == [frame(*(texts if kept == "json" else map(unpacked, binary)))]
            assert packs.data == [packed_frame(binary, True)]
            assert msgspec.msgpack.decode(packs.data[0])[7]["t"] == datetime(2025, 11, 20, 14, 30, tzinfo=UTC)

    play(scenario)


def test_what_is_no_message_is_left_out_and_hides_nothing(tmp_path: Path) -> None:
    odd = b'{"T":"zz","S":"AAPL","t":"2025-11-20T14:30:00Z"}'
    wrong = b'{"T":"q","S":[1],"t":"2025-11-20T14:30:00Z"}'
    land(
        tmp_path, [frame(quote(0)), b'[{"T":"q","S":', frame(odd, quote(1), wrong), b'"text"', frame(), frame(quote(2))]
    )

    async def scenario() -> None:
        async with serving(tmp_path, REPLAY) as url:
            heard = await subscribed(url, quotes=["*"], trades=["*"])
            assert await count(heard, 3) == [quote(0), quote(1), quote(2)]

    play(scenario)


def test_live_begins_at_the_end_and_follows_captures_that_come_and_go(tmp_path: Path) -> None:
    land(tmp_path, [frame(quote(999))])
    sent = [frame(quote(k)) for k in range(400)]

    async def scenario() -> None:
        async with serving(tmp_path, FeedOptions()) as url:
            first = await subscribed(url, quotes=["*"])
            for part in range(4):  # each writer is a capture of its own: it seals what was left, begins a new segment
                with open_log(str(tmp_path)).writer("alpaca.sip") as writer:
                    append(writer, sent[part * 100 : part * 100 + 50])
                    append(writer, sent[part * 100 + 50 : part * 100 + 100])
                if part == 1:
                    await count(first, 200)
                    late = await subscribed(url, quotes=["*"])
            assert await count(first, 400) == [quote(k) for k in range(400)]
            assert await count(late, 200) == [quote(k) for k in range(200, 400)]

    play(scenario)


def test_a_torn_line_of_a_killed_capture_is_neither_sent_nor_in_the_way(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, FeedOptions()) as url:
            heard = await subscribed(url, quotes=["*"])
            with open_log(str(tmp_path)).writer("alpaca.sip") as writer:
                append(writer, [frame(quote(1))])
                await count(heard, 1)
                [path] = (tmp_path / "alpaca.sip").glob("*.jsonl")
                with path.open("ab") as file:
                    file.write(b'{"crc":"00000000","rx":17636490000000')
            with open_log(str(tmp_path)).writer("alpaca.sip") as writer:
                append(writer, [frame(quote(2))])
            assert await count(heard, 2) == [quote(1), quote(2)]

    play(scenario)


def test_subscriptions_change_while_messages_flow(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with serving(tmp_path, FeedOptions()) as url:
            heard = await subscribed(url, quotes=["AAPL", "MSFT"])
            with open_log(str(tmp_path)).writer("alpaca.sip") as writer:
                append(writer, [frame(quote(1), quote(2, "MSFT"), quote(3, "NA"))])
                await count(heard, 2)
                heard.send(action="unsubscribe", quotes=["AAPL"])
                heard.send(action="subscribe", quotes=["NA"])
                await heard.until(lambda: len(heard.control) == 5)
                append(writer, [frame(quote(4), quote(5, "MSFT"), quote(6, "NA"))])
                await count(heard, 4)
                heard.send(action="unsubscribe", quotes=["MSFT", "NA"])
                await heard.until(lambda: len(heard.control) == 6)
                append(writer, [frame(quote(7), quote(8, "MSFT"))])
                heard.send(action="subscribe", trades=["*"])
                await heard.until(lambda: len(heard.control) == 7)
                append(writer, [frame(quote(9, "MSFT"), trade(10))])
                found = await count(heard, 5)
            assert found == [quote(1), quote(2, "MSFT"), quote(5, "MSFT"), quote(6, "NA"), trade(10)]

    play(scenario)


def test_a_live_client_that_does_not_read_is_warned_and_cut_and_the_others_get_everything(tmp_path: Path) -> None:
    whole = frame(*(quote(k) for k in range(100)))

    async def scenario() -> None:
        async with serving(tmp_path, FeedOptions(buffer_bytes=1 << 20)) as url:
            slow = await subscribed(url, quotes=["*"])
            quick = [await subscribed(url, headers, quotes=["*"]) for headers in (JSON, MSGPACK)]
            stop_reading(slow)
            with open_log(str(tmp_path)).writer("alpaca.sip") as writer:
                for part in range(1, 16):
                    append(writer, [whole] * 40)
                    for heard in quick:
                        await heard.until(lambda h=heard, n=part: _count(h) >= n * 4000)  # type: ignore[misc]
            assert slow.transport is not None
            slow.transport.underlying_transport.resume_reading()
            await slow.ended.wait()
            assert (errors(slow), slow.close_code) == ([407], 1000)
            assert 0 < _count(slow) < 60_000
            assert messages(slow) == [quote(k % 100) for k in range(_count(slow))]
            assert [errors(heard) for heard in quick] == [[], []]
            assert [_count(heard) for heard in quick] == [60_000, 60_000]
            assert set(quick[0].data) == {whole}

    play(scenario)


def stop_reading(heard: Heard) -> None:
    """Leave what comes in a kernel's buffer that does not grow."""
    assert heard.transport is not None
    transport = heard.transport.underlying_transport
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    transport.pause_reading()


def _count(heard: Heard) -> int:
    return sum(100 if len(p) > 5000 else len(split(p)) for p in heard.data)


def test_a_span_is_cut_by_receipt_half_open_over_segments_and_partitions(tmp_path: Path) -> None:
    for shard, symbol in enumerate(("AAPL", "MSFT")):
        for part in range(3):
            with open_log(str(tmp_path)).writer(f"alpaca.sip.{shard}") as writer:
                for k in range(part * 1000, part * 1000 + 1000):
                    writer.append(Kind.DATA, START + (2 * k + shard) * 1_000_000, frame(quote(k, symbol)))
    start, end = (datetime.fromtimestamp((START / 1e9) + s, UTC) for s in (1.5, 4.5))

    async def scenario() -> None:
        async with serving(tmp_path, FeedOptions(start=start, end=end, speed=0)) as url:
            first = await subscribed(url, quotes=["*"])
            wanted = [quote(k // 2, ("AAPL", "MSFT")[k % 2]) for k in range(1500, 4500)]
            assert await count(first, 3000) == wanted
            late = await subscribed(url, quotes=["MSFT"])
            assert await count(late, 1500) == wanted[1::2]

    play(scenario)


def test_a_span_without_an_end_goes_on_with_what_is_appended(tmp_path: Path) -> None:
    land(tmp_path, [frame(quote(k)) for k in range(10)])

    async def scenario() -> None:
        start = datetime.fromtimestamp(START / 1e9, UTC)
        async with serving(tmp_path, FeedOptions(start=start, speed=0)) as url:
            heard = await subscribed(url, quotes=["*"])
            await count(heard, 10)
            with open_log(str(tmp_path)).writer("alpaca.sip") as writer:
                append(writer, [frame(quote(10))])
            assert await count(heard, 11) == [quote(k) for k in range(11)]

    play(scenario)


def test_a_paced_span_keeps_the_distances_of_receipt(tmp_path: Path) -> None:
    land(tmp_path, [frame(quote(k)) for k in range(11)], every_ns=100_000_000)

    async def scenario() -> None:
        async with serving(tmp_path, FeedOptions(speed=2.0)) as url:
            heard = await subscribed(url, quotes=["*"])
            assert await count(heard, 11) == [quote(k) for k in range(11)]
            assert heard.times[-1] - heard.times[0] > 0.44
            assert len(heard.times) == 11

    play(scenario)


def test_who_may_not_is_answered_as_the_vendor_does(tmp_path: Path) -> None:
    land(tmp_path, [frame(quote(0))])
    keys = {"k": Secret("s"), "other": Secret("t")}
    limited = FeedOptions(speed=0, keys=keys, channels=frozenset({"quotes"}), symbols=frozenset({"AAPL", "NA"}))

    async def scenario() -> None:
        async with serving(tmp_path, limited) as url:
            heard = await subscribed(url, quotes=["*"])
            heard.send(action="subscribe", trades=["AAPL"])
            heard.send(action="subscribe", quotes=["MSFT"])
            heard.send(action="subscribe", quotes=["a b"])
            heard.send(action="auth", key="k", secret="s")
            heard.send(action="sing")
            await heard.until(lambda: len(errors(heard)) == 5)
            assert errors(heard) == [410, 405, 400, 403, 400]
            assert await count(heard, 1) == [quote(0)]
            stranger = await connect(url, {}, {**JSON, "APCA-API-KEY-ID": "k", "APCA-API-SECRET-KEY": "t"})
            await stranger.until(lambda: len(stranger.control) > 1)
            assert stranger.control[1] == {"T": "error", "code": 402, "msg": "auth failed"}
            elsewhere = await connect(url.replace("sip", "iex"), {})
            await elsewhere.ended.wait()
            assert errors(elsewhere) == [409]

    play(scenario)


def test_beyond_this_machine_keys_are_required_and_never_shown(tmp_path: Path) -> None:
    async def scenario() -> None:
        with pytest.raises(UsageError, match="expected TICKERPLANT_FEED_KEYS to serve on"):
            async with serving(tmp_path, FeedOptions(host="0.0.0.0")):
                pass

    play(scenario)
    found = accepted_keys(" a:b, c:d:e ,")
    assert found is not None
    assert {key: secret.reveal() for key, secret in found.items()} == {"a": "b", "c": "d:e"}
    assert "d:e" not in repr(found)
    assert accepted_keys("") is None
    for wrong in ("word", "a:", ":b", "a:b,hidden"):
        with pytest.raises(UsageError) as caught:
            accepted_keys(wrong)
        assert wrong not in str(caught.value)


def test_a_later_client_of_a_span_hears_it_from_its_start(tmp_path: Path) -> None:
    land(tmp_path, [frame(quote(k)) for k in range(5000)])

    async def scenario() -> None:
        async with serving(tmp_path, REPLAY) as url:
            for _ in range(2):
                heard = await subscribed(url, quotes=["AAPL"])
                assert await count(heard, 5000) == [quote(k) for k in range(5000)]
                heard.hang_up()

    play(scenario)

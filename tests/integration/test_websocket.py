from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.frames import CloseCode

from tests.support.fake_feed import Feed, Refuse, cut, feed
from tickerplant.errors import Fatal, Retryable, SlowRetry
from tickerplant.net.websocket import Closed, Connection, SocketOptions, connect

QUICK = SocketOptions(connect_timeout_s=2.0, close_timeout_s=1.0)


@dataclass
class Got:
    messages: list[bytes] = field(default_factory=list)
    receipts: list[int] = field(default_factory=list)

    def take(self, payload: bytes, at: int) -> None:
        self.messages.append(payload)
        self.receipts.append(at)


def converse(
    server: Feed, act: Callable[[Connection, Got], Awaitable[None]] | None = None, options: SocketOptions = QUICK
) -> tuple[Got, Closed]:
    """Connect, act (or wait for the end), and return what came and why it ended."""

    async def main() -> tuple[Got, Closed]:
        got = Got()
        connection = await connect(server.url, {"X-Key": "k"}, got.take, options)
        if act is not None:
            await act(connection, got)
        return got, await asyncio.wait_for(connection.closed, 10)

    return asyncio.run(main())


async def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "condition: expected within the deadline"
        await asyncio.sleep(0.005)


def test_text_binary_and_fragmented_messages_arrive_whole_and_in_order() -> None:
    async def script(connection: ServerConnection) -> None:
        await connection.send("one")
        await connection.send(b"\x00two")
        await connection.send(["thr", "", "ee"])
        await connection.send([b"fo", b"ur"])
        await connection.send("x" * 300_000)
        await connection.close(1000, "done")

    before = time.time_ns()
    with feed(script) as server:
        got, closed = converse(server)
    assert got.messages == [b"one", b"\x00two", b"three", b"four", b"x" * 300_000]
    assert before < got.receipts[0] < got.receipts[-1] < time.time_ns()
    assert all(b - a >= 1000 for a, b in zip(got.receipts, got.receipts[1:], strict=False))
    assert closed == Closed(1000, "done")


@pytest.mark.parametrize(("code", "reason"), [(1001, "going away"), (1008, "policy"), (1011, "oops"), (4001, "own")])
def test_close_code_and_reason_are_told(code: int, reason: str) -> None:
    async def script(connection: ServerConnection) -> None:
        await connection.send("last")
        await connection.close(code, reason)

    with feed(script) as server:
        got, closed = converse(server)
    assert got.messages == [b"last"]
    assert (closed.code, closed.reason) == (code, reason)


def test_a_cut_line_is_1006() -> None:
    async def script(connection: ServerConnection) -> None:
        await connection.send("last")
        await connection.recv()
        await cut(connection)

    async def act(connection: Connection, got: Got) -> None:
        await until(lambda: got.messages)
        connection.send(b"go")

    with feed(script) as server:
        got, closed = converse(server, act)
    assert got.messages == [b"last"]
    assert closed.code == 1006


def test_our_close_is_1000_and_what_was_under_way_still_arrives() -> None:
    async def script(connection: ServerConnection) -> None:
        for number in range(100):
            await connection.send(str(number))
        await connection.wait_closed()

    async def act(connection: Connection, got: Got) -> None:
        await until(lambda: got.messages)
        await connection.close()

    with feed(script) as server:
        got, closed = converse(server, act)
        deadline = time.monotonic() + 5
        while not server.closes and time.monotonic() < deadline:
            time.sleep(0.01)
    assert got.messages == [str(n).encode() for n in range(100)]
    assert closed.code == 1000
    assert server.closes == [CloseCode.NORMAL_CLOSURE]


def test_pings_are_answered_and_sent() -> None:
    async def script(connection: ServerConnection) -> None:
        await (await connection.ping())
        await connection.send("ponged")
        await connection.wait_closed()

    async def act(connection: Connection, got: Got) -> None:
        await until(lambda: got.messages)
        await asyncio.sleep(0.3)
        assert not connection.closed.done()
        await connection.close()

    with feed(script) as server:
        got, _ = converse(server, act, SocketOptions(ping_interval_s=0.05, pong_timeout_s=0.05))
    assert got.messages == [b"ponged"]


def test_a_peer_that_says_nothing_at_all_is_given_up() -> None:
    async def main(port: int) -> Closed:
        url = f"ws://127.0.0.1:{port}/"
        connection = await connect(url, {}, lambda p, at: None, SocketOptions(ping_interval_s=0.1, pong_timeout_s=0.2))
        return await asyncio.wait_for(connection.closed, 5)

    async def deaf() -> Closed:
        import base64
        import hashlib

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            key = next(
                line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key")
            )
            digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
            )
            await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            return await main(server.sockets[0].getsockname()[1])

    closed = asyncio.run(deaf())
    assert (closed.code, closed.reason) == (1006, "no pong within 0.2 s")


def test_a_paused_connection_reads_nothing_and_loses_nothing() -> None:
    async def script(connection: ServerConnection) -> None:
        for _ in range(400):
            await connection.send(b"x" * 100_000)
        await connection.close(1000)

    async def act(connection: Connection, got: Got) -> None:
        await until(lambda: got.messages)
        connection.pause()
        await asyncio.sleep(0.05)
        seen = len(got.messages)
        await asyncio.sleep(0.3)
        assert len(got.messages) == seen < 400
        connection.resume()

    with feed(script) as server:
        got, closed = converse(server, act, SocketOptions(ping_interval_s=0.05, pong_timeout_s=0.1))
    assert len(got.messages) == 400
    assert closed.code == 1000


def test_a_message_above_the_limit_ends_the_connection() -> None:
    async def script(connection: ServerConnection) -> None:
        await connection.send(["x" * 600, "x" * 600])
        await connection.wait_closed()

    with feed(script) as server:
        got, closed = converse(server, options=SocketOptions(max_message_bytes=1000))
    assert got.messages == []
    assert closed.code == 1009


def test_a_failing_receiver_ends_the_connection_with_its_failure() -> None:
    async def script(connection: ServerConnection) -> None:
        await connection.send("a")
        await connection.send("b")
        await connection.wait_closed()

    async def main(url: str) -> tuple[Closed, list[bytes]]:
        seen: list[bytes] = []

        def full(payload: bytes, at: int) -> None:
            seen.append(payload)
            raise OSError(28, "No space left on device")

        connection = await connect(url, {}, full, QUICK)
        return await asyncio.wait_for(connection.closed, 5), seen

    with feed(script) as server:
        closed, seen = asyncio.run(main(server.url))
    assert isinstance(closed.failure, OSError)
    assert seen == [b"a"]


@pytest.mark.parametrize(
    ("refusal", "kind", "retry_after"),
    [(Refuse(429, (("Retry-After", "17"),)), SlowRetry, 17.0), (Refuse(401), Fatal, None), (Refuse(403), Fatal, None),
     (Refuse(503), Retryable, None)],
)  # fmt: skip
def test_refused_handshakes_are_classed(refusal: Refuse, kind: type[Exception], retry_after: float | None) -> None:
    with feed(refusal) as server, pytest.raises(kind) as caught:
        converse(server)
    assert type(caught.value) is kind
    assert f"was {refusal.status}" in str(caught.value)
    assert getattr(caught.value, "retry_after", None) == retry_after


def test_nobody_there_a_peer_that_never_answers_and_a_url_that_is_none() -> None:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        with pytest.raises(Retryable, match="expected a connection, was ConnectionRefusedError"):
            asyncio.run(connect(f"ws://127.0.0.1:{port}/v2/sip", {}, lambda p, at: None, QUICK))
        listening.listen()
        began = time.monotonic()
        with pytest.raises(Retryable):
            asyncio.run(
                connect(f"ws://127.0.0.1:{port}/", {}, lambda p, at: None, SocketOptions(connect_timeout_s=0.2))
            )
        assert time.monotonic() - began < 2
    with pytest.raises(Fatal, match="correct it") as caught:
        asyncio.run(connect("http://me:hidden@127.0.0.1/v2/sip?key=hidden", {}, lambda p, at: None, QUICK))
    assert "hidden" not in str(caught.value)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 101 Swi"])
def test_a_peer_that_closes_before_it_answers_is_tried_again(said: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            await connect(f"ws://127.0.0.1:{port}/", {}, lambda p, at: None, QUICK)

    with pytest.raises(Retryable, match="expected an answer to the handshake, the connection was closed"):
        asyncio.run(main())

"""What users of live feeds ran into, met on the wire: the numbers are those of docs/quirks.md."""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import pytest
from websockets.asyncio.server import ServerConnection

from tests.integration.test_capture import CLOSED, KEYS, OPEN, SELECTION, captured, connections, frames, has_frames
from tests.support.fake_feed import Feed, Refuse, Script, cut, feed, quote, refuse, session, text
from tickerplant.errors import Busy, Fatal
from tickerplant.jobs.capture import capture
from tickerplant.jobs.load import load
from tickerplant.logs import open_log
from tickerplant.model import Kind
from tickerplant.net.backoff import BackoffOptions, Curve
from tickerplant.stores import open_store
from tickerplant.vendors import vendor

NEVER = Curve(0.0, 0.0)


def distances(server: Feed) -> list[float]:
    """Seconds between connects, as the vendor sees them."""
    return [b - a for a, b in zip(server.connects, server.connects[1:], strict=False)]


def test_quirk_1_a_slot_that_is_still_held_is_waited_for_longer_and_longer_by_one_owner(tmp_path: Path) -> None:
    held = refuse(406, "connection limit exceeded")
    options = replace(CLOSED, backoff=BackoffOptions(NEVER, Curve(0.08, 0.3), min_distance_s=0.0))
    with feed(held, held, held, held, session(text(quote(1)))) as server:

        def until() -> bool:
            if server.connects:
                with pytest.raises(Busy):
                    open_log(str(tmp_path)).writer("alpaca.sip")
            return has_frames(tmp_path, 1)()

        done = captured(server, tmp_path, until, options)
    found = distances(server)
    assert all(wait >= least for wait, least in zip(found, (0.04, 0.08, 0.15, 0.15), strict=True)), found
    assert (done.attempts, done.connections) == (4, 1)
    assert "406" in (done.last_error or "")
    assert server.closes[-1] == 1000, "the slot is given back at the end"


def test_quirk_2_connects_keep_their_distance_whatever_ended_the_one_before(tmp_path: Path) -> None:
    options = replace(CLOSED, backoff=BackoffOptions(NEVER, NEVER, min_distance_s=0.4))
    scripts = (
        session(text(quote(1)), then=cut),
        Refuse(503),
        refuse(406, "connection limit exceeded"),
        Refuse(429, (("Retry-After", "0.9"),)),
        session(text(quote(2))),
    )
    with feed(*scripts) as server:
        captured(server, tmp_path, has_frames(tmp_path, 2), options)
    found = distances(server)
    # The server sees connects a little late, each by another time.
    assert all(wait >= least for wait, least in zip(found, (0.25, 0.25, 0.25, 0.7), strict=True)), found


@pytest.mark.parametrize("refusal", [Refuse(401), Refuse(404), refuse(402, "auth failed")])
def test_quirk_2_a_refusal_for_good_is_not_tried_again(tmp_path: Path, refusal: Script | Refuse) -> None:
    with feed(refusal) as server, pytest.raises(Fatal):
        captured(server, tmp_path, lambda: False, CLOSED)
    assert len(server.connects) == 1


def test_quirk_3_an_acknowledged_login_does_not_make_the_next_wait_short(tmp_path: Path) -> None:
    async def one_too_many(connection: ServerConnection) -> None:
        await connection.close(1008, "max_connections")

    curve, seed, count = Curve(0.02, 10.0), 3, 5
    options = replace(CLOSED, seed=seed, backoff=BackoffOptions(curve, NEVER, min_distance_s=0.0))
    with feed(*[session(then=one_too_many)] * count, session(text(quote(1)))) as server:
        done = captured(server, tmp_path, has_frames(tmp_path, 1), options)
    chance = Random(seed)
    growing = [curve.draw(attempt, chance) for attempt in range(count)]
    assert max(growing) > 2 * curve.base_s, "more than a first wait could be"
    # The server sees connects a little late, each by another time.
    assert sum(distances(server)) >= sum(growing) - 0.1
    assert max(distances(server)) >= max(growing) - 0.1
    assert done.connections == count + 1


def test_quirk_5_a_burst_is_landed_as_it_came_and_read_by_nobody_on_the_way(tmp_path: Path) -> None:
    some = text(*(quote(n) for n in range(20)))
    sent = [*[some] * 1500, '[{"T":"q","S":', *[some] * 1500]
    with feed(session(*sent)) as server:
        done = captured(server, tmp_path, has_frames(tmp_path, len(sent)), CLOSED)
    assert frames(tmp_path) == [frame.encode() for frame in sent]
    assert done.messages == {"quotes": 60_000, "trades": 0}
    assert (done.connections, done.disconnects, done.gaps) == (1, 0, 0)


def test_quirk_6_a_disk_that_lags_pauses_the_socket_and_loses_nothing(tmp_path: Path) -> None:
    options = replace(CLOSED, high_water_bytes=1, low_water_bytes=1)
    sent = [text(quote(n)) + " " * 2000 for n in range(3000)]
    with feed(session(*sent)) as server:
        done = captured(server, tmp_path, has_frames(tmp_path, len(sent)), options)
    assert frames(tmp_path) == [frame.encode() for frame in sent]
    assert done.disconnects == 0


def test_quirk_6_the_vendors_word_that_we_are_slow_is_a_named_gap(tmp_path: Path) -> None:
    async def too_slow(connection: ServerConnection) -> None:
        await connection.send(text({"T": "error", "code": 407, "msg": "slow client"}))
        await connection.close(1011, "keepalive ping timeout")

    with feed(session(text(quote(1)), then=too_slow), session(text(quote(2)))) as server:
        captured(server, tmp_path, has_frames(tmp_path, 2), CLOSED)
    _, (_, down), (_, up), _ = connections(tmp_path)
    assert "407" in down["detail"]
    assert "slow client" in down["detail"]
    assert set(up["gap"]["starts"]) == {"quotes", "trades"}


def test_quirk_7_every_end_within_a_session_is_a_failure_that_is_counted_and_healed(tmp_path: Path) -> None:
    async def goodbye(connection: ServerConnection) -> None:
        await connection.close(1000, "bye")

    ends = [session(text(quote(n)), then=goodbye) for n in range(3)]
    with feed(*ends, session(text(quote(9)))) as server:
        done = captured(server, tmp_path, has_frames(tmp_path, 4), OPEN)
    assert (done.connections, done.disconnects, done.ended) == (4, 3, "stopped")
    gaps = [payload["gap"] for record, payload in connections(tmp_path) if record.kind is Kind.CONNECTED]
    assert [gap and gap["reason"] for gap in gaps] == [None, *["disconnected"] * 3]


async def _greets_only(connection: ServerConnection) -> None:
    await connection.send(text({"T": "success", "msg": "connected"}))
    await connection.wait_closed()


async def _never_acknowledges(connection: ServerConnection) -> None:
    await connection.send(text({"T": "success", "msg": "connected"}))
    await connection.recv()
    await connection.send(text({"T": "success", "msg": "authenticated"}))
    await connection.recv()
    await connection.wait_closed()


async def _silent(connection: ServerConnection) -> None:
    await connection.wait_closed()


@pytest.mark.parametrize(
    "script",
    [_silent, _greets_only, _never_acknowledges, session(), Refuse(503), refuse(406, "connection limit exceeded")],
    ids=["silent", "login", "subscription", "live", "refused", "full"],
)
def test_quirk_8_a_stop_ends_a_capture_at_once_wherever_it_waits(tmp_path: Path, script: Script | Refuse) -> None:
    options = replace(CLOSED, backoff=BackoffOptions(Curve(1e6, 1e6), Curve(1e6, 1e6)))
    with feed(script) as server:
        asked: list[float] = []

        def until() -> bool:
            asked.append(time.monotonic())
            return bool(server.connects)

        done = captured(server, tmp_path, until, options)
    assert done.ended == "stopped"
    assert time.monotonic() - asked[-1] < 10


# picows keeps the socket of a handshake that is cancelled until it is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_quirk_8_a_stop_ends_a_capture_whose_handshake_nobody_answers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        server = Feed((), f"ws://127.0.0.1:{nobody.getsockname()[1]}/v2/sip")
        began = time.monotonic()
        done = captured(server, tmp_path, lambda: time.monotonic() > began + 0.1, CLOSED)
    assert (done.ended, done.connections) == ("stopped", 0)
    assert time.monotonic() - began < 10
    gc.collect()


def test_quirk_8_nothing_runs_on_after_a_capture(tmp_path: Path) -> None:
    async def main() -> set[str]:
        over = asyncio.Event()
        log = open_log(str(tmp_path), sync_interval_s=0.01)
        job = asyncio.create_task(capture(vendor("alpaca"), server.url, SELECTION, KEYS, log, CLOSED, stop=over))
        while not frames(tmp_path):
            await asyncio.sleep(0.01)
        over.set()
        await job
        return {t.get_name() for t in asyncio.all_tasks() if t is not asyncio.current_task()}

    with feed(session(text(quote(1)))) as server:
        assert asyncio.run(main()) == set()


def bar(minute: str, close: float, kind: str = "b") -> str:
    prices = {"o": 10, "h": 12, "l": 9, "c": close, "v": 100, "n": 3, "vw": 10.5}
    return text({"T": kind, "S": "AAPL", **prices, "t": f"2026-11-20T{minute}:00Z"})


def nanos(clock: str) -> int:
    return int(datetime.fromisoformat(f"2026-11-20T{clock}+00:00").timestamp() * 1e9)


def test_quirk_34_a_minute_stays_open_for_a_bar_that_comes_late_and_for_its_update(tmp_path: Path) -> None:
    log = open_log(str(tmp_path / "log"))
    with log.writer("alpaca.sip") as writer:
        for clock, frame in (
            ("15:02:00.2", bar("15:01", 11.0)),
            ("15:02:02.7", bar("15:00", 10.5)),
            ("15:02:30.1", bar("15:01", 11.5, "u")),
            ("15:09:00", bar("14:59", 9.5)),
        ):
            writer.append(Kind.DATA, nanos(clock), frame.encode())
    with closing(open_store(str(tmp_path / "lake"))) as store:
        load(log, store, vendor)

        def known(clock: str) -> list[tuple[str, float]]:
            at = datetime.fromtimestamp(nanos(clock) / 1e9, UTC)
            rows = store.query("select ts, close from bars_known_at(?) order by ts", [at]).to_pylist()
            return [(f"{r['ts']:%H:%M}", r["close"]) for r in rows]

        assert known("15:02:01") == [("15:01", 11.0)]
        assert known("15:02:10") == [("15:00", 10.5), ("15:01", 11.0)]
        assert known("15:03:00") == [("15:00", 10.5), ("15:01", 11.5)]
        assert known("15:10:00") == [("14:59", 9.5), ("15:00", 10.5), ("15:01", 11.5)]

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from tests.support.fake_feed import Feed, Refuse, cut, feed, quote, refuse, session, text, trade
from tests.support.plant import log_records, refusal, tickerplant, wait_for
from tickerplant.calendar import Session
from tickerplant.errors import Busy, Fatal
from tickerplant.jobs.capture import CaptureOptions, CaptureSummary, capture
from tickerplant.logs import open_log
from tickerplant.model import Credentials, Kind, Record, Secret, Selection
from tickerplant.net.backoff import BackoffOptions, Curve
from tickerplant.net.watchdog import WatchdogOptions
from tickerplant.vendors import vendor

HURRY = CaptureOptions(backoff=BackoffOptions(Curve(0.02, 0.05), Curve(0.05, 0.1), min_distance_s=0.01), seed=1)
SELECTION = Selection(("quotes", "trades"))
KEYS = Credentials("key-id-1234", Secret("hidden-secret-5678"))


def open_hours(now: datetime) -> Session:
    day = timedelta(days=1)
    return Session(now.date(), now - 2 * day, now - day, now + day, now + 2 * day)


def captured(
    server: Feed,
    folder: Path,
    until: Callable[[], object],
    options: CaptureOptions = HURRY,
    selection: Selection = SELECTION,
) -> CaptureSummary:
    """Capture until the condition holds (looked at every 10 ms), then stop as SIGTERM does."""

    async def main() -> CaptureSummary:
        over = asyncio.Event()
        log = open_log(str(folder), sync_interval_s=0.01)
        job = asyncio.create_task(capture(vendor("alpaca"), server.url, selection, KEYS, log, options, stop=over))
        deadline = time.monotonic() + 30
        while not job.done() and not until():
            assert time.monotonic() < deadline, "capture: expected the condition within 30 s"
            await asyncio.sleep(0.01)
        over.set()
        return await job

    return asyncio.run(main())


def records(folder: Path) -> list[Record]:
    return list(log_records(folder))


def frames(folder: Path) -> list[bytes]:
    return [r.payload for r in records(folder) if r.kind is Kind.DATA]


def connections(folder: Path) -> list[tuple[Record, dict[str, Any]]]:
    kinds = (Kind.CONNECTED, Kind.DISCONNECTED)
    return [(r, json.loads(r.payload)) for r in records(folder) if r.kind in kinds]


def has_frames(folder: Path, count: int) -> Callable[[], bool]:
    return lambda: len(frames(folder)) >= count


CLOSED = replace(HURRY, session_at=lambda now: None)
OPEN = replace(HURRY, session_at=open_hours)


def test_frames_control_and_connection_records_are_in_the_log(tmp_path: Path) -> None:
    sent = [text(quote(1), trade(2)), text(quote(3)), "[garbled", text(trade(4), trade(5))]
    with feed(session(*sent)) as server:
        done = captured(server, tmp_path, has_frames(tmp_path, 4), CLOSED)
    found = records(tmp_path)
    kinds = [r.kind.value for r in found]
    assert kinds == [*["control"] * 3, "connected", *["data"] * 4, "disconnected"]
    assert [r.payload.decode() for r in found if r.kind is Kind.DATA] == sent
    assert {(r.vendor, r.feed) for r in found} == {("alpaca", "sip")}
    assert [r.received_at for r in found] == sorted({r.received_at for r in found})
    assert json.loads(found[3].payload) == {
        "connection": 1, "url": server.url, "channels": ["quotes", "trades"], "symbols": ["*"], "gap": None,
    }  # fmt: skip
    assert json.loads(found[-1].payload) == {
        "connection": 1, "reason": "stopped", "detail": "stopped by a signal", "gap": None,
    }  # fmt: skip
    assert (done.frames, done.control, done.connections, done.disconnects, done.gaps) == (4, 3, 1, 0, 0)
    assert done.messages == {"quotes": 2, "trades": 3}
    assert done.bytes == sum(len(r.payload) for r in found if r.kind in (Kind.DATA, Kind.CONTROL))
    assert [s.sealed for s in open_log(str(tmp_path)).segments("alpaca.sip")] == [True]
    assert b"hidden-secret" not in b"".join(r.payload for r in found)


def test_many_symbols_are_named_up_to_fifty(tmp_path: Path) -> None:
    names = tuple(f"S{i}" for i in range(60))
    with feed(session(text(quote(1)))) as server:
        captured(server, tmp_path, has_frames(tmp_path, 1), CLOSED, Selection(("quotes",), names))
    payload = connections(tmp_path)[0][1]
    assert payload["symbols"] == list(names[:50])
    assert payload["symbol_count"] == 60


async def close_1000(connection: ServerConnection) -> None:
    await connection.close(1000, "bye")


async def slow_client(connection: ServerConnection) -> None:
    await connection.send(text({"T": "error", "code": 407, "msg": "slow client"}))
    await connection.close(1008, "slow")


@pytest.mark.parametrize(
    ("ends", "detail"), [(cut, "close 1006"), (close_1000, "close 1000 bye"), (slow_client, "407")]
)
def test_a_lost_line_is_one_gap_from_last_frame_to_next_connected(tmp_path: Path, ends: Any, detail: str) -> None:
    with feed(session(text(quote(1)), text(trade(2)), then=ends), session(text(quote(3)))) as server:
        done = captured(server, tmp_path, has_frames(tmp_path, 3), CLOSED)
    last = [r for r in records(tmp_path) if r.kind is Kind.DATA][1]
    (_, first), (lost, down), (back, up), (_, end) = connections(tmp_path)
    starts = {"quotes": last.received_at, "trades": last.received_at}
    assert first["gap"] is None
    assert down["reason"] == down["gap"]["reason"] == up["gap"]["reason"] == "disconnected"
    assert down["gap"]["starts"] == up["gap"]["starts"] == starts
    assert detail in down["detail"]
    assert detail in up["gap"]["detail"]
    assert last.received_at < lost.received_at < back.received_at
    assert end["gap"] is None
    assert (done.connections, done.disconnects, done.gaps) == (2, 1, 1)


def test_failures_while_down_are_counted_not_recorded(tmp_path: Path) -> None:
    scripts = (
        session(text(quote(1)), then=cut),
        Refuse(503),
        Refuse(429, (("Retry-After", "0.2"),)),
        refuse(406, "connection limit exceeded"),
        session(text(quote(2))),
    )
    with feed(*scripts) as server:
        done = captured(server, tmp_path, has_frames(tmp_path, 2), CLOSED)
    assert [p.get("reason") for _, p in connections(tmp_path)] == [None, "disconnected", None, "stopped"]
    assert connections(tmp_path)[2][1]["gap"]["attempts"] == 3
    assert done.attempts == 3
    assert server.connects[3] - server.connects[2] >= 0.2
    assert "503" not in (done.last_error or "")
    assert "406" in (done.last_error or "")


def test_never_connected_yet_is_a_gap_from_the_beginning(tmp_path: Path) -> None:
    began = time.time_ns()
    with feed(refuse(406, "connection limit exceeded"), Refuse(500), session(text(quote(1)))) as server:
        captured(server, tmp_path, has_frames(tmp_path, 1), CLOSED)
    (lost, down), (back, up), _ = connections(tmp_path)
    assert (down["connection"], down["reason"]) == (0, "failed")
    assert down["gap"]["starts"] == up["gap"]["starts"]
    start = up["gap"]["starts"]["quotes"]
    assert began <= start <= lost.received_at < back.received_at
    assert up["gap"]["attempts"] == 2


@pytest.mark.parametrize(
    ("refusal", "text_of"), [(refuse(402, "auth failed"), "402"), (refuse(409, "insufficient subscription"), "409"),
                             (refuse(411, "insufficient scope"), "411"), (Refuse(401), "401"), (Refuse(403), "403")]
)  # fmt: skip
def test_a_refusal_for_good_ends_the_capture_with_a_record(tmp_path: Path, refusal: Any, text_of: str) -> None:
    with feed(refusal) as server, pytest.raises(Fatal, match=text_of) as caught:
        captured(server, tmp_path, lambda: False, CLOSED)
    assert "hidden-secret" not in str(caught.value)
    assert len(server.connects) == 1
    ((_, down),) = connections(tmp_path)
    assert down["reason"] == "failed"
    assert text_of in down["detail"]
    assert set(down["gap"]["starts"]) == {"quotes", "trades"}


def test_a_capture_gives_up_after_as_many_attempts_as_asked_for(tmp_path: Path) -> None:
    options = replace(CLOSED, max_attempts=3)
    with feed(session(text(quote(1)), then=cut), *[Refuse(503)] * 9) as server, pytest.raises(Fatal) as caught:
        captured(server, tmp_path, lambda: False, options)
    assert "gave up after 3 attempts (MAX_RECONNECT_ATTEMPTS)" in str(caught.value)
    assert len(server.connects) == 4
    assert [p.get("reason") for _, p in connections(tmp_path)] == [None, "disconnected"]


def test_a_second_capture_is_refused_before_it_connects(tmp_path: Path) -> None:
    with feed(session(text(quote(1)))) as server:
        with open_log(str(tmp_path)).writer("alpaca.sip"), pytest.raises(Busy):
            captured(server, tmp_path, lambda: False)
        assert server.connects == []


def test_its_time_over_is_planned_and_leaves_no_gap(tmp_path: Path) -> None:
    with feed(session(text(quote(1)))) as server:
        done = captured(server, tmp_path, lambda: False, replace(OPEN, duration_s=0.3))
        again = captured(server, tmp_path, lambda: False, replace(OPEN, duration_s=0.3))
    assert done.ended == again.ended == "ended"
    assert [p.get("reason") for _, p in connections(tmp_path)] == [None, "ended", None, "ended"]
    assert all(p["gap"] is None for _, p in connections(tmp_path))


def test_stopped_inside_a_session_is_a_gap_that_the_next_capture_closes(tmp_path: Path) -> None:
    with feed(session(text(quote(1)))) as server:
        captured(server, tmp_path, has_frames(tmp_path, 1), OPEN)
        captured(server, tmp_path, has_frames(tmp_path, 2), CLOSED)
    last = next(r for r in records(tmp_path) if r.kind is Kind.DATA)
    _, (_, down), (_, up), _ = connections(tmp_path)
    assert down["reason"] == down["gap"]["reason"] == up["gap"]["reason"] == "stopped"
    assert down["gap"]["starts"] == up["gap"]["starts"] == dict.fromkeys(("quotes", "trades"), last.received_at)


def test_stopped_while_down_hands_the_open_gap_on(tmp_path: Path) -> None:
    with feed(session(text(quote(1)), then=cut), Refuse(503)) as server:
        captured(server, tmp_path, lambda: len(server.connects) > 3, OPEN)
    with feed(session(text(quote(2)))) as server:
        captured(server, tmp_path, has_frames(tmp_path, 2), CLOSED)
    rows = connections(tmp_path)
    assert [p.get("reason") for _, p in rows] == [None, "disconnected", "disconnected", None, "stopped"]
    assert rows[1][1]["gap"]["starts"] == rows[2][1]["gap"]["starts"] == rows[3][1]["gap"]["starts"]
    assert rows[3][1]["gap"]["reason"] == "disconnected"


def test_a_killed_owner_is_a_gap_from_its_last_line(tmp_path: Path) -> None:
    with feed(session(text(quote(1)), text(trade(2)))) as server:
        process = tickerplant(
            "capture", "--url", server.url, "--symbols", "*", "--channels", "quotes,trades", "--log", tmp_path
        )
        try:
            wait_for(has_frames(tmp_path, 2))
        finally:
            process.kill()
            process.communicate()
        last = records(tmp_path)[-1]
        captured(server, tmp_path, has_frames(tmp_path, 4), CLOSED)
    gap = connections(tmp_path)[1][1]["gap"]
    assert gap["reason"] == "killed"
    assert gap["starts"] == {"quotes": last.received_at, "trades": last.received_at}


SHORT = WatchdogOptions(
    grace_s=0, window_s=0.5, mute_s=1.0, mute_messages_per_window=5, first_wait_s=2.0, firehose_mute_s=1.5
)
WATCHED = replace(OPEN, watchdog=SHORT, tick_s=0.1)


async def chatter(connection: ServerConnection, *, trades_until: float, quotes_until: float) -> None:
    began, number = time.monotonic(), 0
    while (passed := time.monotonic() - began) < max(trades_until, quotes_until):
        number += 1
        some = [quote(number)] * (passed < quotes_until) + [trade(number)] * (passed < trades_until)
        await connection.send(text(*some))
        await asyncio.sleep(0.01)
    await connection.wait_closed()


def test_quirk_4_a_mute_line_is_noticed_named_and_left(tmp_path: Path) -> None:
    async def falls_mute(connection: ServerConnection) -> None:
        await chatter(connection, trades_until=4, quotes_until=4)

    options = replace(WATCHED, state=tmp_path)
    with feed(session(then=falls_mute), session(text(quote(0)))) as server:
        captured(server, tmp_path, lambda: len(server.connects) > 1 and frames(tmp_path)[-1] == text(quote(0)).encode(),
                 options)  # fmt: skip
    last = [r for r in records(tmp_path) if r.kind is Kind.DATA][-2]
    (_, _), (lost, down), (_, up), _ = connections(tmp_path)
    assert down["reason"] == up["gap"]["reason"] == "mute"
    assert down["gap"]["starts"] == up["gap"]["starts"] == dict.fromkeys(("quotes", "trades"), last.received_at)
    assert down["gap"]["expected_per_s"] > down["gap"]["found_per_s"]
    assert 1.0e9 <= lost.received_at - last.received_at < 10e9
    assert server.closes[0] == 1000
    learned = json.loads((tmp_path / "profile.json").read_text())
    assert len(learned["channels"]["quotes"]) >= 6


def test_one_mute_channel_has_its_own_start(tmp_path: Path) -> None:
    async def trades_stop(connection: ServerConnection) -> None:
        await chatter(connection, trades_until=4, quotes_until=60.0)

    with feed(session(then=trades_stop), session(text(quote(0)))) as server:
        captured(server, tmp_path, lambda: len(server.connects) > 1 and len(connections(tmp_path)) > 2, WATCHED)
    data = [r for r in records(tmp_path) if r.kind is Kind.DATA and r.payload != text(quote(0)).encode()]
    last_trade = max(r.received_at for r in data if b'"T":"t"' in r.payload)
    gap = connections(tmp_path)[1][1]["gap"]
    assert gap["reason"] == "mute"
    assert gap["starts"]["quotes"] == data[-1].received_at
    assert last_trade - 2.0e9 < gap["starts"]["trades"] <= last_trade


def test_everything_silent_without_a_profile_is_noticed(tmp_path: Path) -> None:
    with feed(session(), session(text(quote(0)))) as server:
        captured(server, tmp_path, has_frames(tmp_path, 1), WATCHED)
    connected, (_, down), *_ = connections(tmp_path)
    assert down["reason"] == "mute"
    assert down["gap"]["starts"]["quotes"] == connected[0].received_at


def test_sigterm_ends_a_capture_with_0_and_one_line_of_json_and_all_on_disk(tmp_path: Path) -> None:
    with feed(session(*(text(quote(n), trade(n)) for n in range(50)))) as server:
        command = ("capture", "--url", server.url, "--channels", "quotes,trades", "--log", tmp_path, "--json")
        process = tickerplant(*command, "--for", "60s")
        try:
            wait_for(has_frames(tmp_path, 50))
            second = tickerplant(*command, "--for", "60s", stderr=-1)
            _, complaint = second.communicate(timeout=20)
            process.send_signal(signal.SIGTERM)
            printed, _ = process.communicate(timeout=20)
        finally:
            process.kill()
            process.communicate()
    assert second.returncode == 75, complaint
    assert process.returncode == 0
    assert len(server.connects) == 1
    assert server.closes == [1000]
    (line,) = printed.splitlines()
    summary = json.loads(line)
    assert summary["messages"] == {"quotes": 50, "trades": 50}
    assert (summary["frames"], summary["ended"], summary["partition"]) == (50, "stopped", "alpaca.sip")
    assert frames(tmp_path) == [text(quote(n), trade(n)).encode() for n in range(50)]
    assert [s.sealed for s in open_log(str(tmp_path)).segments("alpaca.sip")] == [True]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [(("--for", "soon"), "--for: expected a time such as"), (("--until", "25:99"), "--until: expected"),
     (("--until", "2020-01-02T16:00"), "expected a time to come"), (("--channels", "gossip"), "expected channels"),
     (("--url", "ws://127.0.0.1:1/"), "expected a websocket URL")],
)  # fmt: skip
def test_wrong_options_say_what_to_do_and_exit_2(tmp_path: Path, arguments: tuple[str, ...], complaint: str) -> None:
    words: tuple[str | Path, ...] = ("--url", "ws://127.0.0.1:1/v2/sip", "--log", tmp_path, *arguments)
    code, said = refusal("capture", *words, environment={}, folder=tmp_path)
    assert code == 2
    assert complaint in said

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tickerplant.calendar import NEW_YORK, session
from tickerplant.cli.capture import moment_of, seconds_of
from tickerplant.errors import UsageError
from tickerplant.jobs.capture_gaps import Hole, connected_payload, disconnected_payload, inherited_hole
from tickerplant.jobs.capture_link import Tally
from tickerplant.jobs.capture_sessions import NearSessions, dump
from tickerplant.jobs.gaps import gaps_of_record
from tickerplant.model import Kind, Record

BOTH = ("quotes", "trades")


def record(kind: Kind, payload: dict[str, Any] | bytes, at: int = 1000) -> Record:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Record("alpaca", "sip", kind, at, body)


def test_a_new_log_and_a_planned_end_leave_no_hole() -> None:
    ended = record(Kind.DISCONNECTED, disconnected_payload(3, "ended", "its time is over", None))
    assert inherited_hole(None, None, BOTH) is None
    assert inherited_hole(ended, 1000, BOTH) is None


def test_lines_after_a_planned_end_are_of_a_killed_capture() -> None:
    ended = record(Kind.DISCONNECTED, disconnected_payload(3, "ended", "its time is over", None))
    hole = inherited_hole(ended, 5000, BOTH)
    assert hole is not None
    assert (hole.reason, hole.starts) == ("killed", {"quotes": 5000, "trades": 5000})


def test_a_connected_capture_that_vanished_was_killed_on_its_channels() -> None:
    connected = record(Kind.CONNECTED, connected_payload(1, "ws://h/v2/sip", ["quotes", "bars"], ("*",), None))
    hole = inherited_hole(connected, 9000, BOTH)
    assert hole is not None
    assert (hole.reason, hole.starts, hole.is_recorded) == ("killed", {"quotes": 9000}, False)


def test_an_open_hole_is_handed_on_with_its_reason_and_starts() -> None:
    before = Hole("mute", {"quotes": 500, "trades": 700}, "silent", 4)
    lost = record(Kind.DISCONNECTED, disconnected_payload(2, "mute", "silent", before))
    hole = inherited_hole(lost, 1000, BOTH)
    assert hole == Hole("mute", {"quotes": 500, "trades": 700}, "silent", is_recorded=True)


@pytest.mark.parametrize("payload", [b"", b"[1]", b"not json"])
def test_a_foreign_connection_record_counts_as_killed(payload: bytes) -> None:
    hole = inherited_hole(record(Kind.CONNECTED, payload), 9000, BOTH)
    assert hole is not None
    assert hole.reason == "killed"


def test_disconnected_opens_and_connected_closes_the_same_rows() -> None:
    hole = Hole("half_dead", {"quotes": 1_000_000, "trades": 3_000_000}, "2 %", evidence={"found_per_s": 2.0})
    opened = gaps_of_record(record(Kind.DISCONNECTED, disconnected_payload(1, "half_dead", "2 %", hole), 5_000_000))
    hole.attempts = 3
    closed = gaps_of_record(
        record(Kind.CONNECTED, connected_payload(2, "ws://h/v2/sip", BOTH, ("*",), hole), 9_000_000)
    )
    assert [(g.channel, g.start_ns, g.end_ns, g.reason) for g in opened] == [
        ("quotes", 1_000_000, None, "half_dead"), ("trades", 3_000_000, None, "half_dead")]  # fmt: skip
    assert [(g.channel, g.start_ns, g.end_ns, g.reason) for g in closed] == [
        ("quotes", 1_000_000, 9_000_000, "half_dead"), ("trades", 3_000_000, 9_000_000, "half_dead")]  # fmt: skip
    assert (closed[0].evidence["attempts"], closed[0].evidence["found_per_s"]) == (3, 2.0)


def test_tally_counts_each_marker_in_frames_and_in_lines() -> None:
    tally = Tally({"quotes": b'"T":"q"', "trades": b'"T":"t"'})
    tally.add(b'{"m":[{"T":"q"},{"T":"q"}]}\n{"m":[{"T":"t"}]}\n{"m":[{"T":"success"}]}\n')
    tally.add(b'[{"T":"t"}]')
    assert tally.messages == {"quotes": 2, "trades": 2}


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("2h", 7200), ("0.5s", 0.5)])
def test_for_takes_seconds_minutes_and_hours(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-5", "5d", "soon"])
def test_for_refuses_what_is_no_time(text: str) -> None:
    with pytest.raises(UsageError, match="expected a time such as 90"):
        seconds_of(text)


def test_until_is_new_york_today_or_an_iso_time() -> None:
    now = datetime(2026, 11, 20, 18, tzinfo=UTC)
    four = datetime(2026, 11, 20, 21, tzinfo=UTC)
    assert moment_of("16:00", now) == moment_of("2026-11-20T16:00", now) == moment_of("2026-11-20T21:00Z", now) == four
    for text in ("12:59", "2026-11-20", "24:00", "four"):
        with pytest.raises(UsageError, match="--until: expected a time"):
            moment_of(text, now)


def test_near_sessions_are_those_of_the_calendar_and_are_kept(tmp_path: Path) -> None:
    cache = tmp_path / "sessions.json"
    friday = session(date(2026, 11, 27))
    assert friday is not None
    fresh = NearSessions(cache)
    assert fresh.at(friday.open, wait=True) == friday
    assert fresh.at(friday.post_close) is None
    assert fresh.at(friday.pre_open - timedelta(seconds=1)) is None
    assert fresh.coming(friday.post_close) == session(date(2026, 11, 30))
    kept = NearSessions(cache)
    assert kept.at(friday.open) == friday
    assert kept.at(datetime(2026, 11, 26, 12, tzinfo=NEW_YORK)) is None
    for sessions in (fresh, kept):
        sessions.close()


def test_a_damaged_cache_of_sessions_is_computed_again(tmp_path: Path) -> None:
    cache = tmp_path / "sessions.json"
    cache.write_text('{"start": 1}')
    day = session(date(2026, 11, 20))
    assert day is not None
    sessions = NearSessions(cache)
    assert sessions.at(day.open, wait=True) == day
    sessions.close()
    assert json.loads(cache.read_text())["start"] == "2026-11-19"


def test_dump_is_half_open() -> None:
    days = [row[0] for row in json.loads(dump(date(2026, 11, 25), date(2026, 11, 30)))["sessions"]]
    assert days == ["2026-11-25", "2026-11-27"]

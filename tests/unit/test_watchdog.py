from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from tests.support.fake_day import SECOND, Counts, faulty, play, times
from tickerplant.calendar import Session, session
from tickerplant.net.watchdog import ALL, Watchdog

FOUND = session(date(2026, 11, 20))
assert FOUND is not None
HOURS: Session = FOUND
NOON = int((HOURS.open + timedelta(hours=2.5)).timestamp() * SECOND)


def ticks(start_s: float, end_s: float) -> Counts:
    """Ticks around noon."""
    noon = datetime.fromtimestamp(NOON / SECOND, UTC)
    return times(noon + timedelta(seconds=start_s), noon + timedelta(seconds=end_s))


def steady(at: Counts, per_tick: int = 200) -> Counts:
    return np.full(len(at), per_tick)


def test_quirk_33_a_market_wide_halt_is_not_a_reconnect_storm() -> None:
    at = ticks(-300, 1800)
    halted = np.where(at <= NOON, 200, 0)
    watchdog = Watchdog(["quotes", "trades"], firehose=["quotes", "trades"])
    alarms = [(now - NOON) / SECOND for now, _ in play(watchdog, at, {"quotes": halted, "trades": halted // 4}, HOURS)]
    assert alarms[0] <= 10
    waits = np.diff(alarms)
    assert all(waits >= np.array([10, 20, 40, 80, 160, 300, 300, 300, 300])[: len(waits)])
    assert 7 <= len(alarms) <= 10


def test_after_a_usual_window_the_next_alarm_is_quick_again() -> None:
    at = ticks(-300, 400)
    seconds = (at - NOON) / SECOND
    twice = np.where((seconds <= 0) | ((seconds > 60) & (seconds <= 100)) | (seconds > 150), 200, 0)
    alarms = [(now - NOON) / SECOND for now, _ in play(Watchdog(["quotes"]), at, {"quotes": twice}, HOURS)]
    assert next(a for a in alarms if 100 < a < 150) <= 110
    assert not [a for a in alarms if a > 150]


def test_one_channel_for_good_out_is_left_alone_more_and_more_while_others_flow() -> None:
    at = ticks(-300, 1500)
    channels = {"quotes": steady(at), "trades": np.where(at <= NOON, 100, 0)}
    alarms = list(play(Watchdog(channels), at, channels, HOURS))
    assert {a.channel for _, a in alarms} == {"trades"}
    assert {tuple(a.starts) for _, a in alarms} == {("trades",)}
    assert len(alarms) <= 9


def test_both_channels_are_named_when_both_are_mute() -> None:
    at = ticks(-300, 30)
    channels = {"quotes": np.where(at <= NOON, 200, 0), "trades": np.where(at <= NOON - SECOND, 50, 0)}
    now, alarm = next(play(Watchdog(channels), at, channels, HOURS))
    assert set(alarm.starts) == {"quotes", "trades"}
    assert alarm.starts["trades"] <= NOON - SECOND
    assert alarm.starts["quotes"] <= NOON < now


def test_a_new_level_is_taken_as_usual_after_three_alarms() -> None:
    at = ticks(-600, 3000)
    chance = np.random.default_rng(1)
    channels = {"quotes": faulty(steady(at), at, NOON, 0.03, chance)}
    alarms = [a.reason for _, a in play(Watchdog(channels), at, channels, HOURS)]
    assert alarms == ["half_dead"] * 3


def test_calm_channels_make_one_busy_connection() -> None:
    at = ticks(-900, 30)
    chance = np.random.default_rng(3)
    channels = {f"c{i}": np.where(at <= NOON, chance.poisson(0.5, len(at)), 0) for i in range(8)}
    now, alarm = next(play(Watchdog(channels), at, channels, HOURS))
    assert (alarm.reason, alarm.channel) == ("mute", ALL)
    assert (now - NOON) / SECOND <= 11


def test_profile_covers_the_first_minutes_after_a_restart() -> None:
    before, after = ticks(-300, 0), ticks(30, 120)
    old = Watchdog(["quotes"])
    assert not list(play(old, before, {"quotes": steady(before)}, HOURS))
    profile = json.loads(json.dumps(old.as_json()))
    new = Watchdog(["quotes"])
    new.learn(profile)
    silent = {"quotes": steady(after, 0)}
    now, alarm = next(play(new, after, silent, HOURS))
    assert (now - after[0]) / SECOND <= 10
    assert alarm.expected_per_s == pytest.approx(400)
    assert not list(play(Watchdog(["quotes"]), after, silent, HOURS))


def test_a_profile_of_yesterday_is_trusted_against_silence_only() -> None:
    before, after = ticks(-600, 0), ticks(0, 300)
    old = Watchdog(["quotes"])
    list(play(old, before - 86_400 * SECOND, {"quotes": steady(before)}, session(date(2026, 11, 19))))
    profile = old.as_json()
    assert profile["channels"]["quotes"]
    calm, mute = Watchdog(["quotes"]), Watchdog(["quotes"])
    calm.learn(profile)
    mute.learn(profile)
    assert not list(play(calm, after, {"quotes": steady(after, 5)}, HOURS))
    now, _ = next(play(mute, after, {"quotes": steady(after, 0)}, HOURS))
    assert (now - after[0]) / SECOND <= 30


def test_without_a_profile_a_subscription_to_everything_has_a_minute() -> None:
    at = ticks(0, 200)
    silent = {"quotes": steady(at, 0), "trades": steady(at, 0)}
    now, alarm = next(play(Watchdog(silent, firehose=["quotes", "trades"]), at, silent, HOURS))
    assert 60 <= (now - at[0]) / SECOND <= 61.5
    assert alarm.reason == "mute"
    assert not list(play(Watchdog(silent), at, silent, HOURS))


def test_a_stall_of_our_own_is_no_silence() -> None:
    at = ticks(-300, 300)
    slept = at[(at <= NOON) | (at > NOON + 60 * SECOND)]
    channels = {"quotes": steady(slept)}
    assert not list(play(Watchdog(channels), slept, channels, HOURS))


def test_excused_silence_counts_from_the_excuse() -> None:
    at = ticks(-300, 20)
    watchdog = Watchdog(["quotes"])
    for now in at.tolist():
        if NOON < now <= NOON + 12 * SECOND:
            watchdog.excuse(now)
        assert watchdog.observe(now, {"quotes": 0 if now > NOON else 200}, HOURS) is None


@pytest.mark.parametrize("profile", [{}, {"version": 1, "channels": {"quotes": [[1]]}}, {"version": 1, "channels": 3},
                                     {"version": 1, "channels": {"quotes": [[1, 2, 0, 0, 0.0]]}}])  # fmt: skip
def test_a_profile_that_is_none_is_refused(profile: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Watchdog(["quotes"]).learn(profile)

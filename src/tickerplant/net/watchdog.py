"""Is the feed still what it usually is? A connection can stay open and go mute, or deliver a few percent.

`Watchdog` is pure: it is told the time, how many messages each channel brought since the last call, and the session.
It alarms only in regular hours, only for a channel whose past makes the silence implausible:

- **mute**: nothing for `max(8 s, 20 / rate of non-empty ticks, 4 x the longest silence of the last half hour)`. Ticks
  with traffic, not messages, are what makes silence unlikely: ten messages in one burst are one chance.
- **half_dead**: four whole 10 s windows below a tenth of the usual (the median window of the last half hour) and
  below a fifth of the least four windows in a row seen, with at least 200 messages expected.

Everything learned is a list of windows (end, messages, ticks, empty ticks, longest silence): it outlives connections
and can be saved as JSON. Windows older than half an hour still cover a restart: at a tenth of their rate, since
minutes of a day differ 2-8 x, and only against silence. A silence that is still running is not learned from. Without
any windows a subscription to all symbols still alarms when it is wholly silent for a minute.

After an alarm the next one of the channels concerned needs a usual window, or twice the wait of the last (10 s to
300 s): a market-wide halt is not a reconnect storm. Three half-dead alarms in a row without a usual window make the
new rate the usual one.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any, Literal, NamedTuple

from tickerplant.calendar import Session

SECOND = 1_000_000_000
ALL = "*"
"""The pseudo-channel that is the sum of all: two calm channels can make one busy connection."""


@dataclass(frozen=True)
class WatchdogOptions:
    """Thresholds; times in seconds."""

    grace_s: float = 60.0
    window_s: float = 10.0
    windows_needed: int = 6
    history_s: float = 1800.0
    mute_s: float = 8.0
    mute_messages_per_window: float = 20.0
    mute_odds: float = 20.0
    mute_runs: float = 4.0
    firehose_mute_s: float = 60.0
    half_dead_windows: int = 4
    half_dead_share: float = 0.1
    half_dead_of_least: float = 0.2
    half_dead_expected: float = 200.0
    stale_share: float = 0.1
    first_wait_s: float = 10.0
    longest_wait_s: float = 300.0
    longest_tick_s: float = 5.0


class Window(NamedTuple):
    """What one channel did in one window: end in ns, messages, ticks, ticks without any, longest silence in s."""

    end: int
    messages: int
    ticks: int
    empty: int
    silence: float


@dataclass(frozen=True)
class Alarm:
    """A feed that is not what it was. `starts`: for each channel concerned, when it was last usual (ns UTC)."""

    reason: Literal["mute", "half_dead"]
    channel: str
    start: int
    starts: Mapping[str, int]
    expected_per_s: float
    found_per_s: float

    @property
    def detail(self) -> str:
        """The evidence in words."""
        return (
            f"{self.channel} {self.reason}: expected about {self.expected_per_s:.3g} messages/s, "
            f"found {self.found_per_s:.3g}"
        )


@dataclass
class _Channel:
    """State of one channel. Times are ns; `seen` is the tick of the last message, `[seen_from, seen]`."""

    name: str
    windows: deque[Window]
    seen: int = 0
    seen_from: int = 0
    longest: float = 0.0
    ticks: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=256))
    messages: int = 0
    count: int = 0
    empty: int = 0
    is_heard: bool = False
    held: list[Window] = field(default_factory=list)
    low_alarms: int = 0
    wait_s: float = 0.0
    next_alarm: int = 0

    def restart(self, now: int) -> None:
        self.seen = self.seen_from = now
        self.is_heard = False
        self.ticks.clear()
        self.held.clear()
        self.begin()

    def begin(self) -> None:
        self.messages = self.count = self.empty = 0
        self.longest = 0.0

    def add(self, before: int, now: int, messages: int) -> None:
        """Take the messages of the tick `(before, now]`."""
        self.ticks.append((now, messages))
        self.count += 1
        self.messages += messages
        if messages:
            self.longest = max(self.longest, self.silence_s(before))
            self.seen_from, self.seen, self.is_heard = before, now, True
        else:
            self.empty += 1

    def end(self, now: int) -> Window:
        """The window that ends now; the silence still running counts as long as it is."""
        return Window(now, self.messages, self.count, self.empty, max(self.longest, self.silence_s(now)))

    def silence_s(self, now: int) -> float:
        """Seconds since the last message; 0 before the first: that silence says nothing of the channel."""
        return (now - self.seen) / SECOND if self.is_heard else 0.0


class Watchdog:
    """Watches the channels of one feed over all its connections. Call `observe` about twice a second."""

    def __init__(
        self, channels: Iterable[str], firehose: Iterable[str] = (), options: WatchdogOptions = WatchdogOptions()
    ) -> None:
        """`firehose`: channels subscribed for all symbols that cannot be silent for a minute of regular hours."""
        self.options = options
        size = int(options.history_s / options.window_s)
        self._channels = {name: _Channel(name, deque(maxlen=size)) for name in (*channels, ALL)}
        self._firehose = tuple(firehose)
        self._last: int | None = None
        self._window_start = 0
        self._watching_since: int | None = None

    def connected(self, now: int) -> None:
        """A connection is live: silence counts from here."""
        self._last = None
        self._watching_since = None

    def excuse(self, now: int) -> None:
        """What was counted lately says nothing (reading was paused, the disk stalled): start afresh."""
        self.connected(now)

    def observe(self, now: int, counts: Mapping[str, int], session: Session | None) -> Alarm | None:
        """Take the messages per channel since the last call; `session` is the one that holds `now`, if any."""
        before, self._last = self._last, now
        if not self._is_open(now, session):
            self._watching_since = None
            return None
        is_late = before is None or not 0 < now - before <= self.options.longest_tick_s * SECOND
        if self._watching_since is None or is_late:
            self._restart(now)
            return None
        assert before is not None
        for channel in self._channels.values():
            messages = sum(counts.values()) if channel.name == ALL else counts.get(channel.name, 0)
            channel.add(before, now, messages)
        return self._judge(now)

    def _is_open(self, now: int, session: Session | None) -> bool:
        if session is None:
            return False
        at = datetime.fromtimestamp(now / SECOND, UTC)
        return session.open + timedelta(seconds=self.options.grace_s) <= at < session.close

    def _restart(self, now: int) -> None:
        self._watching_since = self._window_start = now
        for channel in self._channels.values():
            channel.restart(now)

    def _judge(self, now: int) -> Alarm | None:
        found = [a for c in self._channels.values() if (a := self._mute(c, now))]
        if alarm := self._wholly_mute(now):
            found.append(alarm)
        if now - self._window_start >= self.options.window_s * SECOND:
            found += self._end_windows(now)
            self._window_start = now
        return next((self._let_through(a, now) for a in found if now >= self._channels[a.channel].next_alarm), None)

    def _let_through(self, alarm: Alarm, now: int) -> Alarm:
        self._watching_since = None
        for channel in self._channels.values():
            if channel.name in (*alarm.starts, alarm.channel, ALL):
                channel.wait_s = min(max(channel.wait_s * 2, self.options.first_wait_s), self.options.longest_wait_s)
                channel.next_alarm = now + int(channel.wait_s * SECOND)
                channel.low_alarms += alarm.reason == "half_dead"
            if channel.low_alarms >= 3:
                channel.low_alarms = 0
                channel.windows.clear()
        return alarm

    def _usual(self, channel: _Channel, now: int) -> tuple[Sequence[Window], float]:
        """The windows to compare with, and the share of their rate that is certain."""
        o = self.options
        recent = [w for w in channel.windows if w.end > now - o.history_s * SECOND]
        if len(recent) >= o.windows_needed:
            return recent, 1.0
        return (list(channel.windows), o.stale_share) if len(channel.windows) >= o.windows_needed else ((), 1.0)

    def _patience_s(self, channel: _Channel, now: int) -> tuple[float, float]:
        """Seconds of silence that are implausible for a channel (inf: never), and its usual messages per second."""
        o = self.options
        windows, share = self._usual(channel, now)
        last = windows[-o.windows_needed :]
        if not last or not all(w.messages for w in last):
            return math.inf, 0.0
        per_window = share * sum(w.messages for w in last) / len(last)
        if per_window < o.mute_messages_per_window:
            return math.inf, 0.0
        ticks, empty = sum(w.ticks for w in windows), sum(w.empty for w in windows)
        tick_s = len(windows) * o.window_s / ticks
        lively = share * -math.log((empty + 1) / (ticks + 1)) / tick_s
        if lively <= 0:
            return math.inf, 0.0
        longest = max(w.silence for w in windows)
        return max(o.mute_s, o.mute_odds / lively, o.mute_runs * longest), per_window / o.window_s

    def _mute(self, channel: _Channel, now: int) -> Alarm | None:
        silence = (now - channel.seen) / SECOND
        if silence < self.options.mute_s:
            return None
        patience, usual = self._patience_s(channel, now)
        return self._mute_alarm(channel, now, usual) if silence >= patience else None

    def _wholly_mute(self, now: int) -> Alarm | None:
        """Whatever was learned, or nothing: of a subscription to everything a minute without anything is enough."""
        firehose = [self._channels[name] for name in self._firehose if name in self._channels]
        if not firehose:
            return None
        silence = now - max(c.seen for c in firehose)
        if silence < self.options.firehose_mute_s * SECOND:
            return None
        return self._mute_alarm(firehose[0], now, 1.0)

    def _mute_alarm(self, channel: _Channel, now: int, usual: float) -> Alarm:
        quiet = [c for c in self._channels.values() if c.name != ALL and now - c.seen >= 2 * SECOND]
        starts = {c.name: c.seen_from for c in quiet if self._patience_s(c, now)[0] < math.inf}
        if channel.name != ALL:
            starts[channel.name] = channel.seen_from
        return Alarm("mute", channel.name, channel.seen_from, starts, usual, 0.0)

    def _end_windows(self, now: int) -> list[Alarm]:
        found = [a for c in self._channels.values() if (a := self._end_window(c, now))]
        starts = {name: start for a in found for name, start in a.starts.items()}
        if found and found[-1].channel == ALL:
            starts = {name: starts.get(name, found[-1].start) for name in self._channels if name != ALL}
        return [replace(a, starts=starts) for a in found]

    def _end_window(self, channel: _Channel, now: int) -> Alarm | None:
        """Learn from the window that ends now, unless it is part of a silence that may be a fault; and judge it."""
        window = channel.end(now)
        channel.begin()
        if not window.messages and self._patience_s(channel, now)[0] < math.inf:
            channel.held += [window] if channel.is_heard else []
            return None
        channel.windows.extend(channel.held)
        channel.held.clear()
        channel.windows.append(window)
        return self._half_dead(channel, now)

    def _half_dead(self, channel: _Channel, now: int) -> Alarm | None:
        """Judge the last windows against those before. Windows that make an alarm are not learned from."""
        o, n = self.options, self.options.half_dead_windows
        windows, share = self._usual(channel, now)
        usual = [w.messages for w in windows[:-n]]
        if share < 1 or len(usual) < o.windows_needed:
            return None
        typical = median(usual)
        if windows[-1].messages > max(o.half_dead_share * typical, 1):
            if windows[-1].messages >= typical / 4:
                channel.wait_s, channel.next_alarm, channel.low_alarms = 0.0, 0, 0
            return None
        found = sum(w.messages for w in windows[-n:])
        least = min(sum(usual[i : i + n]) for i in range(len(usual) - n + 1))
        if typical * n < o.half_dead_expected or found > min(
            o.half_dead_share * typical * n, least * o.half_dead_of_least
        ):
            return None
        for _ in range(n):
            channel.windows.pop()
        rate, low = typical / o.window_s, found / n / o.window_s
        start = _change(channel.ticks, rate, low)
        return Alarm("half_dead", channel.name, start, {} if channel.name == ALL else {channel.name: start}, rate, low)

    def as_json(self) -> dict[str, Any]:
        """What was learned."""
        return {"version": 1, "channels": {n: [list(w) for w in c.windows] for n, c in self._channels.items()}}

    def learn(self, profile: Mapping[str, Any]) -> None:
        """Take up what an earlier process learned. Raises ValueError for a profile that is none."""
        try:
            for name, windows in profile["channels"].items():
                if name in self._channels and profile["version"] == 1:
                    self._channels[name].windows.extend(_window(w) for w in windows)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"watchdog profile: expected channels with windows, was {error!r}") from None


def _window(item: Sequence[float]) -> Window:
    end, messages, ticks, empty, silence = item
    if ticks <= 0:
        raise ValueError("watchdog profile: expected windows of ticks, was an empty one")
    return Window(int(end), int(messages), int(ticks), int(empty), float(silence))


def _change(ticks: Sequence[tuple[int, int]], usual: float, low: float) -> int:
    """The tick before the most likely moment at which a Poisson rate fell from `usual` to `low` per second."""
    low = max(low, usual / 1000)
    best, best_at, score = 0.0, 0, 0.0
    for i in range(1, len(ticks)):
        seconds = (ticks[i][0] - ticks[i - 1][0]) / SECOND
        score += ticks[i][1] * math.log(usual / low) - (usual - low) * seconds
        if score > best:
            best, best_at = score, i
    return ticks[max(0, best_at - 1)][0]

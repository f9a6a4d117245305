"""Ownership between machines: an object that names the owner and until when, taken and renewed by conditional puts.

It keeps owners out of each other's way; it does not make them safe. A machine that stands still longer than its
lease and then goes on is stopped by what it writes: a segment or a version that is there is never replaced.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from tickerplant.bucket import Bucket
from tickerplant.errors import BadData


class Held(msgspec.Struct, frozen=True):
    """What stands in a lease. `until_ns` is UTC by the owner's clock; 0 is a lease that was given up."""

    holder: str
    who: str
    machine: str
    pid: int
    started: str
    until_ns: int


class BucketLease:
    """One lease. `take`, `renew` and `release` each make one or two requests; not safe to share between threads.

    `holder` names who may take the lease from itself: a restarted process that is surely the only one with that name.
    Clocks that differ by more than half of `ttl_s` let two owners in.
    """

    def __init__(
        self, bucket: Bucket, key: str, holder: str, ttl_s: float, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._bucket, self._key, self._holder, self._ttl_s = bucket, key, holder, ttl_s
        self._clock_ns = clock_ns
        self._tag: str | None = None

    @property
    def is_held(self) -> bool:
        """Whether the lease was ours when we looked last."""
        return self._tag is not None

    def take(self) -> Held | None:
        """Take the lease; returns the owner when there is another one."""
        mine = msgspec.json.encode(self._mine())
        found = self._bucket.get(self._key)
        if found is None:
            taken = self._bucket.create(self._key, mine)
        else:
            held = _decode(self._key, found.data)
            if not self._may_replace(held):
                return held
            taken = self._bucket.replace(self._key, mine, found.tag)
        now = self._bucket.get(self._key)
        if now is not None and now.data == mine:
            self._tag = now.tag
            return None
        if taken or now is None:
            return self.take()
        return _decode(self._key, now.data)

    def owner(self) -> Held | None:
        """Who has the lease; None when it can be taken."""
        found = self._bucket.get(self._key)
        held = _decode(self._key, found.data) if found else None
        return None if held is None or self._may_replace(held) else held

    def renew(self) -> bool:
        """Keep the lease for another `ttl_s`; False when somebody took it meanwhile."""
        if self._tag is None:
            return False
        return self.take() is None

    def release(self) -> None:
        """Give the lease up, if it is ours; idempotent."""
        if self._tag is not None:
            free = msgspec.structs.replace(self._mine(), until_ns=0)
            self._bucket.replace(self._key, msgspec.json.encode(free), self._tag)
            self._tag = None

    def _mine(self) -> Held:
        until = self._clock_ns() + int(self._ttl_s * 1e9)
        pid = os.getpid()
        return Held(self._holder, f"process {pid} on {socket.gethostname()}", _machine(), pid, _started(pid), until)

    def _may_replace(self, held: Held) -> bool:
        return held.holder == self._holder or held.until_ns < self._clock_ns() or _is_dead(held)


def _decode(key: str, data: bytes) -> Held:
    try:
        return msgspec.json.decode(data, type=Held)
    except msgspec.MsgspecError as error:
        raise BadData(f"{key}: expected a lease, was {error}; do delete that object") from None


def _machine() -> str:
    """What tells this machine, since it was booted, and its process numbers from all others; empty when unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _started(pid: int) -> str:
    """When a living process began, in ticks since boot; empty for one that is over."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def _is_dead(held: Held) -> bool:
    """Whether the owner was a process of this machine that is over: then nobody has to wait."""
    return bool(held.started) and held.machine == _machine() != "" and _started(held.pid) != held.started

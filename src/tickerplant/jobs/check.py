"""Check a plant before a session: settings, keys, URLs, clock, disk, owners. Reads only; prints no secret."""

from __future__ import annotations

import ctypes
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from tickerplant.calendar import NEW_YORK, next_session
from tickerplant.clock import utc_now
from tickerplant.errors import UsageError
from tickerplant.jobs.check_store import check_store
from tickerplant.jobs.finding import Check
from tickerplant.logs import open_log
from tickerplant.settings import Settings
from tickerplant.stores import is_postgres

__all__ = ["Check", "check"]

_DISK_WARN_BYTES, _DISK_FAIL_BYTES = 50 << 30, 1 << 30
_SLOW_SYNC_S = 0.05
_CLOCK_UNSYNCHRONISED = 5


def _check_keys(settings: Settings) -> Iterator[Check]:
    pairs = (("ALPACA_API_KEY", settings.alpaca_key), ("ALPACA_SECRET_KEY", settings.alpaca_secret))
    for name, value in pairs:
        if value:
            yield Check(name, "ok", "set")
        else:
            yield Check(name, "warn", "not set", f"set {name} in the environment or .env; the simulator needs none")


def _check_url(settings: Settings) -> Check:
    parts = urlsplit(settings.alpaca_url)
    shown = f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"
    if parts.scheme not in ("ws", "wss") or not parts.hostname:
        return Check("websocket", "fail", shown, "ALPACA_WEBSOCKET_URL: expected wss://host/v2/feed")
    if parts.username or parts.password or parts.query:
        return Check("websocket", "fail", shown, "ALPACA_WEBSOCKET_URL: keep keys out of the URL")
    if parts.scheme == "ws" and parts.hostname not in ("127.0.0.1", "localhost", "::1"):
        return Check("websocket", "fail", shown, "ALPACA_WEBSOCKET_URL: a remote host needs wss, keys go over it")
    if parts.path.strip("/").count("/") < 1:
        return Check("websocket", "warn", shown, "expected a path such as /v2/iex, /v2/sip or /v2/test")
    return Check("websocket", "ok", shown)


def _is_folder(url: str) -> bool:
    return "://" not in url or url.startswith("file://")


def nearest_folder(url: str) -> Path:
    """The folder of a URL, or the first above it that is there."""
    path = Path(url.removeprefix("file://")).absolute()
    while not path.exists():
        path = path.parent
    return path


def _check_disk(name: str, url: str) -> Iterator[Check]:
    folder = nearest_folder(url)
    free = shutil.disk_usage(folder).free
    shown = f"{free / 2**30:,.0f} GiB free at {folder}"
    if not os.access(folder, os.W_OK):
        yield Check(name, "fail", f"{folder} cannot be written", "change its owner or choose another folder")
    elif free < _DISK_FAIL_BYTES:
        yield Check(name, "fail", shown, "free some disk: a capture stops when it is full")
    elif free < _DISK_WARN_BYTES:
        yield Check(name, "warn", shown, "all symbols of a full SIP day take tens of GiB")
    else:
        yield Check(name, "ok", shown)
    if name == "log" and os.access(folder, os.W_OK):
        yield _check_sync(folder)


def _check_store(settings: Settings) -> Iterator[Check]:
    try:
        url = settings.store
    except UsageError as error:
        yield Check("store", "fail", str(error), "keep one of them")
        return
    if is_postgres(url):
        yield from check_store(settings)
    _, _, embedded = url.partition("postgresql+embedded://")
    if embedded or _is_folder(url):
        yield from _check_disk("store disk" if embedded else "store", embedded or url)


def _check_sync(folder: Path) -> Check:
    times = []
    with tempfile.NamedTemporaryFile(dir=folder, prefix=".tickerplant-check-") as file:
        for _ in range(5):
            file.write(b"x" * 65536)
            file.flush()
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - began)
    middle = sorted(times)[2]
    shown = f"{middle * 1000:.1f} ms to force 64 KiB to disk"
    if middle > _SLOW_SYNC_S:
        return Check("disk sync", "warn", shown, "records are safe only after that long; use a local disk for the log")
    return Check("disk sync", "ok", shown)


def check_clock() -> Check:
    """Ask the kernel whether the clock is disciplined (adjtimex, man page adjtimex(2): 5 is TIME_ERROR)."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        state = libc.adjtimex(ctypes.create_string_buffer(512))
    except (OSError, AttributeError):
        return Check("clock", "warn", "cannot be asked on this system", "make sure that NTP runs")
    if state == _CLOCK_UNSYNCHRONISED:
        return Check("clock", "warn", "not synchronised, says the kernel", "run chrony or systemd-timesyncd")
    if state < 0:
        return Check("clock", "warn", "the kernel did not say", "make sure that NTP runs")
    return Check("clock", "ok", "synchronised, says the kernel")


def _check_session() -> Check:
    coming = next_session(utc_now())
    opens, closes = (t.astimezone(NEW_YORK) for t in (coming.pre_open, coming.post_close))
    early = ", early close" if coming.is_early_close else ""
    return Check("session", "ok", f"{coming.day} {opens:%H:%M} to {closes:%H:%M} New York{early}")


def owned(log: str) -> set[str]:
    """Partitions of a log in a folder that a process writes to now."""
    import fcntl

    found = set()
    for lock in nearest_folder(log).glob("*/owner.lock"):
        try:
            with lock.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            found.add(lock.parent.name)
    return found


def _written(settings: Settings) -> str:
    """Where a capture on this machine writes to."""
    return str(open_log(settings.log).folder)


def _check_owner(settings: Settings) -> Iterator[Check]:
    for name in sorted(owned(_written(settings))):
        yield Check("owner", "warn", f"a capture of {name} runs now", "a second one will be refused")


def check(settings: Settings) -> list[Check]:
    """All findings, in the order a person would fix them."""
    return [
        *_check_keys(settings),
        _check_url(settings),
        check_clock(),
        *_check_disk("log", _written(settings)),
        *_check_store(settings),
        _check_session(),
        *_check_owner(settings),
    ]

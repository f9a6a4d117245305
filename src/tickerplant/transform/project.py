"""The project in a temporary work folder: a copy of what the package ships, sources, profile, the user's models.

dbt writes its logs and compiled files there, so nothing stays behind and the package's folder is only read.
"""

from __future__ import annotations

import atexit
import filecmp
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from tickerplant.errors import UsageError
from tickerplant.tables import TABLES
from tickerplant.transform.request import Request
from tickerplant.transform.sources import sources

_PARSED = "partial_parse.msgpack"
_NAME = re.compile("[a-z][a-z0-9_]{0,62}")
SHIPPED = Path(__file__).resolve().parents[1] / "dbt"


@cache
def work_folder(kind: str) -> Path:
    """This process's folder for runs over a kind of store: dbt parses what changed since its last run there."""
    folder = Path(mkdtemp(prefix=f"tickerplant-{kind}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def prepare(work: Path, target: Mapping[str, Any], schema: str, user: Path | None) -> None:
    """Write the project into `work`. `target` is dbt's output of the profile, `schema` where the tables are."""
    for name in ("macros", "models", "generated", "user"):
        shutil.rmtree(work / name, ignore_errors=True)
    shutil.copytree(SHIPPED, work, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__", "target", "logs"))
    generated = work / "generated"
    generated.mkdir()
    _write(generated / "sources.yml", sources(target["database"], schema))
    _write(work / "profiles.yml", {"tickerplant": {"target": "plant", "outputs": {"plant": dict(target)}}})
    _user_models(work / "user", user)


@contextmanager
def parsed(work: Path, kind: str, cache: Path | None) -> Iterator[None]:
    """What dbt made of the project in an earlier process is there for this one, and is kept for the next.

    dbt itself tells by checksums what of it still holds. A folder that cannot be written keeps nothing.
    """
    mine, kept = work / "target" / _PARSED, cache and cache / f"dbt-{kind}.msgpack"
    if kept and not mine.exists():
        mine.parent.mkdir(exist_ok=True)
        with suppress(OSError):
            shutil.copyfile(kept, mine)
    yield
    if kept and mine.exists():
        with suppress(OSError):
            _keep(mine, kept)


def _keep(mine: Path, kept: Path) -> None:
    if kept.exists() and filecmp.cmp(mine, kept, shallow=False):
        return
    kept.parent.mkdir(parents=True, exist_ok=True)
    aside = kept.with_name(f"{kept.name}.{os.getpid()}")
    shutil.copyfile(mine, aside)
    aside.rename(kept)


def signature(request: Request) -> str:
    """What every mart depends on beside its rows: shipped SQL, vendors, moment of knowledge, lengths of bars."""
    digest = hashlib.blake2b(digest_size=8)
    for path in sorted(SHIPPED.rglob("*.sql")):
        digest.update(path.relative_to(SHIPPED).as_posix().encode() + b"\0" + path.read_bytes())
    digest.update(repr((request.vendors, request.known_at, request.intervals)).encode())
    return digest.hexdigest()


def _user_models(place: Path, user: Path | None) -> None:
    if user is None:
        return
    if not user.is_dir():
        raise UsageError(f"TICKERPLANT_MODELS: expected a folder of models, was {user}")
    for path in sorted(user.rglob("*.sql")):
        if path.stem in TABLES or not _NAME.fullmatch(path.stem):
            raise UsageError(
                f"TICKERPLANT_MODELS: expected names of small letters, digits and _ that no table has, was {path.name}"
            )
    shutil.copytree(user, place, ignore=shutil.ignore_patterns("target", "logs", "dbt_packages", ".*"))


def _write(path: Path, content: Mapping[str, Any]) -> None:
    """As JSON, which YAML is a superset of."""
    path.write_text(json.dumps(content))

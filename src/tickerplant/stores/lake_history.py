"""Past versions of a lake table.

The Delta log folder must stay small, because readers list it; 57,600 commits a session would not. So older commits move
into packs under `<table>/_history/` (Delta ignores folders that begin with `_`), a few kilobytes for a hundred commits,
and `as_of` reads those. A pack is one zstd file `<first>-<last>.jsonl.zst`: the state before `first`, then each commit.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import msgspec
import zstandard

from tickerplant.errors import UsageError
from tickerplant.stores.lake_actions import Commit, File, State
from tickerplant.stores.lake_log import CHECKPOINT_EVERY, TableLog
from tickerplant.stores.object_path import Folder, ObjectPath, map_in, put_whole

_PACK_WHEN = 2 * CHECKPOINT_EVERY
_STAND_STILL_S = 86_400.0


class _Base(msgspec.Struct, frozen=True):
    version: int
    timestamp: int
    files: list[File]


def pack(log: TableLog) -> None:
    """Move old commits out of the log folder when there are many; idempotent, safe at any moment."""
    last = log.state.version - CHECKPOINT_EVERY
    last -= last % CHECKPOINT_EVERY
    first = _oldest_commit(log, last)
    if last - first + 1 < _PACK_WHEN or not _checkpoint(log, last).exists():
        return
    before = state_at(log, first - 1)
    _write_pack(log, first, last, before)
    if not isinstance(log.log_folder, Path):
        _discard_old(log.log_folder, last)
        return
    with log.exclusive():
        for version in range(first, last + 1):
            (log.log_folder / f"{version:020d}.json").unlink(missing_ok=True)
            _checkpoint(log, version - 1).unlink(missing_ok=True)


def _discard_old(folder: ObjectPath, last: int) -> None:
    """Delete commits up to a version that are in packs, and the checkpoints before it, once they are a day old.

    A bucket has no lock: were the name of a version free soon after, a writer that stood still before its commit
    could take it, where no reader looks any more.
    """
    limit = time.time() - _STAND_STILL_S
    for stored in folder.bucket.objects(folder.key):
        version, _, kind = stored.key.rpartition("/")[2].partition(".")
        is_past = version.isdecimal() and int(version) + (kind != "json") <= last
        if is_past and stored.modified < limit:
            folder.bucket.delete(stored.key)


def state_at(log: TableLog, version: int) -> State:
    """The table at a version. Raises UsageError when it is too old or not reached."""
    if version < 0:
        return State()
    present = log.refresh()
    if version > present.version:
        raise UsageError(f"as_of: expected {log.table.name} version up to {present.version}, was {version}")
    packs = [p for p in _packs(log) if _span(p)[0] <= version]
    state = State()
    if packs:
        state = _replay(packs[-1], version)
    while state.version < version:
        commit = log.read_commit(state.version + 1)
        if commit is None:
            raise UsageError(f"as_of: expected a version of {log.table.name} that is still kept, was {version}")
        state.apply(commit)
    return state


def state_when(log: TableLog, moment: datetime) -> State:
    """The table as it was at a moment; empty before it existed. Raises UsageError before what is kept."""
    limit = int(moment.timestamp() * 1000)
    found: int | None = None
    for version, timestamp in _timeline(log):
        if timestamp <= limit:
            found = version
            break
    if found is not None:
        return state_at(log, found)
    if _oldest_kept(log) > 0:
        raise UsageError(f"as_of: expected a time at which {log.table.name} is still kept, was {moment.isoformat()}")
    return State()


def commits_between(log: TableLog, after: int, last: int) -> list[Commit] | None:
    """The commits of versions `(after, last]` in order; None when some are not kept any more."""
    wanted = range(after + 1, last + 1)
    found = _packed(log, wanted)
    loose = [v for v in wanted if v not in found]
    commits = map_in(log.folder, log.read_commit, loose)
    found.update((c.version, c) for c in commits if c is not None)
    if len(found) < len(wanted):
        # A pack was made of them meanwhile, or they are not kept.
        found = _packed(log, wanted) | found
    return [found[v] for v in wanted] if len(found) == len(wanted) else None


def _packed(log: TableLog, wanted: range) -> dict[int, Commit]:
    """Those of the wanted versions that are in packs."""
    packs = [p for p in _packs(log) if _span(p)[0] < wanted.stop and _span(p)[1] >= wanted.start]
    read = map_in(log.folder, _read_pack, packs)
    return {c.version: c for _, commits in read for c in commits if c.version in wanted}


def recently_removed(log: TableLog, since_ms: int) -> set[str]:
    """Paths of the files that commits since a moment removed: what versions still kept may need."""
    paths: set[str] = set()
    for commit in _loose_commits(log):
        if commit.timestamp >= since_ms:
            paths.update(commit.removed)
    for path in reversed(_packs(log)):
        _, commits = _read_pack(path)
        recent = [c for c in commits if c.timestamp >= since_ms]
        for commit in recent:
            paths.update(commit.removed)
        if not recent:
            break
    return paths


def drop_packs(log: TableLog, before_ms: int) -> None:
    """Delete packs all of whose commits are older than a moment."""
    for path in _packs(log):
        _, commits = _read_pack(path)
        if not commits or commits[-1].timestamp >= before_ms:
            return
        path.unlink(missing_ok=True)


def _timeline(log: TableLog) -> Iterator[tuple[int, int]]:
    """(version, timestamp) of what is kept, newest first."""
    loose = _loose_commits(log)
    yield from ((c.version, c.timestamp) for c in reversed(loose))
    for path in reversed(_packs(log)):
        _, commits = _read_pack(path)
        yield from ((c.version, c.timestamp) for c in reversed(commits))


def _loose_commits(log: TableLog) -> list[Commit]:
    last = log.refresh().version
    found = (log.read_commit(v) for v in range(_oldest_commit(log, last), last + 1))
    return [c for c in found if c is not None]


def _oldest_commit(log: TableLog, newest: int) -> int:
    """The first version of those up to `newest` whose commits are all in the log folder and in no pack."""
    held, packs = {path.name for path in log.log_folder.glob("*.json")}, _packs(log)
    version, least = newest, _span(packs[-1])[1] + 1 if packs else 0
    while version > least and f"{version - 1:020d}.json" in held:
        version -= 1
    return version


def _oldest_kept(log: TableLog) -> int:
    packs = _packs(log)
    return _span(packs[0])[0] if packs else _oldest_commit(log, log.refresh().version)


def _write_pack(log: TableLog, first: int, last: int, before: State) -> None:
    folder = log.folder / "_history"
    folder.mkdir(exist_ok=True)
    base = _Base(before.version, before.timestamp, list(before.files.values()))
    commits = [c for v in range(first, last + 1) if (c := log.read_commit(v)) is not None]
    data = b"\n".join(map(msgspec.json.encode, (base, *commits)))
    put_whole(folder / f"{first:020d}-{last:020d}.jsonl.zst", zstandard.compress(data, 3))


def _read_pack(path: Folder) -> tuple[_Base, list[Commit]]:
    head, *rest = zstandard.decompress(path.read_bytes()).splitlines()
    return msgspec.json.decode(head, type=_Base), [msgspec.json.decode(line, type=Commit) for line in rest]


def _replay(path: Folder, version: int) -> State:
    base, commits = _read_pack(path)
    state = State(base.version, base.timestamp, {f.path: f for f in base.files})
    for commit in commits:
        if commit.version <= version:
            state.apply(commit)
    return state


def _packs(log: TableLog) -> list[Folder]:
    return sorted((log.folder / "_history").glob("*.jsonl.zst"), key=str)


def _span(path: Folder) -> tuple[int, int]:
    first, _, last = path.name.partition(".")[0].partition("-")
    return int(first), int(last)


def _checkpoint(log: TableLog, version: int) -> Folder:
    return log.log_folder / f"{version:020d}.checkpoint.parquet"

"""A path in a bucket, with the part of `pathlib.Path` that a lake needs, and what differs between the two.

An object is whole and durable once it is put, so there is nothing to sync; a folder is where an object is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, TypeAlias, TypeVar
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from tickerplant.bucket import Bucket

_AT_ONCE = 8
_In = TypeVar("_In")
_Out = TypeVar("_Out")


class ObjectStat(NamedTuple):
    """Size in bytes, and when the object was made (seconds UTC, by the service's clock)."""

    st_size: int
    st_mtime: float


@dataclass(frozen=True)
class ObjectPath:
    """A key below a bucket's prefix; its text is the URL."""

    bucket: Bucket
    key: str = ""

    def __truediv__(self, part: str) -> ObjectPath:
        return ObjectPath(self.bucket, f"{self.key}/{part}".lstrip("/"))

    def __str__(self) -> str:
        return f"{self.bucket.url}/{self.key}".rstrip("/")

    @property
    def name(self) -> str:
        """The last part."""
        return PurePosixPath(self.key).name

    @property
    def stem(self) -> str:
        """The last part without what follows its last dot."""
        return PurePosixPath(self.key).stem

    @property
    def parent(self) -> ObjectPath:
        """The folder that holds it."""
        return ObjectPath(self.bucket, self.key.rpartition("/")[0])

    def absolute(self) -> ObjectPath:
        """Itself."""
        return self

    def read_bytes(self) -> bytes:
        """The object. Raises FileNotFoundError."""
        found = self.bucket.get(self.key)
        if found is None:
            raise FileNotFoundError(str(self))
        return found.data

    def download(self, into: IO[bytes]) -> None:
        """Write the object to a file. Raises FileNotFoundError."""
        if not self.bucket.download(self.key, into):
            raise FileNotFoundError(str(self))

    def exists(self) -> bool:
        """Whether there is an object."""
        return self.bucket.stat(self.key) is not None

    def stat(self) -> ObjectStat:
        """Size and time of the object. Raises FileNotFoundError."""
        found = self.bucket.stat(self.key)
        if found is None:
            raise FileNotFoundError(str(self))
        return ObjectStat(found.size, found.modified)

    def unlink(self, missing_ok: bool = False) -> None:
        """Delete the object, if there is one."""
        self.bucket.delete(self.key)

    def mkdir(self, mode: int = 0, parents: bool = False, exist_ok: bool = False) -> None:
        """Nothing: folders need not be made."""

    def glob(self, pattern: str) -> Iterator[ObjectPath]:
        """What matches below, folders too, in the order of the keys. One listing of all that is below."""
        parts, seen = pattern.split("/"), set[str]()
        for stored in self.bucket.objects(self.key):
            below = stored.key[len(self.key) :].lstrip("/").split("/")
            name = "/".join(below[: len(parts)])
            fits = len(below) >= len(parts) and all(map(fnmatchcase, below, parts))
            if fits and name not in seen:
                seen.add(name)
                yield self / name

    def rglob(self, pattern: str) -> Iterator[ObjectPath]:
        """Objects below, at any depth, whose name matches."""
        for stored in self.bucket.objects(self.key):
            if fnmatchcase(stored.key.rpartition("/")[2], pattern):
                yield ObjectPath(self.bucket, stored.key)


Folder: TypeAlias = Path | ObjectPath


def map_in(folder: Folder, function: Callable[[_In], _Out], items: Iterable[_In]) -> list[_Out]:
    """The results for items, in their order; where a folder is in a bucket, several are asked for at once."""
    if isinstance(folder, Path):
        return [function(item) for item in items]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(function, items))


def storage_options(bucket: Bucket) -> dict[str, str]:
    """How `deltalake` reaches a bucket; commits of its own are conditional puts as ours are."""
    a = bucket.access
    given = {
        "AWS_ENDPOINT_URL": a.endpoint,
        "AWS_REGION": a.region,
        "AWS_ACCESS_KEY_ID": a.key,
        "AWS_SECRET_ACCESS_KEY": a.secret.reveal(),
        "AWS_SESSION_TOKEN": a.token.reveal(),
        "AWS_ALLOW_HTTP": "true" if a.endpoint.startswith("http://") else "",
    }
    return {"aws_conditional_put": "etag", **{k: v for k, v in given.items() if v}}


def options_of(folder: Folder) -> dict[str, str] | None:
    """What `deltalake` needs beside the text of a folder."""
    return None if isinstance(folder, Path) else storage_options(folder.bucket)


def sync_path(path: Folder) -> None:
    """Force a file or the names in a folder to disk; nothing for objects, which are durable when they are put."""
    if not isinstance(path, Path):
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def put_whole(path: Folder, data: bytes) -> None:
    """Make or replace a file, whole or not at all, durably."""
    if not isinstance(path, Path):
        path.bucket.put(path.key, data)
        return
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    sync_path(temporary)
    temporary.rename(path)
    sync_path(path.parent)


def create_whole(path: Folder, data: bytes) -> bool:
    """Make a file, whole or not at all, durably; False, and nothing changed, when there is one already.

    An object that holds the same bytes is ours: its answer was lost and the request sent again.
    """
    if not isinstance(path, Path):
        if path.bucket.create(path.key, data):
            return True
        found = path.bucket.get(path.key)
        return found is not None and found.data == data
    temporary = path.parent / f"_commit_{uuid4()}.json.tmp"
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    sync_path(path.parent)
    return True


def open_parquet(path: Folder) -> pq.ParquetFile:
    """A Parquet file to read all of; an object is read into memory. Raises FileNotFoundError."""
    return pq.ParquetFile(path if isinstance(path, Path) else pa.BufferReader(path.read_bytes()))

"""Files of a backup: copied with their checksum, linked where the backup before has them, read back, forced to disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import file_digest, sha256
from pathlib import Path
from typing import BinaryIO

from tickerplant.errors import Fatal
from tickerplant.jobs.backup_manifest import StoredFile

_BLOCK_BYTES = 2**20

Said = Callable[[str], None]
"""Takes a line of progress."""


@dataclass
class Target:
    """The folder of a backup being written. `before` and `before_files` are the backup that unchanged files are
    linked from. Counts bytes copied and linked."""

    folder: Path
    before: Path | None = None
    before_files: dict[str, StoredFile] = field(default_factory=dict)
    linked: set[str] = field(default_factory=set)
    copied_bytes: int = 0
    linked_bytes: int = 0

    def link(self, path: str, size: int, modified_ns: int) -> StoredFile | None:
        """Link a file that never changes from the backup before, after reading it; None when that has no equal one."""
        known = self.before_files.get(path)
        if self.before is None or known is None or (known.size, known.modified_ns) != (size, modified_ns):
            return None
        to = self.folder / path
        to.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(self.before / path, to)
        except OSError:
            return None
        if digest(to) != known.sha256:
            to.unlink()
            return None
        self.linked.add(path)
        self.linked_bytes += size
        return known

    def copy(self, path: str, fd: int, size: int, modified_ns: int) -> StoredFile:
        """Copy the first `size` bytes of an open file."""
        self.copied_bytes += size
        return StoredFile(path, size, copy(fd, size, self.folder / path), modified_ns)


def copy(fd: int, size: int, to: Path) -> str:
    """Copy the first `size` bytes of an open file to a new one, durably; returns their SHA-256.

    Raises Fatal when there are fewer. The copy is dropped from memory, so that reading it asks the disk.
    """
    to.parent.mkdir(parents=True, exist_ok=True)
    found, offset = sha256(), 0
    with to.open("xb") as file:
        while offset < size:
            block = os.pread(fd, min(_BLOCK_BYTES, size - offset), offset)
            if not block:
                raise Fatal(f"{to.name}: expected {size} bytes to copy, was {offset}; somebody cut the original")
            file.write(block)
            found.update(block)
            offset += len(block)
        file.flush()
        os.fsync(file.fileno())
        _drop_cache(file)
    return found.hexdigest()


def _drop_cache(file: BinaryIO) -> None:
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def copy_file(source: Path, to: Path) -> str:
    """Copy a whole file (see `copy`)."""
    with source.open("rb") as file:
        return copy(file.fileno(), os.fstat(file.fileno()).st_size, to)


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def stored(folder: Path, path: str) -> StoredFile:
    """A file that another program wrote into a backup, forced to disk."""
    with (folder / path).open("rb") as file:
        os.fsync(file.fileno())
        _drop_cache(file)
        return StoredFile(path, os.fstat(file.fileno()).st_size, file_digest(file, "sha256").hexdigest())


def problems(folder: Path, files: list[StoredFile], say: Said) -> Iterator[tuple[str, str]]:
    """(path, what is wrong) of the files that do not hold what they should; reads all of them."""
    for number, file in enumerate(files, 1):
        say(f"reading {number:,} of {len(files):,} files")
        found = problem(folder / file.path, file)
        if found:
            yield file.path, found


def problem(path: Path, expected: StoredFile) -> str:
    """What is wrong with a file, empty when nothing is."""
    try:
        size = path.stat().st_size
        if size != expected.size:
            return f"expected {expected.size} bytes, was {size}"
        found = digest(path)
    except OSError as error:
        return f"expected a file that can be read, was {error.strerror or error}"
    return "" if found == expected.sha256 else f"expected sha256 {expected.sha256[:16]}, was {found[:16]}"


def sync_tree(folder: Path) -> None:
    """Force the names in a folder and all folders below to disk."""
    for place, _, _ in os.walk(folder, topdown=False):
        sync(Path(place))
    sync(folder.parent)


def sync(path: Path) -> None:
    """Force a file, or the names in a folder, to disk."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

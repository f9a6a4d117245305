"""A prefix of a bucket on any S3-compatible service: whole objects, ranges, listings and conditional puts.

What conditional puts promise: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html (read
2026-11-21): `If-None-Match: *` makes an object only where there is none, `If-Match` replaces only the one meant.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple, cast
from urllib.parse import urlsplit

from tickerplant.credentials import Secret
from tickerplant.errors import Fatal, Retryable, UsageError

if TYPE_CHECKING:
    from obstore import SuffixRange
    from obstore.store import S3Config, S3Store

    from tickerplant.settings import Settings

SCHEME = "s3"
_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_CHUNK_BYTES = 2**20
_RETRIES, _RETRY_S, _REQUEST_S, _CONNECT_S = 3, 15, 60, 5


@dataclass(frozen=True)
class Access:
    """How to reach the service. Empty fields are left to the AWS defaults: environment, container, instance."""

    endpoint: str = ""
    region: str = ""
    key: str = ""
    secret: Secret = Secret("")
    token: Secret = Secret("")


class Stored(NamedTuple):
    """An object in a listing: its key below the prefix, its size in bytes, when it was made (seconds UTC)."""

    key: str
    size: int
    modified: float


class Tagged(NamedTuple):
    """The bytes of an object, and the tag that names this version of it."""

    data: bytes
    tag: str


def is_bucket(url: str) -> bool:
    """Whether a URL names a place in a bucket."""
    return url.startswith(f"{SCHEME}://")


def access_of(settings: Settings) -> Access:
    """What the settings say about S3."""
    return Access(settings.s3_endpoint, settings.aws_region, settings.aws_key, settings.aws_secret, settings.aws_token)


class Bucket:
    """The objects below `s3://bucket/prefix`. Keys are relative to it. Threads may share it.

    Raises Retryable while the service cannot be reached or is overloaded, Fatal when it refuses us.
    """

    def __init__(self, url: str, access: Access) -> None:
        parts = urlsplit(url)
        if parts.query or parts.fragment or not _NAME.fullmatch(parts.netloc):
            raise UsageError(f"expected s3://bucket/prefix, was {parts.scheme}://{parts.hostname or ''}{parts.path}")
        self.name, self.prefix = parts.netloc, parts.path.strip("/")
        self.url = f"{SCHEME}://{self.name}/{self.prefix}".rstrip("/")
        self.access = access

    def below(self, folder: str) -> Bucket:
        """A longer prefix of the same bucket."""
        return Bucket(f"{self.url}/{folder}", self.access)

    @cached_property
    def store(self) -> S3Store:
        """The client underneath. Raises UsageError when the extra is not installed."""
        try:
            import_module("obstore")  # waits, unlike the next line, for a thread that is in the midst of importing it
            from obstore.store import S3Store
        except ImportError:
            raise UsageError(
                "s3: expected the extra `s3`, was without obstore; do pip install 'tickerplant[s3]'"
            ) from None
        a = self.access
        given = {
            "endpoint": a.endpoint,
            "region": a.region,
            "access_key_id": a.key,
            "secret_access_key": a.secret.reveal(),
            "session_token": a.token.reveal(),
        }
        with self._named("a client"):
            return S3Store(
                self.name,
                prefix=self.prefix or None,
                config=cast("S3Config", {"checksum_algorithm": "sha256", **{k: v for k, v in given.items() if v}}),
                client_options={
                    "allow_http": a.endpoint.startswith("http://"),
                    "timeout": f"{_REQUEST_S}s",
                    "connect_timeout": f"{_CONNECT_S}s",
                },
                retry_config={
                    "max_retries": _RETRIES,
                    "retry_timeout": timedelta(seconds=_RETRY_S),
                    "backoff": {
                        "init_backoff": timedelta(seconds=0.1),
                        "max_backoff": timedelta(seconds=1),
                        "base": 2,
                    },
                },
            )

    def get(self, key: str) -> Tagged | None:
        """An object; None when it is not there."""
        with self._named(key):
            try:
                found = self.store.get(key)
                return Tagged(bytes(found.bytes()), found.meta["e_tag"] or "")
            except FileNotFoundError as error:
                self._absent(error)
        return None

    def stat(self, key: str) -> Stored | None:
        """Size and time of an object; None when it is not there."""
        with self._named(key):
            try:
                found = self.store.head(key)
                return Stored(key, found["size"], found["last_modified"].timestamp())
            except FileNotFoundError as error:
                self._absent(error)
        return None

    def read_range(self, key: str, start: int, size: int) -> bytes | None:
        """Bytes `[start, start + size)` of an object, or with a negative `start` its last bytes; None when not there.

        Of an object of `start` bytes or fewer, none.
        """
        from obstore.exceptions import GenericError

        wanted: SuffixRange | tuple[int, int] = {"suffix": -start} if start < 0 else (start, start + size)
        with self._named(key):
            try:
                return bytes(self.store.get(key, options={"range": wanted}).bytes())
            except FileNotFoundError as error:
                self._absent(error)
            except GenericError as error:
                if "416" not in str(error) and "out of range" not in str(error).lower():
                    raise
                return b""
        return None

    def download(self, key: str, into: IO[bytes]) -> bool:
        """Write an object's bytes to a file as they come; False when it is not there."""
        with self._named(key):
            try:
                for chunk in self.store.get(key).stream(min_chunk_size=_CHUNK_BYTES):
                    into.write(chunk)
            except FileNotFoundError as error:
                self._absent(error)
                return False
        return True

    def sha256(self, key: str) -> str | None:
        """The SHA-256 of an object as the service gives it back; None when it is not there."""
        found = hashlib.sha256()
        with self._named(key):
            try:
                for chunk in self.store.get(key).stream(min_chunk_size=_CHUNK_BYTES):
                    found.update(chunk)
            except FileNotFoundError as error:
                self._absent(error)
                return None
        return found.hexdigest()

    def create(self, key: str, data: bytes | Path) -> bool:
        """Make an object with a SHA-256 for the service to check; False, and nothing changed, when there is one.

        After a Retryable the object may be there all the same.
        """
        from obstore.exceptions import AlreadyExistsError

        with self._named(key):
            try:
                self.store.put(key, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
        return True

    def put(self, key: str, data: bytes | Path) -> None:
        """Make or replace an object."""
        with self._named(key):
            self.store.put(key, data)

    def replace(self, key: str, data: bytes, tag: str) -> bool:
        """Replace the version of an object that `tag` names; False, and nothing changed, when it is another now."""
        from obstore.exceptions import NotFoundError, PreconditionError

        with self._named(key):
            try:
                self.store.put(key, data, mode={"e_tag": tag}, use_multipart=False)
            except (PreconditionError, NotFoundError, FileNotFoundError):
                return False
        return True

    def delete(self, key: str) -> None:
        """Delete an object; nothing when it is not there."""
        with self._named(key):
            try:
                self.store.delete(key)
            except FileNotFoundError as error:
                self._absent(error)

    def objects(self, folder: str = "", after: str | None = None) -> list[Stored]:
        """Objects below a folder in the order of their keys; only those after the key `after`, if given."""
        with self._named(folder):
            found = self.store.list(folder or None, offset=after).collect()
            return sorted(Stored(o["path"], o["size"], o["last_modified"].timestamp()) for o in found)

    def folders(self, folder: str = "") -> list[str]:
        """Names of the folders directly in a folder, sorted."""
        with self._named(folder):
            found = self.store.list_with_delimiter(folder or None)
            return sorted(name.rstrip("/").rpartition("/")[2] for name in found["common_prefixes"])

    def _absent(self, error: Exception) -> None:
        if "NoSuchBucket" in str(error):
            raise Fatal(f"s3://{self.name}: expected a bucket, was none; do make it, or look at the endpoint") from None

    @contextmanager
    def _named(self, key: str) -> Iterator[None]:
        from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

        where = f"{self.url}/{key}"
        try:
            yield
        except (UnauthenticatedError, PermissionDeniedError) as error:
            raise Fatal(
                f"{where}: expected to be let in, was {_first_line(error)}; do look at AWS_ACCESS_KEY_ID and the policy"
            ) from None
        except FileNotFoundError as error:
            self._absent(error)
            raise
        except BaseError as error:
            raise Retryable(f"{where}: expected the service to answer, was {_first_line(error)}") from None


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].strip()

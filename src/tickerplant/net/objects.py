"""Objects of S3 and its likes over HTTP: listings and downloads that go on where they were cut off.

Reads only. Every request is signed by the caller's function just before it is sent. A download lies on disk, named
after the object's version (ETag), until whoever asked for it removes it; what is there is never asked for again.
Sources: https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html and API_GetObject.html.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from threading import Event
from typing import BinaryIO, Self
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

import httpx2
import structlog

from tickerplant.credentials import Credentials
from tickerplant.errors import BadData, Busy, Retryable
from tickerplant.net.backoff import Curve
from tickerplant.net.http import Traffic
from tickerplant.rest import Answer, Get, Sign

log = structlog.get_logger()

_CHUNK = 1 << 18
_MD5 = re.compile(r"[0-9a-f]{32}")
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_PART = ".part"


class Stopped(Exception):
    """The caller's stop came first; what was received is kept."""


class Refused(Exception):
    """An answer that is no object: the caller's vendor says what it means."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"HTTP {answer.status}")
        self.answer = answer


@dataclass(frozen=True)
class Listed:
    """An object of a listing."""

    key: str
    size: int
    etag: str


@dataclass(frozen=True)
class Stored:
    """An object on disk, whole and checked."""

    path: Path
    etag: str
    size: int


@dataclass
class ObjectClient:
    """Reads from one host with one pair of keys. `folder` holds downloads; `tries` bounds failures without progress."""

    url: str
    credentials: Credentials
    sign: Callable[[Get, Credentials], Sign]
    folder: Path
    timeout_s: float = 60.0
    tries: int = 6
    backoff: Curve = Curve(0.5, 20.0)
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    traffic: Traffic = field(default_factory=Traffic)
    chance: Random = field(default_factory=Random)
    _http: httpx2.Client | None = None

    def __enter__(self) -> Self:
        self._http = httpx2.Client(timeout=self.timeout_s, follow_redirects=False)
        return self

    def __exit__(self, *error: object) -> None:
        if self._http is not None:
            self._http.close()

    def list(self, bucket: str, prefix: str) -> list[Listed]:
        """All objects whose keys begin with `prefix`. Raises Refused, BadData, Retryable."""
        found: list[Listed] = []
        token: str | None = None
        while True:
            more = (("continuation-token", token),) if token else ()
            part, token = _listing(self._page(f"/{bucket}", (("list-type", "2"), ("prefix", prefix), *more)))
            found += part
            if token is None:
                return found

    def download(self, path: str, stop: Event, etag: str | None = None) -> Stored:
        """The object at `/bucket/key`, out of what is on disk and the rest of it from the host.

        Raises Refused for an answer that is no object or when version `etag` is gone, BadData when the bytes are not
        those of the ETag, Retryable, Busy when another process downloads the same, Stopped.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with _held(self.folder / f"{_name(path)}.lock"):
            whole = self._found(path, etag)
            return whole or self._download(path, stop, etag)

    def _found(self, path: str, etag: str | None) -> Stored | None:
        for file in self.folder.glob(f"{_name(path)}@*"):
            known = file.name.rpartition("@")[2]
            if not known.endswith(_PART) and etag in (None, known):
                return Stored(file, known, file.stat().st_size)
        return None

    def _download(self, path: str, stop: Event, etag: str | None) -> Stored:
        failures = 0
        while True:
            part = self._part(path, etag)
            before = part.stat().st_size if part else 0
            try:
                return self._rest(path, part, before, stop, etag)
            except (httpx2.HTTPError, Retryable) as error:
                now = self._part(path, etag)
                failures = 0 if now and now.stat().st_size > before else failures + 1
                self.traffic.repeats += 1
                problem = f"{type(error).__name__}: {error}"
                if failures >= self.tries:
                    raise Retryable(f"{path}: expected bytes in {self.tries} tries, was {problem}") from None
                log.info("asked again", path=path, have_bytes=now.stat().st_size if now else 0, reason=problem)
                if stop.wait(self.backoff.draw(failures, self.chance)):
                    raise Stopped from None

    def _part(self, path: str, etag: str | None) -> Path | None:
        parts = [p for p in self.folder.glob(f"{_name(path)}@*{_PART}") if etag is None or f"@{etag}{_PART}" in p.name]
        return parts[0] if parts else None

    def _rest(self, path: str, part: Path | None, have: int, stop: Event, etag: str | None) -> Stored:
        known = part.name.removesuffix(_PART).rpartition("@")[2] if part else etag
        headers = {"if-match": f'"{known}"'} if known else {}
        if have:
            headers["range"] = f"bytes={have}-"
        with self._get(path, (), headers) as response:
            if part is not None and response.status_code == 416 and _total(response) == have:
                return self._done(part, known or "")
            if part is not None and response.status_code in (412, 416):
                part.unlink()
                raise Retryable(f"{path}: expected version {known}, was another")
            if response.status_code not in (200, 206):
                raise Refused(_answer(response))
            found = response.headers.get("etag", "").strip('"')
            if not found or (known is not None and found != known):
                raise BadData(f"{path}: expected ETag {known or 'of some version'}, was {found or 'none'}")
            target = part or self.folder / f"{_name(path)}@{found}{_PART}"
            size = _size(response, path)
            self._receive(response, target, have if response.status_code == 206 else 0, stop)
        if target.stat().st_size != size:
            raise Retryable(f"{path}: expected {size} bytes, was {target.stat().st_size}")
        return self._done(target, found)

    def _receive(self, response: httpx2.Response, target: Path, at: int, stop: Event) -> None:
        with target.open("r+b" if target.exists() else "wb") as file:
            file.truncate(at)
            file.seek(at)
            for chunk in response.iter_raw(_CHUNK):
                file.write(chunk)
                file.flush()
                self.traffic.bytes += len(chunk)
                if stop.is_set():
                    raise Stopped
            os.fsync(file.fileno())

    def _done(self, part: Path, etag: str) -> Stored:
        """Check the bytes and give them their name. An ETag of several parts is no MD5; gzip has a check of its own."""
        if _MD5.fullmatch(etag):
            with part.open("rb") as file:
                found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
            if found != etag:
                part.unlink()
                raise BadData(f"{part.name}: expected MD5 {etag}, was {found}; do ask again")
        whole = part.with_name(part.name.removesuffix(_PART))
        part.rename(whole)
        return Stored(whole, etag, whole.stat().st_size)

    def _page(self, path: str, params: tuple[tuple[str, str], ...]) -> bytes:
        problem = ""
        for attempt in range(self.tries):
            if attempt:
                time.sleep(self.backoff.draw(attempt - 1, self.chance))
            try:
                with self._get(path, params) as response:
                    if response.status_code != 200:
                        raise Refused(_answer(response))
                    body = response.read()
                    self.traffic.bytes += len(body)
                    return body
            except (httpx2.HTTPError, Retryable) as error:
                problem = f"{type(error).__name__}: {error}"
        raise Retryable(f"{path}: expected a listing in {self.tries} tries, was {problem}")

    @contextmanager
    def _get(
        self, path: str, params: tuple[tuple[str, str], ...], headers: Mapping[str, str] | None = None
    ) -> Iterator[httpx2.Response]:
        if self._http is None:
            raise RuntimeError("ObjectClient: expected to be used within `with`")
        base = urlsplit(self.url)
        get = Get(base.netloc, path, params, headers or {}, self.clock())
        signed = self.sign(get, self.credentials)
        query = "&".join(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in sorted(params))
        address = f"{base.scheme}://{base.netloc}{quote(path, safe='/-_.~')}" + (f"?{query}" if query else "")
        self.traffic.calls += 1
        plain = [("accept-encoding", "identity"), *signed.headers]
        with self._http.stream("GET", address, headers=plain) as response:
            if response.status_code in _PASSING:
                raise Retryable(f"{path}: expected an answer, was HTTP {response.status_code}")
            yield response


def _name(path: str) -> str:
    return path.strip("/").replace("/", "_")


@contextmanager
def _held(lock: Path) -> Iterator[None]:
    file: BinaryIO
    with lock.open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Busy(f"{lock.name}: expected to be the only one who downloads it, was not") from None
        yield


def _answer(response: httpx2.Response) -> Answer:
    body = response.read()[:4000]
    return Answer(response.status_code, body, {k.lower(): v for k, v in response.headers.items()})


def _total(response: httpx2.Response) -> int:
    said = response.headers.get("content-range", "").rpartition("/")[2]
    return int(said) if said.isdigit() else -1


def _size(response: httpx2.Response, path: str) -> int:
    """The size of the whole object."""
    said = response.headers.get("content-length", "")
    size = _total(response) if response.status_code == 206 else int(said) if said.isdigit() else -1
    if size < 0:
        raise BadData(f"{path}: expected its size in the answer, was none")
    return size


def _listing(body: bytes) -> tuple[list[Listed], str | None]:
    """Objects of a page and the token of the next."""
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - expat of today bounds entities; the host is the vendor's
    except ElementTree.ParseError as error:
        raise BadData(f"listing: expected XML: {error}") from None
    text = {k: v for k, v in ((_tag(e), e.text or "") for e in root) if k != "Contents"}
    found = []
    for item in root:
        if _tag(item) == "Contents":
            of = {_tag(e): e.text or "" for e in item}
            found.append(Listed(of.get("Key", ""), int(of.get("Size") or 0), of.get("ETag", "").strip('"')))
    return found, text.get("NextContinuationToken") if text.get("IsTruncated") == "true" else None


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]

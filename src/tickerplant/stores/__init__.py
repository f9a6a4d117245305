"""Stores: where rows live. The URL's scheme chooses the kind; its driver is imported only then."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from tickerplant.errors import UsageError

if TYPE_CHECKING:
    from tickerplant.stores.lake import LakeStore

KEEP_VERSIONS = timedelta(days=7)


def open_store(url: str, *, read_only: bool = False, keep_versions: timedelta = KEEP_VERSIONS) -> LakeStore:
    """The store at `url`: a folder or `file://` URL is a lake.

    `keep_versions` is for how long `as_of` can go back. With `read_only` nothing is created and `write` and
    `maintain` raise UsageError. Raises UsageError for a scheme that is not supported.
    """
    from tickerplant.stores.lake import LakeStore

    return LakeStore(_folder(url), read_only=read_only, keep_versions=keep_versions)


def _folder(url: str) -> Path:
    scheme, separator, _ = url.partition("://")
    if not url.strip():
        raise UsageError("store: expected a folder, was an empty text; do set TICKERPLANT_STORE or pass --store")
    if not separator:
        return Path(url).expanduser()
    if scheme == "file":
        return Path(unquote(urlsplit(url).path))
    raise UsageError(f"store: expected a folder or file:// URL (a lake on disk), was the scheme {scheme}://")

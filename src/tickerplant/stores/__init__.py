"""Stores: where rows live. The URL's scheme chooses the kind; its driver is imported only then."""

from __future__ import annotations

from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote, urlsplit

from tickerplant.errors import UsageError
from tickerplant.stores.options import KEEP_VERSIONS, StoreOptions

if TYPE_CHECKING:
    from tickerplant.stores.lake import LakeStore
    from tickerplant.stores.postgres import PostgresStore


__all__ = ["AnyStore", "KEEP_VERSIONS", "StoreOptions", "is_postgres", "missing_drivers", "open_store"]

AnyStore: TypeAlias = "LakeStore | PostgresStore"
_POSTGRES = ("postgresql", "postgres", "postgresql+embedded")


def open_store(
    url: str,
    *,
    read_only: bool = False,
    keep_versions: timedelta = KEEP_VERSIONS,
    options: StoreOptions | None = None,
) -> AnyStore:
    """The store at `url`: a folder or `file://` URL is a lake, `postgresql://` a server, `postgresql+embedded:///path`
    a server of our own in a folder.

    `keep_versions` (of a lake) is for how long `as_of` can go back; `options` overrides it. With `read_only` nothing is
    created and `write` and `maintain` raise UsageError. Raises UsageError for a scheme that is not supported or whose
    extra is not installed.
    """
    chosen = options or StoreOptions(keep_versions)
    if is_postgres(url):
        return _postgres(url, chosen, read_only)
    from tickerplant.stores.lake import LakeStore

    return LakeStore(
        _folder(url),
        read_only=read_only,
        keep_versions=chosen.keep_versions,
        retention=chosen.retention,
        marts=chosen.marts,
    )


def is_postgres(url: str) -> bool:
    """Whether a URL names a PostgreSQL store."""
    scheme, separator, _ = url.partition("://")
    return bool(separator) and scheme in _POSTGRES


def missing_drivers() -> list[str]:
    """What PostgreSQL as a store needs and this installation lacks."""
    return [name for name in ("psycopg", "psycopg_pool", "pgpq") if find_spec(name) is None]


def _postgres(url: str, options: StoreOptions, read_only: bool) -> PostgresStore:
    missing = missing_drivers()
    if missing:
        raise UsageError(
            f"store: expected the extra `postgres`, was without {', '.join(missing)}; "
            "do pip install 'tickerplant[postgres]'"
        )
    from tickerplant.stores.postgres import PostgresStore

    return PostgresStore(url, options, read_only=read_only)


def _folder(url: str) -> Path:
    scheme, separator, _ = url.partition("://")
    if not url.strip():
        raise UsageError("store: expected a folder, was an empty text; do set TICKERPLANT_STORE or pass --store")
    if not separator:
        return Path(url).expanduser()
    if scheme == "file":
        return Path(unquote(urlsplit(url).path))
    raise UsageError(f"store: expected a folder, a file:// or a postgresql:// URL, was the scheme {scheme}://")

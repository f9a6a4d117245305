"""Stores: where rows live. The URL's scheme chooses the kind; its driver is imported only then."""

from __future__ import annotations

from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote, urlsplit

from tickerplant.bucket import Bucket, access_of, is_bucket
from tickerplant.errors import UsageError
from tickerplant.stores.options import KEEP_VERSIONS, StoreOptions

if TYPE_CHECKING:
    from tickerplant.settings import Settings
    from tickerplant.stores.lake import LakeStore
    from tickerplant.stores.object_path import ObjectPath
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
    """The store at `url`: a folder, `file://` or `s3://bucket/prefix` is a lake, `postgresql://` a server,
    `postgresql+embedded:///path` a server of our own in a folder. S3 is reached as the settings of the environment say.

    `keep_versions` (of a lake) is for how long `as_of` can go back; `options` overrides it. With `read_only` nothing is
    created and `write` and `maintain` raise UsageError. Raises UsageError for a scheme that is not supported or whose
    extra is not installed.
    """
    chosen = options or StoreOptions(keep_versions)
    if is_postgres(url):
        return _postgres(url, chosen, read_only)
    from tickerplant.stores.lake import LakeStore

    return LakeStore(
        in_bucket(url) if is_bucket(url) else _folder(url),
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


def in_bucket(url: str, settings: Settings | None = None) -> ObjectPath:
    """The place of a lake at an s3:// URL, reached as the settings say (without any: those of the environment)."""
    from tickerplant.settings import read_settings
    from tickerplant.stores.object_path import ObjectPath

    return ObjectPath(Bucket(url, access_of(settings or read_settings())))


def _folder(url: str) -> Path:
    scheme, separator, _ = url.partition("://")
    if not url.strip():
        raise UsageError("store: expected a folder, was an empty text; do set TICKERPLANT_STORE or pass --store")
    if not separator:
        return Path(url).expanduser()
    if scheme == "file":
        return Path(unquote(urlsplit(url).path))
    raise UsageError(f"store: expected a folder, a file://, s3:// or postgresql:// URL, was the scheme {scheme}://")

"""Where a PostgreSQL server is: connection texts as people have them, brought to one URL. Nothing here connects.

libpq's two spellings, https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING (read 2026-11-21).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from urllib.parse import quote, unquote

from tickerplant.errors import UsageError

SECRET_PARTS = ("password", "sslpassword")
PIECES = {
    "host": "POSTGRES_HOST",
    "port": "POSTGRES_PORT",
    "dbname": "POSTGRES_DB",
    "user": "POSTGRES_USER",
    "password": "POSTGRES_PASSWORD",
}
"""The variable that gives each part of a connection on its own."""

_LOCAL = "this machine"
_SERVERS = ("postgresql", "postgres")
_URL = re.compile(
    r"(?:(?P<user>[^:@/]*)(?::(?P<password>[^@/]*))?@)?(?P<hosts>[^/?]*)(?:/(?P<dbname>[^?]*))?(?:\?(?P<query>.*))?",
    re.DOTALL,
)
_HOST = re.compile(r"(?P<host>\[[^\]]*\]|[^:@]*)(?::(?P<port>\d*))?")
_WORD = re.compile(
    r"\s*(?P<key>\w+)\s*=\s*(?:'(?P<quoted>(?:[^'\\]|\\.)*)'(?=\s|$)|(?!')(?P<bare>(?:[^\s\\]|\\.)*))\s*", re.DOTALL
)
_EXPECTED = (
    "postgresql://user:password@host:port/database or host=... dbname=..., special characters of a password in a URL "
    "as %XX (@ is %40, / is %2F)"
)


def is_server(text: str) -> bool:
    """Whether a text names a PostgreSQL server: a URL, also in SQLAlchemy's spelling, and no embedded one."""
    kind, _, driver = text.partition("://")[0].partition("+")
    return "://" in text and kind in _SERVERS and driver != "embedded"


def parse(text: str, where: str) -> dict[str, str]:
    """The parts of a URL or of `key=value` words, by libpq's names. Raises UsageError, which shows nothing of it."""
    try:
        found = _of_url(text.partition("://")[2]) if is_server(text) else _of_words(text)
    except ValueError:
        raise UsageError(f"{where}: expected {_EXPECTED}, was something else") from None
    return {key: value for key, value in found.items() if value}


def _of_url(rest: str) -> dict[str, str]:
    found = _URL.fullmatch(rest)
    if found is None:
        raise ValueError
    hosts = [_HOST.fullmatch(one) for one in found["hosts"].split(",")]
    if None in hosts or "@" in (found["dbname"] or ""):
        raise ValueError
    ports = [one["port"] or "" for one in hosts if one]
    parts = {
        **{key: _plain(found[key] or "") for key in ("user", "password", "dbname")},
        "host": ",".join(_plain(one["host"].strip("[]")) for one in hosts if one),
        "port": ",".join(ports) if any(ports) else "",
    }
    for word in filter(None, (found["query"] or "").split("&")):
        key, separator, value = word.partition("=")
        if not separator:
            raise ValueError
        parts[_plain(key)] = _plain(value)
    if parts.pop("ssl", None) == "true":
        parts["sslmode"] = "require"
    return parts


def _plain(text: str) -> str:
    if re.search("%(?![0-9A-Fa-f]{2})|%00", text):
        raise ValueError
    return unquote(text, errors="strict")


def _of_words(text: str) -> dict[str, str]:
    parts, at = {}, 0
    while at < len(text):
        found = _WORD.match(text, at)
        if found is None:
            raise ValueError
        value = found["bare"] if found["quoted"] is None else found["quoted"]
        parts[found["key"]] = re.sub(r"\\(.)", r"\1", value, flags=re.DOTALL)
        at = found.end()
    return parts


def url(parts: Mapping[str, str]) -> str:
    """The URL of these parts, every special character quoted."""
    rest = dict(parts)
    user, password, name = (quote(rest.pop(key, ""), safe="") for key in ("user", "password", "dbname"))
    login = f"{user}{':' if password else ''}{password}@" if user or password else ""
    host = ""
    if not re.search("[/,%@]", rest.get("host", "/")):
        host = rest.pop("host")
        host = f"[{host}]" if ":" in host else quote(host, safe="")
        host += f":{rest.pop('port')}" if "port" in rest else ""
    query = "&".join(f"{quote(k, safe='')}={quote(v, safe='')}" for k, v in rest.items())
    return f"postgresql://{login}{host}/{name}{'?' if query else ''}{query}"


def masked(text: str) -> str:
    """A connection text as a URL without password and options, for messages and logs."""
    try:
        parts = parse(text, "")
    except UsageError:
        return "postgresql://***"
    shown = {key: parts[key] for key in ("user", "host", "port", "dbname") if key in parts}
    host = shown.get("host") or parts.get("hostaddr") or "localhost"
    user = f"{shown['user']}@" if "user" in shown else ""
    port = f":{shown['port']}" if "port" in shown else ""
    return f"postgresql://{user}{host}{port}/{shown.get('dbname', '')}"


def chosen(store: str, timescale: str, pieces: Mapping[str, str]) -> str:
    """The one store that `TICKERPLANT_STORE`, `TIMESCALE_LIVE_CONN_STRING` and the POSTGRES_* pieces name together.

    Each may complete what another leaves open (a password beside a URL). Empty when nothing is given. Raises UsageError
    that names the variables and what they disagree in, never a password.
    """
    given = {part: value for part, value in pieces.items() if value}
    others = [*(["TIMESCALE_LIVE_CONN_STRING"] if timescale else []), *(PIECES[part] for part in given)]
    if store and not is_server(store):
        if others:
            raise UsageError(
                f"TICKERPLANT_STORE and {', '.join(others)}: expected one store, was {store} and a PostgreSQL server; "
                "do unset what is not meant, or pass --store"
            )
        return store
    texts = {"TICKERPLANT_STORE": store, "TIMESCALE_LIVE_CONN_STRING": timescale}
    ways = [_Way(parse(text, name), name) for name, text in texts.items() if text]
    if not ways and given and "host" not in given:
        raise UsageError(
            f"{', '.join(others)}: expected POSTGRES_HOST too, or a PostgreSQL URL in TICKERPLANT_STORE, was neither"
        )
    if given:
        ways.append(_Way(given))
    return url(_together(ways)) if ways else ""


@dataclass(frozen=True)
class _Way:
    """What one text says, or (without a name) the POSTGRES_* pieces."""

    parts: Mapping[str, str]
    name: str = ""

    def variable(self, part: str) -> str:
        """The variable that says a part."""
        return self.name or PIECES[part if part in self.parts else "host"]

    def meant(self) -> dict[str, str]:
        """The parts with what leaving them out means: a text without host means this machine."""
        if self.name or "host" in self.parts:
            return {"host": self.parts.get("hostaddr", _LOCAL), "port": "5432", **self.parts}
        return dict(self.parts)


def _together(ways: Sequence[_Way]) -> dict[str, str]:
    for one, other in combinations(ways, 2):
        first, second = one.meant(), other.meant()
        wrong = [part for part in first if part in second and first[part].lower() != second[part].lower()]
        if wrong:
            names = dict.fromkeys([way.variable(part) for way in (one, other) for part in wrong])
            raise UsageError(
                f"{' and '.join(names)}: expected one server, database and user, was "
                f"{', '.join(_both(part, first[part], second[part]) for part in wrong)}; "
                "do unset what is not meant, or pass --store"
            )
    return {key: value for way in reversed(ways) for key, value in way.parts.items()}


def _both(part: str, first: str, second: str) -> str:
    if part in (*PIECES, "sslmode") and part not in SECRET_PARTS:
        return f"{part} {first} and {second}"
    return f"{part} with two values (not shown)"

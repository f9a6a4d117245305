"""Airflow's Connections and Variables as our settings: the environment of the commands that tasks run. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from tickerplant.errors import UsageError
from tickerplant.settings import SETTINGS, STORE_VARIABLES


@dataclass(frozen=True)
class Facts:
    """What a Connection holds; `extra` has settings by their variables' names, such as `ALPACA_PLAN`."""

    login: str = ""
    password: str = field(default="", repr=False)
    host: str = ""
    port: int | None = None
    database: str = ""
    extra: Mapping[str, str] = field(default_factory=dict, repr=False)


def _alpaca(c: Facts) -> dict[str, str]:
    return {"ALPACA_API_KEY": c.login, "ALPACA_SECRET_KEY": c.password}


def _polygon(c: Facts) -> dict[str, str]:
    return {"POLYGON_API_KEY": c.password}


def _polygon_files(c: Facts) -> dict[str, str]:
    return {"POLYGON_S3_ACCESS_KEY": c.login, "POLYGON_S3_SECRET_KEY": c.password}


def _alpha_vantage(c: Facts) -> dict[str, str]:
    return {"ALPHA_VANTAGE_API_KEY": c.password}


def _store(c: Facts) -> dict[str, str]:
    """A PostgreSQL server; it takes the place of every other way to say which store is meant."""
    own = {"POSTGRES_HOST": c.host, "POSTGRES_PORT": str(c.port or ""), "POSTGRES_DB": c.database}
    return {**dict.fromkeys(STORE_VARIABLES, ""), **own, "POSTGRES_USER": c.login, "POSTGRES_PASSWORD": c.password}


def _smtp(c: Facts) -> dict[str, str]:
    who = f"{quote(c.login, safe='')}:{quote(c.password, safe='')}@" if c.login else ""
    scheme = "smtps" if c.port == 465 else "smtp"
    return {"TICKERPLANT_SMTP_URL": f"{scheme}://{who}{c.host}:{c.port or 25}"}


def _webhook(c: Facts) -> dict[str, str]:
    return {"TICKERPLANT_ALERT_WEBHOOK": c.password}


CONNECTIONS: dict[str, Callable[[Facts], dict[str, str]]] = {
    "tickerplant_alpaca": _alpaca,
    "tickerplant_polygon": _polygon,
    "tickerplant_polygon_files": _polygon_files,
    "tickerplant_alphavantage": _alpha_vantage,
    "tickerplant_store": _store,
    "tickerplant_smtp": _smtp,
    "tickerplant_webhook": _webhook,
}
"""Connections that are looked for, none of them needed, and what each sets."""

_KNOWN = frozenset(name for setting in SETTINGS for name in setting.env)


def environment(connections: Mapping[str, Facts], settings: Mapping[str, object]) -> dict[str, str]:
    """Settings by variable, to be added to a worker's own environment: the Variable `tickerplant_settings` first,
    Connections over it, a Connection's extras over its fields.

    Raises UsageError for a name that is no setting, without its value, which may be a secret.
    """
    found = _checked("Variable tickerplant_settings", settings)
    for name, facts in connections.items():
        found |= {k: v for k, v in CONNECTIONS[name](facts).items() if v or k in STORE_VARIABLES}
        found |= _checked(f"Connection {name}: extra", facts.extra)
    return found


def _checked(where: str, settings: Mapping[str, object]) -> dict[str, str]:
    for name in settings:
        if name not in _KNOWN:
            raise UsageError(f"{where}: expected names of settings (docs/settings.md), was {name!r}")
    return {name: str(value) for name, value in settings.items()}

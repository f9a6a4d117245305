"""Accounts with REST vendors, out of the settings: credentials, hosts, plan."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tickerplant.credentials import Credentials
from tickerplant.errors import UsageError
from tickerplant.model import Vendor
from tickerplant.net.http import HttpOptions, RestClient
from tickerplant.net.limits import Limiter, account_name
from tickerplant.rest import RateLimit, Rest
from tickerplant.settings import Settings

LIMITS_FILE = "limits.sqlite"


@dataclass(frozen=True)
class RestAccount:
    """Whom requests are made for. `hosts` override the vendor's; `feed` is asked for where the vendor has several."""

    credentials: Credentials
    hosts: dict[str, str]
    plan: str
    variable: str
    """The setting that holds the key, for messages."""
    feed: str | None = None


def _alpaca(s: Settings) -> RestAccount:
    hosts = {"data": s.alpaca_data_url, "trading": s.alpaca_trading_url}
    return RestAccount(
        Credentials(s.alpaca_key, s.alpaca_secret), hosts, s.alpaca_plan, "ALPACA_API_KEY", s.alpaca_rest_feed
    )


def _alpha_vantage(s: Settings) -> RestAccount:
    hosts = {"data": s.alpha_vantage_url}
    return RestAccount(Credentials("", s.alpha_vantage_key), hosts, s.alpha_vantage_plan, "ALPHA_VANTAGE_API_KEY")


def _polygon(s: Settings) -> RestAccount:
    return RestAccount(Credentials("", s.polygon_key), {"data": s.polygon_url}, s.polygon_plan, "POLYGON_API_KEY")


_ACCOUNTS: dict[str, Callable[[Settings], RestAccount]] = {
    "alpaca": _alpaca,
    "alphavantage": _alpha_vantage,
    "polygon": _polygon,
}
"""By preference, where several vendors have what is asked for."""


def account(settings: Settings, vendor: str) -> RestAccount:
    """The account with a vendor. Raises UsageError when its key is not set or it has no REST side."""
    if vendor not in _ACCOUNTS:
        raise UsageError(f"vendor: expected one of {', '.join(_ACCOUNTS)} for requests, was {vendor!r}")
    found = _ACCOUNTS[vendor](settings)
    if not found.credentials.secret:
        raise UsageError(f"{vendor}: expected a key, was none; do set {found.variable}")
    return found


def choose(settings: Settings, table: str, vendors: dict[str, Vendor]) -> str:
    """The first vendor with a key that has the table. Raises UsageError naming the keys that would do."""
    able = [v for v in _ACCOUNTS if v in vendors and has_table(vendors[v].rest, table)]
    for name in able:
        if _ACCOUNTS[name](settings).credentials.secret:
            return name
    keys = ", ".join(_ACCOUNTS[name](settings).variable for name in able)
    raise UsageError(f"fetch {table}: expected the key of a vendor that has it, was none; do set one of {keys}")


def has_table(rest: Rest | None, table: str) -> bool:
    """Whether a vendor answers for a table."""
    return rest is not None and any(table in e.tables for e in rest.endpoints)


def rest_of(vendor: Vendor) -> Rest:
    """The REST side of a vendor. Raises UsageError when it has none."""
    if vendor.rest is None:
        raise UsageError(f"vendor: expected one that answers requests, was {vendor.name!r}")
    return vendor.rest


def limits_of(rest: Rest, who: RestAccount) -> tuple[RateLimit, ...]:
    """The limits of an account's plan. Raises UsageError naming the plans there are."""
    if who.plan not in rest.limits:
        raise UsageError(f"plan: expected one of {', '.join(rest.limits)}, was {who.plan!r}")
    return rest.limits[who.plan]


def files_account(settings: Settings, vendor: Vendor) -> RestAccount | None:
    """The account with a vendor's day files, None when it has no files or no keys for them are set."""
    rest = vendor.rest
    if rest is None or rest.files is None or vendor.name != "polygon":
        return None
    keys = Credentials(settings.polygon_s3_key, settings.polygon_s3_secret)
    if not keys.key or not keys.secret:
        return None
    return RestAccount(keys, {rest.files.host: settings.polygon_s3_url}, "", "POLYGON_S3_ACCESS_KEY")


def client(settings: Settings, vendor: Vendor) -> RestClient:
    """A client for the account with a vendor; its allowance is shared by every process with the same data folder."""
    rest, who = rest_of(vendor), account(settings, vendor.name)
    options = HttpOptions(parallel=settings.fetch_parallel, patience_s=settings.fetch_patience_s)
    limiter = Limiter(
        Path(settings.data) / LIMITS_FILE,
        account_name(vendor.name, who.credentials),
        limits_of(rest, who),
        flight_s=options.timeout_s,
    )
    return RestClient(vendor.name, rest, who.credentials, limiter, {**rest.hosts, **who.hosts}, options)

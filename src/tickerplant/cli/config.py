"""`tickerplant config`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from tickerplant.cli import console
from tickerplant.errors import UsageError
from tickerplant.settings import SETTINGS, Settings

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


_KEYS = ("alpaca_key", "alpaca_secret", "timescale", "postgres_password", "alert_webhook", "smtp_url")


def _shown(settings: Settings, name: str) -> str:
    value = getattr(settings, name)
    if name in _KEYS:
        return "set" if value else "not set"
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _store(settings: Settings) -> str:
    """The store that is meant, without a password."""
    from tickerplant.postgres_url import is_server, masked

    try:
        url = settings.store
    except UsageError:
        return "unclear, see the checks"
    return masked(url) if is_server(url) else url


def _values() -> dict[str, str]:
    """Every setting as text, secrets and keys only as set or not set."""
    settings = console.settings()
    found = {s.name: _shown(settings, s.name) for s in SETTINGS}
    return {("store" if name == "store_url" else name): text for name, text in found.items()} | {
        "store": _store(settings)
    }


def command(
    connect: Annotated[
        bool, typer.Option("--connect", help="Also log in at the vendor and leave again (takes the feed's connection).")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the settings and check keys, URLs, clock and disk before a session. Exit code 1 when something fails."""
    from tickerplant.jobs.check import check

    settings = console.settings()
    findings = check(settings)
    if connect:
        from tickerplant.jobs.login import check_login
        from tickerplant.vendors import vendor

        findings.append(check_login(settings, vendor("alpaca")))
    failed = any(f.outcome == "fail" for f in findings)
    if as_json:
        console.print_json({"settings": _values(), "checks": [asdict(f) for f in findings], "ok": not failed})
    else:
        values = console.sheet("Settings", "setting", "variable", "value")
        for setting, (name, value) in zip(SETTINGS, _values().items(), strict=True):
            values.add_row(name, setting.env[0], console.plain(value))
        checks = console.sheet("Checks", "", "check", "found", "do")
        for f in findings:
            checks.add_row(
                f"[{_COLOURS[f.outcome]}]{f.outcome}[/]", f.name, console.plain(f.found), console.plain(f.do)
            )
        console.out.print(values)
        console.out.print(checks)
    raise typer.Exit(1 if failed else 0)

"""`tickerplant config`."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Annotated, Any

import typer

from tickerplant.cli import console
from tickerplant.settings import SETTINGS

_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def _shown(value: Any) -> str:
    if isinstance(value, str) and "@" in value:
        return re.sub(r"(://[^:/@]*):.*@", r"\1:***@", value)
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _values() -> dict[str, str]:
    """Every setting as text, secrets and keys only as set or not set."""
    settings = console.settings()
    hidden = ("alpaca_key", "alpaca_secret")
    return {
        s.name: ("set" if getattr(settings, s.name) else "not set")
        if s.name in hidden
        else _shown(getattr(settings, s.name))
        for s in SETTINGS
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
        for setting, value in zip(SETTINGS, _values().values(), strict=True):
            values.add_row(setting.name, setting.env[0], console.plain(value))
        checks = console.sheet("Checks", "", "check", "found", "do")
        for f in findings:
            checks.add_row(f"[{_COLOURS[f.outcome]}]{f.outcome}[/]", f.name, console.plain(f.found), f.do)
        console.out.print(values)
        console.out.print(checks)
    raise typer.Exit(1 if failed else 0)

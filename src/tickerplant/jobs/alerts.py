"""Alert rules: a finding that turns bad fires once, and is called over once it is well again.

What was told to whom stands in `<data>/alerts.json`. A message that was not taken is sent again by the next run; one
whose run was killed right after sending may come twice, with the same id.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from tickerplant.clock import utc_now
from tickerplant.errors import TickerplantError
from tickerplant.jobs.finding import Check
from tickerplant.settings import Settings

log = structlog.get_logger()

ALERTS_FILE = "alerts.json"
_RANK = {"ok": 0, "warn": 1, "fail": 2}


@dataclass(frozen=True)
class Alert:
    """Something that began to be bad, or is over. `id` is the same for both."""

    id: str
    name: str
    state: str
    outcome: str
    found: str
    do: str
    since: str

    @property
    def subject(self) -> str:
        """One line."""
        return f"tickerplant: {self.name} {'is over' if self.state == 'over' else self.outcome}: {self.found}"[:200]

    @property
    def text(self) -> str:
        """All of it, for people."""
        lines = [self.subject, f"since {self.since}", *([f"do: {self.do}"] if self.do else []), f"id {self.id}"]
        return "\n".join(lines)


Send = Callable[[Alert], None]


def channels(settings: Settings) -> dict[str, Send]:
    """Where alerts go, by the settings; none when none is set."""
    from tickerplant.net.alerts import mail, post

    found: dict[str, Send] = {}
    if settings.alert_webhook:
        found["webhook"] = lambda alert: post(settings.alert_webhook, {**alert.__dict__, "text": alert.subject})
    if settings.alert_to:
        found["e-mail"] = lambda alert: mail(
            settings.smtp_url, settings.alert_from, settings.alert_to, alert.subject, alert.text
        )
    return found


def alert(data: Path, found: Sequence[Check], send: dict[str, Send], level: str = "fail") -> list[Alert]:
    """Tell every channel what began and what is over since the last run; returns what was told to at least one."""
    with _state(data) as known:
        now = utc_now().isoformat(timespec="seconds")
        bad = {c.name: c for c in found if _RANK[c.outcome] >= _RANK[level]}
        for name, check in bad.items():
            entry = known.setdefault(name, {"id": f"{name} {now}", "since": now, "told": []})
            entry.update(outcome=check.outcome, found=check.found, do=check.do)
            entry.pop("over", None)
        seen = {c.name: c for c in found}
        for name in [n for n in known if n not in bad]:
            known[name]["over"] = seen[name].found if name in seen else "no longer looked at"
        return [a for name in list(known) if (a := _tell(known, name, send))]


def _tell(known: dict[str, dict[str, Any]], name: str, send: dict[str, Send]) -> Alert | None:
    entry = known[name]
    over = entry.get("over")
    shown = Alert(
        entry["id"], name, "over" if over else "firing", entry["outcome"], over or entry["found"],
        "" if over else entry["do"], entry["since"],
    )  # fmt: skip
    # A channel that never heard of it needs no word that it is over.
    due = [c for c in send if (c in entry["told"]) == bool(over)]
    told = [channel for channel in due if _sent(channel, send[channel], shown)]
    entry["told"] = [c for c in entry["told"] if c not in told] if over else [*entry["told"], *told]
    if over and not entry["told"]:
        del known[name]
    return shown if told else None


def _sent(channel: str, send: Send, shown: Alert) -> bool:
    try:
        send(shown)
    except TickerplantError as error:
        log.warning("alert not sent", channel=channel, alert=shown.name, problem=str(error))
        return False
    log.info("alert sent", channel=channel, alert=shown.name, state=shown.state)
    return True


@contextmanager
def _state(data: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """What is known, kept when the block ends; one process at a time."""
    data.mkdir(parents=True, exist_ok=True)
    path = data / ALERTS_FILE
    with (data / f"{ALERTS_FILE}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
        try:
            yield known
        finally:
            aside = path.with_suffix(".new")
            aside.write_text(json.dumps(known, indent=1, sort_keys=True))
            os.replace(aside, path)

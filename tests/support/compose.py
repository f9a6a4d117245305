"""compose.yaml as data, and its services as processes of this machine: same words, same variables, same files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
SECRETS = "/run/secrets/"


@cache
def compose() -> dict[str, Any]:
    """The whole file."""
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    return found


@dataclass(frozen=True)
class Service:
    """One service of the file."""

    name: str
    raw: Mapping[str, Any]

    @property
    def profiles(self) -> set[str]:
        """Those it belongs to."""
        return set(self.raw["profiles"])

    @property
    def environment(self) -> dict[str, str]:
        """Its variables."""
        return {k: plain(v) for k, v in self.raw.get("environment", {}).items()}

    @property
    def command(self) -> list[str]:
        """The words after the entry point."""
        return [plain(word) for word in self.raw.get("command", [])]

    @property
    def entrypoint(self) -> list[str] | None:
        """What it starts instead of the image's own, if any."""
        return self.raw.get("entrypoint")

    @property
    def healthcheck(self) -> list[str]:
        """The words of its health check; empty without one."""
        return [plain(word) for word in self.raw.get("healthcheck", {}).get("test", [])]

    @property
    def text(self) -> str:
        """Everything in it that can name a file."""
        return "\n".join([*self.environment.values(), *self.command, *self.healthcheck])

    def here(self, secrets: Path, **replaced: str) -> dict[str, str]:
        """Its variables with the secrets where they are on this machine, and some replaced."""
        own = {k: v.replace(SECRETS, f"{secrets}/") for k, v in self.environment.items()}
        return {**own, **replaced}


def plain(text: Any) -> str:
    """A value as the container sees it: `$$` is how the file writes `$`."""
    return str(text).replace("$$", "$")


def services() -> dict[str, Service]:
    """Every service by name."""
    return {name: Service(name, raw) for name, raw in compose()["services"].items()}

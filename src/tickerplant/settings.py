"""Settings: read once from the environment and `.env`, then passed down as one frozen value.

Every setting is listed in `SETTINGS`; `docs/settings.md` is generated from it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from tickerplant import postgres_url
from tickerplant.errors import UsageError
from tickerplant.model import Retention, Secret
from tickerplant.settings_list import LAKE, LOG, SETTINGS, Setting
from tickerplant.settings_values import names

__all__ = ["SETTINGS", "STORE_VARIABLES", "Setting", "Settings", "example", "markdown", "names", "read_settings"]

FILE = "_FILE"
"""What a variable's name ends with that holds the path of a file with the value, as containers give secrets."""

_STORE_NAMES = ("TICKERPLANT_STORE", "TIMESCALE_LIVE_CONN_STRING", *postgres_url.PIECES.values())
STORE_VARIABLES = (*_STORE_NAMES, *(name + FILE for name in _STORE_NAMES))
"""Every variable that has a say in which store is meant."""


@dataclass(frozen=True)
class Settings:
    """All settings. Fields are described in SETTINGS."""

    log: str
    store_url: Secret
    timescale: Secret
    postgres_host: str
    postgres_port: str
    postgres_db: str
    postgres_user: str
    postgres_password: Secret
    schema: str
    data: str
    alpaca_key: str
    alpaca_secret: Secret
    alpaca_url: str
    symbols: tuple[str, ...]
    channels: tuple[str, ...]
    batch_size: int | None
    batch_timeout_s: float
    sync_interval_s: float
    segment_bytes: int
    segment_age_s: float
    keep_versions_days: float
    alpaca_data_url: str
    alpaca_trading_url: str
    alpaca_plan: str
    alpaca_rest_feed: str
    alpha_vantage_key: Secret
    alpha_vantage_url: str
    alpha_vantage_plan: str
    polygon_key: Secret
    polygon_url: str
    polygon_plan: str
    polygon_s3_key: str
    polygon_s3_secret: Secret
    polygon_s3_url: str
    flat_piece_bytes: int
    fetch_parallel: int
    fetch_patience_s: float
    alert_webhook: Secret
    alert_to: tuple[str, ...]
    smtp_url: Secret
    alert_from: str
    alert_level: str
    repair_settling_s: float
    run_tables: tuple[str, ...]
    run_symbols: str
    run_polls: tuple[tuple[str, str], ...]
    run_history: date | None
    run_captures: int
    run_loaders: int
    retention: Retention
    statement_timeout_s: float
    models: str
    marts: str
    vendors: tuple[str, ...]
    bar_intervals: tuple[str, ...]
    feed_keys: Secret
    feed_buffer_bytes: int
    spool: str
    spool_bytes: int
    s3_endpoint: str
    aws_region: str
    aws_key: str
    aws_secret: Secret
    aws_token: Secret
    local_mode: bool
    kinesis_stream: str
    kinesis_endpoint: str
    kinesis_lanes: int
    kinesis_keep_segments: int
    max_attempts: int
    log_level: str

    @property
    def store(self) -> str:
        """The store: a folder or a URL, which may hold a password. Raises UsageError when settings disagree."""
        given = self.store_url.reveal()
        pieces = {
            "host": self.postgres_host,
            "port": self.postgres_port,
            "dbname": self.postgres_db,
            "user": self.postgres_user,
            "password": self.postgres_password.reveal(),
        }
        found = postgres_url.chosen("" if given == LAKE else given, self.timescale.reveal(), pieces)
        return found or LAKE.replace("<data>", self.data.rstrip("/"))


def _in_file(name: str, env: Mapping[str, str]) -> str:
    """The text in the file that `<name>_FILE` names, without its last newline; empty without one."""
    path = env.get(name + FILE, "").strip()
    if not path:
        return ""
    try:
        return Path(path).read_text("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise UsageError(f"{name}{FILE}: expected a file of UTF-8 text, was {path}, which is not") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a path"
        raise UsageError(f"{name}{FILE}: expected a file that can be read, was {path} ({why})") from None


def _given(name: str, env: Mapping[str, str]) -> str:
    """The value of a variable or of its file; empty when neither is given."""
    direct, filed = env.get(name, "").strip(), _in_file(name, env)
    if direct and filed and direct != filed:
        raise UsageError(
            f"{name} and {name}{FILE}: expected one of them, or both the same, was two values; do unset one"
        )
    return direct or filed


def _log_url(values: Mapping[str, Any]) -> str:
    """The log as named, else the stream unless in local mode."""
    if values["log"] != LOG or values["local_mode"]:
        return str(values["log"])
    if not values["kinesis_stream"]:
        raise UsageError("LOCAL_MODE: expected KINESIS_STREAM_NAME beside false, was none; set it or LOCAL_MODE=true")
    return f"kinesis://{values['kinesis_stream']}"


def _value(setting: Setting, env: Mapping[str, str]) -> Any:
    name, text = next(((n, t) for n in setting.env if (t := _given(n, env))), (setting.env[0], setting.default))
    try:
        return setting.parse(text)
    except ValueError as error:
        shown = "***" if setting.parse is Secret else repr(text)
        raise UsageError(f"{name}: {error}, was {shown}") from None


def _other(name: str) -> str:
    """The variable that gives the same setting the other way: from a file, or itself."""
    return name.removesuffix(FILE) if name.endswith(FILE) else name + FILE


def read_settings(env: Mapping[str, str] | None = None, dotenv: Path | None = Path(".env")) -> Settings:
    """Settings from the environment, completed from `.env`; each from its variable or the file `<variable>_FILE` names.

    Raises UsageError naming the variable that is wrong.
    """
    from dotenv import dotenv_values

    own = os.environ if env is None else env
    found = {k: v for k, v in dotenv_values(dotenv).items() if v is not None} if dotenv and dotenv.is_file() else {}
    merged = {**{k: v for k, v in found.items() if _other(k) not in own}, **own}
    values = {s.name: _value(s, merged) for s in SETTINGS}
    values["log"] = _log_url(values)
    for name in ("log", "spool"):
        values[name] = values[name].replace("<data>", values["data"].rstrip("/"))
    return Settings(**values)


def markdown() -> str:
    """The table of `docs/settings.md`."""
    rows = [f"| {', '.join(f'`{e}`' for e in s.env)} | `{s.default}` | {s.doc} |" for s in SETTINGS]
    return "\n".join(["| variable | default | meaning |", "|---|---|---|", *rows, ""])


_EXAMPLE = """\
# Every setting with its default, to be copied to `.env`; take away the # of a line to change it. The environment wins
# over this file. Each can be given as the path of a file instead, which suits secrets: ALPACA_SECRET_KEY_FILE=/path.
# <data> is the value of TICKERPLANT_DATA. Generated by `python docs/generate.py`.
"""


def example() -> str:
    """The text of `.env.example`: every setting with its meaning and its default, commented out."""
    blocks = [_EXAMPLE]
    for setting in SETTINGS:
        others = f" (also read from {', '.join(setting.env[1:])})" if setting.env[1:] else ""
        value = f"'{setting.default}'" if set(setting.default) & set(" #$") else setting.default
        blocks.append(f"# {setting.doc}{others}\n#{setting.env[0]}={value}\n")
    return "\n".join(blocks)
